"""The registry of metrics. Each scrape of several worker processes reaches another one, so samples are labelled with the worker."""

import os
from collections.abc import Iterator

from prometheus_client import GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.registry import CollectorRegistry

from app.http.rate_limit import SHARED_COUNTERS_VARIABLE


class WorkerRegistry(CollectorRegistry):
    """Adds the label `worker`, the process id, to every sample; otherwise rates would mix the counters of the workers."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with the label."""
        worker = {"worker": str(os.getpid())}
        for metric in super().collect():
            metric.samples = [sample._replace(labels=sample.labels | worker) for sample in metric.samples]
            yield metric


def metrics_registry() -> CollectorRegistry:
    """Return a registry for one application, with the metrics of the process; each application counts its own requests."""
    registry = WorkerRegistry() if SHARED_COUNTERS_VARIABLE in os.environ else CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    return registry
