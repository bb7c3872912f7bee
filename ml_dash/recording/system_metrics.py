"""`Experiment(system_metrics=True)`: how busy the machine is, as metrics `system/…`, sampled by one thread.

    system/cpu       percent (of all cores), load_1min, process_percent (100 is one core), process_threads
    system/memory    percent, used_bytes, available_bytes, process_resident_bytes
    system/disk      percent, used_bytes, free_bytes of the file system that the experiment is on;
                     read_bytes_per_s, written_bytes_per_s, and these with process_ before them
    system/network   received_bytes, sent_bytes since the session began; received_bytes_per_s, sent_bytes_per_s
    system/gpu/<n>   percent, memory_percent, memory_used_bytes, memory_free_bytes, process_memory_bytes,
                     temperature_celsius, power_watts

What does not begin with `process_` is of the whole machine.

1. The first sample is taken at the start, all others `interval_s` apart.  What is measured between two samples is not
   in the first one, and what the system does not tell is not in any.
2. Nothing here raises into the training or makes it wait; what fails unexpectedly is said once.
3. Sampling ends with the session, and does not go on in forked children.

Figures are those of psutil and, where `nvidia-ml-py` and an NVIDIA driver are there, of NVML.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import isfinite
from typing import Any

from ..alarm import warn
from ..errors import ConfigurationError, ExperimentError, MissingExtraError
from ..facts.events import METRIC_LOGGED
from ..opening.recorder import Recorder
from .extras import optional

INTERVAL_S = 10.0
INTERVAL_S_MIN = 0.1
INTERVAL_S_MAX = 3600.0
PATIENCE_S = 2.0

Fields = dict[str, float | int]


def interval_of(system_metrics: object) -> float | None:
    """Seconds between samples for `system_metrics=…`; None for none.

    Raises ConfigurationError for what is neither a switch nor seconds within bounds, MissingExtraError without psutil.
    """
    if system_metrics is None or system_metrics is False:
        return None
    interval_s = INTERVAL_S if system_metrics is True else system_metrics
    if (
        isinstance(interval_s, bool)
        or not isinstance(interval_s, int | float)
        or not isfinite(interval_s)
        or not INTERVAL_S_MIN <= interval_s <= INTERVAL_S_MAX
    ):
        raise ConfigurationError(
            f"system_metrics={system_metrics!r:.80}: expected True, False or the seconds between two samples, "
            f"{INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g}"
        )
    _psutil()
    return float(interval_s)


def _psutil() -> Any:
    return optional("psutil", "ml_dash[system]", "system_metrics")


class SystemMetrics:
    """Samples from `start()` to `close()`."""

    def __init__(self, recorder: Recorder, interval_s: float) -> None:
        self._recorder = recorder
        self._interval_s = interval_s
        self._process = os.getpid()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ml-dash system metrics", daemon=True)
        self._has_warned = False

    def start(self) -> None:
        """Where the system has no thread left, one warning says so."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self._warn(error)

    def close(self) -> None:
        """No sample is taken after this."""
        # A forked child has no such thread, and what it waits on may have been in use at the fork.
        if os.getpid() != self._process:
            return
        self._ended.set()
        with suppress(RuntimeError):
            self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        try:
            sources = [*machine_sources(str(self._recorder.folder.experiment)), *gpu_sources()]
        except Exception as error:
            self._warn(error)
            return
        while True:
            for name, source in sources:
                if not self._sample(name, source):
                    return
            if self._ended.wait(self._interval_s):
                return

    def _sample(self, name: str, source: Callable[[], Fields]) -> bool:
        """Rule 2; whether the session is still open."""
        try:
            fields = source()
            if self._ended.is_set():
                return False
            if fields:
                writer = self._recorder.writer()
                writer.record_stream(writer.stream(METRIC_LOGGED, name), fields)
        except ExperimentError:
            return False
        except Exception as error:
            self._warn(error)
        return True

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            warn(f"a figure of this machine could not be recorded: {type(error).__name__}: {error}")


class Rates:
    """What counters have gained a second, since they were last looked at."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}

    def of(self, counters: dict[str, int]) -> Fields:
        """`{name: count}` → `{name_per_s: …}`; of one that is new or was set back, nothing."""
        now = time.monotonic()
        found: Fields = {}
        for name, count in counters.items():
            before = self._last.get(name)
            if before is not None and now > before[0] and count >= before[1]:
                found[f"{name}_per_s"] = (count - before[1]) / (now - before[0])
            self._last[name] = (now, count)
        return found


def machine_sources(path: str) -> list[tuple[str, Callable[[], Fields]]]:
    """`path` lies on the file system that `system/disk` is about."""
    psutil = _psutil()
    process = psutil.Process()
    # The first answer is about no time at all, and is 0 whatever happened.
    psutil.cpu_percent(), process.cpu_percent()
    is_first = True
    disk_rates, network_rates = Rates(), Rates()
    network_before: dict[str, int] = {}

    def cpu() -> Fields:
        nonlocal is_first
        found: Fields = {}
        if not is_first:
            found = {"percent": psutil.cpu_percent(), "process_percent": process.cpu_percent()}
        is_first = False
        return {**found, "load_1min": psutil.getloadavg()[0], "process_threads": process.num_threads()}

    def memory() -> Fields:
        machine = psutil.virtual_memory()
        return {
            "percent": machine.percent,
            "used_bytes": machine.used,
            "available_bytes": machine.available,
            "process_resident_bytes": process.memory_info().rss,
        }

    def disk() -> Fields:
        usage = psutil.disk_usage(path)
        counters: dict[str, int] = {}
        # None in a container without disks of its own; the process's are not told on every system, nor to everyone.
        if (machine := psutil.disk_io_counters()) is not None:
            counters |= {"read_bytes": machine.read_bytes, "written_bytes": machine.write_bytes}
        with suppress(AttributeError, psutil.Error, OSError):
            own = process.io_counters()
            counters |= {"process_read_bytes": own.read_bytes, "process_written_bytes": own.write_bytes}
        return {
            "percent": usage.percent,
            "used_bytes": usage.used,
            "free_bytes": usage.free,
            **disk_rates.of(counters),
        }

    def network() -> Fields:
        machine = psutil.net_io_counters()
        if machine is None:
            return {}
        counters = {"received_bytes": machine.bytes_recv, "sent_bytes": machine.bytes_sent}
        for name, count in counters.items():
            network_before.setdefault(name, count)
        since = {name: count - network_before[name] for name, count in counters.items()}
        return {**since, **network_rates.of(counters)}

    return [("system/cpu", cpu), ("system/memory", memory), ("system/disk", disk), ("system/network", network)]


def gpu_sources() -> Iterator[tuple[str, Callable[[], Fields]]]:
    """One for each NVIDIA GPU; none where the library or the driver is not there."""
    try:
        nvml = optional("pynvml", "ml_dash[system]", "system_metrics")
    except MissingExtraError:
        return
    try:
        nvml.nvmlInit()
        devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return
    for index, device in enumerate(devices):
        yield f"system/gpu/{index}", _gpu(nvml, device)


def _gpu(nvml: Any, device: Any) -> Callable[[], Fields]:
    own = os.getpid()

    def utilization() -> Fields:
        rates = nvml.nvmlDeviceGetUtilizationRates(device)
        return {"percent": rates.gpu, "memory_percent": rates.memory}

    def memory() -> Fields:
        info = nvml.nvmlDeviceGetMemoryInfo(device)
        return {"memory_used_bytes": info.used, "memory_free_bytes": info.free}

    def process_memory() -> Fields:
        running = nvml.nvmlDeviceGetComputeRunningProcesses(device)
        used = [each.usedGpuMemory for each in running if each.pid == own and each.usedGpuMemory is not None]
        return {"process_memory_bytes": sum(used)} if used else {}

    def temperature() -> Fields:
        return {"temperature_celsius": nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)}

    def power() -> Fields:
        return {"power_watts": nvml.nvmlDeviceGetPowerUsage(device) / 1000}

    def sample() -> Fields:
        found: Fields = {}
        for figure in (utilization, memory, process_memory, temperature, power):
            # Each is told by some devices and not by others.
            with suppress(nvml.NVMLError):
                found |= figure()
        return found

    return sample
