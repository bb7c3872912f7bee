"""The content of saved files, wherever it stands: with the experiment, with one it was forked from, on its server."""

from __future__ import annotations

from ..journal.contents import ContentStore
from ..journal.copying import Content
from ..journal.folder import JOURNAL, ORIGINS, JournalFolder
from .lineage import Lineage
from .origins import home_of


def content_store(folder: JournalFolder) -> ContentStore:
    """The saved content of an experiment, that of its ancestors included, and what only its server has."""

    def bring(content: Content) -> bool:
        from .sources import bring_content

        return bring_content(folder, content)

    return ContentStore(home_of(folder), lambda: map(_with_files, Lineage(folder).ancestors()), bring)


def _with_files(folder: JournalFolder) -> JournalFolder:
    """Where the files of a journal are: those of all journals of an experiment are together (`remote/mirror.py`)."""
    below = folder.experiment.parent
    if below.name == ORIGINS and below.parent.name == JOURNAL:
        return JournalFolder(below.parent.parent, folder.disk, folder.prefix)
    return folder
