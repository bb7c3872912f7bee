"""Any history, cut into segments anywhere, any of them archived: everything reads the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.history import events, load, verify
from ml_dash.journal.archive import make_plain, pack, rewriting
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.segment_file import is_archived
from ml_dash.reading.points import log_rows, metric_columns
from ml_dash.state import to_plain_state

from ..journals import Part, append
from ..sameness import same
from .test_history import histories

PREFIX = "alice/ml/a"


def everything(root: Path, folder: JournalFolder, at: int | None) -> Any:
    """What there is to read; `at` an event or the end."""
    run = load(PREFIX, dash_root=root, at=at)
    columns = {name: metric_columns(folder, name, "all", at) for name in run.metrics}
    return [
        to_plain_state(run.state),
        [(each.seq, each.type, each.time, each.data) for each in events(PREFIX, dash_root=root)],
        {name: found.to_dict() for name, found in columns.items()},
        log_rows(folder, at=at),
        run.damage,
    ]


@given(histories(), st.integers(1, 3), st.sets(st.integers(1, 12)), st.booleans(), st.data())
def test_with_archive_or_without_everything_reads_the_same(
    parts: list[Part], per_segment: int, archived: set[int], keeps_checkpoint: bool, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder_name:
        root = Path(folder_name)
        folder = JournalFolder(root / PREFIX)
        for index, part in enumerate(parts):
            append(root / PREFIX, part, segment_bytes_max=1 if index % per_segment == 0 else 1 << 26)
        last = sum(len(recorded) for _, recorded in parts)
        at = data.draw(st.none() | st.integers(1, last))
        before, report = everything(root, folder, at), verify(PREFIX, dash_root=root)
        plain = {path.name: path.read_bytes() for path in Path(folder.path).glob("*.jsonl")}
        with rewriting(folder):
            for number in folder.segment_numbers()[:-1]:
                if number in archived:
                    pack(folder, number)
                    assert is_archived(folder, number)
        if not keeps_checkpoint:
            Path(folder.checkpoint_path).unlink(missing_ok=True)
        assert same(everything(root, folder, at), before)
        found = verify(PREFIX, dash_root=root)
        assert (found.ok, found.head, found.events) == (report.ok, report.head, report.events)
        append(root / PREFIX, parts[0])
        with rewriting(folder):
            for number in folder.segment_numbers():
                make_plain(folder, number)
        for name, content in plain.items():
            assert (Path(folder.path) / name).read_bytes().startswith(content)
        shutil.rmtree(root / PREFIX)
