"""Takes secrets out of a command line before it is recorded: a journal is shared, and its history is for ever.

Masked, with `***` in their place:

 1. the value of an option or assignment whose name looks secret, in one argument or in the next one:
    `--api-key=…`, `--token …`, `trainer.password=…`, `{"secret": "…"}`, `?access_token=…`;
 2. the credentials in a URL, `https://…@host`, and behind `Bearer` or `Basic`;
 3. what has the form of a well-known token;
 4. the value of any environment variable whose name looks secret.

A name looks secret if one of its words is in `SECRET_WORDS` or has one of `SECRET_ENDINGS`.  Masking too much costs a
line of a record; masking too little costs an account.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

MASK = "***"
ARGUMENTS_MAX = 256
ARGUMENT_CHARACTERS_MAX = 1000
ENVIRONMENT_SECRET_CHARACTERS_MIN = 8
"""A shorter value of a variable is too likely to be part of something else."""

SECRET_WORDS = frozenset("auth authorization cookie credential credentials creds pass pin pwd signature sas".split())
SECRET_ENDINGS = ("token", "key", "password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials")
_NAME = r"[\w.\-+\[\]]{1,80}"
_ASSIGNED = re.compile(rf"""(?P<head>["']?(?P<name>{_NAME})["']?\s*[=:]\s*)(?P<value>"[^"]*"|'[^']*'|[^\s,;&}}"']+)""")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_SCHEME = re.compile(r"\b(Bearer|Basic)(\s+|%20)[^\s\"',;]+", re.IGNORECASE)
_KNOWN_FORMS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{16,}"
    r"|mld_[\w-]{40,}|xox[a-z]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+)"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def looks_secret(name: str) -> bool:
    """Whether something of this name is better not recorded."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return any(word in SECRET_WORDS or word.endswith(SECRET_ENDINGS) for word in words)


def mask_arguments(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
    """The command line without secrets; at most `ARGUMENTS_MAX` arguments of `ARGUMENT_CHARACTERS_MAX` characters."""
    known = _secret_values(environment or {})
    masked: list[str] = []
    is_value_of_secret = False
    for argument in arguments[:ARGUMENTS_MAX]:
        if is_value_of_secret and not argument.startswith("--"):
            masked.append(MASK)
            is_value_of_secret = False
            continue
        text = mask_text(argument, known)
        if len(text) > ARGUMENT_CHARACTERS_MAX:
            text = f"{text[:ARGUMENT_CHARACTERS_MAX]}… ({len(text)} characters)"
        masked.append(text)
        is_value_of_secret = argument.startswith("-") and "=" not in argument and looks_secret(argument)
    if len(arguments) > ARGUMENTS_MAX:
        masked.append(f"… ({len(arguments)} arguments)")
    return masked


def mask_text(text: str, known: Iterable[str] = ()) -> str:
    """`text` without anything that looks secret, nor any of the `known` secrets."""
    for secret in known:
        text = text.replace(secret, MASK)
    text = _URL_CREDENTIALS.sub(f"{MASK}@", text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _KNOWN_FORMS.sub(MASK, text)
    return _ASSIGNED.sub(_mask_assigned, text)


def _mask_assigned(found: re.Match[str]) -> str:
    value = found["value"]
    if not looks_secret(found["name"]):
        # `https:` is a name too, and its value may have others in it.
        return found["head"] + _ASSIGNED.sub(_mask_assigned, value)
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found['head']}{quote}{MASK}{quote}"


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    values = {value for name, value in environment.items() if looks_secret(name)}
    return sorted((value for value in values if len(value) >= ENVIRONMENT_SECRET_CHARACTERS_MIN), key=len, reverse=True)
