"""Records machine-learning experiments as an append-only journal of events.

    from ml_dash import Experiment

    with Experiment("alice/mnist/baseline").run as experiment:
        experiment.params.set(lr=0.001)
        experiment.metrics("train").log(step=1, loss=0.5)

This is the package's public list.  Each name is loaded when it is first used, so that `import ml_dash` costs next to
nothing.
"""

from __future__ import annotations

# What type checkers take for `typing.TYPE_CHECKING`; importing `typing` would cost most of what this import costs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from .auto_start import dxp as dxp
    from .errors import AuthenticationError as AuthenticationError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import ConflictError as ConflictError
    from .errors import DivergedError as DivergedError
    from .errors import ExperimentError as ExperimentError
    from .errors import JournalCorruptError as JournalCorruptError
    from .errors import JournalVersionError as JournalVersionError
    from .errors import LockError as LockError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import MlDashError as MlDashError
    from .errors import NetworkError as NetworkError
    from .errors import NotFoundError as NotFoundError
    from .errors import PrefixError as PrefixError
    from .errors import RefusedError as RefusedError
    from .errors import SourceFileError as SourceFileError
    from .errors import StorageError as StorageError
    from .errors import TemplateError as TemplateError
    from .errors import UnknownFileError as UnknownFileError
    from .exchange.exporting import export as export
    from .exchange.importing import import_from as import_from
    from .experiment import Experiment as Experiment
    from .experiment import ml_dash_experiment as ml_dash_experiment
    from .facts.events import Event as Event
    from .history import events as events
    from .history import experiments as experiments
    from .history import load as load
    from .history import recover as recover
    from .history import verify as verify
    from .logs import LogBuilder as LogBuilder
    from .logs import LogLevel as LogLevel
    from .opening.place import OperationMode as OperationMode
    from .params import ParametersBuilder as ParametersBuilder
    from .reading.diff import diff as diff
    from .recording.archiving import archive as archive
    from .recording.correcting import correct as correct
    from .recording.redacting import redact as redact
    from .remote_auto_start import rdxp as rdxp
    from .run import RUN as RUN
    from .run import find_project_root as find_project_root
    from .state.status import Status as Status
    from .user import userinfo as userinfo

__version__ = "0.1.0"

_MODULE_OF = {
    "Experiment": "experiment",
    "ml_dash_experiment": "experiment",
    "OperationMode": "opening.place",
    "LogBuilder": "logs",
    "LogLevel": "logs",
    "ParametersBuilder": "params",
    "RUN": "run",
    "find_project_root": "run",
    "load": "history",
    "events": "history",
    "experiments": "history",
    "verify": "history",
    "recover": "history",
    "diff": "reading.diff",
    "export": "exchange.exporting",
    "import_from": "exchange.importing",
    "archive": "recording.archiving",
    "correct": "recording.correcting",
    "redact": "recording.redacting",
    "Event": "facts.events",
    "Status": "state.status",
    "userinfo": "user",
    "MlDashError": "errors",
    "ConfigurationError": "errors",
    "PrefixError": "errors",
    "TemplateError": "errors",
    "ExperimentError": "errors",
    "ConflictError": "errors",
    "StorageError": "errors",
    "JournalCorruptError": "errors",
    "JournalVersionError": "errors",
    "NotFoundError": "errors",
    "UnknownFileError": "errors",
    "SourceFileError": "errors",
    "MissingExtraError": "errors",
    "LockError": "errors",
    "NetworkError": "errors",
    "RefusedError": "errors",
    "AuthenticationError": "errors",
    "DivergedError": "errors",
}
# These two are experiments: importing everything must not make any.
_MODULE_OF_EXPERIMENT = {"dxp": "auto_start", "rdxp": "remote_auto_start"}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name) or _MODULE_OF_EXPERIMENT.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULE_OF_EXPERIMENT})
