"""F19 for the journal's engine: bugs that are easily made, each put into a copy of the package, each caught.

A row says where, what stands there, and what a hurried hand might write instead.  A row whose text is not in the source
any more fails: then the bug has to be seeded anew.  `python -m tests.promises.seeded` runs them all and prints a table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..promises import RecordProperty
from ..promises.seeding import Bug

TESTS = [
    f"journal/test_{name}.py"
    for name in "format chain recovery reader appender survey power_loss failing_disk damage".split()
]

SEEDED = {
    "append behind a torn tail": (
        "recovery.py",
        "Tail.TORN, Action.OPEN_NEXT",
        "Tail.TORN, Action.APPEND",
    ),
    "write to a corrupt journal": (
        "recovery.py",
        "Earlier.CORRUPT, None, Action.REFUSE_CORRUPT",
        "Earlier.CORRUPT, None, Action.APPEND",
    ),
    "append to a full segment": ("recovery.py", "Tail.FULL, Action.OPEN_NEXT", "Tail.FULL, Action.APPEND"),
    "acknowledge before the sync": (
        "appender.py",
        "        if at.fence < at.offset:\n            try:",
        "        self._account.synced_up_to(at)\n        if at.fence < at.offset:\n            try:",
    ),
    "believe the second sync": (
        "appender.py",
        "                self._mark_unsynced(at.segment)\n        if self._named",
        "                self._disk.sync_data(descriptor)\n        if self._named",
    ),
    "tell nobody of a failed sync": (
        "appender.py",
        "self._disk.close(self._disk.create(self._folder.unsynced_path(number)))",
        "return",
    ),
    "seal without a sync": (
        "appender.py",
        "                self._disk.sync_file(self._newest(at))\n            except",
        "                pass\n            except",
    ),
    "give a segment its name before it is synced": (
        "appender.py",
        "            self._disk.sync_file(descriptor)\n            self._disk.publish",
        "            self._disk.publish",
    ),
    "do not sync the name": (
        "appender.py",
        "        self._descriptor = descriptor\n        self._disk.sync_folder(self._folder.path)",
        "        self._descriptor = descriptor",
    ),
    "do not sync the name of a segment that another process opened": (
        "appender.py",
        "            self._disk.sync_folder(self._folder.path)\n            self._named_segment = at.segment",
        "            self._named_segment = at.segment",
    ),
    "repeat nothing after a failed sync": (
        "appender.py",
        "self._create_segment(accepted, declared, repeated)",
        "self._create_segment(accepted, declared)",
    ),
    "accept all of a segment whose sync failed": (
        "appender.py",
        "        accepted = self._fence_position(at)",
        "        accepted = at",
    ),
    "say nothing of events that could not be repeated": (
        "appender.py",
        "        if self._reader.next_seq < at.next_seq:",
        "        if False:",
    ),
    "go on writing where a write failed": ("appender.py", "            self._failed_segment = at.segment\n", ""),
    "write to a file without a name": ("appender.py", "or not self._disk.same_file(self._descriptor, path)", ""),
    "leave what an attempt began": ("appender.py", "            self._disk.remove(temporary)\n", ""),
    "count events twice that a segment repeats": ("batch.py", "if own.last_seq < first_seq]", "]"),
    "call all durable that is in a sealed segment or below an offset": (
        "batch.py",
        "self._own[0].end <= at.fence",
        "self._own[0].end <= at.offset",
    ),
    "carry no fence": ("batch.py", "            fence=at.fence,", "            fence=0,"),
    "carry the end as a fence": ("batch.py", "            fence=at.fence,", "            fence=at.offset,"),
    "leave the journal's id out of the hash": ("format.py", 'f"{previous_hash}{journal}"', 'f"{previous_hash}"'),
    "leave the previous hash out of the hash": ("format.py", 'f"{previous_hash}{journal}"', 'f"{journal}"'),
    "accept any next number": ("chain.py", "line.first != expected or ", ""),
    "accept islands that repeat history": ("chain.py", "line.first >= next_seq and ", ""),
    "call everything torn": (
        "chain.py",
        "    return any(line.fence > start.offset for line in islands(data, start, start.next_seq))",
        "    return False",
    ),
    "call everything corrupt": (
        "chain.py",
        "    return any(line.fence > start.offset for line in islands(data, start, start.next_seq))",
        "    return True",
    ),
    "call a damaged header torn": (
        "chain.py",
        "        return any(looks_like_commit(line)",
        "        return False and any(looks_like_commit(line)",
    ),
    "give repeated events again": (
        "reader.py",
        "        if line.last < self._given_seq:\n            return False",
        "",
    ),
    "do not look at what the next header accepts": (
        "reader.py",
        "        return extent.accepted is None or (at.offset",
        "        return True or (at.offset",
    ),
    "do not look whether a position still stands": (
        "reader.py",
        'return tail.endswith(b"\\n") and stated_hash(tail[:-1]) == at.hash',
        "return True",
    ),
    "read behind what the next header accepts": (
        "reader.py",
        "end = size if extent.accepted is None else min(extent.accepted.bytes, size)",
        "end = size",
    ),
    "forget that a header was read": ("reader.py", "        self._headers[number] = found\n", ""),
    "ignore declarations": ("reader.py", "or each.declaration in self._declared", ""),
    "excuse all damage once something is declared": (
        "reader.py",
        "each.declaration in self._declared",
        "self._declared",
    ),
    "miss a segment behind a missing one": (
        "reader.py",
        "self.segments[-1:] == [at.segment]",
        "at.segment + 1 not in self.segments",
    ),
    "let the newest header choose the journal": (
        "chart.py",
        "headers[number][0].journal for number in sorted(headers)).most_common(1)[0][0]",
        "[headers[max(headers)][0].journal]).most_common(1)[0][0]",
    ),
    "pass over a second history silently": (
        "chart.py",
        "return self.is_dead and self.header is not None",
        "return False",
    ),
}


BUGS = {name: Bug(f"journal/{file}", right, wrong, TESTS) for name, (file, right, wrong) in SEEDED.items()}


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", BUGS)
def test_f19_a_seeded_bug_is_caught(tmp_path: Path, name: str, record_property: RecordProperty) -> None:
    assert BUGS[name].caught_by(tmp_path) is not None, "nobody noticed"
    record_property("seeded bugs", 1)


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_f19_the_canary_a_change_that_is_no_bug_is_not_caught(tmp_path: Path) -> None:
    """Else the tests would fail whatever is seeded, and what they catch would say nothing."""
    no_bug = Bug("journal/recovery.py", "from __future__", "# No bug.\nfrom __future__", TESTS)
    assert no_bug.caught_by(tmp_path) is None


@pytest.mark.parametrize("name", BUGS)
def test_every_seeded_bug_still_fits_the_source(name: str) -> None:
    assert BUGS[name].fits(), "seed it anew"
    assert BUGS[name].right != BUGS[name].wrong
