"""`logs.handler()`: the `logging` module records into an experiment, and never in a circle."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment

PREFIX = "alice/ml/run"


@pytest.fixture
def logger(experiment: Experiment) -> Iterator[logging.Logger]:
    logger = logging.getLogger("training.loop")
    handler = experiment.logs.handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)


def test_every_level_of_logging_becomes_one_of_ours(experiment: Experiment, logger: logging.Logger) -> None:
    for level in (5, 10, 15, 20, 30, 35, 40, 50, 60):
        logger.log(level, "x")
    expected = ["debug", "debug", "info", "warn", "warn", "error", "fatal", "fatal"]
    assert [entry["level"] for entry in experiment.logs.read()] == expected


def test_a_record_keeps_its_message_its_origin_and_its_extras(experiment: Experiment, logger: logging.Logger) -> None:
    logger.info("epoch %d of %d", 1, 3, extra={"loss": 0.5})
    [entry] = experiment.logs.read()
    assert entry["message"] == "epoch 1 of 3"
    assert entry["metadata"]["logger"] == "training.loop"
    assert entry["metadata"]["place"].startswith(f"{__file__}:")
    assert entry["metadata"]["loss"] == 0.5
    assert set(entry["metadata"]) == {"logger", "place", "loss"}


def test_an_exception_is_recorded_as_its_traceback(experiment: Experiment, logger: logging.Logger) -> None:
    try:
        raise ValueError("diverged")
    except ValueError:
        logger.exception("step failed")
    [entry] = experiment.logs.read()
    assert (entry["level"], entry["message"]) == ("error", "step failed")
    assert entry["metadata"]["exception"].startswith("Traceback")
    assert entry["metadata"]["exception"].endswith("ValueError: diverged")


def test_a_formatter_makes_the_message(experiment: Experiment, logger: logging.Logger) -> None:
    logger.handlers[0].setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
    logger.warning("x")
    assert experiment.logs.read()[0]["message"] == "WARNING|x"


def test_the_level_of_the_handler_counts(experiment: Experiment) -> None:
    logger = logging.getLogger("quiet")
    handler = experiment.logs.handler("ERROR")
    logger.addHandler(handler)
    logger.warning("x")
    logger.error("y")
    logger.removeHandler(handler)
    assert [entry["message"] for entry in experiment.logs.read()] == ["y"]


def test_a_record_is_not_printed_again(
    experiment: Experiment, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.error("x")
    assert (capsys.readouterr().out, capsys.readouterr().err) == ("", "")


def test_what_recording_itself_logs_is_not_recorded(experiment: Experiment) -> None:
    """At DEBUG filelock says each time that it takes the journal's lock, also in the thread that commits."""
    root = logging.getLogger()
    handler, level = experiment.logs.handler(), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        for number in range(5):
            logging.getLogger("training").info("step %d", number)
            experiment.flush()
        logging.getLogger("ml_dash.anything").info("own")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [entry["message"] for entry in experiment.logs.read()] == [f"step {number}" for number in range(5)]


def test_a_value_that_logs_when_it_is_asked_for_its_text_does_not_go_in_circles(
    experiment: Experiment, logger: logging.Logger
) -> None:
    class Chatty:
        def __repr__(self) -> str:
            logger.info("I was asked")
            return "chatty"

    logger.info("x", extra={"value": Chatty()})
    assert [entry["message"] for entry in experiment.logs.read()] == ["x"]


def test_a_record_that_cannot_be_formatted_goes_the_way_of_logging(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = experiment.logs.handler()
    # Not through a logger: pytest has handlers of its own there, which raise.
    handler.handle(logging.LogRecord("x", logging.INFO, __file__, 1, "%d", ("no number",), None))
    handler.handle(logging.LogRecord("x", logging.INFO, __file__, 1, "after", (), None))
    assert "--- Logging error ---" in capsys.readouterr().err
    assert [entry["message"] for entry in experiment.logs.read()] == ["after"]


def test_records_while_nothing_is_open_are_dropped_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    logger = logging.getLogger("around")
    with experiment.run:
        logs = experiment.logs
        handler = logs.handler()
        logger.addHandler(handler)
        logger.error("inside")
    logger.error("after")
    logger.error("after")
    with experiment.run:
        logger.error("inside again")
    logger.removeHandler(handler)
    assert [entry["message"] for entry in logs.read()] == ["inside", "inside again"]
    assert capsys.readouterr().err.count("[ml-dash] WARNING") == 1
