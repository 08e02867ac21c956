"""Appending to the ledger, inside the one writer's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.times import utc_now
from app.domain.tlp import LABELS, TOP
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import LedgerEntry, LedgerHead
from app.reference.facts import REVEAL_FROM
from app.storage.types import row_of, table_of

HEAD = 1


@dataclass(slots=True)
class LedgerAppender:
    """The end of the ledger, held by a writer: numbers and hashes entries, then is put back by `close`."""

    number: int
    recorded_at: datetime
    seq: list[int]
    hash: list[str]

    def append(self, change: LedgerEntry, entry: dict[str, Any], aliases: Mapping[str, str] | None = None) -> None:
        """Give a change its number, and its position and hash in the ledger of each clearance from its level up.

        `aliases` has the slugs under which protected sources show that the entry names, by their own slugs.
        """
        self.number += 1
        change.global_seq = self.number
        change.pseudonymised_below = REVEAL_FROM if aliases else 0
        faces = EntryViews(change, entry, aliases or {})
        for level in range(change.level, TOP + 1):
            self.seq[level] += 1
            self.hash[level] = chain_hash(self.hash[level], faces.canonical(level))
            setattr(change, f"seq_{LABELS[level]}", self.seq[level])
            setattr(change, f"hash_{LABELS[level]}", self.hash[level])

    def head_columns(self) -> dict[str, Any]:
        """The heads as columns."""
        return {f"seq_{label}": self.seq[level] for level, label in enumerate(LABELS)} | {
            f"hash_{label}": self.hash[level] for level, label in enumerate(LABELS)
        }


# A transaction may append several times: what it holds of the head from before is not what stands now.
_LOCKED = select(LedgerHead).where(col(LedgerHead.id) == HEAD).with_for_update().execution_options(populate_existing=True)
_PUT_BACK = update(table_of(LedgerHead)).where(col(LedgerHead.id) == HEAD)


async def open_appender(session: AsyncSession) -> LedgerAppender:
    """The end of the ledger, locked until the transaction ends.

    The time of the commit is this machine's clock, but always after the entry that came last, so that `known_at` parts any two commits.
    """
    head = (await session.scalars(_LOCKED)).one()
    return LedgerAppender(
        number=head.global_seq,
        recorded_at=max(utc_now(), head.recorded_at + timedelta(microseconds=1)),
        seq=[getattr(head, f"seq_{label}") or 0 for label in LABELS],
        hash=[getattr(head, f"hash_{label}") or GENESIS for label in LABELS],
    )


async def flush(session: AsyncSession, tail: LedgerAppender, changes: Sequence[LedgerEntry]) -> None:
    """Write the entries and the new head."""
    if not changes:
        return
    await session.execute(insert(table_of(LedgerEntry)), [row_of(LedgerEntry, change) for change in changes])
    await write_head(session, tail)


async def write_head(session: AsyncSession, tail: LedgerAppender) -> None:
    """Write the new head, where the entries are written already."""
    await session.execute(_PUT_BACK, {"global_seq": tail.number, "recorded_at": tail.recorded_at, **tail.head_columns()})
