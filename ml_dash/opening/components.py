"""What an experiment is recorded through, each made at its first use; with its module, which is loaded then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..files import Files
    from ..logs import Logs
    from ..metrics import Metrics
    from ..params import ParametersBuilder
    from ..tracks import Tracks
    from .recorder import Recorder


def _params(recorder: Recorder) -> ParametersBuilder:
    from ..params import ParametersBuilder

    return ParametersBuilder(recorder)


def _logs(recorder: Recorder) -> Logs:
    from ..logs import Logs

    return Logs(recorder)


def _metrics(recorder: Recorder) -> Metrics:
    from ..metrics import Metrics

    return Metrics(recorder)


def _tracks(recorder: Recorder) -> Tracks:
    from ..tracks import Tracks

    return Tracks(recorder)


def _files(recorder: Recorder) -> Files:
    from ..files import Files

    return Files(recorder)


COMPONENTS: Mapping[str, Callable[[Recorder], Any]] = {
    "params": _params,
    "logs": _logs,
    "metrics": _metrics,
    "tracks": _tracks,
    "files": _files,
}
