"""F19 for shipping: bugs that are easily made on either side, each put into a copy of the package, each caught.

A row says where, what stands there, what a hurried hand might write instead, and which tests notice.  A row whose text
is not in the source any more fails: then the bug has to be seeded anew.  `python -m tests.promises.seeded` runs them
all and prints a table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..promises import RecordProperty
from ..promises.seeding import ROOT, Bug

SHIPPING = "property/test_shipping.py"
SHIPMENT = "remote/test_shipment.py"
STORE = "server/test_store.py"
JOURNALS = "property/test_server_journals.py"

SEEDED = {
    "a lost answer counts as one": (
        "remote/shipment.py",
        "            self._size.refused()\n            raise",
        "            self._size.refused()\n            self._at = batch.end\n            return len(batch.data)",
        SHIPMENT,
    ),
    "go on from the hint": (
        "remote/shipment.py",
        "        head = self.server.head(self._prefix, journal)",
        "        head = self._hint.head or self.server.head(self._prefix, journal)",
        SHIPPING,
    ),
    "keep the hint before the answer": (
        "remote/blobs.py",
        "            server.put_blob(self._owner, checksum, self._read(checksum, 0, size))\n"
        "            self._arrived(checksum)\n",
        "            self._arrived(checksum)\n"
        "            server.put_blob(self._owner, checksum, self._read(checksum, 0, size))\n",
        SHIPMENT,
    ),
    "believe a hint of another prefix": (
        "remote/cursor.py",
        'return found if members["prefix"] == folder.prefix else dict.fromkeys(found, Mark())',
        "return found",
        SHIPMENT,
    ),
    "believe that a server keeps files for ever": (
        "remote/shipment.py",
        "        if self._hint.files and not",
        "        if False and not",
        SHIPMENT,
    ),
    "ship what is not durable": (
        "remote/local_bytes.py",
        "            self._opened.sync()\n",
        "            pass\n",
        "remote/test_local_bytes.py",
    ),
    "ship another lineage": (
        "remote/shipment.py",
        "            if what_next is not Next.GO_ON:",
        "            if False:",
        SHIPMENT,
    ),
    "create without a condition": (
        "server/store.py",
        "partial(self._folder.write, path, data, is_new=True)",
        "partial(self._folder.write, path, data, is_new=False)",
        STORE,
    ),
    "create without a condition in a bucket": (
        "server/store.py",
        'data, mode="create")',
        'data, mode="overwrite")',
        STORE,
    ),
    "acknowledge before it is stored": (
        "server/journals.py",
        "        await self.store.create(path, data)\n        if",
        "        asyncio.get_running_loop().create_task(self.store.create(path, data))\n        if",
        STORE,
    ),
    "give a batch its name before it is synced": (
        "server/store_folder.py",
        "                self._disk.sync_file(descriptor)\n            except OSError:",
        "                pass\n            except OSError:",
        STORE,
    ),
    "acknowledge what another server may not have synced": (
        "server/copies.py",
        "                await store.settle(",
        "                store.settle(",
        STORE,
    ),
    "acknowledge whatever lies inside of the copy": (
        "server/journals.py",
        "        if sent != stored:",
        "        if False:",
        JOURNALS,
    ),
    "store what does not verify": (
        "server/append.py",
        "    if at.offset - start.offset + length != len(data):",
        "    if False:",
        JOURNALS,
    ),
    "take a segment that leaves out what is stored": (
        "server/append.py",
        "        if reached != accepted.bytes + len(left_out):",
        "        if False:",
        JOURNALS,
    ),
    "take a name that is free again for the end": (
        "server/journals.py",
        "        if now_us() - believed_us > BELIEF_S * 1_000_000:",
        "        if False:",
        "server/test_compaction.py",
    ),
}


BUGS = {name: Bug(file, right, wrong, [test]) for name, (file, right, wrong, test) in SEEDED.items()}


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_caught(tmp_path: Path, name: str, record_property: RecordProperty) -> None:
    assert BUGS[name].caught_by(tmp_path) is not None, "nobody noticed"
    record_property("seeded bugs", 1)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("test", sorted({bug.tests[0] for bug in BUGS.values()}))
def test_the_canary_a_change_that_is_no_bug_is_not_caught(tmp_path: Path, test: str) -> None:
    no_bug = Bug("remote/shipment.py", "from __future__", "# No bug.\nfrom __future__", [test])
    assert no_bug.caught_by(tmp_path) is None


@pytest.mark.parametrize("name", BUGS)
def test_every_seeded_bug_still_fits_the_source(name: str) -> None:
    assert BUGS[name].fits(), "seed it anew"
    assert BUGS[name].right != BUGS[name].wrong
    assert (ROOT / "tests" / BUGS[name].tests[0]).is_file()
