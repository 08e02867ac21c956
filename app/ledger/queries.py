"""The ledger read: where it stands, and where it stood."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.db import table_of
from app.labels import LABELS
from app.ledger.chain import GENESIS
from app.ledger.models import Change
from app.reference.moment import NOW, Moment
from app.times import last_instant, rfc3339


async def moment_of(connection: AsyncConnection, as_of: str | None, known_at: str | None) -> Moment:
    """The moment of the request's `as_of` and `known_at`, each a normal time or None; a date is its end of day in UTC."""
    if as_of is None and known_at is None:
        return NOW
    upto = None
    if known_at is not None:
        last = select(func.max(col(Change.number))).where(col(Change.recorded_at) <= last_instant(known_at))
        upto = (await connection.execute(last)).scalar_one() or 0
    return Moment(as_of=None if as_of is None else last_instant(as_of), upto=upto)


async def head_of(connection: AsyncConnection, level: int) -> dict[str, Any]:
    """The last entry of the ledger as a clearance sees it: seq, hash and time; seq 0 and 64 zeros before the first."""
    label = LABELS[level]
    seq, hash_ = table_of(Change).c[f"seq_{label}"], table_of(Change).c[f"hash_{label}"]
    last = select(seq, hash_, col(Change.recorded_at)).where(seq.is_not(None)).order_by(seq.desc()).limit(1)
    row = (await connection.execute(last)).one_or_none()
    if row is None:
        return {"clearance": label.value, "seq": 0, "hash": GENESIS, "recorded_at": None}
    return {"clearance": label.value, "seq": row[0], "hash": row[1], "recorded_at": rfc3339(row[2])}
