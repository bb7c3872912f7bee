"""Log lines: levels, what is recorded, what is printed, what is read back."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ExperimentError
from ml_dash.logs import LogLevel

PREFIX = "alice/ml/run"
METHODS = ["debug", "info", "warn", "error", "fatal"]


def messages(experiment: Experiment, **arguments: Any) -> list[str]:
    return [entry["message"] for entry in experiment.logs.read(**arguments)]


# --- levels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", METHODS)
def test_levels_are_taken_in_any_case_and_kept_in_lower_case(experiment: Experiment, level: str) -> None:
    for spelling in (level, level.upper(), level.title()):
        experiment.log("x", level=spelling)
    assert [entry["level"] for entry in experiment.logs.read()] == [level] * 3


def test_warning_is_another_name_for_warn(experiment: Experiment) -> None:
    experiment.log("x", level="Warning")
    experiment.logs.warning("y")
    assert [entry["level"] for entry in experiment.logs.read()] == ["warn", "warn"]


@pytest.mark.parametrize("level", ["verbose", "", "warnings", 20])
def test_any_other_level_is_an_error_that_names_those_there_are(experiment: Experiment, level: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Invalid log level: .*debug, info, warn, error, fatal") as caught:
        experiment.log("x", level=level)
    assert isinstance(caught.value, ValueError)
    assert experiment.logs.read() == []


def test_the_default_level_is_info(experiment: Experiment) -> None:
    experiment.log("x")
    assert experiment.logs.read()[0]["level"] == "info"


@pytest.mark.parametrize("method", METHODS)
def test_each_level_has_a_method(experiment: Experiment, method: str) -> None:
    assert getattr(experiment.logs, method)("x", {"a": 1}, b=2) is None
    [entry] = experiment.logs.read()
    assert (entry["level"], entry["message"], entry["metadata"]) == (method, "x", {"a": 1, "b": 2})


def test_levels_can_be_given_as_the_enum(experiment: Experiment) -> None:
    experiment.log("x", level=LogLevel.FATAL)
    assert experiment.logs.read()[0]["level"] == "fatal"


# --- what is recorded ---------------------------------------------------------------------------------------


def test_metadata_and_keywords_are_merged_and_keywords_win(experiment: Experiment) -> None:
    experiment.log("x", metadata={"a": 1, "b": 2}, b=3, c=None)
    assert experiment.logs.read()[0]["metadata"] == {"a": 1, "b": 3, "c": None}


def test_metadata_stays_nested_as_it_is(experiment: Experiment) -> None:
    metadata = {"shape": [1, 2], "inner": {"a.b": {"c": None}}, "text": "x"}
    experiment.log("x", metadata=metadata)
    assert experiment.logs.read()[0]["metadata"] == metadata


@pytest.mark.parametrize("metadata", [None, {}])
def test_no_metadata_and_empty_metadata_read_back_empty(experiment: Experiment, metadata: Any) -> None:
    experiment.log("x", metadata=metadata)
    assert experiment.logs.read()[0]["metadata"] == {}


def test_the_dict_of_the_caller_is_left_alone(experiment: Experiment) -> None:
    metadata = {"a": 1}
    experiment.log("x", metadata=metadata, b=2)
    experiment.logs.info("y", metadata, c=3)
    assert metadata == {"a": 1}


@pytest.mark.parametrize(
    "message", ["", "a\nb\r\tc\0\x1b[1m", "quotes \" and \\ and '", "训练 🎲", "x" * 10_000, "\ud800 half"]
)
def test_a_message_of_any_characters_is_one_line(experiment: Experiment, message: str) -> None:
    experiment.log(message)
    experiment.log("after")
    assert messages(experiment) == [message, "after"]


def test_a_message_that_is_no_text_becomes_its_text(experiment: Experiment) -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    for message in (3, ValueError("broken"), Silent()):
        experiment.log(message)  # type: ignore[arg-type]
    first, second, third = messages(experiment)
    assert (first, second) == ("3", "broken")
    assert "Silent" in third


def test_metadata_of_any_kind_never_raises_and_never_changes_a_number_in_silence(experiment: Experiment) -> None:
    class Obscure:
        __slots__ = ()

        def __str__(self) -> str:
            raise RuntimeError("no words")

    experiment.log("x", metadata="no mapping", obscure=Obscure(), big=10**400, loss=math.nan)  # type: ignore[arg-type]
    found = experiment.logs.read()[0]["metadata"]
    assert (found["metadata"], found["big"]) == ("no mapping", 10**400)
    assert math.isnan(found["loss"])
    assert "Obscure" in found["obscure"]


def test_a_line_logged_where_nothing_is_open_is_an_error(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with pytest.raises(ExperimentError, match="not started"):
        experiment.log("x")
    with experiment.run:
        logs = experiment.logs
    with pytest.raises(RuntimeError, match="not started"):
        logs.info("x")
    assert logs.read() == []


# --- the builder --------------------------------------------------------------------------------------------


def test_without_a_message_there_is_a_builder_which_is_deprecated(experiment: Experiment) -> None:
    with pytest.warns(DeprecationWarning, match="without a message") as caught:
        builder = experiment.log(metadata={"a": 1}, b=2)
    assert caught[0].filename == __file__
    builder.info("x", b=3, c=4)
    builder.error("y")
    assert [entry["metadata"] for entry in experiment.logs.read()] == [{"a": 1, "b": 3, "c": 4}, {"a": 1, "b": 2}]


def test_an_empty_message_is_a_line_and_no_builder(experiment: Experiment) -> None:
    assert experiment.log("") is None
    assert messages(experiment) == [""]


# --- what is printed ----------------------------------------------------------------------------------------


def test_a_line_is_printed_with_its_level_and_its_metadata(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment.log("Training started", epoch=1, metadata={"lr": 0.001})
    experiment.logs.warn("plain")
    assert capsys.readouterr().out == "[INFO] Training started [lr=0.001, epoch=1]\n[WARN] plain\n"


def test_error_and_fatal_go_to_standard_error_and_the_rest_to_standard_output(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in METHODS:
        getattr(experiment.logs, method)("x")
    printed = capsys.readouterr()
    assert printed.out == "[DEBUG] x\n[INFO] x\n[WARN] x\n"
    assert printed.err == "[ERROR] x\n[FATAL] x\n"


def test_the_streams_are_those_of_the_moment(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    experiment.log("x")
    experiment.log("y", level="error")
    assert (out.getvalue(), err.getvalue()) == ("[INFO] x\n", "[ERROR] y\n")


def test_console_false_and_the_environment_print_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Experiment(PREFIX, dash_root=tmp_path, console=False).run as silent:
        silent.log("x")
    monkeypatch.setenv("ML_DASH_CONSOLE", "off")
    with Experiment(PREFIX, dash_root=tmp_path).run as silenced:
        silenced.logs.error("y")
        assert messages(silenced) == ["x", "y"]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


class BrokenPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("make", [BrokenPipe, closed, lambda: None, object], ids=["broken", "closed", "none", "odd"])
def test_a_terminal_that_is_gone_does_not_reach_the_training(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", make())
        patch.setattr(sys, "stderr", make())
        experiment.log("x")
        experiment.logs.error("y")
    assert messages(experiment) == ["x", "y"]


def test_a_character_that_the_terminal_cannot_write_is_written_as_its_number(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    experiment.log("naïve", loss="∞")
    assert raw.getvalue() == b"[INFO] na\\xefve [loss=\\u221e]\n"
    assert messages(experiment) == ["naïve"]


def test_a_line_into_a_closed_pipe_leaves_the_process_its_own_exit_code(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom ml_dash import Experiment\n"
        f"with Experiment({PREFIX!r}, dash_root=sys.argv[1]).run as experiment:\n"
        "    for number in range(20_000):\n        experiment.log(f'line {number}')\n"
        "sys.stdout = None\nsys.exit(7)\n"
    )
    process = subprocess.Popen([sys.executable, "-u", "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 7
    assert ml_dash.load(PREFIX, dash_root=tmp_path).state.log_counts == {"info": 20_000}


# --- read ---------------------------------------------------------------------------------------------------


def test_sequence_numbers_count_from_zero_without_gap_over_sessions(tmp_path: Path) -> None:
    for number in range(3):
        with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
            experiment.metrics("train").log(loss=1)
            experiment.log(f"a{number}")
            experiment.log(f"b{number}", level="warn")
            entries = experiment.logs.read()
    assert [entry["sequenceNumber"] for entry in entries] == list(range(6))
    assert [entry["message"] for entry in entries] == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_each_line_has_the_time_of_its_call(experiment: Experiment) -> None:
    experiment.log("x")
    experiment.log("y")
    times = [datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00")) for entry in experiment.logs.read()]
    assert times == sorted(times)
    assert abs((datetime.now(times[0].tzinfo) - times[0]).total_seconds()) < 60


def test_lines_are_chosen_by_level_and_by_words_in_any_case(experiment: Experiment) -> None:
    for level, message in [("info", "Epoch 1"), ("warn", "epoch 2 diverged"), ("info", "done"), ("warn", "slow")]:
        experiment.log(message, level=level)
    assert messages(experiment, level="WARNING") == ["epoch 2 diverged", "slow"]
    assert messages(experiment, search="EPOCH") == ["Epoch 1", "epoch 2 diverged"]
    assert messages(experiment, level="warn", search="epoch") == ["epoch 2 diverged"]
    assert messages(experiment, level="fatal") == []


def test_start_and_limit_cut_a_page_out_of_what_was_chosen(experiment: Experiment) -> None:
    for number in range(6):
        experiment.log(str(number), level="info" if number % 2 else "warn")
    assert messages(experiment, start=2, limit=3) == ["2", "3", "4"]
    assert messages(experiment, level="info", start=1, limit=5) == ["3", "5"]
    assert messages(experiment, limit=0) == messages(experiment, start=6) == []


def test_reading_an_unknown_level_is_an_error(experiment: Experiment) -> None:
    with pytest.raises(ConfigurationError, match="Invalid log level"):
        experiment.logs.read(level="loud")
