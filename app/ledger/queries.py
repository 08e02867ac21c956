"""Read the ledger: its head, its entries, and its state at a time point."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import LATEST, TimePoint
from app.domain.times import end_of, rfc3339
from app.domain.tlp import LABELS, LEVELS
from app.domain.view import View
from app.ledger.hash_chain import GENESIS, entry_body, pseudonymise, source_slugs, statement_body, view_for_clearance, without_author
from app.ledger.models import HASH_COLUMNS, JUDGEMENT, RECORD, SEQ_COLUMNS, LedgerEntry, seq_column
from app.reference.models import Place, Source
from app.reference.queries import source_names
from app.reference.records import REVEAL_FROM
from app.reference.rows import visible_record
from app.reports.models import Report
from app.storage.paging import chunks
from app.storage.types import row_from, table_of


async def resolve_time_point(connection: AsyncConnection, as_of: str | None, known_at: str | None) -> TimePoint:
    """Return the time point of the parameters `as_of` and `known_at`, both normalised or None; a date is the end of that day in UTC."""
    if as_of is None and known_at is None:
        return LATEST
    through = None
    if known_at is not None:
        newest_first = (col(LedgerEntry.recorded_at).desc(), col(LedgerEntry.global_seq).desc())
        last = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.recorded_at) <= end_of(known_at)).order_by(*newest_first).limit(1)
        through = (await connection.execute(last)).scalar_one_or_none() or 0
    return TimePoint(as_of=None if as_of is None else end_of(as_of), through_global_seq=through)


async def pin_to_head(connection: AsyncConnection, view: View) -> View:
    """Bound a view by the entries that are recorded now."""
    if view.time_point.through_global_seq is not None:
        return view
    head: int | None = (await connection.execute(select(func.max(col(LedgerEntry.global_seq))))).scalar_one()
    return replace(view, time_point=TimePoint(view.time_point.as_of, head or 0))


def first_global_seq_since(since: datetime) -> ScalarSelect[int]:
    """Return a subquery of the first entry recorded at or after a time: recording times rise with `global_seq`."""
    first = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.recorded_at) >= since)
    return first.order_by(col(LedgerEntry.recorded_at), col(LedgerEntry.global_seq)).limit(1).scalar_subquery()


# Types of entries that record a report; entry and report have the same `global_seq`.
STATEMENT_TYPES = ("report", "correction")

# The report that a correction supersedes, as joined by `select_entries`.
SUPERSEDED = table_of(Report).alias("old")
# The report that another repeats.
_RELAYED = table_of(Report).alias("relayed")


@cache
def select_entries() -> Select[Any]:
    """Select entries with everything that `decode_entry` needs of the report and the sources that they name."""
    entries, reports, graded_source = table_of(LedgerEntry), table_of(Report), table_of(Source).alias("graded_source")
    return (
        select(
            *entries.c,
            *(column.label(f"report__{column.name}") for column in reports.c),
            col(Place.slug).label("place_slug"),
            col(Source.slug).label("source_slug"),
            graded_source.c.slug.label("graded_source"),
            SUPERSEDED.c.level.label("superseded_level"),
            _RELAYED.c.level.label("relayed_level"),
        )
        .select_from(entries)
        .outerjoin(reports, reports.c.id == entries.c.report_id)
        .outerjoin(SUPERSEDED, SUPERSEDED.c.id == reports.c.supersedes)
        .outerjoin(_RELAYED, _RELAYED.c.id == reports.c.relays)
        .outerjoin(Place, col(Place.id) == reports.c.place_id)
        .outerjoin(Source, col(Source.id) == reports.c.source_id)
        .outerjoin(graded_source, graded_source.c.id == entries.c.source_id)
    )


def decode_entry(row: RowMapping) -> tuple[LedgerEntry, Report | None, dict[str, Any]]:
    """Return the entry of a row of `select_entries`, the report that it is about, and its body in full, without aliases."""
    entry = row_from(LedgerEntry, row)
    if row["report__id"] is None:
        return entry, None, entry_body(entry, None, row["graded_source"])
    report = row_from(Report, row, "report__")
    lowered = entry.type == "label" and entry.redacted_below == LEVELS.get((entry.detail or {}).get("before", ""))
    recorded = statement_body(report, row["place_slug"], row["source_slug"]) if entry.type in STATEMENT_TYPES or lowered else None
    return entry, report, entry_body(entry, recorded, row["graded_source"])


async def load_aliases(connection: AsyncConnection, bodies: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Map the slugs of the protected sources that some entries name to their alias slugs."""
    aliases: dict[str, str] = {}
    for slugs in chunks(sorted({slug for body in bodies for slug in source_slugs(body)})):
        names = await source_names(connection, slugs)
        aliases |= {slug: each.alias_slug for slug, each in names.items() if each.alias_slug is not None}
    return aliases


async def visible_entries(connection: AsyncConnection, rows: Sequence[RowMapping], level: int) -> list[dict[str, Any]]:
    """Return the bodies of rows of `select_entries` as a clearance sees them now, with `seq` and `hash`."""
    decoded = [decode_entry(row) for row in rows]
    aliases = await load_aliases(connection, [body for _, _, body in decoded]) if level < REVEAL_FROM else {}
    raised = {row["indicator_id"] for row in rows if row["type"] == "label" and level < row["redacted_below"]}
    seen = select(col(Report.indicator_id)).where(col(Report.indicator_id).in_(raised), col(Report.level) <= level).distinct()
    known = set((await connection.execute(seen)).scalars()) if raised else set()
    cited = {UUID(each) for entry, *_ in decoded for each in _relied_on(entry)}
    above = select(col(Report.id)).where(col(Report.id).in_(cited), col(Report.level) > level)
    hidden = {str(each) for each in (await connection.execute(above)).scalars()} if cited else set()
    return [
        {"seq": row[SEQ_COLUMNS[level]], "hash": row[HASH_COLUMNS[level]]}
        | _visible_entry(entry, report, body, row["superseded_level"], row["relayed_level"], level, aliases, known, hidden)
        for row, (entry, report, body) in zip(rows, decoded, strict=True)
    ]


def _relied_on(entry: LedgerEntry) -> list[str]:
    """Return the identifiers of the reports that the judgement of an entry relies on."""
    reports: list[str] = [] if entry.judgement_id is None else (entry.detail or {})[JUDGEMENT]["reports"]
    return reports


def _visible_entry(
    entry: LedgerEntry,
    report: Report | None,
    body: dict[str, Any],
    superseded_level: int | None,
    relayed_level: int | None,
    level: int,
    aliases: Mapping[str, str],
    known: Collection[UUID],
    hidden: Collection[str],
) -> dict[str, Any]:
    """Return what a clearance may still see of an entry; `redacted` names the fields that were withheld after it was recorded."""
    view = dict(pseudonymise(view_for_clearance(entry, body, level, aliases), aliases))
    redacted: list[str] = []

    def withhold(*names: str) -> None:
        redacted.extend(name for name in names if view[name] is not None)
        view.update(dict.fromkeys(names))

    if level < REVEAL_FROM and entry.pseudonymised_below <= level and source_slugs(body) & aliases.keys():
        redacted.append("source")
        if view["type"] == "source":
            # The source became a protected one since.
            record = {"alias": view["source"], **{name: value for name, value in view["detail"][RECORD].items() if value is not None}}
            view["detail"] = {**view["detail"], RECORD: visible_record("source", record, level)}
            redacted.append("detail")
    if report is not None and report.level > level and view["type"] != "tombstone":
        # The label of the report was raised since: earlier entries must not tell its content.
        if view["type"] == "outcome":
            withhold("report_id", "reason", "detail")
        else:
            withhold("report_id", "indicator", "report", "reason", "detail")
            view = without_author(view | {"type": "withheld"})
    elif view["type"] in ("correction", "proposal") and superseded_level is not None and superseded_level > level:
        withhold("reason", "detail")
    if any(each in hidden for each in _relied_on(entry)):
        # A report that the judgement relies on was raised since, and its words may repeat that one.
        withhold("reason", "detail")
    if view["type"] == "tombstone" and entry.indicator_id not in known:
        # The reader sees no other report on it, so that it would tell what the hidden one is about.
        withhold("indicator")
    if view["report"] is not None and relayed_level is not None and relayed_level > level:
        # The report that this one repeats was raised since: a reader who knew which one would know its content.
        redacted.append("relays")
        view["report"] = view["report"] | {"provenance": view["report"]["provenance"] | {"relays": None}}
    # With the salt, the hash would confirm a guess of what was withheld.
    return view | {"salt": None, "redacted": [*redacted, "salt"]} if redacted else view


async def load_head(connection: AsyncConnection, level: int) -> dict[str, Any]:
    """Return the body of the last entry of a clearance's ledger: seq 0 and a hash of 64 zeros before the first."""
    seq, hash_ = seq_column(level), table_of(LedgerEntry).c[HASH_COLUMNS[level]]
    last = select(seq, hash_, col(LedgerEntry.recorded_at)).where(seq.is_not(None)).order_by(seq.desc()).limit(1)
    row = (await connection.execute(last)).one_or_none()
    values = (0, GENESIS, None) if row is None else (row[0], row[1], rfc3339(row[2]))
    return {"clearance": LABELS[level].value} | dict(zip(("seq", "hash", "recorded_at"), values, strict=True))
