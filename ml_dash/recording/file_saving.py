"""Saving files: every `save_*` of `experiment.files`.

1. What is saved is the content at the time of the call.  When a call returns, the content is durable and the event that
   says so is recorded, in this order: no event ever speaks of content that is not there (promises P1, P2).
2. Unlike a recording call, saving waits for the disk, and raises for what it could not save.
3. Saving under a name that is taken makes a new version.
4. While nothing is recorded (`ML_DASH_MODE=disabled`) everything is accepted, described as ever, and dropped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import SourceFileError, StorageError
from ..facts.events import FILE_SAVED
from ..ids import new_id
from ..journal.contents import ContentStore, Draft
from ..journal.copying import Content
from ..journal.folder import JournalFolder
from ..opening.old_names import also_called
from ..opening.recorder import Recorder
from ..reading.saved_content import content_store
from ..state import FileState
from . import file_kinds, file_media
from .file_paths import clean_folder, split_target
from .file_records import Details, as_dict, content_type_of

Tags = Iterable[str] | None
Metadata = Mapping[str, Any] | None
FileDict = dict[str, Any]
"""`id path filename description tags bindrs metadata contentType sizeBytes checksum uploadedAt updatedAt deletedAt`;
times are ISO 8601 in UTC, `checksum` is SHA-256 in hexadecimal, `path` is the folder and begins with `/`."""


class FileSaver:
    """Saves into one folder.  `description`, `tags`, `bindrs` and `metadata` replace those that the folder was given.

    Every method gives the file as a dict, returned at once and complete.  `to` names the file below the folder and may
    contain folders.  All raise ExperimentError while the experiment is not open, ConfigurationError (a ValueError) for
    arguments that make no file, MissingExtraError (an ImportError) where a library is missing, and StorageError where
    the disk refuses; nothing is stored then.
    """

    def __init__(self, recorder: Recorder, folder: str | None = None, details: Details | None = None) -> None:
        self._recorder = recorder
        self._folder = clean_folder(folder)
        self._details = details or Details()

    @also_called(fpath="path")
    def upload(
        self,
        path: str | PathLike[str],
        *,
        to: str | None = None,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves the file at `path`; `to` defaults to its own name, which is also added to a `to` that ends in `/`.

        Raises SourceFileError (a ValueError and a FileNotFoundError) where there is no such file.
        """
        source = _source(path)
        target = f"{to or ''}{source.name}" if not to or to.endswith("/") else to
        return self._save(
            target, Details.checked(description, tags, bindrs, metadata), lambda store: _copied(store, source)
        )

    def save(
        self,
        content: Any,
        *,
        to: str | None = None,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves anything by what it is: a path is uploaded, bytes as they are, a dict or list as JSON, an array or
        Pillow image as an image (as NumPy's own format where `to` ends in `.npy`), a figure, a PyTorch module.

        Where `to` ends in `.pkl` or `.pt` the value is pickled or given to `torch.save`.  A string that is no path is
        refused: it is more often a path with a typing error than a text.
        """
        kind = file_kinds.kind_of(content, to)
        details: dict[str, Any] = {"description": description, "tags": tags, "bindrs": bindrs, "metadata": metadata}
        if kind == "path":
            return self.upload(content, to=to, **details)
        assert to is not None
        if kind == "array":
            return self._save_draft(
                to,
                Details.checked(description, tags, bindrs, metadata),
                lambda draft: file_kinds.write_array(draft.file, content),
            )
        saved: FileDict = getattr(self, f"save_{kind}")(content, to=to, **details)
        return saved

    def save_json(
        self,
        content: Any,
        *,
        to: str,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves a value as indented JSON in UTF-8; NaN and infinities as `NaN` and `Infinity`, as `json` does."""
        data = file_kinds.json_bytes(content)
        return self._save(to, Details.checked(description, tags, bindrs, metadata), lambda store: store.write(data))

    def save_text(
        self,
        content: str,
        *,
        to: str,
        encoding: str = "utf-8",
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves a string."""
        data = file_kinds.text_bytes(content, encoding)
        return self._save(to, Details.checked(description, tags, bindrs, metadata), lambda store: store.write(data))

    def save_blob(
        self,
        data: bytes | bytearray | memoryview,
        *,
        to: str,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves bytes, or the bytes of any object that has a buffer."""
        blob = file_kinds.blob(data)
        return self._save(to, Details.checked(description, tags, bindrs, metadata), lambda store: store.write(blob))

    def save_pkl(
        self,
        content: Any,
        *,
        to: str,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves any object that `pickle` can."""
        return self._save_draft(
            to,
            Details.checked(description, tags, bindrs, metadata),
            lambda draft: file_kinds.write_pickle(draft.file, content),
        )

    def save_torch(
        self,
        model: Any,
        *,
        to: str,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves what `torch.save` can: a module, a state dict, a tensor."""
        return self._save_draft(
            to,
            Details.checked(description, tags, bindrs, metadata),
            lambda draft: file_kinds.write_torch(draft.file, model),
        )

    def save_image(
        self,
        array: Any,
        *,
        to: str,
        quality: int = 95,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves an array of height × width, or with 1, 3 or 4 channels last or first, a tensor, or a Pillow image.

        `uint8` stands as it is, floats are within 0…1, anything beyond is scaled to black…white; a grey `uint16` array
        keeps its 16 bits in PNG and TIFF.  The ending of `to` says the format; `quality`, 1…100, is for JPEG, WebP and
        AVIF.
        """
        return self._save_draft(
            to,
            Details.checked(description, tags, bindrs, metadata),
            lambda draft: file_media.write_image(draft.file, array, to, quality),
        )

    def save_fig(
        self,
        fig: Any = None,
        *,
        to: str,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
        **savefig: Any,
    ) -> FileDict:
        """Saves a matplotlib figure, by default the current one, and closes it in pyplot: a training loop makes many.

        The ending of `to` says the format; other keywords (`dpi`, `bbox_inches`, …) go to `Figure.savefig`.
        """
        figure = file_media.current_figure() if fig is None else fig
        saved = self._save_draft(
            to,
            Details.checked(description, tags, bindrs, metadata),
            lambda draft: file_media.write_figure(draft.file, figure, to, savefig),
        )
        file_media.close_figure(figure)
        return saved

    @also_called(frame_stack="frames")
    def save_video(
        self,
        frames: Iterable[Any],
        *,
        to: str,
        fps: float = 20,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
        **imageio: Any,
    ) -> FileDict:
        """Saves a list or stack of frames, grey or RGB, as the ending of `to` says: `.mp4`, `.gif`, `.webm`, `.mov`, ….

        Frames become pixels as in `save_image`, all on one scale; in films an odd height or width is made even by
        repeating an edge.  Other keywords (`codec`, `quality`, …) go to imageio.
        """
        ending = file_media.ending_of(to, "run.mp4")
        return self._save_draft(
            to,
            Details.checked(description, tags, bindrs, metadata),
            lambda draft: file_media.write_video(draft.path, frames, fps, imageio),
            ending,
        )

    # -- the one way all of them take ----------------------------------------------------------------------------

    def _save_draft(self, to: str, said: Details, write: Callable[[Draft], object], suffix: str = "") -> FileDict:
        return self._save(to, said, lambda store: store.fill(write, suffix))

    def _save(self, to: str, said: Details, put: Callable[[ContentStore], Content]) -> FileDict:
        path, filename = split_target(self._folder, to)
        self._recorder.writer()
        with self._store() as store:
            content = put(store)
        return self._record(path, filename, said.over(self._details), content, content_type_of(filename))

    def _record(self, path: str, filename: str, said: Details, content: Content, content_type: str) -> FileDict:
        """Rule 1: the content is durable by now."""
        file = FileState(
            id=new_id(),
            path=path,
            filename=filename,
            description=said.description,
            tags=tuple(said.tags or ()),
            bindrs=tuple(said.bindrs or ()),
            metadata=said.metadata,
            content_type=content_type,
            size_bytes=content.size_bytes,
            checksum=content.checksum,
            uploaded_us=0,
            updated_us=0,
            deleted_us=None,
            seq=0,
        )
        event = {key: value for key, value in as_dict(file).items() if not key.endswith("At")}
        time_us = self._recorder.writer().record(FILE_SAVED, event)
        return as_dict(replace(file, uploaded_us=time_us, updated_us=time_us))

    @contextmanager
    def _store(self) -> Iterator[ContentStore]:
        if not self._recorder.disabled:
            yield content_store(self._recorder.folder)
            return
        with tempfile.TemporaryDirectory() as nowhere:
            yield ContentStore(JournalFolder(Path(nowhere)))


def _source(path: str | PathLike[str]) -> Path:
    """The file to be saved, if it is one."""
    try:
        source = Path(path)
        if source.is_file():
            return source
        what = "is a folder" if source.is_dir() else "is not a regular file" if source.exists() else "does not exist"
    except (OSError, ValueError, TypeError) as error:
        raise SourceFileError(f"{path!r} is not the path of a file: {error}") from error
    raise SourceFileError(f"{str(source)!r} {what}. Expected a file that can be read, relative to {str(Path.cwd())!r}")


def _copied(store: ContentStore, source: Path) -> Content:
    try:
        return store.copy_in(str(source))
    except OSError as error:
        raise StorageError(f"{str(source)!r} cannot be read: {error}. Nothing was saved") from error
