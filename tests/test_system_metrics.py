"""`Experiment(system_metrics=…)`: real figures of this machine, from a real thread."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment, MissingExtraError
from ml_dash.recording.system_metrics import INTERVAL_S_MAX, INTERVAL_S_MIN, Rates, interval_of

MACHINE = {"system/cpu", "system/memory", "system/disk", "system/network"}
DEADLINE_S = 30.0


def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def samplers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ml-dash system metrics"]


def counts(root: Path) -> dict[str | None, int]:
    run = ml_dash.load("alice/ml/a", dash_root=root)
    return {name: view.count for name, view in run.metrics.items()}


def samples(experiment: Experiment) -> int:
    return int(experiment.metrics("system/network").stats()["totalDataPoints"])


def recorded(experiment: Experiment) -> set[str]:
    return {metric["name"] for metric in experiment.metrics.list_all()}


def test_nothing_is_sampled_unless_asked_for(tmp_path: Path) -> None:
    for off in ({}, {"system_metrics": False}, {"system_metrics": None}):
        with Experiment("alice/ml/a", dash_root=tmp_path, **off).run:  # type: ignore[arg-type]
            assert samplers() == []
    assert counts(tmp_path) == {}


def test_the_first_sample_is_taken_at_the_start(tmp_path: Path) -> None:
    with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=INTERVAL_S_MAX).run as experiment:
        until(lambda: recorded(experiment) >= MACHINE)
    run = ml_dash.load("alice/ml/a", dash_root=tmp_path)
    memory = run.metrics["system/memory"].columns()
    assert 0 < memory["process_resident_bytes"][0] < memory["used_bytes"][0] + memory["available_bytes"][0]
    assert 0 <= run.metrics["system/disk"].columns()["percent"][0] <= 100
    assert run.metrics["system/cpu"].columns()["process_threads"][0] >= 2
    assert run.metrics["system/network"].columns() == {"received_bytes": [0], "sent_bytes": [0]}


def test_later_samples_say_what_happened_since_the_one_before(tmp_path: Path) -> None:
    with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=INTERVAL_S_MIN).run as experiment:
        until(lambda: samples(experiment) >= 3)
    run = ml_dash.load("alice/ml/a", dash_root=tmp_path)
    cpu, network = run.metrics["system/cpu"].columns(), run.metrics["system/network"].columns()
    assert cpu["percent"][0] is None
    assert all(0 <= percent <= 100 for percent in cpu["percent"][1:])
    assert network["sent_bytes_per_s"][0] is None
    assert all(rate >= 0 for rate in network["sent_bytes_per_s"][1:])


def test_rates_are_of_the_time_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((10.0, 12.0, 13.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    rates = Rates()
    assert rates.of({"read_bytes": 100}) == {}
    assert rates.of({"read_bytes": 300}) == {"read_bytes_per_s": 100.0}
    assert rates.of({"read_bytes": 5}) == {}


def test_sampling_ends_with_the_session_and_begins_again_with_the_next(tmp_path: Path) -> None:
    experiment = Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=INTERVAL_S_MIN)
    for session in (1, 2):
        with experiment.run:
            until(lambda: recorded(experiment) >= MACHINE)
        assert samplers() == [], session
    before = counts(tmp_path)
    experiment.run.start()
    until(lambda: samples(experiment) > before["system/network"])
    experiment.run.fail("stop")
    assert samplers() == []


@pytest.mark.parametrize("wrong", [0, -1, 0.01, 1e9, float("nan"), float("inf"), "yes", [1]])
def test_an_interval_out_of_bounds_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"system_metrics=.*0\.1 to 3600"):
        Experiment("alice/ml/a", system_metrics=wrong)


def test_true_is_every_ten_seconds() -> None:
    assert interval_of(True) == 10.0
    assert interval_of(30) == 30.0


def test_without_psutil_the_extra_is_named_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ml_dash\[system\]'"):
        Experiment("alice/ml/a", system_metrics=True)


def test_nothing_is_sampled_where_recording_is_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_MODE", "disabled")
    monkeypatch.setitem(sys.modules, "psutil", None)
    with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=True).run:
        assert samplers() == []
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_samples_nothing_and_ends_at_once(tmp_path: Path) -> None:
    with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=INTERVAL_S_MIN).run as experiment:
        until(lambda: recorded(experiment) >= MACHINE)
        child = os.fork()
        if child == 0:
            experiment.metrics("child").log(step=1)
            has_sampler = bool(samplers())
            experiment.run.complete()
            os._exit(1 if has_sampler else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert len(samplers()) == 1
    run = ml_dash.load("alice/ml/a", dash_root=tmp_path)
    written = {event.writer for event in ml_dash.events("alice/ml/a", dash_root=tmp_path) if _is_sample(event)}
    assert written == {run.sessions[0].id}
    assert run.metrics["child"].count == 1


def _is_sample(event: ml_dash.Event) -> bool:
    return event.type == "metric.logged" and str(event.data["name"]).startswith("system/")


def test_a_figure_that_fails_is_said_once_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("no such sensor")

    monkeypatch.setattr(psutil, "virtual_memory", fail)
    with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=INTERVAL_S_MIN).run as experiment:
        until(lambda: samples(experiment) >= 3)
        experiment.metrics("train").log(step=1)
    assert set(counts(tmp_path)) == MACHINE - {"system/memory"} | {"train"}
    assert capsys.readouterr().err.count("no such sensor") == 1


class FakeNvml(ModuleType):
    """Two devices, the second of which tells next to nothing: what a library of another maker answers."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU = 0

    def nvmlInit(self) -> None:
        return

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUtilizationRates(self, device: int) -> Any:
        if device == 1:
            raise self.NVMLError("not supported")
        return SimpleNamespace(gpu=93, memory=40)

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return SimpleNamespace(used=8 << 30, free=16 << 30)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> Any:
        own = SimpleNamespace(pid=os.getpid(), usedGpuMemory=5 << 30)
        return [own, SimpleNamespace(pid=1, usedGpuMemory=3 << 30)]

    def nvmlDeviceGetTemperature(self, device: int, sensor: int) -> int:
        return 71

    def nvmlDeviceGetPowerUsage(self, device: int) -> int:
        if device == 1:
            raise self.NVMLError("not supported")
        return 312_500


def test_gpus_are_sampled_as_far_as_each_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml("pynvml"))
    with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=True).run as experiment:
        until(lambda: recorded(experiment) >= {"system/gpu/0", "system/gpu/1"})
    run = ml_dash.load("alice/ml/a", dash_root=tmp_path)
    assert run.metrics["system/gpu/0"].columns() == {
        "percent": [93],
        "memory_percent": [40],
        "memory_used_bytes": [8 << 30],
        "memory_free_bytes": [16 << 30],
        "process_memory_bytes": [5 << 30],
        "temperature_celsius": [71],
        "power_watts": [312.5],
    }
    assert "percent" not in run.metrics["system/gpu/1"].columns()
    assert run.metrics["system/gpu/1"].columns()["temperature_celsius"] == [71]


def test_a_machine_without_a_driver_has_no_gpu_metric_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoDriver(FakeNvml):
        def nvmlInit(self) -> None:
            raise self.NVMLError("driver not loaded")

    for library in (NoDriver("pynvml"), None):
        monkeypatch.setitem(sys.modules, "pynvml", library)
        with Experiment("alice/ml/a", dash_root=tmp_path, system_metrics=INTERVAL_S_MIN).run as experiment:
            until(lambda: recorded(experiment) >= MACHINE)
    assert set(counts(tmp_path)) == MACHINE
    assert capsys.readouterr().err == ""
