"""Templates of prefixes: text whose placeholders, `{user}` or `{RUN.now:%Y-%m-%d}`, stand for fields (`run.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import PrefixError, TemplateError
from ..prefix import EXPECTED
from .nearest import nearest

NESTING_MAX = 10
"""Values that are templates are resolved this often; what has braces then stands for itself."""


def resolved(template: object, value_of: Callable[[str], Any], known: frozenset[str]) -> str:
    """`template` with every placeholder replaced by the value of a `known` field, until none is left.

    Raises TemplateError where a placeholder stands for nothing or, over and over, for itself; PrefixError where the
    template is no str.
    """
    if not isinstance(template, str):
        raise PrefixError(f"prefix {template!r:.200} is a {type(template).__name__}, not a str. {EXPECTED}")
    fields = _Placeholders(template, value_of, known)
    text = template
    for _ in range(NESTING_MAX):
        if "{" not in text and "}" not in text:
            return text
        try:
            text = text.format_map(fields)
        except TemplateError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise TemplateError(
                f"prefix template {template!r:.400} cannot be read: {error}. Expected placeholders such as {{user}} or "
                "{now:%Y-%m-%d}; every brace belongs to one"
            ) from error
    raise TemplateError(
        f"prefix template {template!r:.400} never resolves: after {NESTING_MAX} rounds it still has placeholders, "
        f"{text!r:.200}. Look for a field of RUN whose value names itself"
    )


class _Placeholders(Mapping[str, Any]):
    """What `str.format_map` asks."""

    def __init__(self, template: str, value_of: Callable[[str], Any], known: frozenset[str]) -> None:
        self._template = template
        self._value_of = value_of
        self._known = known

    def __getitem__(self, name: str) -> Any:
        if name in ("RUN", "EXP"):
            return _Dotted(self, name)
        return self.look_up(name, name)

    def look_up(self, name: str, written: str) -> Any:
        """The field `name`, which the template calls `written`."""
        if name not in self._known:
            raise TemplateError(
                f"prefix template {self._template!r:.400} has the placeholder {{{written}}}, and there is no field "
                f"{name!r}.{nearest(name, self._known)} There are {', '.join(sorted(self._known))}"
            )
        value = self._value_of(name)
        if value is None:
            raise TemplateError(
                f"prefix template {self._template!r:.400} has the placeholder {{{written}}}, and {name!r} has no value "
                f"yet. Set it first: RUN.{name} = …"
            )
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Dotted:
    """`{RUN.field}` and `{EXP.field}`."""

    def __init__(self, placeholders: _Placeholders, word: str) -> None:
        self._placeholders = placeholders
        self._word = word

    def __getattr__(self, name: str) -> Any:
        return self._placeholders.look_up(name, f"{self._word}.{name}")
