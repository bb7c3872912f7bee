"""F8: writers are killed at random moments.  What had returned is there, once, and nobody has to repair anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ml_dash.facts.events import METRIC_LOGGED
from ml_dash.journal.folder import JournalFolder

from ..examples import share
from ..promises import RecordProperty
from .support import ROOT, reopen


def kill_writers(experiment: Path, seed: int, writers: int, kills: int, record_property: RecordProperty) -> None:
    """Kills `kills` writers, `writers` at a time, of one experiment, and judges its journal."""
    command = [sys.executable, "-m", "tests.writer.killing", experiment, seed, writers, kills]
    ran = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert ran.returncode == 0, ran.stderr
    assert "ended by itself" not in ran.stderr, ran.stderr
    assert "WARNING" not in ran.stderr, ran.stderr
    acknowledged = json.loads(ran.stdout)
    assert len(acknowledged) == kills
    assert sum(acknowledged) > 20 * kills, "they were killed before they had done anything worth losing"
    found = defaultdict(list)
    for event in reopen(JournalFolder(experiment)):
        if event.type == METRIC_LOGGED:
            found[event.data["name"]].append(event.data["fields"]["i"])
    for number, count in enumerate(acknowledged):
        kept = found[f"m{number}"]
        assert sorted(kept) == list(range(len(kept))), f"writer {number} of seed {seed}: an event is lost or doubled"
        # The call that the kill interrupted may have got that far, and the acknowledgement of one may not.
        assert len(kept) in (count, count + 1), (
            f"writer {number} of seed {seed}: {count} returned, {len(kept)} are there"
        )
    record_property("kills of writers", kills)
    record_property("events that had returned", sum(acknowledged))


@pytest.mark.parametrize("seed", share(range(4), 2))
def test_f8_one_writer_at_a_time_is_killed(tmp_path: Path, seed: int, record_property: RecordProperty) -> None:
    kill_writers(tmp_path, seed, 1, 20, record_property)


@pytest.mark.parametrize("seed", share(range(2), 2))
def test_f8_four_writers_at_a_time_are_killed(tmp_path: Path, seed: int, record_property: RecordProperty) -> None:
    kill_writers(tmp_path, 100 + seed, 4, 32, record_property)


@pytest.mark.parametrize("seed", share(range(2), 2))
def test_f8_eight_writers_at_a_time_are_killed(tmp_path: Path, seed: int, record_property: RecordProperty) -> None:
    kill_writers(tmp_path, 200 + seed, 8, 32, record_property)


@pytest.mark.campaign
@pytest.mark.parametrize("writers", [1, 4, 8])
@pytest.mark.parametrize("seed", range(20))
def test_f8_in_a_long_campaign(tmp_path: Path, writers: int, seed: int, record_property: RecordProperty) -> None:
    kill_writers(tmp_path, 1000 + seed, writers, 60, record_property)
