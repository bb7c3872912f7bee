"""spec/compatibility.md against the code: every public name has a row, every test named exists, no cell is empty."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import ml_dash
from ml_dash.experiment import Experiment
from ml_dash.files import Bindr, FileBuilder, Files
from ml_dash.logs import Logs
from ml_dash.metrics import MetricBuilder, Metrics
from ml_dash.opening.lifecycle import ExperimentRun
from ml_dash.opening.recorder import Recorder
from ml_dash.params import ParametersBuilder
from ml_dash.recording.metric_buffers import MetricBuffers, SummaryCache
from ml_dash.run import FIELDS
from ml_dash.tracks import TrackBuilder, Tracks, TrackSlice

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "spec/compatibility.md").read_text(encoding="utf-8")
HEADER = ["name", "upstream", "here", "test"]

HOLDERS = {
    "experiment": Experiment("alice/ml/run"),
    "run": ExperimentRun,
    "params": ParametersBuilder,
    "logs": Logs,
    "metrics": Metrics(Recorder()),
    "metrics(name)": MetricBuilder(Recorder(), MetricBuffers(Metrics(Recorder()), Recorder()), "train"),
    "metrics.buffer": MetricBuffers,
    "summary_cache": SummaryCache,
    "files": Files,
    "bindrs(name)": Bindr(Recorder(), "arm"),
    "tracks": Tracks,
    "tracks(topic)": TrackBuilder,
    "slice": TrackSlice,
}


def rows() -> list[list[str]]:
    """The cells of every row of every table, header and rule left out."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row != HEADER and set("".join(row)) - set("-|")]


def names_of_tests() -> set[str]:
    return {name for row in rows() for name in re.findall(r"`(\w+)`", row[-1])}


def existing() -> set[str]:
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {node.name for text in files for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}


def test_every_row_has_four_cells_and_none_is_empty() -> None:
    assert len(rows()) > 60
    assert [row for row in rows() if len(row) != 4 or not all(row)] == []


def test_every_row_names_a_test_and_every_test_named_exists() -> None:
    assert [row[0] for row in rows() if not re.search(r"`test_\w+`", row[-1])] == []
    assert sorted(names_of_tests() - existing()) == []


def test_no_name_stands_in_two_rows_of_one_table() -> None:
    for section in PAGE.split("\n## "):
        names = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
        assert len(names) == len(set(names))


def test_every_name_of_the_package_has_a_row() -> None:
    named = {name for row in rows() for name in re.findall(r"`([\w.()]+)`", row[0])}
    missing = [name for name in ml_dash.__all__ if name not in named and f"{name}(prefix)" not in named]
    assert [name for name in missing if not name.startswith("__")] == []


@pytest.mark.parametrize("holder", HOLDERS)
def test_every_public_member_has_a_row(holder: str) -> None:
    named = {name for row in rows() for name in re.findall(r"`([\w.()]+)`", row[0])}
    members = {name for name in dir(HOLDERS[holder]) if not name.startswith("_")}
    # The fields of RUN have a row together.
    members -= set(FIELDS) - {"prefix", "id"} if holder == "run" else set()
    assert members
    assert sorted(name for name in members if f"{holder}.{name}" not in named) == []


def test_a_folder_of_files_can_do_what_the_accessor_can() -> None:
    assert {name for name in dir(FileBuilder) if not name.startswith("_")} == {
        name for name in dir(Files) if not name.startswith("_")
    }
