"""Statements looked up, as a reader of some clearance may see them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Select, String, and_, bindparam, case, exists, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.principal import Caller
from app.domain.time_point import LATEST, TimePoint
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.ledger.hash_chain import statement_body
from app.ledger.models import LedgerEntry
from app.reference.facts import REVEAL_FROM
from app.reference.models import Place, Source
from app.reference.queries import source_names
from app.reports.models import Report
from app.reports.schemas import Status
from app.storage.paging import fetch_page
from app.storage.types import as_read, table_of

NEWER = table_of(Report).alias("newer")
OLD = table_of(Report).alias("old")


@dataclass(frozen=True, slots=True)
class VisibleReport:
    """A recorded report, with the slugs that it names as the caller may see them, its seq for him, and what it supersedes as far as he
    may know."""

    report: Report
    place: str
    source: str
    via: list[str]
    seq: int | None
    supersedes: UUID | None


def status_for(report: Report, level: int) -> Status:
    """Whether a report stands now, as a reader of that level sees it."""
    if report.retracted_from_level is not None and report.retracted_from_level <= level:
        return "retracted"
    if report.superseded_from_level is not None and report.superseded_from_level <= level:
        return "superseded"
    return "standing"


def status_at(level: int, moment: TimePoint) -> ColumnElement[str]:
    """Whether a report stood at a moment, as a reader of that level sees it, as an expression."""
    # Who was told that it was superseded still knows, whatever became of the label of what superseded it.
    superseded = [NEWER.c.supersedes == col(Report.id), NEWER.c.lowest_level <= level]
    retracted = [col(LedgerEntry.report_id) == col(Report.id), col(LedgerEntry.type) == "retraction", col(LedgerEntry.level) <= level]
    if moment.through_global_seq is not None:
        superseded.append(NEWER.c.global_seq <= moment.through_global_seq)
        retracted.append(col(LedgerEntry.global_seq) <= moment.through_global_seq)
    # Not EXISTS, for which PostgreSQL would read whole tables.
    newer = select(NEWER.c.global_seq).where(*superseded).correlate(Report).limit(1).scalar_subquery()
    withdrawn = select(col(LedgerEntry.global_seq)).where(*retracted).correlate(Report).limit(1).scalar_subquery()
    return case(
        (withdrawn.is_not(None), literal("retracted")),
        (newer.is_not(None), literal("superseded")),
        else_=literal("standing"),
    )


def _seq_for(level: int) -> ColumnElement[Any]:
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"]
    return select(func.min(position)).where(col(LedgerEntry.report_id) == col(Report.id)).correlate(Report).scalar_subquery()


def _supersedes_for(level: int) -> ColumnElement[Any]:
    return select(OLD.c.id).where(OLD.c.id == col(Report.supersedes), OLD.c.level <= level).correlate(Report).scalar_subquery()


# Putting such a statement together costs more than running it.
@lru_cache(maxsize=32)
def _columns(level: int, moment: TimePoint = LATEST) -> Select[Any]:
    return (
        select(
            *table_of(Report).c,
            col(Place.slug).label("place_slug"),
            (col(Source.slug) if level >= REVEAL_FROM else func.coalesce(col(Source.alias_slug), col(Source.slug))).label("source_slug"),
            _seq_for(level).label("seq"),
            _supersedes_for(level).label("supersedes_seen"),
            status_at(level, moment).label("status"),
        )
        .join(Place, col(Place.id) == col(Report.place_id))
        .join(Source, col(Source.id) == col(Report.source_id))
    )


def _visible_report(row: Any, aliases: Mapping[str, str]) -> VisibleReport:
    report = as_read(Report, row)
    via = [aliases.get(each, each) for each in report.via]
    return VisibleReport(report, row["place_slug"], row["source_slug"], via, row["seq"], row["supersedes_seen"])


async def _aliases(connection: AsyncConnection, rows: Iterable[Any], level: int) -> dict[str, str]:
    """The slugs under which this level sees the sources that relayed some reports, where those are not their own."""
    if level >= REVEAL_FROM:
        return {}
    names = await source_names(connection, {slug for row in rows for slug in row["via"]})
    return {slug: each.visible_at(level)[0] for slug, each in names.items()}


def report_body(known: Any, status: Status) -> dict[str, Any]:
    """A report, `Known` or just recorded, as served."""
    report: Report = known.report
    said = statement_body(report, known.place, known.source)
    said["provenance"]["via"] = known.via
    at = f"/v1/reports/{report.id}"
    return {
        "id": said.pop("id"),
        "seq": known.seq,
        **said,
        "sensitivity": LABELS[report.level].value,
        "indicator": str(report.indicator_id),
        "status": status,
        "supersedes": str(known.supersedes) if known.supersedes else None,
        "links": {
            "self": at,
            "indicator": f"/v1/indicators/{report.indicator_id}",
            "correction": f"{at}/correction",
            "retraction": f"{at}/retraction",
        },
    }


def _is_recognisable(level: int, organisation: str | BindParameter[Any]) -> ColumnElement[bool]:
    return or_(col(Report.level) <= level, col(Report.recorded_by) == organisation)


@lru_cache
def _recognised(level: int) -> Select[Any]:
    these = col(Report.fingerprint).in_(bindparam("fingerprints", expanding=True))
    return _columns(level).where(these, _is_recognisable(level, bindparam("organisation", type_=String))).order_by(col(Report.global_seq))


async def find_by_fingerprint(connection: AsyncConnection, fingerprints: Collection[str], caller: Caller) -> dict[str, VisibleReport]:
    """Reports recorded before, by fingerprint: those that the caller may see, or whose organisation sent them.

    Where one was superseded since, the report that stands in its place.
    """
    wanted = list(fingerprints)
    found: dict[str, VisibleReport] = {}
    for start in range(0, len(wanted), 500):
        asked = {"fingerprints": wanted[start : start + 500], "organisation": caller.organisation or ""}
        rows = (await connection.execute(_recognised(caller.level), asked)).mappings().all()
        aliases = await _aliases(connection, rows, caller.level)
        for row in rows:
            found.setdefault(row["fingerprint"], _visible_report(row, aliases))
    return {fingerprint: await _latest_in_chain(connection, known, caller) for fingerprint, known in found.items()}


async def find_by_identifier(
    connection: AsyncConnection, identifiers: Collection[UUID], caller: Caller
) -> tuple[dict[UUID, VisibleReport], set[UUID]]:
    """Reports by identifier, those that the caller may see or whose organisation sent them; and the identifiers of others.

    Of the latter nobody is to be told; they only cannot be given again.
    """
    wanted = list(identifiers)
    may_recognise = _is_recognisable(caller.level, caller.organisation or "")
    found: dict[UUID, VisibleReport] = {}
    taken: set[UUID] = set()
    for start in range(0, len(wanted), 500):
        where = col(Report.id).in_(wanted[start : start + 500])
        rows = (await connection.execute(_columns(caller.level).where(where, may_recognise))).mappings().all()
        aliases = await _aliases(connection, rows, caller.level)
        found |= {row["id"]: _visible_report(row, aliases) for row in rows}
        taken |= set((await connection.execute(select(col(Report.id)).where(where))).scalars())
    return found, taken - found.keys()


async def _latest_in_chain(connection: AsyncConnection, known: VisibleReport, caller: Caller) -> VisibleReport:
    while status_for(known.report, caller.level) == "superseded":
        its = (col(Report.supersedes) == known.report.id, _is_recognisable(caller.level, caller.organisation or ""))
        newer = _columns(caller.level).where(*its).order_by(col(Report.global_seq).desc()).limit(1)
        row = (await connection.execute(newer)).mappings().one_or_none()
        if row is None:
            break
        known = _visible_report(row, await _aliases(connection, [row], caller.level))
    return known


async def find_visible_report(connection: AsyncConnection, report_id: UUID, caller: Caller) -> VisibleReport | None:
    """One report that the caller may see."""
    statement = _columns(caller.level).where(col(Report.id) == report_id, col(Report.level) <= caller.level)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _visible_report(row, await _aliases(connection, [row], caller.level))


def declassified_for(level: int, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether the label of a report was lowered so far that this level sees it, by a change that the condition picks."""
    told = [col(LedgerEntry.report_id) == col(Report.id), col(LedgerEntry.type) == "label", col(LedgerEntry.level) <= level]
    return and_(col(Report.lowest_level) < col(Report.submitted_level), exists().where(*told, *where).correlate(Report))


def _by(moment: TimePoint, level: int) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if moment.as_of is not None:
        where.append(col(Report.stated_at) <= moment.as_of)
    if moment.through_global_seq is not None:
        by_then = declassified_for(level, col(LedgerEntry.global_seq) <= moment.through_global_seq)
        where += [col(Report.global_seq) <= moment.through_global_seq, or_(col(Report.submitted_level) <= level, by_then)]
    return where


async def load_report(connection: AsyncConnection, report_id: UUID, level: int, moment: TimePoint = LATEST) -> dict[str, Any] | None:
    """One report as served, with the changes that amended it; None when there is none that this level may see."""
    statement = _columns(level, moment).where(col(Report.id) == report_id, col(Report.level) <= level, *_by(moment, level))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        return None
    known = _visible_report(row, await _aliases(connection, [row], level))
    return report_body(known, row["status"]) | {"amended": await _amendments(connection, report_id, level, moment)}


async def _amendments(connection: AsyncConnection, report_id: UUID, level: int, moment: TimePoint) -> list[dict[str, Any]]:
    by = [] if moment.through_global_seq is None else [col(LedgerEntry.global_seq) <= moment.through_global_seq]
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"].label("seq")
    columns = (
        col(LedgerEntry.global_seq),
        position,
        col(LedgerEntry.type),
        col(LedgerEntry.report_id),
        col(LedgerEntry.reason),
        col(LedgerEntry.recorded_at),
    )
    retracted = select(*columns).where(
        col(LedgerEntry.report_id) == report_id, col(LedgerEntry.type) == "retraction", col(LedgerEntry.level) <= level, *by
    )
    corrected = (
        select(*columns)
        .join(Report, col(Report.global_seq) == col(LedgerEntry.global_seq))
        .where(col(Report.supersedes) == report_id, col(Report.level) <= level, *by)
    )
    rows = [*await connection.execute(retracted), *await connection.execute(corrected)]
    return [
        {
            "seq": row.seq,
            "type": row.type,
            "reason": row.reason,
            "recorded_at": rfc3339(row.recorded_at),
            "report": str(row.report_id) if row.type == "correction" else None,
        }
        for row in sorted(rows, key=lambda each: each.global_seq)
    ]


async def load_report_page(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    limit: int,
    level: int,
    moment: TimePoint = LATEST,
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page in order of recording, after a report: the served reports, the last identifier when there are more, the head."""
    statement = _columns(level, moment).where(col(Report.level) <= level, *_by(moment, level), *where)
    # The number itself is for nobody to see: it counts what is hidden too.
    number = None if after is None else select(OLD.c.global_seq).where(OLD.c.id == after).scalar_subquery()
    rows, last, revision = await fetch_page(connection, statement, key="global_seq", after=number, limit=limit, level=level)
    aliases = await _aliases(connection, rows, level)
    served = [report_body(_visible_report(row, aliases), row["status"]) for row in rows]
    return served, rows[-1]["id"] if last is not None else None, revision
