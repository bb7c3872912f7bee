"""F19 for shipping: bugs that are easily made on either side, each put into a copy of the package, each caught.

A row says where, what stands there, what a hurried hand might write instead, and which tests notice.  A row whose text
is not in the source any more fails: then the bug has to be seeded anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPING = "property/test_shipping.py"
SHIPMENT = "remote/test_shipment.py"
STORE = "server/test_store.py"
JOURNALS = "property/test_server_journals.py"

SEEDED = {
    "a lost answer counts as one": (
        "remote/shipment.py",
        "            self._size.refused()\n            raise",
        "            self._size.refused()\n            self._at = batch.end\n            return len(batch.data)",
        SHIPPING,
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
        SHIPPING,
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
        "partial(self._write, path, data, is_new=True)",
        "partial(self._write, path, data, is_new=False)",
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
        "server/store.py",
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


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("bug", SEEDED)
def test_a_seeded_bug_is_caught(tmp_path: Path, bug: str) -> None:
    file, right, wrong, test = SEEDED[bug]
    for folder in ("ml_dash", "tests", "spec"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "ml_dash" / file
    source = path.read_text(encoding="utf-8")
    assert source.count(right) == 1, "this is not in the source any more: seed the bug anew"
    path.write_text(source.replace(right, wrong), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", f"tests/{test}"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HYPOTHESIS_PROFILE": "seeded"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert result.returncode == 1, f"nobody noticed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
    assert "FAILED" in result.stdout


def test_every_seeded_bug_still_fits_the_source() -> None:
    for bug, (file, right, wrong, test) in SEEDED.items():
        source = (ROOT / "ml_dash" / file).read_text(encoding="utf-8")
        assert source.count(right) == 1, f"{bug}: seed it anew"
        assert right != wrong
        assert (ROOT / "tests" / test).is_file()
