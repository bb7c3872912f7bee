"""Rules 1..6 of ml_dash/prefix.py: what names an experiment, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, PrefixError
from ml_dash.prefix import PART_BYTES_MAX, parse_prefix

ACCEPTED = [
    "alice/mnist/baseline",
    "test/slice-iter",
    "o/p/test-experiment_v1.0",
    "o/p/" + "n" * 200,
    "o/p/a/b/c/d/e/f/g/h",
    "o/p/实验",
    "o/p/spaces are fine",
    "o/p/.hidden",
    "o/p/...",
    "o/p/_journals",
    "o/p/a*b?[c]",
    "o/p/" + "é" * (PART_BYTES_MAX // 2),
]
REFUSED = [
    ("", "empty"),
    ("alice", "one part only"),
    ("/alice/ml/run", "absolute"),
    ("alice/ml/", "empty part"),
    ("alice//run", "empty part"),
    ("alice/./run", "'.'"),
    ("alice/../run", "'..'"),
    ("../../etc", "'..'"),
    ("alice/ml/..", "'..'"),
    ("alice/ /run", "blank"),
    ("alice\\ml\\run", "backslash"),
    ("alice/ml/a\0b", "control character"),
    ("alice/ml/a\nb", "control character"),
    ("alice/ml/\x1b[2J", "control character"),
    ("alice/ml/a\x85b", "control character"),
    ("alice/_journal/run", "_journal"),
    ("alice/ml/_files", "_files"),
    ("alice/ml/_Journal", "_Journal"),
    ("alice/ml/" + "n" * (PART_BYTES_MAX + 1), "256 bytes"),
    ("alice/ml/" + "é" * (PART_BYTES_MAX // 2 + 1), "256 bytes"),
    ("alice/ml/\ud800", "surrogate"),
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_prefix_is_stored_verbatim(text: str) -> None:
    assert parse_prefix(text).text == text
    assert str(parse_prefix(text)) == text


@pytest.mark.parametrize(("text", "named"), REFUSED)
def test_a_text_that_names_no_experiment_is_refused_by_what_is_wrong_with_it(text: str, named: str) -> None:
    with pytest.raises(PrefixError) as refused:
        parse_prefix(text)
    message = str(refused.value)
    assert named in message
    assert "Expected owner/project" in message
    assert message.isprintable(), "an error must not play with the terminal"


@pytest.mark.parametrize("value", [None, 7, b"alice/ml/run", ["alice", "ml"], Path("alice/ml/run")])
def test_what_is_no_str_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(PrefixError, match=type(value).__name__):
        parse_prefix(value)


def test_a_refusal_is_a_value_error_too() -> None:
    assert issubclass(PrefixError, ValueError)
    assert issubclass(PrefixError, ConfigurationError)


def test_owner_project_and_name_are_the_first_second_and_last_part() -> None:
    prefix = parse_prefix("alice/ml/2026/long/run")
    assert (prefix.owner, prefix.project, prefix.name) == ("alice", "ml", "run")
    assert prefix.segments == ("alice", "ml", "2026", "long", "run")


def test_with_two_parts_the_project_names_the_experiment() -> None:
    prefix = parse_prefix("test/slice-iter")
    assert (prefix.owner, prefix.project, prefix.name) == ("test", "slice-iter", "slice-iter")


def test_a_prefix_that_no_path_has_room_for_is_refused_by_its_length() -> None:
    part = "b" * 200
    assert parse_prefix("/".join([part] * 14)).name == part
    with pytest.raises(PrefixError, match="3014 bytes"):
        parse_prefix("/".join([part] * 15))


def test_a_prefix_of_very_many_parts_is_refused(tmp_path: Path) -> None:
    with Experiment("/".join("b" * 100), dash_root=tmp_path, console=False).run as experiment:
        assert experiment.name == "b"
    with pytest.raises(PrefixError, match="101 parts"):
        parse_prefix("/".join("b" * 101))
