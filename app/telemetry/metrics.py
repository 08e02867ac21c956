"""Prometheus metrics. Counts of the ledger and of indicators cover public entries only, so that they reveal nothing restricted."""

import os
from collections.abc import Iterator

from prometheus_client import GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col
from starlette.requests import Request
from starlette.types import ASGIApp

from app.access.models import AuditEntry
from app.assessment.models import IndicatorProjection
from app.domain.times import utc_now
from app.domain.tlp import LABELS
from app.http.rate_limit import SHARED_COUNTERS_VARIABLE
from app.http.route_index import RouteIndex
from app.http.state import AppState
from app.ledger.checkpoints import find_signing_problems
from app.ledger.models import LedgerEntry
from app.operations.models import OperationRun
from app.operations.runs import BACKUP, VERIFY
from app.settings import Settings
from app.storage.database import Database
from app.storage.database_errors import classify_database_error
from app.storage.paging import head_seq
from app.storage.sqlite_file import audit_database_url, sqlite_path
from app.storage.types import table_of
from app.webhooks.models import Delivery

DATABASE_GAUGES = {
    "lifeline_database_up": "1 if the database answered this scrape, else 0.",
    "lifeline_ledger_seq": "Number of the last public ledger entry.",
    "lifeline_stale_indicators": "Public indicators whose newest report is older than its kind allows.",
    "lifeline_webhook_deliveries_pending": "Webhook deliveries that wait to be sent.",
    "lifeline_database_bytes": "Size of the database, on SQLite of its two files and their logs.",
    "lifeline_checkpoints_refused": "Clearances whose ledger does not continue what was signed before; no sample where nothing is signed.",
    "lifeline_audit_entries": "Entries of the audit log.",
    "lifeline_backup_age_seconds": "Time since the last `lifeline backup` of this database ended well; no sample before the first.",
    "lifeline_verify_age_seconds": "Time since the last `lifeline verify` of this database ended well; no sample before the first.",
    "lifeline_replica_up": "1 if the read replica answered this scrape, else 0.",
    "lifeline_replica_lag_seconds": "Age in seconds of the oldest ledger entry that the read replica lacks; 0 if it lacks none.",
}


class RequestMetricsMiddleware(PrometheusInstrumentatorMiddleware):
    """Counts requests by route. It looks the route up in the route index first; the library would match every route in turn."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, route_index: RouteIndex) -> None:
        super().__init__(app, registry=registry)
        self._route_index = route_index

    def _get_handler(self, request: Request) -> tuple[str, bool]:
        template = self._route_index.template(request.scope)
        return super()._get_handler(request) if template is None else (template, True)


class ProcessMetrics(Collector):
    """Metrics that one process counts itself: hits and size of the response cache, and load shedding."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield the current values of an application that has started."""
        cache, shedding = self._state.response_cache, self._state.load_shedding
        hits = CounterMetricFamily(
            "lifeline_response_cache_hits",
            "Requests answered from the response cache; http_requests_total counts the others.",
            labels=("handler", "method", "status"),
        )
        for labels, count in cache.hits.items():
            hits.add_metric(labels, count)
        yield hits
        requests = CounterMetricFamily(
            "lifeline_requests", "Requests of clients by route, method and status, cached responses included.", labels=hits._labelnames
        )
        for labels, count in self._state.edge.responses.items():
            requests.add_metric(labels, count)
        yield requests
        yield GaugeMetricFamily("lifeline_response_cache_bytes", "Bytes of cached responses.", cache.size)
        in_flight = GaugeMetricFamily("lifeline_requests_in_flight", "Requests that are being processed.", labels=("type",))
        limit = GaugeMetricFamily(
            "lifeline_concurrency_limit", "Requests processed at once before others are answered 503; falls with latency.", labels=("type",)
        )
        for type_, limiter in (
            ("read", shedding.reads),
            ("write", shedding.writes),
            ("unverified", shedding.unverified),
            ("page", shedding.pages),
        ):
            in_flight.add_metric((type_,), limiter.in_flight)
            limit.add_metric((type_,), int(limiter.limit))
        yield in_flight
        yield limit
        yield CounterMetricFamily("lifeline_requests_shed", "Requests answered 503 because of overload.", shedding.shed)
        yield GaugeMetricFamily("lifeline_open_streams", "Open event streams and long polls.", shedding.long_polls.in_flight)


class DatabaseMetrics(Collector):
    """Gauges that come from the database, with the values of the last sample; a gauge without a value has no sample."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._values: dict[str, float | None] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        for name, documentation in DATABASE_GAUGES.items():
            yield GaugeMetricFamily(name, documentation, self._values.get(name))

    async def sample(self, *, all_gauges: bool) -> None:
        """Take the values from the database; those that only `admin` keys see with `all_gauges`, because they take longer.

        While it does not answer, counts keep their last values.
        """
        database, level = self._state.database, self._state.settings.public_clearance.level
        stale = (
            select(func.count())
            .select_from(IndicatorProjection)
            .where(
                col(IndicatorProjection.stale_after) < utc_now(),
                col(IndicatorProjection.min_clearance) <= level,
                col(IndicatorProjection.max_clearance) >= level,
            )
        )
        pending = select(func.count()).select_from(Delivery).where(col(Delivery.status) == "pending")
        applied = None if database.replica is None else await database.replica.applied_global_seq()
        replica_up = None if database.replica is None else float(applied is not None)
        self._values |= {"lifeline_database_up": 0, "lifeline_replica_up": replica_up, "lifeline_replica_lag_seconds": None}
        try:
            async with database.read_latest() as connection:
                counts = select(head_seq(level), stale.scalar_subquery(), pending.scalar_subquery())
                seq, stale_count, pending_count = (await connection.execute(counts)).one()
                lag = None if applied is None else await _replica_lag(connection, applied)
                if all_gauges:
                    self._values |= await _sample_operations(connection, database, self._state.settings)
        except Exception as error:
            if classify_database_error(error) is None:
                raise
            return
        self._values |= {
            "lifeline_database_up": 1,
            "lifeline_ledger_seq": seq or 0,
            "lifeline_stale_indicators": stale_count,
            "lifeline_webhook_deliveries_pending": pending_count,
            "lifeline_replica_lag_seconds": lag,
        }


async def _sample_operations(primary: AsyncConnection, database: Database, settings: Settings) -> dict[str, float | None]:
    """Return the gauges of what an operator looks after."""
    audit_entries = 0
    for engine in database.audit_readers:
        async with engine.connect() as connection:
            audit_entries += (await connection.execute(select(func.count()).select_from(table_of(AuditEntry)))).scalar_one()
    sqlite_bytes = _sqlite_bytes(settings.database_url)
    refused = await find_signing_problems(settings, range(len(LABELS)), database.read_latest)
    run = table_of(OperationRun).c
    ages = {row.name: (utc_now() - row.finished_at).total_seconds() for row in await primary.execute(select(run.name, run.finished_at))}
    return {
        "lifeline_database_bytes": sqlite_bytes or await primary.scalar(select(func.pg_database_size(func.current_database()))),
        "lifeline_checkpoints_refused": None if settings.origin is None else len(refused),
        "lifeline_audit_entries": audit_entries,
        "lifeline_backup_age_seconds": ages.get(BACKUP),
        "lifeline_verify_age_seconds": ages.get(VERIFY),
    }


def _sqlite_bytes(url: str) -> int:
    """Return the size of SQLite's two files and their logs; 0 for PostgreSQL."""
    paths = [path for each in (url, audit_database_url(url)) if (path := sqlite_path(each)) is not None]
    files = [path.with_name(path.name + suffix) for path in paths for suffix in ("", "-wal")]
    return sum(each.stat().st_size for each in files if each.is_file())


async def _replica_lag(primary: AsyncConnection, applied: int) -> float:
    # Not the time since the last replay: that grows while there is nothing to replay.
    first_missing = (
        select(col(LedgerEntry.recorded_at)).where(col(LedgerEntry.global_seq) > applied).order_by(col(LedgerEntry.global_seq)).limit(1)
    )
    recorded_at = (await primary.execute(first_missing)).scalar_one_or_none()
    return 0.0 if recorded_at is None else max(0.0, (utc_now() - recorded_at).total_seconds())


class WorkerRegistry(CollectorRegistry):
    """Adds the label `worker`, the process id, to every sample, because each scrape of several workers reaches another one."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with the label."""
        worker = {"worker": str(os.getpid())}
        for metric in super().collect():
            metric.samples = [sample._replace(labels=sample.labels | worker) for sample in metric.samples]
            yield metric


def metrics_registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry for one application, with the metrics of the process and of some collectors."""
    registry = WorkerRegistry() if SHARED_COUNTERS_VARIABLE in os.environ else CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    for each in collectors:
        registry.register(each)
    return registry
