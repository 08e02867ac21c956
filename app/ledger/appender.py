"""Append to the ledger, inside the transaction of its single writer."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import actor_hash, writer_hashing_key
from app.access.principal import Principal
from app.domain.times import utc_now
from app.domain.tlp import MAX_LEVEL
from app.http.problems import Problem
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import HASH_COLUMNS, LEAF_COLUMNS, SEQ_COLUMNS, LedgerEntry, LedgerHead
from app.ledger.nodes import insert_nodes
from app.ledger.tree import TILE_WIDTH
from app.reference.records import REVEAL_FROM
from app.storage.database import LOCKED_HEAD
from app.storage.direct import Statements, execute_direct, execute_together, insert_into
from app.storage.paging import HEADS
from app.storage.types import column_values, detached_row, table_of

HEAD_ID = 1
SALT_BYTES = 16
# Without the ORM, which would double the cost of each statement.
_head = table_of(LedgerHead)
_LOCK_HEAD = select(_head).where(_head.c.id == HEAD_ID).with_for_update()
_UPDATE_HEAD = update(_head).where(_head.c.id == HEAD_ID)


# Small jumps back are usual: the ledger's times go on from the last entry.
MAX_CLOCK_BEHIND = timedelta(days=1)
CLOCK_BEHIND = (
    "The clock of this machine is more than a day behind the last ledger entry; its operator has to set the clock, "
    "or to repair the ledger if an earlier clock was ahead."
)


def is_clock_behind(last_recorded_at: datetime) -> bool:
    """Return whether the clock of this machine is so far behind the last entry of the ledger that nothing may be recorded."""
    return last_recorded_at - utc_now() > MAX_CLOCK_BEHIND


@dataclass(slots=True)
class LedgerAppender:
    """The locked end of the ledger. `seq` and `hashes` hold the last position and hash of each clearance."""

    global_seq: int
    recorded_at: datetime
    seq: list[int]
    hashes: list[str]
    # The secret with which the keys that act are hashed.
    hashing_key: bytes
    # The positions up to which the nodes of the trees are stored.
    _sealed: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._sealed = list(self.seq)

    def new_entry(self, type_: str, caller: Principal, **columns: Any) -> LedgerEntry:
        """Return an entry that the caller records in this transaction; `append` gives it its positions."""
        return detached_row(
            LedgerEntry,
            global_seq=0,
            type=type_,
            recorded_at=self.recorded_at,
            recorded_by=caller.organisation or "",
            key_id=caller.key_id,
            actor_hash=actor_hash(caller.key_id, self.hashing_key),
            salt=secrets.token_bytes(SALT_BYTES).hex(),
            **columns,
        )

    def append(self, entry: LedgerEntry, body: dict[str, Any], aliases: Mapping[str, str] | None = None) -> None:
        """Give an entry its number, and its position and hash in the ledger of each clearance from its level upwards.

        `body` is the entry in full; `aliases` maps the slugs of the protected sources that it names to their alias slugs.
        """
        self.global_seq += 1
        entry.global_seq = self.global_seq
        entry.pseudonymised_below = REVEAL_FROM if aliases else 0
        views = EntryViews(entry, body, aliases or {})
        for level in range(entry.level, MAX_LEVEL + 1):
            self.seq[level] += 1
            self.hashes[level] = chain_hash(self.hashes[level], views.canonical(level))
            setattr(entry, SEQ_COLUMNS[level], self.seq[level])
            setattr(entry, HASH_COLUMNS[level], self.hashes[level])
            setattr(entry, LEAF_COLUMNS[level], views.leaf(level))

    async def flush(self, session: AsyncSession, entries: Sequence[LedgerEntry], inserts: Statements = ()) -> None:
        """Insert appended entries and write the new head, after `inserts` that are left to do; do nothing without entries."""
        if statements := await self.statements(session, entries, inserts):
            await execute_together(await session.connection(), statements)

    async def statements(self, session: AsyncSession, entries: Sequence[LedgerEntry], inserts: Statements = ()) -> Statements:
        """Return what `flush` would execute, of which nothing reads what the others write; what completes a tree is executed here."""
        if not entries:
            return ()
        rows = [column_values(LedgerEntry, entry) for entry in entries]
        return await self.head_statements(session, [*inserts, (insert_into(table_of(LedgerEntry)), rows)])

    async def head_statements(self, session: AsyncSession, inserts: Statements = ()) -> Statements:
        """Return the statements that write the new head, for entries that are inserted already or by the last of `inserts`."""
        session.info[HEADS] = self.seq
        connection = await session.connection()
        grown = [(level, seq) for level, seq in enumerate(self.seq) if seq // TILE_WIDTH > self._sealed[level] // TILE_WIDTH]
        if grown and inserts:
            await execute_together(connection, inserts)
            inserts = ()
        for level, seq in grown:
            await insert_nodes(session, level, self._sealed[level], seq)
        self._sealed = list(self.seq)
        positions = zip((*SEQ_COLUMNS, *HASH_COLUMNS), (*self.seq, *self.hashes), strict=True)
        head = {"global_seq": self.global_seq, "recorded_at": self.recorded_at, **dict(positions)}
        return [*inserts, (_UPDATE_HEAD, head)]


async def open_appender(session: AsyncSession) -> LedgerAppender:
    """Lock the end of the ledger until the transaction ends.

    The commit time is this machine's clock, but always later than that of the last entry, so that `known_at` separates any two commits.
    While the clock is behind, how much later is drawn: fixed steps would count the commits between two times. It is 0.6 ms on average, so
    that the clock catches up under load.
    Raises 503 if the clock is more than a day behind: every further entry would get the time of a clock that was wrong.
    """
    head = session.info.pop(LOCKED_HEAD, None) or (await execute_direct(await session.connection(), _LOCK_HEAD, {})).one()
    if is_clock_behind(head.recorded_at):
        raise Problem(503, CLOCK_BEHIND, kind="clock", headers={"Retry-After": "60"})
    return LedgerAppender(
        global_seq=head.global_seq,
        recorded_at=max(utc_now(), head.recorded_at + timedelta(microseconds=1 + secrets.randbelow(1 << secrets.randbelow(14)))),
        seq=[getattr(head, name) or 0 for name in SEQ_COLUMNS],
        hashes=[getattr(head, name) or GENESIS for name in HASH_COLUMNS],
        hashing_key=await writer_hashing_key(session),
    )
