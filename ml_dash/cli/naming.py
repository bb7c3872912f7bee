"""Which experiments a command is about: `PREFIX`, or the same as `-p`; several, or a glob over prefixes, where it can
do with several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..errors import ConfigurationError, NotFoundError, PrefixError
from ..history import experiments
from ..prefix import parse_prefix
from ..reading.listing import folder_of, root_of

PREFIX_OPTIONS = ("-p", "--prefix", "--project")
WILD = "*?["
NAMED_MAX = 5

Command = TypeVar("Command", bound=Callable[..., Any])


def names_an_experiment(command: Command) -> Command:
    """Adds `PREFIX`, for a command that reads experiments; a glob has to match one."""

    def with_prefix(*, prefix: str | None, glob: str | None, **arguments: Any) -> Any:
        given = list(dict.fromkeys(each for each in (prefix, glob) if each is not None))
        check_given(given)
        found = matching(given, arguments["dash_root"], arguments["dash_url"])
        if len(found) > 1:
            more = "" if len(found) <= NAMED_MAX else f" and {len(found) - NAMED_MAX} more"
            raise ConfigurationError(f"this is about one experiment. Give one of {', '.join(found[:NAMED_MAX])}{more}")
        return command(prefix=found[0], **arguments)

    option = click.option(*PREFIX_OPTIONS, "glob", metavar="PREFIX", help="The same as PREFIX.")
    return _added(with_prefix, command, option, click.argument("prefix", metavar="PREFIX", required=False))


def names_experiments(command: Command) -> Command:
    """Adds `PREFIX…`, for a command that reads experiments; each may be a glob."""

    def with_prefixes(*, prefixes: tuple[str, ...], globs: tuple[str, ...], **arguments: Any) -> Any:
        given = [*prefixes, *globs]
        check_given(given)
        found = matching(given, arguments["dash_root"], arguments["dash_url"])
        return command(prefixes=tuple(found), **arguments)

    option = click.option(*PREFIX_OPTIONS, "globs", multiple=True, metavar="GLOB", help="The same as PREFIX.")
    return _added(with_prefixes, command, option, click.argument("prefixes", metavar="PREFIX…", nargs=-1))


def _added(wrapped: Any, command: Command, *parameters: Callable[[Any], Any]) -> Command:
    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])
    for parameter in parameters:
        wrapped = parameter(wrapped)
    return wrapped  # type: ignore[no-any-return]


def check_given(given: Sequence[str]) -> None:
    if not given:
        raise click.MissingParameter(
            "Give an experiment; `ml-dash list` shows what there is.", param_hint="'PREFIX'", param_type="argument"
        )


def matching(given: list[str], dash_root: str | None, dash_url: str | None) -> list[str]:
    """Each once, in the order in which they were asked for; those of one glob sorted."""
    found: dict[str, None] = {}
    for each in given:
        if not is_glob(each) or (dash_url is None and _exists(each, dash_root)):
            found[each] = None
            continue
        matches = sorted(summary.prefix for summary in experiments(each, dash_root=dash_root, dash_url=dash_url))
        if not matches:
            raise NotFoundError(f"no experiment matches {each!r}; `ml-dash list` shows what there is")
        found.update(dict.fromkeys(matches))
    return list(found)


def is_glob(text: str) -> bool:
    """Whether it has characters that stand for others."""
    return any(wild in text for wild in WILD)


def _exists(prefix: str, dash_root: str | None) -> bool:
    """A name may have the characters of a glob."""
    try:
        folder_of(parse_prefix(prefix), root_of(dash_root))
    except (NotFoundError, PrefixError):
        return False
    return True
