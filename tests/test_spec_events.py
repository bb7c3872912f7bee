"""spec/events.md against the code, and against what an experiment really records."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, correct, redact
from ml_dash.facts.codec import events_of
from ml_dash.facts.events import COLUMNAR_TYPES, EVENT_TYPES, EXPERIMENT_FORKED, STREAM_TYPES, Event
from ml_dash.reading.replay import Replay
from ml_dash.state import EMPTY, State, apply, fold, nouns

TEXT = (Path(__file__).parent.parent / "spec/events.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """What the page says of one type: member → needed, given or nothing; and an example that has every member."""

    members: dict[str, str]
    example: dict[str, Any]


def read_sections() -> dict[str, Section]:
    found = {}
    for part in TEXT.split("\n### ")[1:]:
        name = part.split("`")[1]
        members = dict(re.findall(r"^\| `(\w+)` \| (\w*) ?\|", part, re.MULTILINE))
        [example] = re.findall(r"```json\n(.*?)```", part, re.DOTALL)
        found[name] = Section(members, json.loads(example))
    return found


SECTIONS = read_sections()
TABLE = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)` \| ([a-z, ]*?) ?\|", TEXT, re.MULTILINE))
BEFORE = fold(
    [
        Event(1, "run.started", 0, SECTIONS["run.started"].example, "k10wb0emzmpptsfvd2", "k10wb0emzmpptsfvd2"),
        Event(2, "file.saved", 0, SECTIONS["file.saved"].example, "k10wb0emzmpptsfvd2", "k10wb0emzmpptsfvd2"),
    ]
)


def folded(event_type: str, payload: dict[str, Any]) -> dict[str, int]:
    before, event = following(event_type, payload)
    return dict(apply(before, event).unknown)


def following(event_type: str, payload: dict[str, Any]) -> tuple[State, Event]:
    """The event where it may stand, and the state before it."""
    before = EMPTY if event_type == EXPERIMENT_FORKED else BEFORE
    return before, Event(before.seq + 1, event_type, 1, payload, "k10wb0emzmpptsfvd2", "k10wb0emzmpptsfvd2")


def test_the_page_has_every_type_and_no_other_in_the_order_of_the_code() -> None:
    assert tuple(TABLE) == EVENT_TYPES
    assert tuple(SECTIONS) == EVENT_TYPES


def test_the_page_says_which_types_may_stand_as_columns() -> None:
    assert {name for name, columnar in TABLE.items() if columnar} == COLUMNAR_TYPES
    assert {name for name, columnar in TABLE.items() if columnar == "yes, under its name"} == STREAM_TYPES


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_example_has_every_member_and_is_understood(event_type: str) -> None:
    section = SECTIONS[event_type]
    assert list(section.example) == list(section.members) or set(section.example) == set(section.members)
    assert folded(event_type, section.example) == {}


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_exactly_the_members_that_are_needed_are_needed(event_type: str) -> None:
    section = SECTIONS[event_type]
    for member, presence in section.members.items():
        without = {key: value for key, value in section.example.items() if key != member}
        expected = {event_type: 1} if presence == "needed" else {}
        assert folded(event_type, without) == expected, member


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_further_members_are_ignored(event_type: str) -> None:
    example = SECTIONS[event_type].example
    before, event = following(event_type, example)
    _, further = following(event_type, {**example, "of_a_later_release": [1]})
    assert repr(apply(before, event)) == repr(apply(before, further))


def test_the_page_has_every_member_of_the_state_that_a_fork_begins_with() -> None:
    rows = {
        noun: re.findall(r"`(\w+)`", members) for noun, members in re.findall(r"^\| (\w+) \| (`.*) \|$", TEXT, re.M)
    }
    assert rows == {noun: [each.name for each in fields(getattr(nouns, noun))] for noun in rows}
    assert set(rows) == {name for name, each in vars(nouns).items() if is_dataclass(each) and isinstance(each, type)}


def test_a_type_of_a_later_release_is_counted_and_changes_nothing_else() -> None:
    before = apply(EMPTY, Event(1, "params.set", 0, {"params": {"lr": 1}}, "w", "s"))
    after = apply(before, Event(2, "model.distilled", 1, {"params": {"lr": 2}}, "w", "s"))
    assert after.unknown == {"model.distilled": 1}
    assert after.params == {"lr": 1}
    assert after.seq == 2


def test_what_an_experiment_records_is_what_the_page_says(tmp_path: Path) -> None:
    experiment = Experiment("alice/ml/a", dash_root=str(tmp_path), description="d", tags=["t"], capture_output=True)
    with experiment.run:
        experiment.params.set(lr=0.1, model={"depth": 50}, callbacks={})
        experiment.log("hello", level="warn", epoch=3)
        train = experiment.metrics("train", description="per step", tags=["loss"], metadata={"unit": "nats"})
        train.log(step=1, loss=0.5)
        experiment.metrics.log(epoch=1, _ts=1.5)
        experiment.rewind(step=0, epoch=0)
        experiment.tracks("robot/pose").append(_ts=2.5, position={"x": 1.0})
        experiment.files("models", tags=["best"]).save_text("content", to="a.txt")
        experiment.files("models/a.txt").update(metadata={"epoch": 1})
        experiment.files("models/a.txt").delete()
        os.write(1, b"a line\n")
        child = os.fork()
        if child == 0:
            experiment.log("from a child")
            experiment.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    for failing in (experiment.run.cancel, lambda: experiment.run.fail("by hand")):
        experiment.run.start()
        failing()
    correct("alice/ml/a", 3, lr=0.2, reason="wrong", dash_root=tmp_path)
    redact("alice/ml/a", 4, "message", reason="leaked", dash_root=tmp_path)
    with Experiment("alice/ml/b", dash_root=str(tmp_path), fork="alice/ml/a").run:
        pass
    recorded: list[Event] = []
    for journal in tmp_path.rglob("_journal"):
        replay = Replay(_folder(journal.parent))
        assert replay.refresh().unknown == {}
        for line, blocks in replay.commits():
            recorded += events_of(blocks, line.first, line.time_us, line.writer, line.session)
    assert {event.type for event in recorded} == set(EVENT_TYPES)
    for event in recorded:
        members = SECTIONS[event.type].members
        always = {member for member, presence in members.items() if presence != "given"}
        assert always <= set(event.data) <= set(members), event


def _folder(experiment: Path) -> Any:
    from ml_dash.journal.folder import JournalFolder

    return JournalFolder(experiment)
