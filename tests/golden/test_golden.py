"""F16: a journal written by any released version replays for ever to the same events and the same state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import JournalCorruptError
from ml_dash.facts.events import EVENT_TYPES
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import FORMAT_VERSION

from ..journal.damage import Recorder
from .expectation import expectation
from .make import CASES, PREFIX

HERE = Path(__file__).parent
GOLDEN = sorted(path.parent for path in HERE.glob("version-*/*/expected.json"))


def expected_of(case: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    return found


def missing(found: Any, expected: Any, place: str = "state") -> list[str]:
    """Where something that was expected then is not there any more; a later release may know more about it."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            lost
            for key, value in expected.items()
            for lost in (missing(found[key], value, f"{place}.{key}") if key in found else [f"{place}.{key} is gone"])
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(found, expected, strict=True))
        return [lost for index, (one, other) in pairs for lost in missing(one, other, f"{place}[{index}]")]
    if type(found) is type(expected) and found == expected:
        return []
    return [f"{place}: expected {expected!r:.100}, found {found!r:.100}"]


def names(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


@pytest.mark.parametrize("case", GOLDEN, ids=names)
def test_f16_a_golden_journal_replays_to_what_it_always_did(case: Path) -> None:
    expected = expected_of(case)
    found = json.loads(json.dumps(expectation(case / PREFIX)))
    assert found["chain"] == expected["chain"]
    killed = case.name == "killed"
    # Whoever drains a dead writer ends its session at that moment: the last event's time is today's.
    assert [event[:2] for event in found["events"]] == [event[:2] for event in expected["events"]]
    whole = expected["events"][: -1 if killed else None]
    assert found["events"][: len(whole)] == whole
    if not killed:
        assert missing(found["state"], expected["state"]) == []


@pytest.mark.parametrize("case", GOLDEN, ids=names)
def test_f16_a_golden_journal_is_written_on_as_its_damage_allows(case: Path, tmp_path: Path) -> None:
    shutil.copytree(case / PREFIX, tmp_path / "run")
    journal = JournalFolder(tmp_path / "run")
    recorder = Recorder(journal, "new")
    recorder.record(1, 2, 3)
    expected = expected_of(case)["chain"]
    if not any(kind == "corrupt" and not declared for kind, *_, declared in expected["damage"]):
        assert recorder.flush() == expected["last_seq"] + 3
    else:
        with pytest.raises(JournalCorruptError):
            recorder.flush()
    recorder.appender.close()


def test_f16_every_format_version_has_its_golden_journals() -> None:
    versions = {int(case.parent.name.removeprefix("version-")) for case in GOLDEN}
    assert versions == set(range(1, FORMAT_VERSION + 1))
    assert {case.name for case in GOLDEN if case.parent.name == f"version-{FORMAT_VERSION}"} == set(CASES)


def test_f16_golden_journals_hold_every_type_of_event_that_this_release_writes() -> None:
    current = [case for case in GOLDEN if case.parent.name == f"version-{FORMAT_VERSION}"]
    types = {event[1] for case in current for event in expected_of(case)["events"]}
    assert set(EVENT_TYPES) <= types, "make the golden journals anew before the release, or a further case after it"


def test_f16_golden_journals_hold_every_form_of_bytes_there_is() -> None:
    text = b"".join(path.read_bytes() for path in HERE.rglob("*.jsonl"))
    for form in (
        b'{"packed":',
        b'{"delta":',
        b'{"range":',
        b'{"same":',
        b'"tags":',
        b'"previous":null',
        b'"declared":[{',
    ):
        assert form in text, form
    spools = b"".join(path.read_bytes() for path in HERE.rglob("spool/*.jsonl"))
    assert b'"define"' in spools
