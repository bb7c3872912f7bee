"""What `metrics.py` has, where and as code written for the PyPI package `ml-dash` imports it."""

from .metric_buffers import MetricBuffers as BufferManager
from .metric_buffers import SummaryCache
from .metrics import MetricBuilder
from .metrics import Metrics as MetricsManager

__all__ = ["BufferManager", "MetricBuilder", "MetricsManager", "SummaryCache"]
