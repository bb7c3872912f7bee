"""The command line as it is used: by people on a terminal, in a pipe, and by programs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.cli.commands import COMMANDS, group

from .conftest import COMMAND, Piped, on_a_terminal

BASELINE = "alice/mnist/baseline"


def test_list_gives_every_experiment_newest_first(piped: Piped) -> None:
    prefixes = [line.split("\t")[0] for line in piped("list").stdout.splitlines()]
    assert prefixes == ["bob/nlp/cancelled", "alice/mnist/broken", BASELINE]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["alice/**"], ["alice/mnist/broken", BASELINE]),
        (["-p", "bob/*/*"], ["bob/nlp/cancelled"]),
        (["--project", "alice/mnist/b*", "--limit", "1"], ["alice/mnist/broken"]),
        (["--status", "failed"], ["alice/mnist/broken"]),
        (["--tag", "baseline", "--tag", "small"], [BASELINE]),
        (["--tag", "baseline", "--tag", "large"], []),
        (["nobody/**"], []),
    ],
)
def test_list_chooses_by_glob_status_tag_and_number(piped: Piped, arguments: list[str], expected: list[str]) -> None:
    found = json.loads(piped("list", "--json", *arguments).stdout)
    assert [summary["prefix"] for summary in found] == expected


def test_show_says_what_an_experiment_is(piped: Piped) -> None:
    text = piped("show", BASELINE).stdout
    for expected in ("COMPLETED", "A first try", "baseline, small", "model.depth\t50", "lr\t0.001", "1 info"):
        assert expected in text
    assert "train\tloss\t20\t0.05\t0.05\t1\t" in text


def test_show_in_json_has_every_part_and_no_silent_null_for_nan(piped: Piped) -> None:
    state = json.loads(piped("show", BASELINE, "--json").stdout)
    assert (state["status"], state["params"]["model.name"], state["tags"]) == (
        "COMPLETED",
        "resnet",
        ["baseline", "small"],
    )
    fields = {metric["name"]: metric["fields"] for metric in state["metrics"]}
    assert fields["train"]["loss"]["count"] == 20
    assert fields["odd"]["loss"]["last"] == "NaN"
    assert fields["odd"]["best"]["last"] == "-Infinity"


def test_show_at_an_earlier_event_shows_the_state_of_then(piped: Piped) -> None:
    assert json.loads(piped("show", BASELINE, "--at", "1", "--json").stdout)["status"] == "RUNNING"


def test_show_at_a_time_shows_the_state_of_then(piped: Piped) -> None:
    events = [json.loads(line) for line in piped("events", BASELINE, "--json").stdout.splitlines()]
    tenth = json.loads(piped("show", BASELINE, "--at", events[9]["time"], "--json").stdout)
    assert tenth["seq"] >= 10
    assert tenth["updated"] <= events[9]["time"]


def test_events_prints_one_event_a_line_dense_from_one(piped: Piped) -> None:
    lines = piped("events", BASELINE).stdout.splitlines()
    assert [int(line.split("\t")[0]) for line in lines] == list(range(1, len(lines) + 1))


def test_events_can_be_chosen_by_type_and_by_position(piped: Piped) -> None:
    (event,) = [
        json.loads(line) for line in piped("events", BASELINE, "--type", "params.set", "--json").stdout.splitlines()
    ]
    assert event["data"]["params"]["lr"] == 0.001
    after = piped("events", BASELINE, "--after", "3", "--limit", "2").stdout.splitlines()
    assert [line.split("\t")[0] for line in after] == ["4", "5"]


def test_events_that_follow_end_quietly_when_the_reader_has_enough(recorded: Path) -> None:
    line = " ".join([*COMMAND, "events", BASELINE, "-f", "| head -n 2"])
    environment = os.environ | {"ML_DASH_ROOT": str(recorded)}
    # Not by a pipe of ours: a shell pipeline is what people use, and SIGPIPE is what ends it.
    process = subprocess.Popen(
        ["bash", "-c", line], env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True
    )
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(2)]
    os.killpg(process.pid, signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert [text.split("\t")[0] for text in seen] == ["1", "2"]
    # A terminal that shows ^C wants a new line, and click gives it one.
    assert complaints.strip() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [["list"], ["show", BASELINE], ["list", "--json"], ["--help"]])
def test_what_is_printed_to_a_full_disk_is_a_named_error(recorded: Path, arguments: list[str]) -> None:
    environment = os.environ | {"ML_DASH_ROOT": str(recorded)}
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*COMMAND, *arguments], env=environment, stdout=full, stderr=-1, text=True, timeout=60)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("ml-dash: what is printed could not be written to where it goes: ")


@pytest.mark.parametrize("command", [["show"], ["show", "--json"], ["events"], ["events", "--json"]])
def test_a_value_too_deep_for_json_is_shown_as_far_as_it_goes(piped: Piped, tmp_path: Path, command: list[str]) -> None:
    value: Any = 1
    for _ in range(1500):
        value = [value]
    with Experiment(BASELINE, dash_root=tmp_path, console=False).run as experiment:
        experiment.params.set(deep=value)
    assert "[[[[" in piped(*command, BASELINE, root=tmp_path).stdout


def test_verify_is_well_for_an_intact_journal(piped: Piped) -> None:
    report = json.loads(piped("verify", BASELINE, "--json").stdout)
    assert report["ok"]
    assert report["damage"] == []
    assert f"{BASELINE}: ok" in piped("verify", BASELINE).stdout


@pytest.fixture
def damaged(recorded: Path, tmp_path: Path) -> Path:
    """A copy in which one byte in the middle of the baseline's journal has changed."""
    root = tmp_path / "damaged"
    shutil.copytree(recorded, root)
    segment = next((root / BASELINE / "_journal").glob("0*.jsonl"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"resnet")] ^= 1
    segment.write_bytes(data)
    return root


def test_verify_names_damage_and_ends_with_one(piped: Piped, damaged: Path) -> None:
    text = piped("verify", BASELINE, root=damaged, code=1).stdout
    assert "DAMAGED" in text
    assert f"ml-dash recover {BASELINE}" in text
    (hole,) = json.loads(piped("verify", BASELINE, "--json", root=damaged, code=1).stdout)["damage"]
    assert (hole["kind"], hole["declared"]) == ("corrupt", False)


def test_verify_says_of_a_torn_tail_that_the_next_writer_heals_it(piped: Piped, recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / "torn")
    with next((tmp_path / "torn" / BASELINE / "_journal").glob("0*.jsonl")).open("ab") as segment:
        segment.write(b'{"first":')
    text = piped("verify", BASELINE, root=tmp_path / "torn", code=1).stdout
    assert "whoever writes next heals a torn tail" in text
    assert "recover" not in text
    with Experiment(BASELINE, dash_root=tmp_path / "torn", console=False).run:
        pass
    assert f"{BASELINE}: ok" in piped("verify", BASELINE, root=tmp_path / "torn").stdout


def test_what_is_intact_of_a_damaged_journal_is_still_shown(piped: Piped, damaged: Path) -> None:
    ended = piped("show", BASELINE, "--json", root=damaged, code=1)
    assert json.loads(ended.stdout)["damage"] == 1
    assert f"{BASELINE} is damaged" in ended.stderr


def test_recover_declares_and_leaves_every_byte_where_it_was(piped: Piped, damaged: Path) -> None:
    folder = damaged / BASELINE / "_journal"
    before = {path.name: path.read_bytes() for path in folder.glob("0*.jsonl")}
    assert "would be declared" in piped("recover", BASELINE, "--dry-run", root=damaged).stdout
    assert {path.name: path.read_bytes() for path in folder.glob("0*.jsonl")} == before
    assert "declared" in piped("recover", BASELINE, root=damaged).stdout
    after = {path.name: path.read_bytes() for path in folder.glob("0*.jsonl")}
    assert {name: after[name] for name in before} == before
    assert "nothing to recover" in piped("recover", BASELINE, root=damaged).stdout


def test_an_unknown_prefix_fails_with_the_nearest_names(piped: Piped) -> None:
    ended = piped("show", "alice/mnist/basline", code=1)
    assert ended.stdout == ""
    assert BASELINE in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [["show"], ["show", "alice"], ["show", BASELINE, "--at", "noon"], ["lost"], ["list", "--status", "ASLEEP"]],
)
def test_a_wrong_command_ends_with_two_and_says_why(piped: Piped, arguments: list[str]) -> None:
    assert piped(*arguments, code=2).stderr


def test_a_root_that_does_not_exist_is_named(piped: Piped, tmp_path: Path) -> None:
    assert "nowhere" in piped("list", "--dash-root", str(tmp_path / "nowhere"), code=1).stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(piped: Piped, name: str) -> None:
    assert f"ml-dash {name}" in piped(name, "--help").stdout


def test_help_lists_every_command(piped: Piped) -> None:
    text = piped("--help").stdout
    assert all(name in text for name in COMMANDS)
    assert group.name == "group"


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("command", [["list"], ["show", BASELINE], ["events", BASELINE], ["verify", BASELINE]])
def test_on_a_terminal_no_line_is_wider_than_it(recorded: Path, command: list[str], columns: int) -> None:
    lines = on_a_terminal(command, recorded, columns)
    assert any(BASELINE in line or "run.started" in line for line in lines)
    assert [line for line in lines if len(line) > columns] == []


def test_in_a_pipe_nothing_is_coloured_or_cut(piped: Piped) -> None:
    for command in (["list"], ["show", BASELINE], ["events", BASELINE]):
        text = piped(*command).stdout
        assert "\x1b" not in text
        assert "…" not in text
