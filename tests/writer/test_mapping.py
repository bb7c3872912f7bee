"""Where rows may be put into a map of the spool file, and where they must be written: SIGBUS would end the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.journal.disk import OPERATING_SYSTEM, Disk, Map, file_system_of
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer

from .support import log, points, read

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local xfs rw 0 0
tank/data /data zfs rw 0 0
10.0.0.1@o2ib:/scratch /scratch lustre rw,flock 0 0
/dev/sdc1 /mnt/with\\040space ext4 rw 0 0
/dev/sdd1 /mnt/over ext4 rw 0 0
server:/other /mnt/over nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/root/run", "ext4"),
        ("/home/alice/run", "nfs4"),
        ("/homely/run", "ext4"),
        ("/home/local/run", "xfs"),
        ("/home/local", "xfs"),
        ("/data/run", "zfs"),
        ("/scratch/run", "lustre"),
        ("/mnt/with space/run", "ext4"),
        ("/mnt/over/run", "nfs"),
        ("/dev/shm/run", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_the_one_mounted_nearest(path: str, kind: str) -> None:
    assert file_system_of(path, MOUNTS) == kind


def test_a_folder_of_this_machine_has_a_file_system(tmp_path: Path) -> None:
    assert file_system_of(str(tmp_path.resolve()), Path("/proc/self/mounts").read_text()) != ""
    assert not OPERATING_SYSTEM.keeps_reserved_blocks("/proc/self")


def test_on_a_file_system_that_may_vanish_rows_are_written_and_nothing_is_mapped(tmp_path: Path) -> None:
    class Network(Disk):
        def keeps_reserved_blocks(self, path: str) -> bool:
            return False

        def reserve_map(self, descriptor: int, size: int) -> Map:
            raise AssertionError("mapped")

    folder = JournalFolder(tmp_path, Network())
    writer = Writer(folder)
    for i in range(100):
        log(writer, "loss", i)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    writer.close()
    assert points(read(folder), "loss") == list(range(100))
