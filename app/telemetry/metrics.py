"""Prometheus metrics beside requests and latencies: response cache, load shedding, ledger, indicators, webhooks, replica.

Counts of the ledger and of indicators cover public entries only, so that they reveal nothing restricted.
"""

from collections.abc import Awaitable, Callable, Iterator

from fastapi import Request
from prometheus_client import Gauge, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorProjection
from app.domain.times import utc_now
from app.http.state import AppState, app_state
from app.ledger.models import LedgerEntry
from app.storage.database_errors import classify_database_error
from app.storage.paging import head_seq
from app.webhooks.models import Delivery


class ProcessMetrics(Collector):
    """Metrics that one process counts itself: hits and size of the response cache, and load shedding."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield the current values of an application that has started."""
        hits = CounterMetricFamily(
            "lifeline_response_cache_hits",
            "Requests answered from the response cache; http_requests_total counts the others.",
            labels=("handler", "method", "status"),
        )
        size = GaugeMetricFamily("lifeline_response_cache_bytes", "Bytes of cached responses.")
        cache, shedding = self._state.response_cache, self._state.load_shedding
        for labels, count in cache.hits.items():
            hits.add_metric(labels, count)
        size.add_metric((), cache.size)
        yield hits
        yield size
        in_flight = GaugeMetricFamily("lifeline_requests_in_flight", "Requests that are being processed.", labels=("type",))
        limit = GaugeMetricFamily(
            "lifeline_concurrency_limit", "Requests processed at once before others are answered 503; falls with latency.", labels=("type",)
        )
        for type_, limiter in (("read", shedding.reads), ("write", shedding.writes)):
            in_flight.add_metric((type_,), limiter.in_flight)
            limit.add_metric((type_,), int(limiter.limit))
        yield in_flight
        yield limit
        yield CounterMetricFamily("lifeline_requests_shed", "Requests answered 503 because of overload.", shedding.shed)
        yield GaugeMetricFamily("lifeline_open_streams", "Open event streams and long polls.", shedding.long_polls.in_flight)


class ReplicaMetrics(Collector):
    """State of the read replica at the last scrape; no samples without a replica."""

    def __init__(self) -> None:
        self.up: bool | None = None
        self.lag_seconds: float | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield whether the replica answered, and its lag."""
        up = GaugeMetricFamily("lifeline_replica_up", "1 if the read replica answered this scrape, else 0.")
        lag = GaugeMetricFamily(
            "lifeline_replica_lag_seconds", "Age in seconds of the oldest ledger entry that the read replica lacks; 0 if it lacks none."
        )
        for family, value in ((up, self.up), (lag, self.lag_seconds)):
            if value is not None:
                family.add_metric((), value)
            yield family


def database_metrics(registry: CollectorRegistry) -> Callable[[Request], Awaitable[None]]:
    """Register the gauges that come from the database, and return the function that updates them before each scrape."""
    up = Gauge("lifeline_database_up", "1 if the database answered this scrape, else 0.", registry=registry)
    seq = Gauge("lifeline_ledger_seq", "Number of the last public ledger entry.", registry=registry)
    stale = Gauge("lifeline_stale_indicators", "Public indicators whose newest report is older than its kind allows.", registry=registry)
    pending = Gauge("lifeline_webhook_deliveries_pending", "Webhook deliveries that wait to be sent.", registry=registry)
    replica = ReplicaMetrics()
    registry.register(replica)

    async def update(request: Request) -> None:
        state = app_state(request)
        database, level = state.database, state.settings.public_clearance.level
        stale_count = (
            select(func.count())
            .select_from(IndicatorProjection)
            .where(
                col(IndicatorProjection.stale_after) < utc_now(),
                col(IndicatorProjection.min_clearance) <= level,
                col(IndicatorProjection.max_clearance) >= level,
            )
        )
        pending_count = select(func.count()).select_from(Delivery).where(col(Delivery.status) == "pending")
        applied = None if database.replica is None else await database.replica.applied_global_seq()
        replica.up = None if database.replica is None else applied is not None
        replica.lag_seconds = None
        try:
            async with database.read_latest() as connection:
                row = (
                    await connection.execute(select(head_seq(level), stale_count.scalar_subquery(), pending_count.scalar_subquery()))
                ).one()
                if applied is not None:
                    replica.lag_seconds = await _replica_lag(connection, applied)
        except Exception as error:
            if classify_database_error(error) is None:
                raise
            up.set(0)
            return
        up.set(1)
        for gauge, value in zip((seq, stale, pending), row, strict=True):
            gauge.set(value or 0)

    return update


async def _replica_lag(primary: AsyncConnection, applied: int) -> float:
    # Not the time since the last replay: that grows while there is nothing to replay.
    first_missing = (
        select(col(LedgerEntry.recorded_at)).where(col(LedgerEntry.global_seq) > applied).order_by(col(LedgerEntry.global_seq)).limit(1)
    )
    recorded_at = (await primary.execute(first_missing)).scalar_one_or_none()
    return 0.0 if recorded_at is None else max(0.0, (utc_now() - recorded_at).total_seconds())
