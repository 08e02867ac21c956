"""Where metrics are kept. Of several workers behind one port each scrape finds another, so each says whose numbers it tells."""

import os
from collections.abc import Iterator

from prometheus_client import GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.registry import CollectorRegistry

from app.http.rate_limit import SHARED_COUNTERS_VARIABLE


class WorkerRegistry(CollectorRegistry):
    """Gives every sample a label `worker`, the number of the process; sums of rates over the workers are right then."""

    def collect(self) -> Iterator[Metric]:
        """As the base, with the label."""
        worker = {"worker": str(os.getpid())}
        for metric in super().collect():
            metric.samples = [sample._replace(labels=sample.labels | worker) for sample in metric.samples]
            yield metric


def metrics_registry() -> CollectorRegistry:
    """Where the metrics of one application are kept, beside those of the process: of two in a process each counts its own requests."""
    registry = WorkerRegistry() if SHARED_COUNTERS_VARIABLE in os.environ else CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    return registry
