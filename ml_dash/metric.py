"""What `metrics.py` has, where and as code written for the PyPI package `ml-dash` imports it."""

from .metrics import MetricBuilder
from .metrics import Metrics as MetricsManager
from .recording.metric_buffers import MetricBuffers as BufferManager
from .recording.metric_buffers import SummaryCache

__all__ = ["BufferManager", "MetricBuilder", "MetricsManager", "SummaryCache"]
