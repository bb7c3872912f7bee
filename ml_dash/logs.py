"""Log lines: `experiment.log(…)` and `experiment.logs`.

1. A line is recorded first and printed then: `[LEVEL] message [key=value, …]`, error and fatal to `sys.stderr`, others
   to `sys.stdout`, as they stand at that moment.  `Experiment(console=False)` or `ML_DASH_CONSOLE=off` prints nothing.
2. A terminal that is closed, broken or cannot write a character never reaches the training (promise P8).
3. Only a level that does not exist, and an experiment that is not open, are errors.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any
from warnings import warn

from .errors import ConfigurationError
from .facts.events import LOG_WRITTEN
from .facts.value_forms import describe
from .opening.recorder import Recorder

if TYPE_CHECKING:
    import logging


class LogLevel(str, Enum):
    """The five levels, from least to most severe."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"

    @classmethod
    def validate(cls, level: str) -> str:
        """The lower-case name of a level given in any case; `warning` is `warn`.

        Raises ConfigurationError for anything else.
        """
        name = level.lower() if isinstance(level, str) else ""
        name = "warn" if name == "warning" else name
        if name not in _LEVELS:
            raise ConfigurationError(
                f"Invalid log level: {describe(level):.100}. Must be one of: {', '.join(_LEVELS)} (warning is warn)"
            )
        return _LEVELS[name]


_LEVELS = {level.value: level.value for level in LogLevel}
_TO_STDERR = ("error", "fatal")


class _ByLevel:
    """One method a level.  `metadata` and keywords are merged, keywords win."""

    def debug(self, message: Any, metadata: Mapping[str, Any] | None = None, **extra: Any) -> None:
        """Details for whoever looks for a fault."""
        self._write("debug", message, metadata, extra)

    def info(self, message: Any, metadata: Mapping[str, Any] | None = None, **extra: Any) -> None:
        """What happened."""
        self._write("info", message, metadata, extra)

    def warn(self, message: Any, metadata: Mapping[str, Any] | None = None, **extra: Any) -> None:
        """What may be wrong."""
        self._write("warn", message, metadata, extra)

    def warning(self, message: Any, metadata: Mapping[str, Any] | None = None, **extra: Any) -> None:
        """The same as `warn`."""
        self._write("warn", message, metadata, extra)

    def error(self, message: Any, metadata: Mapping[str, Any] | None = None, **extra: Any) -> None:
        """What failed."""
        self._write("error", message, metadata, extra)

    def fatal(self, message: Any, metadata: Mapping[str, Any] | None = None, **extra: Any) -> None:
        """What ended the run."""
        self._write("fatal", message, metadata, extra)

    def _write(self, level: str, message: Any, metadata: Any, extra: dict[str, Any]) -> None:
        raise NotImplementedError


class Logs(_ByLevel):
    """What `experiment.logs` is; `experiment.log` is its `log`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def log(
        self, message: Any = None, level: str | None = "info", metadata: Mapping[str, Any] | None = None, **extra: Any
    ) -> LogBuilder | None:
        """Records and prints one line.  `metadata` and keywords are merged, keywords win, and stay nested as they are.
        No level, or None, is `info`.

        Without a message the answer is a builder, `log(metadata=…).info(message)`, which is deprecated.  Raises
        ConfigurationError, a ValueError, for an unknown level, ExperimentError where the experiment is not open.
        """
        level = LogLevel.validate("info" if level is None else level)
        if message is not None:
            self._write(level, message, metadata, extra)
            return None
        warn(
            "log() without a message is deprecated: use log(message, level=…) or logs.info(message)",
            DeprecationWarning,
            stacklevel=3,
        )
        return LogBuilder(self, _merged(metadata, extra))

    def read(
        self, level: str | None = None, search: str | None = None, start: int = 0, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """The lines recorded so far, oldest first: `{sequenceNumber, timestamp, level, message, metadata}`.

        `sequenceNumber` counts all lines of the experiment from 0, over all its sessions; `timestamp` is ISO 8601 in
        UTC; `metadata` is {} where none was given.  Of the lines of that level whose message contains `search`, in any
        case, the answer holds at most `limit` from the `start`-th on.
        """
        from .reading.points import log_rows

        wanted = None if level is None else LogLevel.validate(level)
        return [entry.as_dict() for entry in log_rows(self._recorder.whole(), wanted, search, start, limit)]

    def handler(self, level: int | str = 0) -> logging.Handler:
        """A standard handler that records what the `logging` module gives it: `logging.getLogger().addHandler(…)`.

        Lines are not printed again.  Logger, place and `extra=` stand in the metadata, and so does the traceback of an
        exception.  While the experiment is not open lines are dropped; one warning says so.
        """
        from .recording.log_handler import LogHandler

        return LogHandler(self.record, level)

    def record(self, level: str, message: str, metadata: dict[str, Any] | None) -> None:
        """One line of a level that exists, not printed.  Raises ExperimentError where the experiment is not open."""
        writer = self._recorder.writer()
        stream = writer.stream(LOG_WRITTEN, None, named=False)
        writer.record_stream(stream, {"message": message, "level": level, "metadata": metadata})

    def _write(self, level: str, message: Any, metadata: Any, extra: dict[str, Any]) -> None:
        text = message if type(message) is str else _shown(message)
        merged = _merged(metadata, extra)
        self.record(level, text, merged or None)
        if self._recorder.console:
            _print(level, text, merged)


class LogBuilder(_ByLevel):
    """What `log()` without a message gives: metadata that waits for a level and a message."""

    def __init__(self, logs: Logs, metadata: dict[str, Any]) -> None:
        self._logs = logs
        self._metadata = metadata

    def _write(self, level: str, message: Any, metadata: Any, extra: dict[str, Any]) -> None:
        self._logs._write(level, message, self._metadata, _merged(metadata, extra))


def _merged(metadata: Any, extra: dict[str, Any]) -> dict[str, Any]:
    if metadata is None:
        return extra
    try:
        return {**metadata, **extra}
    except Exception:  # not a mapping with names, or one whose own code fails
        return {"metadata": metadata, **extra}


def _shown(value: Any) -> str:
    try:
        return str.__str__(value) if isinstance(value, str) else f"{value}"
    except Exception:
        return describe(value)


def _print(level: str, message: str, metadata: dict[str, Any]) -> None:
    """Rules 1 and 2."""
    pairs = f" [{', '.join(f'{key}={_shown(value)}' for key, value in metadata.items())}]" if metadata else ""
    line = f"[{level.upper()}] {message}{pairs}\n"
    stream = sys.stderr if level in _TO_STDERR else sys.stdout
    try:
        try:
            stream.write(line)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
    except Exception:
        # The line stands in the journal; there is nobody left to tell that it does not stand on the terminal.
        return
