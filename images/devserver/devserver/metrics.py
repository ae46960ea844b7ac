"""
Counters and gauges, under OpenVINO Model Server's names where it has them.

The library appends ``_total`` to whatever is a Counter. OVMS's names have no such ending, so its
counters are Gauges here that only ever rise.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from .generation import Load

_BY_METHOD: Final = ("name", "api", "interface", "method")


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        """Start every metric at nothing."""
        self._registry = CollectorRegistry()
        self.current = self._gauge("ovms_current_graphs", "Generations in progress.", "name")
        self.accepted = self._gauge(
            "ovms_requests_accepted", "Requests that reached a model.", *_BY_METHOD
        )
        self.rejected = self._gauge(
            "ovms_requests_rejected", "Requests that a model refused.", *_BY_METHOD
        )
        self.responses = self._gauge("ovms_responses", "Answers and stream chunks.", *_BY_METHOD)
        self.errors = self._gauge("ovms_graph_error", "Generations that failed.", *_BY_METHOD)
        self.queued = self._gauge(
            "devserver_queued_requests",
            "Requests that wait for a REST worker. The devserver's own.",
            "name",
        )

        self._tokens = self._gauge(
            "devserver_generated_tokens_total", "Tokens made. The devserver's own.", "name"
        )
        self._running = self._gauge(
            "devserver_running_requests", "Requests in the engine. The devserver's own.", "name"
        )
        self._peak = self._gauge(
            "devserver_batch_peak",
            "Most requests that one engine step has had. The devserver's own.",
            "name",
        )

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self._registry)

    def watch(self, model: str, load: Callable[[], Load]) -> None:
        """Report what the engine of *model* says of itself, at each scrape."""
        self._tokens.labels(model).set_function(lambda: float(load().tokens))
        self._running.labels(model).set_function(lambda: float(load().running))
        self._peak.labels(model).set_function(lambda: float(load().peak))

    def text(self) -> bytes:
        """Write all of them in Prometheus's text format."""
        return generate_latest(self._registry)
