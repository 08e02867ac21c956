"""The ledger read: where it stands, and where it stood."""

from functools import cache
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.db import table_of
from app.labels import LABELS
from app.ledger.chain import GENESIS, entry, statement
from app.ledger.models import Change, Report
from app.reference.models import Place, Source
from app.reference.moment import NOW, Moment
from app.times import last_instant, rfc3339


async def moment_of(connection: AsyncConnection, as_of: str | None, known_at: str | None) -> Moment:
    """The moment of the request's `as_of` and `known_at`, each a normal time or None; a date is its end of day in UTC."""
    if as_of is None and known_at is None:
        return NOW
    upto = None
    if known_at is not None:
        newest_first = (col(Change.recorded_at).desc(), col(Change.number).desc())
        last = select(col(Change.number)).where(col(Change.recorded_at) <= last_instant(known_at)).order_by(*newest_first).limit(1)
        upto = (await connection.execute(last)).scalar_one_or_none() or 0
    return Moment(as_of=None if as_of is None else last_instant(as_of), upto=upto)


async def up_to_head(connection: AsyncConnection, moment: Moment) -> Moment:
    """The moment, bounded by what is recorded by now."""
    if moment.upto is not None:
        return moment
    number: int | None = (await connection.execute(select(func.max(col(Change.number))))).scalar_one()
    return Moment(as_of=moment.as_of, upto=number or 0)


# Types of changes that bring a report of their own, under the same number.
BRINGING = ("report", "correction")


@cache
def entries() -> Select[Any]:
    """Changes with all that `read_entry` needs of what they brought and name."""
    changes, reports, regraded = table_of(Change), table_of(Report), table_of(Source).alias("regraded")
    return (
        select(
            *changes.c,
            *(each.label(f"report__{each.name}") for each in reports.c),
            col(Place.slug).label("place_slug"),
            col(Source.slug).label("source_slug"),
            regraded.c.slug.label("regraded"),
        )
        .select_from(changes)
        .outerjoin(reports, reports.c.number == changes.c.number)
        .outerjoin(Place, col(Place.id) == reports.c.place_id)
        .outerjoin(Source, col(Source.id) == reports.c.source_id)
        .outerjoin(regraded, regraded.c.id == changes.c.source_id)
    )


def read_entry(row: RowMapping) -> tuple[Change, Report | None, dict[str, Any]]:
    """A row of `entries`: the change, the report that it brought, and the entry as it is hashed and served."""
    change = Change(**{each.name: row[each.name] for each in table_of(Change).c})
    if row["report__id"] is None or change.type not in BRINGING:
        return change, None, entry(change, None, row["regraded"])
    report = Report(**{each.name: row[f"report__{each.name}"] for each in table_of(Report).c})
    return change, report, entry(change, statement(report, row["place_slug"], row["source_slug"]))


async def head_of(connection: AsyncConnection, level: int) -> dict[str, Any]:
    """The last entry of the ledger as a clearance sees it: seq, hash and time; seq 0 and 64 zeros before the first."""
    label = LABELS[level]
    seq, hash_ = table_of(Change).c[f"seq_{label}"], table_of(Change).c[f"hash_{label}"]
    last = select(seq, hash_, col(Change.recorded_at)).where(seq.is_not(None)).order_by(seq.desc()).limit(1)
    row = (await connection.execute(last)).one_or_none()
    if row is None:
        return {"clearance": label.value, "seq": 0, "hash": GENESIS, "recorded_at": None}
    return {"clearance": label.value, "seq": row[0], "hash": row[1], "recorded_at": rfc3339(row[2])}
