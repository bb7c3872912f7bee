"""Files in the state: saved, described anew, deleted.  A file that was deleted stays, with the time of that.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace

from ..facts.events import Event
from .draft import Draft, given, text
from .nouns import FileState


def file_saved(draft: Draft, event: Event) -> None:
    data = event.data
    saved = FileState(
        id=text(data["id"]),
        path=text(data["path"]),
        filename=text(data["filename"]),
        content_type=text(data["contentType"]),
        size_bytes=data["sizeBytes"],
        checksum=text(data["checksum"]),
        uploaded_us=event.time_us,
        updated_us=event.time_us,
        deleted_us=None,
        seq=event.seq,
        **given({"description": None, "tags": None, "bindrs": None, "metadata": None, **data}),
    )
    draft.mapping("files")[saved.id] = saved


def file_updated(draft: Draft, event: Event) -> None:
    file = draft.look("files")[event.data["id"]]
    draft.mapping("files")[file.id] = replace(file, updated_us=event.time_us, **given(event.data))


def file_deleted(draft: Draft, event: Event) -> None:
    file = draft.look("files")[event.data["id"]]
    if file.deleted_us is None:
        draft.mapping("files")[file.id] = replace(file, deleted_us=event.time_us)
