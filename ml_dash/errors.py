"""Every error that ml_dash raises, in one tree.

    MlDashError
    ├── ConfigurationError (ValueError)      an argument, a level, a prefix or an environment variable is wrong
    │   ├── PrefixError                      the prefix names no experiment, or would leave its root
    │   │   └── TemplateError (KeyError, AttributeError)   a placeholder in it stands for nothing
    │   ├── SourceFileError (FileNotFoundError)  what should be saved is not there, or is no file
    │   └── MissingExtraError (ImportError)  an optional library is not installed
    ├── ExperimentError (RuntimeError)       the experiment is not in a state that allows this call
    │   └── ConflictError                    somebody else has written since
    ├── StorageError                         the disk, or what stands on it, stops us
    │   ├── JournalCorruptError              bytes below a durable fence do not replay
    │   ├── JournalVersionError              written by a newer release than this one
    │   └── NotFoundError (KeyError)         no such experiment, metric or row
    │       └── UnknownFileError (FileNotFoundError, ValueError)   no saved file has this name, pattern or id
    ├── LockError                            the journal's lock cannot be had
    ├── NetworkError                         the server cannot be reached
    │   └── RefusedError                     the server answers, and says what it will not do
    ├── AuthenticationError                  the server does not accept the token
    └── DivergedError                        two lineages of one journal

An error says what was wrong, what was expected and what to do next.  Where users of the package we replace
catch a built-in type, ours inherits from both.
"""

from __future__ import annotations


class MlDashError(Exception):
    """Base of all errors that ml_dash raises on purpose."""


class ConfigurationError(MlDashError, ValueError):
    """A value given by the user is not usable."""


class PrefixError(ConfigurationError):
    """The prefix does not name an experiment, or would leave the dash root."""


class TemplateError(PrefixError, KeyError, AttributeError):
    """A placeholder of a prefix template stands for nothing, or for itself."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; people want the sentence.
        return str(self.args[0]) if self.args else ""


class SourceFileError(ConfigurationError, FileNotFoundError):
    """The file that should be saved is not there, or is not a file."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional library is not installed; the message says what to install."""


class ExperimentError(MlDashError, RuntimeError):
    """The experiment is not in a state that allows this call."""


class ConflictError(ExperimentError):
    """The journal does not end in the event that was expected: somebody else has recorded since, and nothing was.

    `expected` and `found` are the numbers of events.
    """

    def __init__(self, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(
            f"the journal was expected to end in event {expected}, and ends in event {found}: something else was "
            "recorded since, and nothing of this block was. Read what is there now (`experiment.seq` first), decide "
            "anew, and try again"
        )

    def __reduce__(self) -> tuple[type[ConflictError], tuple[int, int]]:
        return type(self), (self.expected, self.found)


class StorageError(MlDashError):
    """The disk, or what stands on it, stops us."""


class JournalCorruptError(StorageError):
    """Bytes that were once durable do not replay; writing is refused, reading what is intact is not.

    `journal` is the journal's folder, `segment` the number of the segment, `offset` the byte in it where replay
    stops, `expected` and `found` describe the bytes there, `hint` says what to run.
    """

    def __init__(self, journal: str, segment: int, offset: int, expected: str, found: str, hint: str) -> None:
        self.journal = journal
        self.segment = segment
        self.offset = offset
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(
            f"journal {journal} is damaged in segment {segment:08d} at byte {offset}: "
            f"expected {expected}, found {found}. {hint}"
        )

    def __reduce__(self) -> tuple[type[JournalCorruptError], tuple[str, int, int, str, str, str]]:
        return type(self), (self.journal, self.segment, self.offset, self.expected, self.found, self.hint)


class JournalVersionError(StorageError):
    """The journal was written in a format version that this release does not know."""


class NotFoundError(StorageError, KeyError):
    """What was asked for does not exist."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; people want the sentence.
        return str(self.args[0]) if self.args else ""


class UnknownFileError(NotFoundError, FileNotFoundError, ValueError):
    """No saved file has this name, matches this pattern, or has this id."""


class LockError(MlDashError):
    """The journal's lock cannot be had, or this file system has none."""


class NetworkError(MlDashError):
    """The server cannot be reached, or does not answer as agreed."""


class RefusedError(NetworkError):
    """The server answers, and does not do what it was asked for.

    `status` is that of HTTP, `name` the last part of the problem's type (RFC 9457), or empty, `members` what else it
    says, `retry_after_s` after how many seconds it wants to be asked again, None where it does not say.
    """

    def __init__(
        self,
        message: str,
        status: int,
        name: str = "",
        members: dict[str, object] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.name = name
        self.members = dict(members or {})
        self.retry_after_s = retry_after_s
        super().__init__(message)

    def __reduce__(self) -> tuple[type[RefusedError], tuple[object, ...]]:
        return type(self), (self.message, self.status, self.name, self.members, self.retry_after_s)


class AuthenticationError(MlDashError):
    """The server does not accept the token, or there is none."""


class DivergedError(MlDashError):
    """This journal and the server's copy are two different continuations of one history."""
