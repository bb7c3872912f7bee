"""What the shell offers behind `ml-dash` when Tab is pressed: prefixes, columns, parameters, types of events.

Nothing is asked of a server, and of the dash root only what is needed: names of folders, and for names of metrics the
states of a few experiments.  What cannot be had is not offered; Tab never complains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..errors import MlDashError
from ..facts.events import EVENT_TYPES

PREFIX_ARGUMENTS = ("prefix", "prefixes", "pattern", "a", "b", "glob", "globs")
EXPERIMENTS_MAX = 20
"""Of so many experiments the metrics are looked up: the names of more would take longer than people wait for Tab."""
OFFERED_MAX = 1000

Offer = Callable[[click.Context, str], Iterable[str]]


class Completed(click.ParamType[Any]):
    """Text, for which the shell offers what `offer` gives."""

    name = "text"

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        try:
            offered = islice((text for text in self._offer(context, incomplete)), OFFERED_MAX)
            return [CompletionItem(text) for text in offered if text.startswith(incomplete)]
        except (MlDashError, OSError):
            return []


def _prefixes(context: click.Context, incomplete: str) -> Iterator[str]:
    from ..reading.listing import prefixes_below, root_of

    if context.params.get("dash_url"):
        return
    # Folders above what is typed are not looked into.
    parts = tuple(part for part in incomplete.split("/")[:-1] if part)
    yield from prefixes_below(root_of(context.params.get("dash_root")), parts)


def _columns(context: click.Context, incomplete: str) -> Iterator[str]:
    """Of a list with commas, the last."""
    from .list_columns import FACTS, names_in

    before, comma, _ = incomplete.rpartition(",")
    known = dict.fromkeys([*FACTS, *(name for state in _states(context) for name in names_in(state))])
    yield from (f"{before}{comma}{name}" for name in known)


def _params(context: click.Context, incomplete: str) -> Iterator[str]:
    yield from dict.fromkeys(key for state in _states(context) for key in state.params)


def _states(context: click.Context) -> Iterator[Any]:
    from ..history import load

    # Behind an option that waits for its value, what was given before stands among the arguments.
    given = context.params.get("prefix") or next((word for word in context.args if "/" in word), None)
    found = [given] if given else islice(_prefixes(context, ""), EXPERIMENTS_MAX)
    for prefix in found:
        yield load(prefix, dash_root=context.params.get("dash_root")).state


def _types(context: click.Context, incomplete: str) -> Iterable[str]:
    return EVENT_TYPES


PREFIX = Completed(_prefixes)
COLUMN = Completed(_columns)
PARAM = Completed(_params)
TYPE = Completed(_types)


def complete_prefixes(command: click.Command) -> click.Command:
    """Has the shell offer prefixes for every argument of the command that is one."""
    for parameter in command.params:
        if parameter.name in PREFIX_ARGUMENTS and isinstance(parameter.type, click.types.StringParamType):
            parameter.type = PREFIX
    return command
