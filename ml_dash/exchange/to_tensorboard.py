"""One event file that TensorBoard shows: scalars, hyperparameters, log lines and description as texts, saved images.

Written by the package `tensorboard` itself (extra `tensorboard`), without TensorFlow and PyTorch.  A scalar is a
`simple_value`, which every reader of event files knows: a 32-bit float, as TensorBoard holds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from io import BytesIO
from math import isfinite
from typing import Any, BinaryIO

from ..errors import MissingExtraError, StorageError
from ..facts.events import FILE_SAVED, METRIC_LOGGED
from ..journal.copying import Content
from ..reading.saved_content import content_store
from ..recording.extras import optional
from ..state.attempts import STEP_FIELDS, step_of
from ..state.status import Status
from .reports import Tally
from .rows_of import Chosen, in_order
from .table_cells import text_of
from .tensorboard_values import FAILURE, SUCCESS, library

FILE_VERSION = "brain.Event:2"
IMAGE_BYTES_MAX = 8 * 1024 * 1024
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/bmp")
RUNNING = 3
_HPARAMS_START, _HPARAMS_END = "_hparams_/session_start_info", "_hparams_/session_end_info"


def file_name(chosen: Chosen) -> str:
    """Always the same for one experiment, so that exporting it again replaces the file."""
    return f"events.out.tfevents.{(chosen.state.created_us or 0) // 1_000_000:010d}.ml_dash"


class EventFile:
    def __init__(self, chosen: Chosen, file: BinaryIO, tally: Tally) -> None:
        self._chosen = chosen
        self._tally = tally
        self._summary = library("tensorboard.compat.proto.summary_pb2")
        self._event = library("tensorboard.compat.proto.event_pb2").Event
        self._tensor = library("tensorboard.util.tensor_util").make_tensor_proto
        self._hparams = library("tensorboard.plugins.hparams.plugin_data_pb2")
        self._records = library("tensorboard.summary.writer.record_writer").RecordWriter(file)
        self._indices: Counter[tuple[str | None, str]] = Counter()
        self._tags: dict[str, tuple[str | None, str]] = {}
        self._first: set[str] = set()

    def write(self, step: Callable[[int], None]) -> None:
        """Everything, in the order of history."""
        state = self._chosen.state
        began_us, ended_us = state.created_us or 0, state.time_us or 0
        self._records.write(self._event(wall_time=began_us / 1e6, file_version=FILE_VERSION).SerializeToString())
        self._session_start(began_us)
        if state.description:
            self._text("description", state.description, 0, began_us)
            self._tally.keep("description")
        for seq, time_us, event_type, data in in_order(self._chosen):
            if event_type == METRIC_LOGGED:
                self._point(data["name"], data["fields"], time_us)
            elif event_type == FILE_SAVED:
                self._file(data, time_us)
            elif isinstance(data.get("level"), str):
                self._log(data, time_us)
            step(seq)
        self._session_end(ended_us)
        self._tally.leave_out("track entry", sum(track.count for track in state.tracks.values()))
        self._tally.leave_out("captured output line", sum(state.output_counts.values()))
        self._tally.leave_out("tag of the experiment", len(state.tags))
        self._records.flush()

    # -- points --------------------------------------------------------------------------------------------------

    def _point(self, name: str | None, fields: Mapping[str, Any], time_us: int) -> None:
        found = step_of(fields)
        step_field, number = found if found is not None else (None, None)
        values = []
        for key, value in fields.items():
            if key == step_field:
                continue
            if key == "_ts":
                self._tally.leave_out("_ts that is not the time of recording", int(_differs(value, time_us)))
                continue
            if value is None:
                self._tally.leave_out("None")
            elif not isinstance(value, int | float):
                self._tally.leave_out("text" if isinstance(value, str) else f"value of type {type(value).__name__}")
            else:
                values.append(self._summary.Summary.Value(tag=self._tag(name, key), simple_value=_double(value)))
        if number is not None and isfinite(number) and abs(number) < 1 << 62:
            at = int(number)
            if at != number:
                self._tally.note(f"steps of {_called(name)} that are no integers are cut down to integers")
        else:
            at = self._indices[name, ""]
            self._tally.note(f"points of {_called(name)} that have none of {', '.join(STEP_FIELDS)} are counted from 0")
        self._indices[name, ""] += 1
        self._tally.keep("points")
        self._tally.keep("scalars", len(values))
        if values:
            self._write(values, at, time_us)

    def _tag(self, name: str | None, key: str) -> str:
        """`name/field`; two series that would have the same are told apart."""
        tag = key if name is None else f"{name}/{key}"
        while self._tags.setdefault(tag, (name, key)) != (name, key):
            self._tally.note(f"two series would be called {tag!r}; one is {tag + '_'!r}")
            tag += "_"
        return tag

    # -- everything else -----------------------------------------------------------------------------------------

    def _log(self, data: dict[str, Any], time_us: int) -> None:
        tag = f"logs/{data['level']}"
        self._text(tag, str(data.get("message", "")), self._indices[None, tag], time_us)
        self._indices[None, tag] += 1
        self._tally.keep("log lines")
        self._tally.leave_out("metadata of a log line", int(bool(data.get("metadata"))))

    def _text(self, tag: str, text: str, step: int, time_us: int) -> None:
        value = self._summary.Summary.Value(tag=f"{tag}/text_summary")
        value.tensor.CopyFrom(self._tensor([text.encode("utf-8", "backslashreplace")]))
        if tag not in self._first:
            self._first.add(tag)
            value.metadata.plugin_data.plugin_name = "text"
        self._write([value], step, time_us)

    def _file(self, data: dict[str, Any], time_us: int) -> None:
        """A saved image as an image; its folder and name are the tag, its versions the steps."""
        if data.get("contentType") not in IMAGE_TYPES or data["sizeBytes"] > IMAGE_BYTES_MAX:
            self._tally.leave_out("saved file that is no image of up to 8 MiB")
            return
        if not self._chosen.has_contents:
            self._tally.leave_out("content of a saved file")
            return
        try:
            encoded = content_store(self._chosen.folder).read(Content(data["checksum"], data["sizeBytes"]))
        except StorageError as error:
            self._tally.leave_out("content of a saved file", 1, str(error))
            return
        tag = f"{data['path']}/{data['filename']}".strip("/")
        value = self._summary.Summary.Value(tag=tag)
        value.image.encoded_image_string = encoded
        width, height = _size(encoded)
        value.image.width, value.image.height, value.image.colorspace = width, height, 3
        self._write([value], self._indices[None, f"/{tag}"], time_us)
        self._indices[None, f"/{tag}"] += 1
        self._tally.keep("images")

    def _session_start(self, time_us: int) -> None:
        """What the HPARAMS tab shows: numbers, texts and booleans as they are, anything else as JSON."""
        start = self._hparams.SessionStartInfo(start_time_secs=time_us / 1e6)
        for key, value in self._chosen.state.params.items():
            if isinstance(value, bool):
                start.hparams[key].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[key].number_value = _double(value)
            else:
                start.hparams[key].string_value = "None" if value is None else text_of(value)
        self._tally.keep("parameters", len(self._chosen.state.params))
        self._plugin(_HPARAMS_START, self._hparams.HParamsPluginData(version=0, session_start_info=start), time_us)

    def _session_end(self, time_us: int) -> None:
        status = {Status.COMPLETED: SUCCESS, Status.RUNNING: RUNNING}.get(self._chosen.state.status, FAILURE)
        end = self._hparams.SessionEndInfo(status=status, end_time_secs=time_us / 1e6)
        self._plugin(_HPARAMS_END, self._hparams.HParamsPluginData(version=0, session_end_info=end), time_us)

    def _plugin(self, tag: str, data: Any, time_us: int) -> None:
        value = self._summary.Summary.Value(tag=tag)
        value.metadata.plugin_data.plugin_name = "hparams"
        value.metadata.plugin_data.content = data.SerializeToString()
        value.metadata.data_class = self._summary.DATA_CLASS_TENSOR
        value.tensor.CopyFrom(self._tensor(0.0))
        self._write([value], 0, time_us)

    def _write(self, values: list[Any], step: int, time_us: int) -> None:
        summary = self._summary.Summary(value=values)
        self._records.write(self._event(wall_time=time_us / 1e6, step=step, summary=summary).SerializeToString())


def _differs(stamp: Any, time_us: int) -> bool:
    """Whether a point's own time lies more than a second away from when it was recorded."""
    return not (isinstance(stamp, int | float) and abs(stamp - time_us / 1e6) <= 1)


def _called(name: str | None) -> str:
    return "the unnamed metric" if name is None else repr(name)


def _double(value: int | float) -> float:
    """A number as a double; beyond its range, infinity."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _size(encoded: bytes) -> tuple[int, int]:
    """Width and height of an encoded image; 0 where Pillow is missing or cannot tell: browsers do not need them."""
    try:
        image = optional("PIL.Image", "ml_dash[media]", "reading the size of an image").open(BytesIO(encoded))
    except (MissingExtraError, OSError):
        return 0, 0
    width, height = image.size
    return int(width), int(height)
