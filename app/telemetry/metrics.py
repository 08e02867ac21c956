"""What `/metrics` says beside requests and their latencies: the ledger, readings past their time, webhooks, kept answers, overload,
the replica.

The ledger and the readings are those that everybody may see, so that no number tells of what is restricted.
"""

from collections.abc import Callable, Iterator
from typing import Any

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
from app.storage.database_errors import database_problem
from app.storage.paging import head_seq
from app.webhooks.models import Delivery


class ProcessMetrics(Collector):
    """What one process counts on its own: what it answered from what it keeps, what it has under way, what it sent away."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        answered = CounterMetricFamily(
            "lifeline_kept_answers",
            "Requests answered from memory; http_requests_total has the others.",
            labels=("handler", "method", "status"),
        )
        size = GaugeMetricFamily("lifeline_kept_bytes", "Bytes of answers that are kept.")
        if (kept := getattr(self._state, "response_cache", None)) is not None:
            for (route, method, status), count in kept.hits.items():
                answered.add_metric((route, method, status), count)
            size.add_metric((), kept.size)
        yield answered
        yield size
        if (admission := getattr(self._state, "load_shedding", None)) is not None:
            yield CounterMetricFamily("lifeline_requests_shed", "Requests that were too many, told to come again.", admission.shed)
            yield GaugeMetricFamily(
                "lifeline_writes_under_way", "Writes that are worked on or stand in the queue.", admission.writes.in_flight
            )
            yield GaugeMetricFamily("lifeline_reads_under_way", "Reads that are worked on.", admission.reads.in_flight)
            yield GaugeMetricFamily(
                "lifeline_writes_allowed", "Writes that are let in at once; fewer while answers take long.", int(admission.writes.limit)
            )
            yield GaugeMetricFamily(
                "lifeline_reads_allowed", "Reads that are let in at once; fewer while answers take long.", int(admission.reads.limit)
            )
            yield GaugeMetricFamily("lifeline_readers_waiting", "Streams and long polls that are held.", admission.long_polls.in_flight)


class ReplicaMetrics(Collector):
    """How the replica for reading does, as the last scrape found it; nothing where there is none."""

    def __init__(self) -> None:
        self.up: bool | None = None
        self.lag_seconds: float | None = None

    def collect(self) -> Iterator[Metric]:
        """Whether it answers, and how far it is behind."""
        up = GaugeMetricFamily("lifeline_replica_up", "Whether the replica for reading answered this scrape.")
        lag = GaugeMetricFamily(
            "lifeline_replica_lag_seconds", "Seconds since the first entry of the ledger was recorded that the replica does not have."
        )
        for family, value in ((up, self.up), (lag, self.lag_seconds)):
            if value is not None:
                family.add_metric((), value)
        yield up
        yield lag


def sampling(registry: CollectorRegistry) -> Callable[[Request], Any]:
    """A dependency that asks the database, once a scrape, for what gauges in the registry say."""
    up = Gauge("lifeline_database_up", "Whether the database answered this scrape.", registry=registry)
    seq = Gauge("lifeline_ledger_seq", "The last entry of the ledger that everybody may see.", registry=registry)
    past = Gauge("lifeline_readings_past_their_time", "Readings that everybody may see, of which nobody spoke lately.", registry=registry)
    pending = Gauge("lifeline_webhook_deliveries_pending", "Deliveries of webhooks that wait to be sent.", registry=registry)

    replica = ReplicaMetrics()
    registry.register(replica)

    async def sample(request: Request) -> None:
        state = app_state(request)
        database, level = state.database, state.settings.public_clearance.level
        overdue = (
            select(func.count())
            .select_from(IndicatorProjection)
            .where(
                col(IndicatorProjection.stale_after) < utc_now(),
                col(IndicatorProjection.min_clearance) <= level,
                col(IndicatorProjection.max_clearance) >= level,
            )
        )
        waiting = select(func.count()).select_from(Delivery).where(col(Delivery.status) == "pending")
        held = None if database.replica is None else await database.replica.held()
        replica.up = None if database.replica is None else held is not None
        replica.lag_seconds = None
        try:
            async with database.read_latest() as connection:
                row = (await connection.execute(select(head_seq(level), overdue.scalar_subquery(), waiting.scalar_subquery()))).one()
                if held is not None:
                    replica.lag_seconds = await _seconds_behind(connection, held)
        except Exception as error:
            if database_problem(error) is None:
                raise
            up.set(0)
            return
        up.set(1)
        for gauge, value in zip((seq, past, pending), row, strict=True):
            gauge.set(value or 0)

    return sample


async def _seconds_behind(primary: AsyncConnection, held: int) -> float:
    """How long ago the first entry after this one was recorded; 0 when there is none.

    It does not grow while nobody writes, as the time since the replica's last replay does.
    """
    recorded_at = (
        select(col(LedgerEntry.recorded_at)).where(col(LedgerEntry.global_seq) > held).order_by(col(LedgerEntry.global_seq)).limit(1)
    )
    missing = (await primary.execute(recorded_at)).scalar_one_or_none()
    return 0.0 if missing is None else max(0.0, (utc_now() - missing).total_seconds())
