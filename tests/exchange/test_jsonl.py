"""JSON Lines hold everything: what comes back is the experiment that went out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment, ExperimentError, SourceFileError

from ..server.serving import serve
from .support import PREFIX, counts, files_below, import_one, lines, state


def test_what_was_exported_and_imported_has_equal_state_events_and_contents(recorded: Path, tmp_path: Path) -> None:
    (report,) = ml_dash.export(PREFIX, to=tmp_path / "out", dash_root=recorded)
    assert report.left_out == {}
    imported = import_one(tmp_path / "out", tmp_path / "root", prefix=None)
    assert (imported.outcome, imported.prefix, imported.left_out) == ("imported", PREFIX, {})
    assert state(tmp_path / "root") == state(recorded)
    assert lines(tmp_path / "root") == lines(recorded)
    assert ml_dash.verify(PREFIX, dash_root=tmp_path / "root").ok
    experiment = Experiment(PREFIX, dash_root=tmp_path / "root", console=False)
    with experiment.run:
        assert json.loads(experiment.files("m/c.json").read_text()) == {"a": 1}


def test_an_imported_experiment_goes_on_like_any_other(recorded: Path, tmp_path: Path) -> None:
    ml_dash.export(PREFIX, to=tmp_path / "out.jsonl", dash_root=recorded)
    import_one(tmp_path / "out.jsonl", tmp_path / "root")
    before = counts(tmp_path / "root")["train", "loss"]
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        run.metrics("train").log(step=25, loss=0.5)
    assert counts(tmp_path / "root")["train", "loss"] == before + 1
    assert ml_dash.verify(PREFIX, dash_root=tmp_path / "root").ok


def test_an_export_up_to_an_event_is_the_experiment_as_it_was_then(recorded: Path, tmp_path: Path) -> None:
    ml_dash.export(PREFIX, to=tmp_path / "out.jsonl", dash_root=recorded, at=10)
    import_one(tmp_path / "out.jsonl", tmp_path / "root")
    assert lines(tmp_path / "root") == lines(recorded)[:10]


def test_what_the_events_command_prints_as_json_is_an_export(recorded: Path, tmp_path: Path) -> None:
    def printed(*command: str) -> bytes:
        environment = os.environ | {"ML_DASH_ROOT": str(recorded)}
        return subprocess.run([sys.executable, "-m", "ml_dash", *command], env=environment, capture_output=True).stdout

    exported, shown = printed("export", PREFIX), printed("events", PREFIX, "--json")
    assert exported == shown == b"".join(lines(recorded))
    odd = next(json.loads(line) for line in shown.splitlines() if b"odd/values" in line)
    assert (odd["data"]["fields"]["v"], odd["tags"][0]) == ("NaN", [["fields", "v"], "nan"])


def test_several_exports_below_one_folder_are_imported_to_their_prefixes(recorded: Path, tmp_path: Path) -> None:
    with Experiment("bob/ml/b", dash_root=recorded, console=False).run as run:
        run.params.set(x=1)
    ml_dash.export([PREFIX, "bob/**"], to=tmp_path / "out", dash_root=recorded)
    reports = ml_dash.import_from(tmp_path / "out", dash_root=tmp_path / "root")
    assert [(report.prefix, report.outcome) for report in reports] == [(PREFIX, "imported"), ("bob/ml/b", "imported")]
    for prefix in (PREFIX, "bob/ml/b"):
        assert lines(tmp_path / "root", prefix) == lines(recorded, prefix)


def test_of_a_damaged_journal_what_is_intact_is_exported_and_the_damage_is_said(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded / PREFIX, tmp_path / "root" / PREFIX)
    (segment,) = (tmp_path / "root" / PREFIX / "_journal").glob("0*.jsonl")
    data = bytearray(segment.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    segment.write_bytes(data)
    (tmp_path / "root" / PREFIX / "_journal" / "checkpoint.json").unlink(missing_ok=True)
    for format in ("csv", "tensorboard", "jsonl"):
        (report,) = ml_dash.export(PREFIX, to=tmp_path / format, format=format, dash_root=tmp_path / "root")
        assert any("is damaged" in note for note in report.notes), format
    ours, theirs = (tmp_path / "jsonl/events.jsonl").read_bytes().splitlines(), lines(recorded)
    command = [sys.executable, "-m", "ml_dash", "export", PREFIX, "--dash-root", str(tmp_path / "root")]
    ended = subprocess.run(command, capture_output=True)
    assert (ended.returncode, ended.stdout.splitlines()) == (1, ours)
    assert b"exported is what is intact" in ended.stderr
    assert len(theirs) - 5 < len(ours) < len(theirs)
    assert {line + b"\n" for line in ours} < set(theirs)
    with pytest.raises(SourceFileError, match="only a whole export"):
        import_one(tmp_path / "jsonl", tmp_path / "back")


def test_importing_again_changes_nothing_and_says_so(recorded: Path, tmp_path: Path) -> None:
    ml_dash.export(PREFIX, to=tmp_path / "out", dash_root=recorded)
    import_one(tmp_path / "out", tmp_path / "root")
    before = files_below(tmp_path / "root" / PREFIX / "_journal")
    assert import_one(tmp_path / "out", tmp_path / "root").outcome == "already imported"
    assert import_one(tmp_path / "out", recorded).outcome == "already imported"
    assert files_below(tmp_path / "root" / PREFIX / "_journal") == before


def test_an_experiment_that_was_recorded_here_is_never_replaced(recorded: Path, tmp_path: Path) -> None:
    ml_dash.export(PREFIX, to=tmp_path / "out", dash_root=recorded)
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        run.params.set(mine=1)
    before = lines(tmp_path / "root")
    for force in (False, True):
        with pytest.raises(ExperimentError, match="another prefix"):
            import_one(tmp_path / "out", tmp_path / "root", force=force)
    assert lines(tmp_path / "root") == before


def test_a_torn_last_line_is_counted_and_the_rest_imported(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ml_dash.export(PREFIX, to=out, dash_root=recorded)
    out.write_bytes(out.read_bytes()[:-10])
    report = import_one(out, tmp_path / "root")
    assert report.left_out["torn line at the end"] == 1
    assert lines(tmp_path / "root") == lines(recorded)[:-1]


@pytest.mark.parametrize("wrong", ["a gap", "not JSON in the middle"])
def test_lines_that_are_no_history_are_refused_and_leave_nothing(recorded: Path, tmp_path: Path, wrong: str) -> None:
    found = lines(recorded)
    found[5:6] = [] if wrong == "a gap" else [b"{}\n"]
    (tmp_path / "out.jsonl").write_bytes(b"".join(found))
    with pytest.raises(SourceFileError, match="line 6"):
        import_one(tmp_path / "out.jsonl", tmp_path / "root")
    assert not (tmp_path / "root" / PREFIX / "_journal").exists()


def test_a_content_that_is_missing_in_an_export_is_named(recorded: Path, tmp_path: Path) -> None:
    ml_dash.export(PREFIX, to=tmp_path / "out", dash_root=recorded)
    contents = sorted((tmp_path / "out" / "files").iterdir())
    contents[0].unlink()
    contents[1].chmod(0o600)
    contents[1].write_bytes(b"something else")
    report = import_one(tmp_path / "out", tmp_path / "root")
    assert report.left_out["content of a saved file"] == 2


def test_nothing_is_overwritten_unless_asked(recorded: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("mine")
    with pytest.raises(ConfigurationError, match="--force"):
        ml_dash.export(PREFIX, to=target, dash_root=recorded)
    assert target.read_text() == "mine"
    ml_dash.export(PREFIX, to=target, dash_root=recorded, force=True)
    assert len(target.read_bytes().splitlines()) == len(lines(recorded))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]


def test_what_a_server_has_is_exported_as_what_is_here(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serve(recorded) as server:
        (report,) = ml_dash.export(PREFIX, to=tmp_path / "out", dash_url=server.url)
        ml_dash.export(PREFIX, to=tmp_path / "csv", format="csv", dash_url=server.url)
    assert (tmp_path / "out/events.jsonl").read_bytes() == b"".join(lines(recorded))
    assert report.left_out == {"content of a saved file": 2}
    assert any("ml-dash pull" in note for note in report.notes)
    assert len((tmp_path / "csv/metrics/train.csv").read_text().splitlines()) == 26
