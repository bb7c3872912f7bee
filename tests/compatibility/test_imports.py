"""What code written for upstream imports, from where it imports it."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import ml_dash
from ml_dash import Experiment, errors

IMPORTS = [
    "from ml_dash import Experiment, ml_dash_experiment, OperationMode, RUN",
    "from ml_dash import LogLevel, LogBuilder, ParametersBuilder",
    "from ml_dash import MlDashError, ConfigurationError, ExperimentError, StorageError, NetworkError",
    "from ml_dash import AuthenticationError, userinfo",
    "from ml_dash.auto_start import dxp",
    "from ml_dash.remote_auto_start import rdxp",
    "from ml_dash.exceptions import ConfigurationError, ExperimentError, MlDashError, StorageError",
    "from ml_dash.experiment import Experiment, OperationMode, ml_dash_experiment",
    "from ml_dash.files import BindrsBuilder, FileBuilder, FilesAccessor",
    "from ml_dash.log import LogBuilder, LogLevel",
    "from ml_dash.metric import BufferManager, MetricBuilder, MetricsManager, SummaryCache",
    "from ml_dash.params import ParametersBuilder",
    "from ml_dash.run import RUN, find_project_root, PROJECT_ROOT_FILES, DEFAULT_API_URL",
    "from ml_dash.track import TrackBuilder, TrackSlice, TracksManager",
]
NOT_HERE = ["RemoteClient", "LocalStorage"]


def test_every_import_of_upstream_that_records_or_reads_works() -> None:
    program = "\n".join(IMPORTS)
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", NOT_HERE)
def test_what_is_not_here_is_absent_and_not_a_thing_that_does_nothing(name: str) -> None:
    assert not hasattr(ml_dash, name)


def test_errors_are_the_same_classes_wherever_they_are_imported_from() -> None:
    exceptions = importlib.import_module("ml_dash.exceptions")
    everything = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert set(exceptions.__all__) == everything
    assert all(getattr(exceptions, name) is getattr(errors, name) for name in everything)


def test_what_an_experiment_holds_are_instances_of_what_is_imported(experiment: Experiment) -> None:
    from ml_dash.files import BindrsBuilder, FileBuilder, FilesAccessor
    from ml_dash.log import LogLevel
    from ml_dash.metric import BufferManager, MetricBuilder, MetricsManager, SummaryCache
    from ml_dash.params import ParametersBuilder
    from ml_dash.track import TrackBuilder, TrackSlice, TracksManager

    assert isinstance(experiment.run.start(), Experiment)
    assert isinstance(experiment.params, ParametersBuilder)
    assert isinstance(experiment.metrics, MetricsManager)
    assert isinstance(experiment.metrics("a"), MetricBuilder)
    assert isinstance(experiment.metrics.buffer, BufferManager)
    assert isinstance(experiment.metrics("a").summary_cache, SummaryCache)
    assert isinstance(experiment.tracks, TracksManager)
    assert isinstance(experiment.tracks("a"), TrackBuilder)
    assert isinstance(experiment.tracks("a").slice(), TrackSlice)
    assert isinstance(experiment.files, FilesAccessor)
    assert isinstance(experiment.files("a"), FileBuilder)
    assert isinstance(experiment.bindrs("a"), BindrsBuilder)
    assert [level.value for level in LogLevel] == ["debug", "info", "warn", "error", "fatal"]
    assert "p95" in BufferManager.SUPPORTED_AGGS
