"""The errors of `errors.py`, where code written for the PyPI package `ml-dash` imports them from."""

from .errors import (
    AuthenticationError,
    ConfigurationError,
    DivergedError,
    ExperimentError,
    JournalCorruptError,
    JournalVersionError,
    LockError,
    MissingExtraError,
    MlDashError,
    NetworkError,
    NotFoundError,
    PrefixError,
    SourceFileError,
    StorageError,
    TemplateError,
    UnknownFileError,
)

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "DivergedError",
    "ExperimentError",
    "JournalCorruptError",
    "JournalVersionError",
    "LockError",
    "MissingExtraError",
    "MlDashError",
    "NetworkError",
    "NotFoundError",
    "PrefixError",
    "SourceFileError",
    "StorageError",
    "TemplateError",
    "UnknownFileError",
]
