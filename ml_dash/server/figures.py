"""Figures for Prometheus: of this process, since it was started."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.gc_collector import GCCollector


class Figures:
    """Counters of one application; several in one process do not mix."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.requests = Counter(
            "ml_dash_requests", "Answers, by route, method and status", ["route", "method", "status"], registry=own
        )
        self.seconds = Histogram("ml_dash_request_seconds", "From a request to its answer's first byte", registry=own)
        self.batches = Counter(
            "ml_dash_batches", "Batches: stored, acknowledged, stale, diverged or invalid", ["outcome"], registry=own
        )
        self.lines = Counter("ml_dash_stored_lines", "Lines of journals stored", registry=own)
        self.events = Counter("ml_dash_stored_events", "Events stored", registry=own)
        self.bytes = Counter("ml_dash_stored_bytes", "Bytes of journals stored", registry=own)
        self.blob_bytes = Counter("ml_dash_stored_blob_bytes", "Bytes of saved files received", registry=own)
        self.followers = Gauge("ml_dash_followers", "Event streams that are open", registry=own)

    def text(self) -> bytes:
        return generate_latest(self._registry)
