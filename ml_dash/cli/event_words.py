"""What an event says, in words for people: `lr 0.1 → 0.01`, `session 2 FAILED: ValueError: loss is nan`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..facts.events import (
    EVENT_REDACTED,
    EXPERIMENT_DESCRIBED,
    FILE_DELETED,
    FILE_SAVED,
    FILE_UPDATED,
    LOG_WRITTEN,
    METRIC_DESCRIBED,
    METRIC_LOGGED,
    OUTPUT_WRITTEN,
    PARAMS_SET,
    RUN_CANCELLED,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_STARTED,
    TRACK_APPENDED,
    VALUE_CORRECTED,
    WRITER_JOINED,
    Event,
)
from ..state.parameters import Parameters
from .wording import error_words, number, one_line, size, to_json

VALUE_LENGTH_MAX = 60
ABSENT = object()


class Narrator:
    """Tells events in order, and knows what was before: which value a parameter had, which file an id means.

    `attempts` are the numbers of the sessions, by id.  Values longer than `length_max` are cut.
    """

    def __init__(self, attempts: Mapping[str, int], length_max: int | None = VALUE_LENGTH_MAX) -> None:
        self._length_max = length_max
        self._params = Parameters({})
        self._attempts = dict(attempts)
        self._files: dict[str, str] = {}

    def attempt(self, session: str) -> int | None:
        """The number of a session; None of what is none, such as a fork that was not opened yet."""
        return self._attempts.get(session)

    def changes(self, event: Event) -> list[tuple[str, Any, Any]]:
        """`(parameter, old, new)` for each that the event changes; ABSENT where there is none.  Tells it once only.

        An event that is not what an event of parameters is changes none, as the fold has it.
        """
        params = event.data.get("params")
        if event.type != PARAMS_SET or not isinstance(params, dict) or not all(isinstance(key, str) for key in params):
            return []
        before = dict(self._params.flat)
        for key, value in params.items():
            self._params.set(key, value)
        gone = [(key, before[key], ABSENT) for key in before if key not in self._params.flat]
        return [*gone, *((key, before.get(key, ABSENT), value) for key, value in params.items())]

    def words(self, event: Event, changes: list[tuple[str, Any, Any]]) -> str:
        """One line, without its type."""
        if changes:
            return ", ".join(change_words(*each, self._length_max) for each in changes)
        tell = _TELLERS.get(event.type)
        try:
            return " ".join(tell(self, event).split()) if tell is not None else one_line(event.data, self._text_max)
        except (KeyError, TypeError, ValueError, AttributeError):
            return one_line(event.data, self._text_max)

    def tell(self, event: Event) -> str:
        """One line, without its type."""
        return self.words(event, self.changes(event))

    @property
    def _text_max(self) -> int | None:
        return None if self._length_max is None else 2 * self._length_max

    def _value(self, value: Any) -> str:
        return value_words(value, self._length_max)

    def _descriptions(self, data: Mapping[str, Any]) -> Iterator[str]:
        for name in ("description", "tags", "bindrs", "metadata"):
            if name in data:
                value = data[name]
                text = ", ".join(map(str, value)) if isinstance(value, list) and value else self._value(value)
                yield f"{name} {text}"

    # -- one type each -------------------------------------------------------------------------------------------

    def _session(self, event: Event) -> str:
        session = str(event.data["session"])
        return f"session {self._attempts.get(session, session)}"

    def _started(self, event: Event) -> str:
        self._attempts.setdefault(str(event.data["session"]), len(self._attempts) + 1)
        environment = event.data.get("environment") or {}
        git = environment.get("git") or {}
        parts = [f"{self._session(event)} opened"]
        if environment.get("python"):
            parts.append(f"Python {environment['python']}")
        if git.get("commit"):
            branch = f" {git['branch']}" if git.get("branch") else ""
            parts.append(f"git{branch} {git['commit'][:10]}{' (changed)' if git.get('dirty') else ''}")
        if environment.get("argv"):
            parts.append(one_line(" ".join(map(str, environment["argv"])), self._length_max))
        return ", ".join(parts)

    def _completed(self, event: Event) -> str:
        return f"{self._session(event)} COMPLETED"

    def _cancelled(self, event: Event) -> str:
        return f"{self._session(event)} CANCELLED"

    def _failed(self, event: Event) -> str:
        error = event.data.get("error")
        why = error_words(error) if error else event.data.get("reason") or ""
        return f"{self._session(event)} FAILED: {one_line(why, self._text_max)}"

    def _joined(self, event: Event) -> str:
        return f"process {event.data.get('pid')}, forked from writer {event.data['parent']}"

    def _described(self, event: Event) -> str:
        return ", ".join(self._descriptions(event.data))

    def _metric_described(self, event: Event) -> str:
        name = event.data["name"]
        return f"{'(unnamed)' if name is None else name}: {', '.join(self._descriptions(event.data))}"

    def _saved(self, event: Event) -> str:
        data = event.data
        path = f"{data['path'].strip('/')}/{data['filename']}".lstrip("/")
        self._files[data["id"]] = path
        return f"{path} {size(data['sizeBytes'])} {data['checksum'][:12]}"

    def _updated(self, event: Event) -> str:
        return f"{self._files.get(event.data['id'], event.data['id'])}: {', '.join(self._descriptions(event.data))}"

    def _deleted(self, event: Event) -> str:
        file_id = event.data["id"]
        return self._files.get(file_id, str(file_id))

    def _corrected(self, event: Event) -> str:
        data = event.data
        members = ", ".join(f"{key} = {self._value(value)}" for key, value in data["data"].items())
        return f"event {data['seq']:,}: {members}{_because(data)}"

    def _redacted(self, event: Event) -> str:
        field = event.data.get("field")
        return f"event {event.data['seq']:,}{'' if field is None else f', {field}'}{_because(event.data)}"

    def _logged(self, event: Event) -> str:
        name, fields = event.data["name"], event.data["fields"]
        values = ", ".join(f"{key} {self._value(value)}" for key, value in fields.items())
        return values if name is None else f"{name}: {values}"

    def _written(self, event: Event) -> str:
        data = event.data
        extra = "".join(f" {key}={self._value(value)}" for key, value in (data.get("metadata") or {}).items())
        return f"{data['level']}: {data.get('message', '')}{extra}"

    def _printed(self, event: Event) -> str:
        return f"{event.data['stream']}: {event.data.get('text', '')}"

    def _rewound(self, event: Event) -> str:
        steps = ", ".join(f"{name} {number(value)}" for name, value in event.data["steps"].items())
        return f"{self._session(event)} goes on from {steps}"

    def _forked(self, event: Event) -> str:
        return f"from {event.data['prefix']}@{event.data['seq']}"


_TELLERS: Mapping[str, Callable[[Narrator, Event], str]] = {
    RUN_STARTED: Narrator._started,
    RUN_COMPLETED: Narrator._completed,
    RUN_CANCELLED: Narrator._cancelled,
    RUN_FAILED: Narrator._failed,
    WRITER_JOINED: Narrator._joined,
    EXPERIMENT_DESCRIBED: Narrator._described,
    METRIC_DESCRIBED: Narrator._metric_described,
    FILE_SAVED: Narrator._saved,
    FILE_UPDATED: Narrator._updated,
    FILE_DELETED: Narrator._deleted,
    LOG_WRITTEN: Narrator._written,
    METRIC_LOGGED: Narrator._logged,
    OUTPUT_WRITTEN: Narrator._printed,
    TRACK_APPENDED: Narrator._logged,
    VALUE_CORRECTED: Narrator._corrected,
    EVENT_REDACTED: Narrator._redacted,
    "run.rewound": Narrator._rewound,
    "experiment.forked": Narrator._forked,
}


def change_words(name: str, old: Any, new: Any, length_max: int | None = VALUE_LENGTH_MAX) -> str:
    """`lr 0.1 → 0.01`, `lr 0.1` where it is new, `lr 0.1 → nothing` where it is gone."""
    before, after = ("nothing" if value is ABSENT else value_words(value, length_max) for value in (old, new))
    return f"{name} {after}" if old is ABSENT else f"{name} {before} → {after}"


def value_words(value: Any, length_max: int | None = VALUE_LENGTH_MAX) -> str:
    """A value that was recorded, as short as people want it."""
    if isinstance(value, (bool, type(None))):
        return to_json(value)
    if isinstance(value, (int, float)):
        return str(value)
    return one_line(value, length_max)


def _because(data: Mapping[str, Any]) -> str:
    by, reason = data.get("by"), data.get("reason")
    return (f" by {by}" if by else "") + (f" ({reason})" if reason else "")
