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
from app.domain.time_point import NOW, Moment
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.ledger.hash_chain import statement
from app.ledger.models import Change
from app.reference.facts import NAMED_FROM
from app.reference.models import Place, Source
from app.reference.queries import source_names
from app.reports.models import Report
from app.reports.schemas import Status
from app.storage.paging import fetch_page
from app.storage.types import as_read, table_of

NEWER = table_of(Report).alias("newer")
OLD = table_of(Report).alias("old")


@dataclass(frozen=True, slots=True)
class Known:
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
    if report.retracted_level is not None and report.retracted_level <= level:
        return "retracted"
    if report.superseded_level is not None and report.superseded_level <= level:
        return "superseded"
    return "standing"


def status_at(level: int, moment: Moment) -> ColumnElement[str]:
    """Whether a report stood at a moment, as a reader of that level sees it, as an expression."""
    # Who was told that it was superseded still knows, whatever became of the label of what superseded it.
    superseded = [NEWER.c.supersedes == col(Report.id), NEWER.c.level_lowest <= level]
    retracted = [col(Change.report_id) == col(Report.id), col(Change.type) == "retraction", col(Change.level) <= level]
    if moment.upto is not None:
        superseded.append(NEWER.c.number <= moment.upto)
        retracted.append(col(Change.number) <= moment.upto)
    # Not EXISTS, for which PostgreSQL would read whole tables.
    newer = select(NEWER.c.number).where(*superseded).correlate(Report).limit(1).scalar_subquery()
    withdrawn = select(col(Change.number)).where(*retracted).correlate(Report).limit(1).scalar_subquery()
    return case(
        (withdrawn.is_not(None), literal("retracted")),
        (newer.is_not(None), literal("superseded")),
        else_=literal("standing"),
    )


def _seq_for(level: int) -> ColumnElement[Any]:
    position = table_of(Change).c[f"seq_{LABELS[level]}"]
    return select(func.min(position)).where(col(Change.report_id) == col(Report.id)).correlate(Report).scalar_subquery()


def _supersedes_for(level: int) -> ColumnElement[Any]:
    return select(OLD.c.id).where(OLD.c.id == col(Report.supersedes), OLD.c.level <= level).correlate(Report).scalar_subquery()


# Putting such a statement together costs more than running it.
@lru_cache(maxsize=32)
def _columns(level: int, moment: Moment = NOW) -> Select[Any]:
    return (
        select(
            *table_of(Report).c,
            col(Place.slug).label("place_slug"),
            (col(Source.slug) if level >= NAMED_FROM else func.coalesce(col(Source.alias_slug), col(Source.slug))).label("source_slug"),
            _seq_for(level).label("seq"),
            _supersedes_for(level).label("supersedes_seen"),
            status_at(level, moment).label("status"),
        )
        .join(Place, col(Place.id) == col(Report.place_id))
        .join(Source, col(Source.id) == col(Report.source_id))
    )


def _known(row: Any, aliases: Mapping[str, str]) -> Known:
    report = as_read(Report, row)
    via = [aliases.get(each, each) for each in report.via]
    return Known(report, row["place_slug"], row["source_slug"], via, row["seq"], row["supersedes_seen"])


async def _aliases(connection: AsyncConnection, rows: Iterable[Any], level: int) -> dict[str, str]:
    """The slugs under which this level sees the sources that relayed some reports, where those are not their own."""
    if level >= NAMED_FROM:
        return {}
    names = await source_names(connection, {slug for row in rows for slug in row["via"]})
    return {slug: each.seen_by(level)[0] for slug, each in names.items()}


def serve(known: Any, status: Status) -> dict[str, Any]:
    """A report, `Known` or just recorded, as served."""
    report: Report = known.report
    said = statement(report, known.place, known.source)
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


def _may_recognise(level: int, organisation: str | BindParameter[Any]) -> ColumnElement[bool]:
    return or_(col(Report.level) <= level, col(Report.recorded_by) == organisation)


@lru_cache
def _recognised(level: int) -> Select[Any]:
    these = col(Report.fingerprint).in_(bindparam("fingerprints", expanding=True))
    return _columns(level).where(these, _may_recognise(level, bindparam("organisation", type_=String))).order_by(col(Report.number))


async def find_by_fingerprint(connection: AsyncConnection, fingerprints: Collection[str], caller: Caller) -> dict[str, Known]:
    """Reports recorded before, by fingerprint: those that the caller may see, or whose organisation sent them.

    Where one was superseded since, the report that stands in its place.
    """
    wanted = list(fingerprints)
    found: dict[str, Known] = {}
    for start in range(0, len(wanted), 500):
        asked = {"fingerprints": wanted[start : start + 500], "organisation": caller.organisation or ""}
        rows = (await connection.execute(_recognised(caller.level), asked)).mappings().all()
        aliases = await _aliases(connection, rows, caller.level)
        for row in rows:
            found.setdefault(row["fingerprint"], _known(row, aliases))
    return {fingerprint: await _standing_for(connection, known, caller) for fingerprint, known in found.items()}


async def find_by_identifier(
    connection: AsyncConnection, identifiers: Collection[UUID], caller: Caller
) -> tuple[dict[UUID, Known], set[UUID]]:
    """Reports by identifier, those that the caller may see or whose organisation sent them; and the identifiers of others.

    Of the latter nobody is to be told; they only cannot be given again.
    """
    wanted = list(identifiers)
    may_recognise = _may_recognise(caller.level, caller.organisation or "")
    found: dict[UUID, Known] = {}
    taken: set[UUID] = set()
    for start in range(0, len(wanted), 500):
        where = col(Report.id).in_(wanted[start : start + 500])
        rows = (await connection.execute(_columns(caller.level).where(where, may_recognise))).mappings().all()
        aliases = await _aliases(connection, rows, caller.level)
        found |= {row["id"]: _known(row, aliases) for row in rows}
        taken |= set((await connection.execute(select(col(Report.id)).where(where))).scalars())
    return found, taken - found.keys()


async def _standing_for(connection: AsyncConnection, known: Known, caller: Caller) -> Known:
    while status_for(known.report, caller.level) == "superseded":
        its = (col(Report.supersedes) == known.report.id, _may_recognise(caller.level, caller.organisation or ""))
        newer = _columns(caller.level).where(*its).order_by(col(Report.number).desc()).limit(1)
        row = (await connection.execute(newer)).mappings().one_or_none()
        if row is None:
            break
        known = _known(row, await _aliases(connection, [row], caller.level))
    return known


async def find_visible(connection: AsyncConnection, report_id: UUID, caller: Caller) -> Known | None:
    """One report that the caller may see."""
    statement = _columns(caller.level).where(col(Report.id) == report_id, col(Report.level) <= caller.level)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _known(row, await _aliases(connection, [row], caller.level))


def lowered_for(level: int, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether the label of a report was lowered so far that this level sees it, by a change that the condition picks."""
    told = [col(Change.report_id) == col(Report.id), col(Change.type) == "label", col(Change.level) <= level]
    return and_(col(Report.level_lowest) < col(Report.level_sent), exists().where(*told, *where).correlate(Report))


def _by(moment: Moment, level: int) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if moment.as_of is not None:
        where.append(col(Report.stated_at) <= moment.as_of)
    if moment.upto is not None:
        by_then = lowered_for(level, col(Change.number) <= moment.upto)
        where += [col(Report.number) <= moment.upto, or_(col(Report.level_sent) <= level, by_then)]
    return where


async def get_report(connection: AsyncConnection, report_id: UUID, level: int, moment: Moment = NOW) -> dict[str, Any] | None:
    """One report as served, with the changes that amended it; None when there is none that this level may see."""
    statement = _columns(level, moment).where(col(Report.id) == report_id, col(Report.level) <= level, *_by(moment, level))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        return None
    known = _known(row, await _aliases(connection, [row], level))
    return serve(known, row["status"]) | {"amended": await _amendments(connection, report_id, level, moment)}


async def _amendments(connection: AsyncConnection, report_id: UUID, level: int, moment: Moment) -> list[dict[str, Any]]:
    by = [] if moment.upto is None else [col(Change.number) <= moment.upto]
    position = table_of(Change).c[f"seq_{LABELS[level]}"].label("seq")
    columns = (col(Change.number), position, col(Change.type), col(Change.report_id), col(Change.reason), col(Change.recorded_at))
    retracted = select(*columns).where(
        col(Change.report_id) == report_id, col(Change.type) == "retraction", col(Change.level) <= level, *by
    )
    corrected = (
        select(*columns)
        .join(Report, col(Report.number) == col(Change.number))
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
        for row in sorted(rows, key=lambda each: each.number)
    ]


async def list_reports(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    limit: int,
    level: int,
    moment: Moment = NOW,
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page in order of recording, after a report: the served reports, the last identifier when there are more, the head."""
    statement = _columns(level, moment).where(col(Report.level) <= level, *_by(moment, level), *where)
    # The number itself is for nobody to see: it counts what is hidden too.
    number = None if after is None else select(OLD.c.number).where(OLD.c.id == after).scalar_subquery()
    rows, last, revision = await fetch_page(connection, statement, key="number", after=number, limit=limit, level=level)
    aliases = await _aliases(connection, rows, level)
    served = [serve(_known(row, aliases), row["status"]) for row in rows]
    return served, rows[-1]["id"] if last is not None else None, revision
