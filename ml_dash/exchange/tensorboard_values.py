"""Event files of TensorBoard, taken apart: records, and what each value in them is.

Read by the package `tensorboard` itself (extra `tensorboard`; neither TensorFlow nor PyTorch is needed).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..recording.extras import optional
from .reports import Tally

RECORD_FRAME_BYTES = 16
"""A record's length, and the checksums of its length and of its data."""
_FILE_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.(.+)")
_PROCESS = re.compile(r"(.+)\.(\d+)\.(\d+)(?:\..*)?")
SUCCESS, FAILURE = 1, 2


def library(name: str) -> Any:
    """A module of the package.  Raises MissingExtraError."""
    return optional(name, "ml_dash[tensorboard]", "reading and writing event files of TensorBoard")


def process_of(path: Path) -> tuple[str | None, int | None]:
    """Host and process id that the name of an event file tells; None for what it does not."""
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        return None, None
    process = _PROCESS.fullmatch(match[2])
    return (process[1], int(process[2])) if process is not None else (match[2], None)


def events_in(path: Path, tally: Tally) -> Iterator[Any]:
    """The `Event` protos of a file, up to its end or to where it is damaged, which is counted."""
    loader = library("tensorboard.backend.event_processing.event_file_loader")
    event_pb2 = library("tensorboard.compat.proto.event_pb2")
    message = library("google.protobuf.message")
    read_bytes = 0
    for record in loader.RawEventFileLoader(str(path)).Load():
        read_bytes += len(record) + RECORD_FRAME_BYTES
        try:
            yield event_pb2.Event.FromString(record)
        except message.DecodeError as error:
            tally.leave_out("record that is no event", 1, f"{path.name}: {error}")
    left = path.stat().st_size - read_bytes
    if left > 0:
        tally.leave_out(
            "torn or damaged end of an event file",
            1,
            f"{path.name}: {left:,} bytes from byte {read_bytes:,} on are torn or damaged and were not read",
        )


class Tags:
    """The kind of each tag: its plugin stands only with its first value."""

    def __init__(self) -> None:
        self._plugins: dict[str, str] = {}

    def plugin(self, value: Any) -> str:
        name: str = value.metadata.plugin_data.plugin_name
        if name:
            self._plugins[value.tag] = name
        return name or self._plugins.get(value.tag, "")


def number_in(value: Any, plugin: str) -> int | float | bool | None:
    """The scalar that a value is, or None."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor") or plugin not in ("", "scalars"):
        return None
    array = array_in(value)
    if array is None or array.size != 1 or array.dtype.kind not in "fiub":
        return None
    number: int | float | bool = array.reshape(()).item()
    return number


def array_in(value: Any) -> Any:
    """The tensor of a value as NumPy has it; None where it is of a type that the package does not read."""
    try:
        return library("tensorboard.util.tensor_util").make_ndarray(value.tensor)
    except (TypeError, ValueError, KeyError):
        return None


def texts_in(value: Any) -> list[str]:
    return [text.decode("utf-8", "backslashreplace") for text in value.tensor.string_val]


def blobs_in(value: Any, plugin: str) -> list[tuple[bytes, str]] | None:
    """Encoded images or sounds, each with the ending that its format has; None where a value is neither."""
    if value.HasField("image"):
        data = value.image.encoded_image_string
        return [(data, _image_ending(data))]
    if value.HasField("audio"):
        return [(value.audio.encoded_audio_string, "wav")]
    if value.HasField("tensor") and plugin == "images":
        # Width and height come first.
        return [(data, _image_ending(data)) for data in value.tensor.string_val[2:]]
    if value.HasField("tensor") and plugin == "audio":
        # Pairs of a sound and its label.
        return [(data, "wav") for data in value.tensor.string_val[::2]]
    return None


def _image_ending(data: bytes) -> str:
    for magic, ending in ((b"\x89PNG", "png"), (b"\xff\xd8", "jpg"), (b"GIF8", "gif"), (b"BM", "bmp")):
        if data.startswith(magic):
            return ending
    return "webp" if data[8:12] == b"WEBP" else "bin"


def hparams_in(value: Any) -> tuple[dict[str, Any], int | None] | None:
    """Hyperparameters and the status of a session that a value of the plugin `hparams` tells; None where it is about
    something else."""
    plugin_data = library("tensorboard.plugins.hparams.plugin_data_pb2").HParamsPluginData()
    plugin_data.ParseFromString(value.metadata.plugin_data.content)
    kind = plugin_data.WhichOneof("data")
    if kind == "session_start_info":
        hparams = plugin_data.session_start_info.hparams
        return {key: _plain(hparams[key]) for key in sorted(hparams)}, None
    if kind == "session_end_info":
        return {}, int(plugin_data.session_end_info.status)
    return None


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    return getattr(value, kind) if kind in ("number_value", "string_value", "bool_value") else None
