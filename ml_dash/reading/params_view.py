"""Parameters read back: as they are, and every time that they were set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..clock import to_datetime
from ..facts.codec import CodecError
from ..facts.copies import own_copy
from ..facts.events import PARAMS_SET
from ..journal.folder import JournalFolder
from ..recording.param_forms import unflatten
from ..state import FrozenDict, State, blocks_before
from ..state.corrections import Corrections
from ..state.parameters import Parameters, ancestors
from .lineage import Lineage, blocks_of

_MISSING: Any = object()
_IN_BYTES = PARAMS_SET.encode()


class ParamsView(FrozenDict[str, Any]):
    """Parameters of a loaded run, flat, under dotted keys: a dict that refuses changes."""

    __slots__ = ("_folder", "_state")

    def __init__(self, folder: JournalFolder, state: State) -> None:
        super().__init__(own_copy(dict(state.params)))
        self._folder = folder
        self._state = state

    def __reduce__(self) -> tuple[Callable[..., FrozenDict[str, Any]], tuple[dict[str, Any]]]:  # type: ignore[override]
        return FrozenDict, (dict(self),)

    def get(self, key: str, default: Any = None) -> Any:
        """One value, or what stands below the key, as a dict; without either, `default`."""
        return value_at(self, key, default)

    def nested(self) -> dict[str, Any]:
        """`{"model.depth": 50}` → `{"model": {"depth": 50}}`; the caller's own."""
        return unflatten(own_copy(dict(self)))

    def history(self, key: str) -> list[tuple[int, datetime, Any]]:
        """Every time `key` was set up to the event that the run was loaded at: (sequence number, time, value), oldest
        first; as `experiment.params.history` gives it."""
        return params_history(self._folder, self._state, key)


def params_history(folder: JournalFolder, state: State, key: str) -> list[tuple[int, datetime, Any]]:
    """Every time `key` was set, as (sequence number, time, value), up to the event that `state` is behind."""
    corrections = Corrections(state.corrections.values())
    found: list[tuple[int, datetime, Any]] = []
    params = Parameters({})
    for line in Lineage(folder).commits():
        if line.first > state.seq:
            break
        # Most commits hold nothing but points: decoding them would be most of the work.
        if _IN_BYTES not in line.events:
            continue
        try:
            blocks = blocks_of(line)
            if line.last > state.seq:
                blocks = blocks_before(blocks, state.seq - line.first + 1)
        except CodecError:
            continue
        for block in corrections.blocks(blocks, line.first, line.last):
            if block.type != PARAMS_SET:
                continue
            [position], [time_us], [data] = block.positions, block.times_us(line.time_us), block.payloads()
            for name, value in data["params"].items():
                params.set(name, value)
            if any(name == key or key in ancestors(name) for name in data["params"]):
                value = own_copy(value_at(params.flat, key, _MISSING))
                if value is not _MISSING:
                    found.append((line.first + position, to_datetime(time_us), value))
    return found


def value_at(params: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value of a key, or what stands below it as a nested dict; the caller's own."""
    if key in params:
        return own_copy(params[key])
    below = {name[len(key) + 1 :]: value for name, value in params.items() if name.startswith(f"{key}.")}
    return unflatten(own_copy(below)) if below else default
