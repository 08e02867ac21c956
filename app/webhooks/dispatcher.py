"""The task of each process that sends: woken by every commit, and by the clock when something falls due."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
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
from app.webhooks.delivery import attempt, new_client
from app.webhooks.models import Delivery, Webhook
from app.webhooks.service import Turn, as_seen_now, is_full, keep_turn, lease_seconds, may_send, record, take_turn

# It looks now and then without being told to, should ever a signal be lost.
LONGEST_SLEEP = timedelta(seconds=30)
REST_AFTER_ERROR = timedelta(seconds=1)
MOST_TURNS = 100
# What an attempt under way has to end in, when the process is to end.
GRACE_SECONDS = 2.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def dispatching(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Send while the block runs; at its end attempts under way may end, and what is left is the next process's."""
    dispatcher = Dispatcher(database, settings)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield
    finally:
        await dispatcher.stop(task)


class Dispatcher:
    """Sends what is due, for all webhooks that no other process is sending to."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        # Asked at every commit: put together once.
        self._looking = _looking(settings.public_clearance.level)
        self._turns: dict[UUID, asyncio.Task[None]] = {}
        self._resting: dict[UUID, datetime] = {}
        self._stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def _stopping(self) -> bool:
        return self._stop.done() or self._database.signal.closed

    async def run(self) -> None:
        """Look, send, sleep, until it is to stop. Whatever goes wrong is logged, and tried again."""
        while not self._stopping:
            version = self._database.signal.version()
            try:
                sleep = await self._start_turns()
            except Exception as error:  # noqa: BLE001 - nobody would notice that a sender has ended
                _tell("webhooks_not_looked_at", error)
                await self._sleep_until(asyncio.create_task(asyncio.sleep(REST_AFTER_ERROR.total_seconds())))
                continue
            await self._sleep_until(asyncio.create_task(self._changed(version, sleep)))

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End `run`, and every turn; what is under way has two seconds."""
        if not self._stop.done():
            self._stop.set_result(None)
        running = {task, *self._turns.values()}
        _, late = await asyncio.wait(running, timeout=GRACE_SECONDS)
        for each in late:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _changed(self, version: int | None, sleep: timedelta) -> None:
        await self._database.signal.changed(version, sleep.total_seconds())

    async def _sleep_until(self, waking: asyncio.Task[None]) -> None:
        await asyncio.wait({waking, self._stop, *self._turns.values()}, return_when=asyncio.FIRST_COMPLETED)
        waking.cancel()
        await asyncio.gather(waking, return_exceptions=True)

    async def _start_turns(self) -> timedelta:
        """Begin the turns that are to begin; answers how long there is nothing more to do."""
        now = utc_now()
        self._resting = {id_: until for id_, until in self._resting.items() if until > now}
        waiting = [(due, row["id"]) for row in await self._look() if (due := _due(row, now, self._resting)) is not None]
        sleep = LONGEST_SLEEP
        # Who has waited longest comes first, so that slow receivers cannot keep every turn to themselves.
        for due, id_ in sorted(each for each in waiting if each[1] not in self._turns):
            if due > now:
                return min(sleep, due - now)
            # Nobody would wait for a turn that begins after `stop` was called.
            if len(self._turns) >= MOST_TURNS or self._stopping:
                return sleep
            turn = asyncio.create_task(self._turn(id_))
            self._turns[id_] = turn
            turn.add_done_callback(lambda done, id_=id_: self._ended(id_, done))  # type: ignore[misc]
        return sleep

    def _ended(self, webhook_id: UUID, turn: asyncio.Task[None]) -> None:
        del self._turns[webhook_id]
        if not turn.cancelled() and (error := turn.exception()) is not None:
            _tell("webhook_turn_failed", error, webhook=str(webhook_id))
            self._resting[webhook_id] = utc_now() + REST_AFTER_ERROR

    async def _look(self) -> list[RowMapping]:
        # A replica for reading may be behind, and then would say that there is nothing to do.
        engine = self._database.reader if self._database.dialect == "sqlite" else self._database.writer
        async with engine.connect() as connection:
            return list((await connection.execute(self._looking, {"now": utc_now()})).mappings())

    async def _turn(self, webhook_id: UUID) -> None:
        async with self._database.writer.begin() as connection:
            turn = await take_turn(connection, webhook_id, self._settings)
        if turn is None or not turn.due:
            return
        ended = False
        try:
            await self._send(turn)
            ended = True
        finally:
            # A cancelled attempt may have arrived: it is sent again under the same identifier, by the next who takes the turn.
            if not ended:
                with contextlib.suppress(SQLAlchemyError, OSError):
                    async with self._database.writer.begin() as connection:
                        await keep_turn(connection, turn, self._settings, go_on=False)

    async def _send(self, turn: Turn) -> None:
        """Send what is due, one after another, until it is done, time is up, or the turn was lost; the turn is given back with the last."""
        settings, webhook = self._settings, turn.webhook
        until = utc_now() + timedelta(seconds=lease_seconds(settings))
        async with new_client() as client:
            delivery = turn.due[0]
            for number in range(1, len(turn.due) + 1):
                started = utc_now()
                outcome = await attempt(
                    client,
                    webhook["url"],
                    delivery["id"],
                    delivery["body"],
                    webhook["secret"],
                    seconds=settings.webhook_timeout_seconds,
                    allow_private=settings.webhook_allow_private,
                )
                go_on = number < len(turn.due) and not self._stopping and utc_now() < until
                async with self._database.writer.begin() as connection:
                    await record(connection, turn, delivery, started, outcome, settings)
                    held = await keep_turn(connection, turn, settings, go_on=go_on)
                    if held:
                        delivery = await as_seen_now(connection, turn, turn.due[number])
                if not held:
                    return


def _looking(public_level: int) -> Select[Any]:
    """Every webhook that goes at the time `now`: its cursor, who has it until when, its first due delivery, and the head of its ledger."""
    hooks, sent = table_of(Webhook), table_of(Delivery)
    first = select(func.min(sent.c.next_attempt_at)).where(sent.c.webhook_id == hooks.c.id, sent.c.status == "pending")
    return select(
        hooks.c.id,
        hooks.c.cursor_seq,
        hooks.c.level,
        hooks.c.lease_expires_at,
        first.correlate(hooks).scalar_subquery().label("due"),
        is_full().label("full"),
        *(head_seq(level).label(f"head_{level}") for level in range(len(LABELS))),
    ).where(*may_send(bindparam("now", type_=UtcDateTime), public_level))


def _tell(event: str, error: BaseException, **more: str) -> None:
    # A database that does not answer is no mistake of ours; anything else is.
    ours = not isinstance(error, (SQLAlchemyError, OSError))
    log.log(logging.ERROR if ours else logging.WARNING, event, error=type(error).__name__, exc_info=error if ours else None, **more)


def _due(row: RowMapping, now: datetime, resting: dict[UUID, datetime]) -> datetime | None:
    """When a webhook has something to do for whoever comes then; None when it has nothing to do."""
    times = [] if row["due"] is None else [row["due"]]
    if row["cursor_seq"] < (row[f"head_{row['level']}"] or 0) and not row["full"]:
        times.append(now)
    if not times:
        return None
    due: datetime = max(min(times), row["lease_expires_at"] or min(times), resting.get(row["id"], min(times)))
    return due
