"""The dispatcher of each worker process: woken by every commit, and when a delivery is due."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from app.domain.times import utc_now
from app.domain.tlp import LABELS
from app.settings import Settings
from app.storage.database import Database
from app.storage.paging import head_seq
from app.storage.types import UtcDateTime, table_of
from app.webhooks.delivery import deliver, new_client
from app.webhooks.leases import Lease, acquire_lease, deliverable, lease_duration, record_result, release_lease, renew_lease
from app.webhooks.models import Delivery, Webhook
from app.webhooks.queue import is_full, refresh_body

# Polls at least this often, in case a notification of a commit is lost.
MAX_SLEEP_SECONDS = 30.0
ERROR_BACKOFF_SECONDS = 1.0
MAX_LEASES = 100
# How long shutdown waits for attempts under way.
SHUTDOWN_GRACE_SECONDS = 2.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def dispatching(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Deliver while the block runs; at its end wait SHUTDOWN_GRACE_SECONDS for attempts under way."""
    dispatcher = Dispatcher(database, settings)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield
    finally:
        await dispatcher.stop(task)


class Dispatcher:
    """Delivers what is due to all webhooks that no other process has leased."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        # Built once, because every commit runs it.
        self._poll_query = _select_deliverable(settings.public_clearance.level)
        self._deliveries: dict[UUID, asyncio.Task[None]] = {}
        self._paused_until: dict[UUID, datetime] = {}
        self._stop_requested: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def _stopping(self) -> bool:
        return self._stop_requested.done() or self._database.commit_notifier.closed

    async def run(self) -> None:
        """Start deliveries and sleep, until `stop` is called; errors are logged and retried."""
        while not self._stopping:
            version = self._database.commit_notifier.version()
            wake: Coroutine[Any, Any, Any]
            try:
                wake = self._database.commit_notifier.wait_for_commit(version, await self._start_deliveries())
            except Exception as error:  # noqa: BLE001 - otherwise the task would end silently and deliver nothing any more
                _log_error("webhook_poll_failed", error)
                wake = asyncio.sleep(ERROR_BACKOFF_SECONDS)
            await self._sleep_until(asyncio.create_task(wake))

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Stop the task of `run` and all deliveries; cancel those under way after SHUTDOWN_GRACE_SECONDS."""
        if not self._stop_requested.done():
            self._stop_requested.set_result(None)
        running = {task, *self._deliveries.values()}
        _, late = await asyncio.wait(running, timeout=SHUTDOWN_GRACE_SECONDS)
        for each in late:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _sleep_until(self, wake: asyncio.Task[Any]) -> None:
        await asyncio.wait({wake, self._stop_requested, *self._deliveries.values()}, return_when=asyncio.FIRST_COMPLETED)
        wake.cancel()
        await asyncio.gather(wake, return_exceptions=True)

    async def _start_deliveries(self) -> float:
        """Start a task for each webhook with due deliveries; return seconds until the next is due."""
        now = utc_now()
        self._paused_until = {id_: until for id_, until in self._paused_until.items() if until > now}
        pending = [(due_at, row["id"]) for row in await self._poll() if (due_at := _due_at(row, now, self._paused_until)) is not None]
        # The longest due first; otherwise slow receivers could keep all leases.
        for due_at, id_ in sorted(each for each in pending if each[1] not in self._deliveries):
            if due_at > now:
                return min(MAX_SLEEP_SECONDS, (due_at - now).total_seconds())
            # A task that starts after `stop` was called would outlive the database.
            if len(self._deliveries) >= MAX_LEASES or self._stopping:
                break
            task = asyncio.create_task(self._deliver_pending(id_))
            self._deliveries[id_] = task
            task.add_done_callback(lambda done, id_=id_: self._on_done(id_, done))  # type: ignore[misc]
        return MAX_SLEEP_SECONDS

    def _on_done(self, webhook_id: UUID, task: asyncio.Task[None]) -> None:
        del self._deliveries[webhook_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log_error("webhook_delivery_failed", error, webhook=str(webhook_id))
            self._paused_until[webhook_id] = utc_now() + timedelta(seconds=ERROR_BACKOFF_SECONDS)

    async def _poll(self) -> list[RowMapping]:
        # Not from a replica, which may lag behind the commit that woke this task.
        engine = self._database.reader if self._database.dialect == "sqlite" else self._database.writer
        async with engine.connect() as connection:
            return list((await connection.execute(self._poll_query, {"now": utc_now()})).mappings())

    async def _deliver_pending(self, webhook_id: UUID) -> None:
        async with self._database.writer.begin() as connection:
            lease = await acquire_lease(connection, webhook_id, self._settings)
        if lease is None or not lease.due:
            return
        try:
            await self._deliver_leased(lease)
        except BaseException:
            # A cancelled attempt may have arrived; the next lease repeats it under the same identifier.
            with contextlib.suppress(SQLAlchemyError, OSError):
                async with self._database.writer.begin() as connection:
                    await release_lease(connection, lease)
            raise

    async def _deliver_leased(self, lease: Lease) -> None:
        """Deliver what is due, one after another, until all is done, the lease's first duration is over, or the lease is lost."""
        settings, webhook = self._settings, lease.webhook
        deadline = utc_now() + lease_duration(settings)
        seconds, allow_private = settings.webhook_timeout_seconds, settings.webhook_allow_private
        async with new_client() as client:
            body = lease.body
            for delivery, following in zip(lease.due, [*lease.due[1:], None], strict=True):
                started = utc_now()
                result = await deliver(
                    client, webhook["url"], delivery["id"], body, webhook["secret"], seconds=seconds, allow_private=allow_private
                )
                async with self._database.writer.begin() as connection:
                    await record_result(connection, lease, delivery, started, result, settings)
                    if following is None or self._stopping or utc_now() >= deadline:
                        await release_lease(connection, lease)
                        return
                    if not await renew_lease(connection, lease, settings):
                        return
                    body = await refresh_body(connection, webhook, following)


def _select_deliverable(public_level: int) -> Select[Any]:
    """Select every deliverable webhook at the time `now`: cursor, lease, first due delivery, and the heads of the ledger."""
    hooks, sent = table_of(Webhook), table_of(Delivery)
    first = select(func.min(sent.c.next_attempt_at)).where(sent.c.webhook_id == hooks.c.id, sent.c.status == "pending")
    return select(
        hooks.c.id,
        hooks.c.cursor_seq,
        hooks.c.level,
        hooks.c.lease_expires_at,
        first.correlate(hooks).scalar_subquery().label("due_at"),
        is_full().label("full"),
        *(head_seq(level).label(f"head_{level}") for level in range(len(LABELS))),
    ).where(*deliverable(bindparam("now", type_=UtcDateTime), public_level))


def _log_error(event: str, error: BaseException, **more: str) -> None:
    # Database and network errors are expected in operation; anything else is a bug and gets its traceback.
    bug = not isinstance(error, (SQLAlchemyError, OSError))
    log.log(logging.ERROR if bug else logging.WARNING, event, error=type(error).__name__, exc_info=error if bug else None, **more)


def _due_at(row: RowMapping, now: datetime, paused_until: dict[UUID, datetime]) -> datetime | None:
    """Return when a webhook is next due; None if nothing is pending."""
    times = [] if row["due_at"] is None else [row["due_at"]]
    if row["cursor_seq"] < (row[f"head_{row['level']}"] or 0) and not row["full"]:
        times.append(now)
    if not times:
        return None
    due_at: datetime = max(min(times), row["lease_expires_at"] or min(times), paused_until.get(row["id"], min(times)))
    return due_at
