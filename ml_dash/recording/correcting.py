"""`ml_dash.correct`: a wrong value is made right by an event that names it, and nothing is rewritten.

What may be corrected, and what the correction then does, is in `ml_dash/state/corrections.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from ..facts.events import LOG_WRITTEN, OUTPUT_WRITTEN, PARAMS_SET, TRACK_APPENDED, VALUE_CORRECTED, Event
from ..facts.value_forms import describe
from ..history import Root
from ..logs import LogLevel
from ..opening.nearest import nearest
from ..prefix import parse_prefix
from ..reading.listing import own_folder_of, root_of
from ..reading.origins import own_number
from ..reading.sources import check_local
from ..state.corrections import CORRECTABLE, correctable_members
from .remarks import event_at, record_remark, who


def correct(
    prefix: str,
    seq: int,
    values: Mapping[str, Any] | None = None,
    *,
    reason: str,
    dash_root: Root = None,
    dash_url: object = None,
    **more: Any,
) -> int:
    """Replaces values that event number `seq` recorded; gives the number of the event that says so.

        ml_dash.correct("alice/ml/a", 1207, loss=0.25, reason="the loss was logged in bits, not nats")
        ml_dash.correct("alice/ml/a", 3, {"model.depth": 50}, reason="read from the wrong configuration")

    `values` and keywords are fields of a metric point or track entry, keys of parameters that were set together, or
    `message`, `level`, `metadata` of a log line, `text` of a captured one.  Only what the event has can be replaced.
    From then on state, columns, rows and lines show the new values; `at=` before it, and `ml_dash.events`, the old
    ones.  The newest correction of a value counts.  It is durable when this returns, and may be made while the run goes
    on.

    Raises ConfigurationError where `seq`, the values or the reason are not as expected; what `load` raises;
    StorageError or LockError where the journal cannot be written to.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(f"reason={reason!r:.100}: expected text that says why the value was wrong")
    if values is not None and not isinstance(values, Mapping):
        raise ConfigurationError(f"values={describe(values):.100}: expected a mapping of names to corrected values")
    check_local(dash_url, "correcting")
    folder = own_folder_of(parse_prefix(prefix), root_of(dash_root))
    seq = own_number(folder, seq)
    event = event_at(folder, prefix, seq)
    data = _checked(event, {**(values or {}), **more})
    return record_remark(
        folder, VALUE_CORRECTED, {"seq": seq, "data": data, "reason": reason, "by": who()}, event.session
    )


def _checked(event: Event, data: dict[str, Any]) -> dict[str, Any]:
    """What replaces members of `event`.  Raises ConfigurationError."""
    members = correctable_members(event.type, event.data)
    if members is None:
        raise ConfigurationError(
            f"event {event.seq} is of type {event.type}, which is not corrected. Only {', '.join(CORRECTABLE)} are; "
            "anything else is recorded anew, and what is recorded last counts"
        )
    has = f"Event {event.seq} ({event.type}) has {', '.join(map(repr, members)) or 'none'}"
    if not data:
        raise ConfigurationError(f"no corrected value is given. {has}")
    for name in data:
        if name not in members:
            known = frozenset(each for each in members if isinstance(each, str))
            raise ConfigurationError(f"{name!r:.100} cannot be corrected.{nearest(str(name), known)} {has}")
    for name, value in data.items():
        expected = _expected(event.type, name, value)
        if expected is not None:
            raise ConfigurationError(f"{name}={describe(value):.100}: expected {expected}")
    if event.type == LOG_WRITTEN and "level" in data:
        data["level"] = LogLevel.validate(data["level"])
    return data


def _expected(event_type: str, name: str, value: Any) -> str | None:
    """What a value should have been; None where it may be that."""
    if (
        event_type == TRACK_APPENDED
        and name == "_ts"
        and (isinstance(value, bool) or not isinstance(value, int | float))
    ):
        return "a time in seconds"
    if event_type == PARAMS_SET and isinstance(value, Mapping) and value:
        return "a single value: parameters that stand below others are corrected by their dotted keys"
    if event_type in (LOG_WRITTEN, OUTPUT_WRITTEN):
        if name in ("message", "text") and not isinstance(value, str):
            return "text"
        if name == "stream" and value not in ("stdout", "stderr"):
            return "'stdout' or 'stderr'"
        if name == "metadata" and value is not None and not isinstance(value, dict):
            return "a dict or None"
    return None
