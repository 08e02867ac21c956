"""The dispatcher of each worker process: woken by every commit, and when a delivery is due."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Select, bindparam, case, func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from app.domain.times import utc_now
from app.domain.tlp import LABELS
from app.settings import Settings
from app.storage.database import Database
from app.storage.paging import head_seq
from app.storage.types import UtcDateTime, table_of
from app.webhooks.delivery import deliver, new_client
from app.webhooks.leases import Lease, acquire_lease, deliverable, record_result, release_lease, renew_lease
from app.webhooks.models import Delivery, Webhook
from app.webhooks.queue import is_full, refresh_body

# Polls at least this often, in case a notification of a commit is lost.
MAX_SLEEP_SECONDS = 30.0
ERROR_BACKOFF_SECONDS = 1.0
# One look for all commits of a moment: a look after each costs a sixth of a write.
COMMIT_PAUSE_SECONDS = 0.05
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
        self._stop_requested: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def _stopping(self) -> bool:
        return self._stop_requested.done() or self._database.commit_notifier.closed

    async def run(self) -> None:
        """Start deliveries and sleep, until `stop` is called; errors are logged and retried."""
        while not self._stopping:
            version = self._database.commit_notifier.version()
            try:
                sleep = await self._start_deliveries()
            except Exception as error:  # noqa: BLE001 - otherwise the task would end silently and deliver nothing any more
                _log_error("webhook_poll_failed", error)
                await self._pause()
                continue
            commit: asyncio.Task[Any] = asyncio.create_task(self._database.commit_notifier.wait_for_commit(version, sleep))
            await asyncio.wait({commit, self._stop_requested, *self._deliveries.values()}, return_when=asyncio.FIRST_COMPLETED)
            if commit.done():
                await self._pause(COMMIT_PAUSE_SECONDS)
            commit.cancel()
            await asyncio.gather(commit, return_exceptions=True)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Stop the task of `run` and all deliveries; cancel those under way after SHUTDOWN_GRACE_SECONDS."""
        self._stop_requested.set_result(None)
        running = {task, *self._deliveries.values()}
        _, late = await asyncio.wait(running, timeout=SHUTDOWN_GRACE_SECONDS)
        for each in late:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _pause(self, seconds: float = ERROR_BACKOFF_SECONDS) -> None:
        await asyncio.wait([self._stop_requested], timeout=seconds)

    async def _start_deliveries(self) -> float:
        """Start a task for each webhook with due deliveries; return seconds until the next is due."""
        now = utc_now()
        pending = [(due_at, row["id"]) for row in await self._poll() if (due_at := _due_at(row, now)) is not None]
        # The longest due first; otherwise slow receivers could keep all leases.
        for due_at, id_ in sorted(each for each in pending if each[1] not in self._deliveries):
            if due_at > now:
                return min(MAX_SLEEP_SECONDS, (due_at - now).total_seconds())
            # A task that starts after `stop` was called would outlive the database.
            if len(self._deliveries) >= MAX_LEASES or self._stopping:
                break
            self._deliveries[id_] = asyncio.create_task(self._deliver_pending(id_))
        return MAX_SLEEP_SECONDS

    async def _poll(self) -> list[RowMapping]:
        async with self._database.read_latest() as connection:
            return list((await connection.execute(self._poll_query, {"now": utc_now()})).mappings())

    async def _deliver_pending(self, webhook_id: UUID) -> None:
        try:
            async with self._database.writer.begin() as connection:
                lease = await acquire_lease(connection, webhook_id, self._settings)
            if lease is not None:
                await self._deliver_leased(lease)
        except Exception as error:  # noqa: BLE001 - whatever failed, the webhook is tried again after a pause
            _log_error("webhook_delivery_failed", error, webhook=str(webhook_id))
            await self._pause()
        finally:
            del self._deliveries[webhook_id]

    async def _deliver_leased(self, lease: Lease) -> None:
        """Deliver what is due, one after another, until all is done, one fails or the lease cannot be renewed."""
        settings, webhook, body = self._settings, lease.webhook, lease.body
        try:
            async with new_client() as client:
                for delivery, following in zip(lease.due, [*lease.due[1:], None], strict=True):
                    started = utc_now()
                    result = await deliver(client, webhook["url"], delivery["id"], body, webhook["secret"], settings)
                    async with self._database.writer.begin() as connection:
                        await record_result(connection, webhook, delivery, started, result, settings)
                        # A failed one ends the lease, because later changes wait for it; otherwise they would arrive before it.
                        ends = following is None or result.error is not None or self._stopping
                        if ends or not await renew_lease(connection, webhook, settings):
                            await release_lease(connection, webhook)
                            return
                        assert following is not None
                        body = await refresh_body(connection, webhook, following)
        except BaseException:
            # A cancelled attempt may have arrived; the next lease repeats it under the same identifier.
            with contextlib.suppress(SQLAlchemyError, OSError):
                async with self._database.writer.begin() as connection:
                    await release_lease(connection, webhook)
            raise


@cache
def _select_deliverable(public_level: int) -> Select[Any]:
    """Select every deliverable webhook at the time `now`: its lease, its first pending delivery, and whether it has changes to queue."""
    hooks, sent = table_of(Webhook).c, table_of(Delivery).c
    first = select(sent.next_attempt_at).where(sent.webhook_id == hooks.id, sent.status == "pending").order_by(sent.seq).limit(1)
    head = case({level: head_seq(level) for level in range(len(LABELS))}, value=hooks.level)
    has_changes = (hooks.cursor_seq < func.coalesce(head, 0)) & ~is_full()
    columns = hooks.id, hooks.lease_expires_at, first.scalar_subquery().label("due_at")
    return select(*columns, has_changes.label("has_changes")).where(*deliverable(bindparam("now", type_=UtcDateTime), public_level))


def _log_error(event: str, error: Exception, **more: str) -> None:
    # Database and network errors are expected in operation; anything else is a bug and gets its traceback.
    bug = not isinstance(error, (SQLAlchemyError, OSError))
    log.log(logging.ERROR if bug else logging.WARNING, event, error=type(error).__name__, exc_info=error if bug else None, **more)


def _due_at(row: RowMapping, now: datetime) -> datetime | None:
    """Return when a webhook is next due; None if nothing is pending."""
    due_at: datetime | None = min(now, row["due_at"] or now) if row["has_changes"] else row["due_at"]
    return due_at if due_at is None else max(due_at, row["lease_expires_at"] or due_at)
