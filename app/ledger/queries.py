"""The ledger read: where it stands, and where it stood."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ScalarSelect, Select, func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import LATEST, TimePoint
from app.domain.times import end_of, rfc3339
from app.domain.tlp import LABELS, LEVELS, Label
from app.ledger.hash_chain import GENESIS, entry_body, pseudonymise, source_slugs, statement_body, view_for_clearance
from app.ledger.models import LedgerEntry
from app.reference.facts import REVEAL_FROM
from app.reference.models import Place, Source
from app.reference.queries import source_names
from app.reports.models import Report
from app.storage.types import row_from, table_of


async def resolve_time_point(connection: AsyncConnection, as_of: str | None, known_at: str | None) -> TimePoint:
    """The moment of the request's `as_of` and `known_at`, each a normal time or None; a date is its end of day in UTC."""
    if as_of is None and known_at is None:
        return LATEST
    upto = None
    if known_at is not None:
        newest_first = (col(LedgerEntry.recorded_at).desc(), col(LedgerEntry.global_seq).desc())
        last = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.recorded_at) <= end_of(known_at)).order_by(*newest_first).limit(1)
        upto = (await connection.execute(last)).scalar_one_or_none() or 0
    return TimePoint(as_of=None if as_of is None else end_of(as_of), through_global_seq=upto)


async def pin_to_head(connection: AsyncConnection, moment: TimePoint) -> TimePoint:
    """The moment, bounded by what is recorded by now."""
    if moment.through_global_seq is not None:
        return moment
    number: int | None = (await connection.execute(select(func.max(col(LedgerEntry.global_seq))))).scalar_one()
    return TimePoint(as_of=moment.as_of, through_global_seq=number or 0)


def number_since(since: datetime) -> ScalarSelect[int]:
    """A subquery of the first change that was recorded at or after a time: times of recording rise with the numbers."""
    first = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.recorded_at) >= since)
    return first.order_by(col(LedgerEntry.recorded_at), col(LedgerEntry.global_seq)).limit(1).scalar_subquery()


# Types of changes that bring a report of their own, under the same number.
STATEMENT_TYPES = ("report", "correction")


# What a correction supersedes, beside the report that it brought.
SUPERSEDED = table_of(Report).alias("old")


@cache
def select_entries() -> Select[Any]:
    """Changes with all that `read_entry` needs of what they brought and name."""
    changes, reports, regraded = table_of(LedgerEntry), table_of(Report), table_of(Source).alias("regraded")
    return (
        select(
            *changes.c,
            *(each.label(f"report__{each.name}") for each in reports.c),
            col(Place.slug).label("place_slug"),
            col(Source.slug).label("source_slug"),
            regraded.c.slug.label("regraded"),
            SUPERSEDED.c.level.label("old_level"),
        )
        .select_from(changes)
        .outerjoin(reports, reports.c.id == changes.c.report_id)
        .outerjoin(SUPERSEDED, SUPERSEDED.c.id == reports.c.supersedes)
        .outerjoin(Place, col(Place.id) == reports.c.place_id)
        .outerjoin(Source, col(Source.id) == reports.c.source_id)
        .outerjoin(regraded, regraded.c.id == changes.c.source_id)
    )


def decode_entry(row: RowMapping) -> tuple[LedgerEntry, Report | None, dict[str, Any]]:
    """A row of `entries`: the change, the report that it is about, and the entry, whole and with every source under its own slug."""
    change = row_from(LedgerEntry, row)
    if row["report__id"] is None:
        return change, None, entry_body(change, None, row["regraded"])
    report = row_from(Report, row, "report__")
    lowered = change.type == "label" and change.detail is not None and change.redacted_below == LEVELS[Label(change.detail["before"])]
    brought = statement_body(report, row["place_slug"], row["source_slug"]) if change.type in STATEMENT_TYPES or lowered else None
    return change, report, entry_body(change, brought, row["regraded"])


async def load_aliases(connection: AsyncConnection, entries: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The slugs under which protected sources show that some entries name, by their own slugs."""
    slugs = sorted({slug for each in entries for slug in source_slugs(each)})
    found: dict[str, str] = {}
    for start in range(0, len(slugs), 500):
        names = await source_names(connection, slugs[start : start + 500])
        found |= {slug: each.alias_slug for slug, each in names.items() if each.alias_slug is not None}
    return found


def visible_entry(row: RowMapping, level: int, aliases: Mapping[str, str]) -> dict[str, Any]:
    """A row of `entries` as a clearance sees it now, less what it may not see any more; `redacted` names that where there is any."""
    change, report, whole = decode_entry(row)
    seen = view_for_clearance(change, whole, level, aliases)
    redacted: list[str] = []

    def withhold(*names: str) -> None:
        redacted.extend(name for name in names if seen[name] is not None)
        seen.update(dict.fromkeys(names))

    seen = dict(pseudonymise(seen, aliases)) if level < REVEAL_FROM else dict(seen)
    if level < REVEAL_FROM and change.pseudonymised_below <= level and source_slugs(whole) & aliases.keys():
        redacted.append("source")
    if report is not None and report.level > level and seen["type"] != "tombstone":
        # Its label was raised since: what was said of it then is not said any more.
        if seen["type"] == "outcome":
            withhold("report_id", "reason")
        else:
            withhold("report_id", "indicator", "report", "reason", "detail")
            seen |= {"type": "withheld", "recorded_by": ""}
    elif seen["type"] == "correction" and row["old_level"] is not None and row["old_level"] > level:
        withhold("reason", "detail")
    return seen | {"redacted": redacted} if redacted else seen


async def load_head(connection: AsyncConnection, level: int) -> dict[str, Any]:
    """The last entry of the ledger as a clearance sees it: seq, hash and time; seq 0 and 64 zeros before the first."""
    label = LABELS[level]
    seq, hash_ = table_of(LedgerEntry).c[f"seq_{label}"], table_of(LedgerEntry).c[f"hash_{label}"]
    last = select(seq, hash_, col(LedgerEntry.recorded_at)).where(seq.is_not(None)).order_by(seq.desc()).limit(1)
    row = (await connection.execute(last)).one_or_none()
    if row is None:
        return {"clearance": label.value, "seq": 0, "hash": GENESIS, "recorded_at": None}
    return {"clearance": label.value, "seq": row[0], "hash": row[1], "recorded_at": rfc3339(row[2])}
