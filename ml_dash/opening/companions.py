"""What works beside an open experiment: its output is captured, the machine is sampled, where that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recorder import Recorder

if TYPE_CHECKING:
    from ..recording.output_capture import OutputCapture
    from ..recording.system_metrics import SystemMetrics


class Companions:
    """Begin and end with each session of one experiment.

    Raises ConfigurationError for a `system_metrics` that is no interval, MissingExtraError where psutil is missing.
    """

    def __init__(self, recorder: Recorder, captures_output: bool, system_metrics: bool | float) -> None:
        self._recorder = recorder
        self._captures_output = captures_output
        self._output: OutputCapture | None = None
        self._sample_interval_s: float | None = None
        self._sampler: SystemMetrics | None = None
        if system_metrics is not False and not recorder.disabled:
            from ..recording.system_metrics import interval_of

            self._sample_interval_s = interval_of(system_metrics)

    def start(self) -> None:
        """The experiment has been opened."""
        if self._captures_output:
            from ..recording.output_capture import OutputCapture

            self._output = OutputCapture(self._recorder)
            self._output.start()
        if self._sample_interval_s is not None:
            from ..recording.system_metrics import SystemMetrics

            self._sampler = SystemMetrics(self._recorder, self._sample_interval_s)
            self._sampler.start()

    def close(self) -> None:
        """The experiment is about to be closed; what they still have to record is recorded."""
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None
