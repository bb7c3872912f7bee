"""`experiment.logs.handler()`: what a program says through the `logging` module becomes log lines.

What ml_dash says itself is left out, and so is what filelock says: recording a line takes a lock sooner or later, which
filelock logs, which would be recorded, for ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ..alarm import warn
from ..errors import ExperimentError

_OWN_LOGGERS = frozenset(("ml_dash", "filelock"))
_OWN_THREADS = "ml-dash "
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = ((logging.CRITICAL, "fatal"), (logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))


class LogHandler(logging.Handler):
    """Gives `record` level, message and metadata of each line.  A formatter, where one is set, makes the message."""

    def __init__(self, record: Callable[[str, str, dict[str, Any]], None], level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._record = record
        self._recording = threading.local()
        self._has_warned = False

    def emit(self, record: logging.LogRecord) -> None:
        if _is_own(record) or getattr(self._recording, "is_busy", False):
            return
        self._recording.is_busy = True
        try:
            message = self.format(record) if self.formatter is not None else record.getMessage()
            self._record(_level_of(record), message, _metadata_of(record))
            self._has_warned = False
        except ExperimentError:
            self._warn_once()
        except Exception:
            self.handleError(record)
        finally:
            self._recording.is_busy = False

    def _warn_once(self) -> None:
        """A handler is often attached before the run and left there after it."""
        if not self._has_warned:
            self._has_warned = True
            warn("log records that come while the experiment is not open are not recorded")


def _is_own(record: logging.LogRecord) -> bool:
    return str(record.name).partition(".")[0] in _OWN_LOGGERS or str(record.threadName).startswith(_OWN_THREADS)


def _level_of(record: logging.LogRecord) -> str:
    return next((name for least, name in _LEVELS if record.levelno >= least), "debug")


def _metadata_of(record: logging.LogRecord) -> dict[str, Any]:
    metadata: dict[str, Any] = {"logger": record.name, "place": f"{record.pathname}:{record.lineno}"}
    metadata |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
    formatter = logging.Formatter()
    if record.exc_info:
        metadata["exception"] = formatter.formatException(record.exc_info)
    elif record.exc_text:
        metadata["exception"] = record.exc_text
    if record.stack_info:
        metadata["stack"] = record.stack_info
    return metadata
