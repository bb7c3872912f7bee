"""A small file, replaced whole: whoever reads it finds what it held before or what it holds now, never a part of it.

It is written under a name that nobody reads, `.shipped.<id>.new` beside `shipped.json`, which is then given up for the
real one.  Two who replace it at once both succeed, and the later one counts.  What a killed process leaves under the
other name harms nobody; who clears it away goes by that form.
"""

from __future__ import annotations

from contextlib import suppress

from ..ids import new_id
from .disk import Disk


def replace_file(disk: Disk, path: str, data: bytes, *, is_synced: bool = False, is_private: bool = False) -> None:
    """The file at `path` holds `data` when this returns; nobody but its owner may read it where `is_private`.

    Where `is_synced` and the caller syncs the folder, it holds that after power loss too.  The folder is there already.
    Raises OSError, and the file is as it was then.
    """
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name.partition('.')[0]}.{new_id()}.new"
    descriptor = (disk.create_private if is_private else disk.create)(temporary)
    try:
        try:
            disk.write(descriptor, data)
            if is_synced:
                disk.sync_file(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            disk.remove(temporary)
        raise
