"""Writer: opening, recording, and what it says of itself."""

from __future__ import annotations

import os
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import ExperimentError, MlDashError, StorageError
from ml_dash.facts.events import METRIC_LOGGED, WRITER_JOINED
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.writer import Writer

from .support import in_child, in_threads, log, points, read, run_python


def test_events_of_one_writer_come_back_in_order_whatever_their_kind(folder: JournalFolder) -> None:
    writer = Writer(folder)
    expected: list[Any] = []
    for i in range(200):
        if i % 7 == 3:
            data: dict[str, Any] = {"params": {"i": i, "nested": [1, {"a": None}]}}
            time_us = writer.record("params.set", data)
            expected.append(("params.set", data, time_us))
        else:
            fields = {"i": i, **({"x": i / 3} if i % 3 else {}), **({"bad": nan} if i % 5 == 0 else {})}
            writer.record_stream(writer.stream(METRIC_LOGGED, f"m{i % 2}"), fields)
            expected.append((METRIC_LOGGED, {"name": f"m{i % 2}", "fields": fields}, None))
    writer.close()
    events = read(folder)
    assert len(events) == len(expected)
    for event, (event_type, data, time_us) in zip(events, expected, strict=True):
        assert event.type == event_type
        assert repr(event.data) == repr(data)
        assert time_us in (None, event.time_us)


def test_no_value_raises_out_of_a_recording_call(folder: JournalFolder) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    circle: list[Any] = []
    circle.append(circle)
    writer = Writer(folder)
    odd = [nan, 10**400, b"\xff", {1: 2}, {"a": {2}}, "\ud800", Hostile(), circle, object(), len, Hostile]
    for value in odd:
        writer.record("params.set", {"params": {"x": value}})
        writer.record_stream(writer.stream(METRIC_LOGGED, "odd"), {"i": value})
        writer.record_stream(writer.stream(METRIC_LOGGED, "\ud800"), {"\ud800": value})
        writer.record_stream(writer.stream(METRIC_LOGGED, "odd"), {1: value})  # type: ignore[dict-item]
    writer.close()
    events = read(folder)
    assert len(events) == 4 * len(odd)
    assert isnan(events[1].data["fields"]["i"])
    assert events[5].data["fields"]["i"] == 10**400


def test_threads_that_record_new_shapes_at_once_do_not_mix_them_up(folder: JournalFolder) -> None:
    writer = Writer(folder, commit_interval_s=0.001)

    def record(thread: int) -> None:
        for i in range(300):
            keys = [f"k{(i * 7 + part) % 40}" for part in range(i % 4)]
            fields = {"i": [thread, i], **{key: f"{key}={i}" for key in keys}}
            writer.record_stream(writer.stream(METRIC_LOGGED, "shared"), fields)

    in_threads(6, record)
    writer.close()
    events = read(folder)
    assert len(events) == 1800
    for event in events:
        fields = dict(event.data["fields"])
        _, i = fields.pop("i")
        assert all(value == f"{key}={i}" for key, value in fields.items())
    for thread in range(6):
        assert [i for own, i in points(events, "shared") if own == thread] == list(range(300))


def test_a_closed_writer_says_that_it_is_not_open(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "loss", 1)
    writer.close()
    with pytest.raises(ExperimentError, match=r"not open.*run\.start"):
        log(writer, "loss", 2)
    with pytest.raises(ExperimentError, match="not open"):
        writer.record("params.set", {})
    writer.commit()
    assert writer.flush() == writer.durable_seq == 1


def test_opening_commits_what_the_killed_had_accepted(folder: JournalFolder) -> None:
    def die() -> None:
        log(Writer(folder, commit_interval_s=1000.0), "loss", 1)
        os._exit(0)

    assert in_child(die) == 0
    writer = Writer(folder)
    assert points(read(folder), "loss") == [1]
    writer.close()


def test_a_forked_child_describes_itself(folder: JournalFolder) -> None:
    writer = Writer(folder, describe=lambda: {"pid": os.getpid(), "host": "here"})
    assert not writer.is_forked

    def live() -> None:
        log(writer, "child", 1)
        assert writer.is_forked
        assert writer.id != writer.session
        writer.close()

    assert in_child(live) == 0
    writer.close()
    [joined] = [event for event in read(folder) if event.type == WRITER_JOINED]
    assert joined.data["pid"] not in (None, os.getpid())
    assert (joined.data["host"], joined.data["session"], joined.data["parent"]) == ("here", writer.id, writer.id)


@pytest.mark.parametrize("kind", ["a file", "below a file", "read-only"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "read-only":
        place.mkdir()
        script = (
            "import os, sys\nfrom pathlib import Path\nfrom ml_dash.journal.folder import JournalFolder\n"
            "from ml_dash.journal.writer import Writer\n"
            "os.geteuid() or os.setuid(65534)\n"
            "Writer(JournalFolder(Path(sys.argv[1]) / 'run'))\n"
        )
        place.chmod(0o555)
        ran = run_python(script, place)
        place.chmod(0o755)
        assert "StorageError" in ran.stderr
        assert str(place) in ran.stderr or "Permission denied" in ran.stderr
        return
    place.write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot be written to: .*dash_root"):
        Writer(JournalFolder(place if kind == "a file" else place / "run"))
    assert place.read_text() == "not a folder"


def test_an_experiment_that_could_not_be_opened_holds_no_lock_and_no_descriptor(tmp_path: Path) -> None:
    place = tmp_path / "run"
    folder = JournalFolder(place)
    Writer(folder).close()
    segment = Path(folder.segment_path(1))
    whole = segment.read_bytes()
    segment.write_bytes(whole[:20])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        try:
            Writer(folder).close()
        except MlDashError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_opening_and_closing_leaks_no_descriptor_and_no_thread(folder: JournalFolder) -> None:
    Writer(folder).close()
    before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for i in range(20):
        writer = Writer(folder)
        log(writer, "loss", i)
        writer.close()
    assert (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))) == before
    assert points(read(folder), "loss") == list(range(20))


def test_many_events_in_a_tight_loop_take_no_room_in_the_process(folder: JournalFolder) -> None:
    """The writer never holds points: what 300,000 of them add is bounded by the spool's files, not by their number."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom ml_dash.journal.folder import JournalFolder\n"
        "from ml_dash.journal.writer import Writer\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "writer = Writer(JournalFolder(Path(sys.argv[1])))\n"
        "stream = writer.stream('metric.logged', 'loss')\n"
        "before, most = resident(), 0\n"
        "for i in range(300_000):\n"
        "    writer.record_stream(stream, {'i': i, 'loss': 0.1 / (i + 1), 'accuracy': i / 7})\n"
        "    if i % 1000 == 0: most = max(most, resident())\n"
        "writer.close()\n"
        "print(max(most, resident()) - before)\n"
    )
    ran = run_python(script, folder.experiment)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 60_000_000
    assert sum(line.count for line in JournalReader(folder).commits()) == 300_000


def test_streams_are_one_object_for_each_type_and_name(folder: JournalFolder) -> None:
    writer = Writer(folder)
    assert writer.stream(METRIC_LOGGED, "a") is writer.stream(METRIC_LOGGED, "a")
    assert writer.stream(METRIC_LOGGED, "a") is not writer.stream(METRIC_LOGGED, "b")
    writer.close()
