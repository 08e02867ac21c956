"""Look up reports as a caller may see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, func, literal, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.principal import Principal
from app.assessment.loading import reports_at, visible_at
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.domain.view import View
from app.http.problems import not_found
from app.ledger.hash_chain import statement_body
from app.ledger.models import LedgerEntry, seq_column
from app.reference.models import Place, Source
from app.reference.queries import source_names
from app.reference.records import REVEAL_FROM
from app.reports.models import LabelProposal, Report
from app.reports.schemas import ReportStatus
from app.storage.direct import execute_direct
from app.storage.paging import chunks, fetch_page
from app.storage.types import row_from, table_of

NEWER, OLD, RELAYED = (table_of(Report).alias(name) for name in ("newer", "old", "relayed"))


@dataclass(frozen=True, slots=True)
class VisibleReport:
    """A stored report with what a caller may see beside it.

    `place`, `source`, `via` and `origin` are slugs, `seq` is the report's position in the caller's ledger, `supersedes` the report that
    it corrects, `relays` the one that it repeats; these three are None if they are hidden from the caller. `created` is whether the
    caller's request recorded the report, `proposal` the lower label that was sent with it and waits for another person.
    """

    report: Report
    place: str
    source: str
    via: list[str]
    origin: str | None
    relays: UUID | None
    seq: int | None
    supersedes: UUID | None
    status: ReportStatus
    created: bool = False
    proposal: LabelProposal | None = None


def status_in(view: View) -> ColumnElement[str]:
    """Return an expression for the status of a report in a view."""
    # `lowest_level`: a reader who once saw the superseding report knows of it, even if its label was raised since.
    superseding = [NEWER.c.supersedes == col(Report.id)]
    # Retractions are as visible as their report; a reinstatement may have a label that was lowered since.
    retraction_type = and_(col(LedgerEntry.type) == "retraction", col(LedgerEntry.level) <= view.level)
    retracting = [col(LedgerEntry.report_id) == col(Report.id), or_(retraction_type, col(LedgerEntry.type) == "reinstatement")]
    if (through := view.time_point.through_global_seq) is not None:
        seen_by_then = (col(LedgerEntry.report_id) == NEWER.c.id, col(LedgerEntry.type) == "label", col(LedgerEntry.level) <= view.level)
        lowered = exists().where(*seen_by_then, col(LedgerEntry.global_seq) <= through).correlate(NEWER)
        superseding += [NEWER.c.global_seq <= through, or_(NEWER.c.submitted_level <= view.level, lowered)]
        retracting.append(col(LedgerEntry.global_seq) <= through)
    else:
        superseding.append(NEWER.c.lowest_level <= view.level)
    # Scalar subqueries, because PostgreSQL plans EXISTS as a scan of whole tables.
    newer = select(NEWER.c.global_seq).where(*superseding).correlate(Report).limit(1).scalar_subquery()
    last = select(col(LedgerEntry.type)).where(*retracting).order_by(col(LedgerEntry.global_seq).desc())
    last_type = last.correlate(Report).limit(1).scalar_subquery()
    return case(
        (last_type == "retraction", literal("retracted")),
        (newer.is_not(None), literal("superseded")),
        else_=literal("standing"),
    )


# Cached, because building the statement costs more than running it.
@lru_cache(maxsize=32)
def _select_reports(view: View) -> Select[Any]:
    level = view.level
    first_seq = select(func.min(seq_column(level))).where(col(LedgerEntry.report_id) == col(Report.id))
    superseded = select(OLD.c.id).where(OLD.c.id == col(Report.supersedes), *visible_at(level, view.time_point, OLD.c))
    relayed = select(RELAYED.c.id).where(RELAYED.c.id == col(Report.relays), *visible_at(level, view.time_point, RELAYED.c))
    return (
        select(
            *table_of(Report).c,
            col(Place.slug).label("place_slug"),
            (col(Source.slug) if level >= REVEAL_FROM else func.coalesce(col(Source.alias_slug), col(Source.slug))).label("source_slug"),
            first_seq.correlate(Report).scalar_subquery().label("seq"),
            superseded.correlate(Report).scalar_subquery().label("visible_supersedes"),
            relayed.correlate(Report).scalar_subquery().label("visible_relays"),
            status_in(view).label("status"),
        )
        .join(Place, col(Place.id) == col(Report.place_id))
        .join(Source, col(Source.id) == col(Report.source_id))
    )


async def _visible_reports(connection: AsyncConnection, rows: Sequence[RowMapping], level: int) -> list[VisibleReport]:
    aliases: dict[str, str] = {}
    if level < REVEAL_FROM:
        names = await source_names(connection, {slug for row in rows for slug in (*row["via"], row["origin"])} - {None})
        aliases = {slug: each.visible_at(level)[0] for slug, each in names.items()}
    return [
        VisibleReport(
            report=row_from(Report, row),
            place=row["place_slug"],
            source=row["source_slug"],
            via=[aliases.get(slug, slug) for slug in row["via"]],
            origin=aliases.get(row["origin"], row["origin"]),
            relays=row["visible_relays"],
            seq=row["seq"],
            supersedes=row["visible_supersedes"],
            status=row["status"],
        )
        for row in rows
    ]


async def _find(connection: AsyncConnection, statement: Select[Any], level: int, **parameters: Any) -> list[VisibleReport]:
    rows = (await connection.execute(statement, parameters)).mappings().all()
    return await _visible_reports(connection, rows, level)


def report_body(visible: VisibleReport) -> dict[str, Any]:
    """Return the JSON body of a report."""
    report = visible.report
    statement = statement_body(report, visible.place, visible.source)
    relays = str(visible.relays) if visible.relays else None
    statement["provenance"] |= {"via": visible.via, "relays": relays, "origin": visible.origin}
    path = f"/v1/reports/{report.id}"
    return {
        "id": statement.pop("id"),
        "seq": visible.seq,
        **statement,
        "drafted_by": report.drafted_by,
        "sensitivity": LABELS[report.level].value,
        "indicator": str(report.indicator_id),
        "status": visible.status,
        "supersedes": str(visible.supersedes) if visible.supersedes else None,
        "links": {
            "self": path,
            "indicator": f"/v1/indicators/{report.indicator_id}",
            "correction": f"{path}/correction",
            "retraction": f"{path}/retraction",
            "reinstatement": f"{path}/reinstatement",
        },
    }


@lru_cache
def _select_recognisable(level: int) -> Select[Any]:
    """Select the reports that a clearance sees: no answer shows another, whichever organisation sent it."""
    return _select_reports(View(level)).where(col(Report.level) <= level)


@lru_cache
def _select_by_fingerprint(level: int) -> Select[Any]:
    wanted = col(Report.fingerprint).in_(bindparam("fingerprints", expanding=True))
    return _select_recognisable(level).where(wanted).order_by(col(Report.global_seq))


@dataclass(slots=True)
class SameStatement:
    """The reports of one statement that a caller may see, oldest first, each replaced by its latest correction."""

    reports: list[VisibleReport] = field(default_factory=list)

    @property
    def standing(self) -> VisibleReport | None:
        """The first report that is not retracted, None if all are."""
        return next((each for each in self.reports if each.status != "retracted"), None)

    def strictest(self, through_global_seq: int | None = None) -> int:
        """Return the strictest level of the reports, or of those recorded by an entry; 0 without one."""
        of = (each.report for each in self.reports if through_global_seq is None or each.report.global_seq <= through_global_seq)
        return max((each.level for each in of), default=0)


async def find_by_fingerprint(connection: AsyncConnection, fingerprints: Collection[str], level: int) -> dict[str, SameStatement]:
    """Return the reports with these fingerprints that a clearance sees."""
    found: dict[str, SameStatement] = {}
    for some in chunks(fingerprints):
        rows = (await execute_direct(connection, _select_by_fingerprint(level), {"fingerprints": some})).mappings().all()
        for visible in await _visible_reports(connection, rows, level):
            same = found.setdefault(visible.report.fingerprint, SameStatement())
            same.reports.append(await latest_in_chain(connection, visible, level))
    return found


async def latest_in_chain(connection: AsyncConnection, visible: VisibleReport, level: int) -> VisibleReport:
    """Return the latest correction of a report that a clearance sees, or the report itself."""
    while visible.status == "superseded":
        newer = _select_recognisable(level).where(col(Report.supersedes) == visible.report.id)
        found = await _find(connection, newer.order_by(col(Report.global_seq).desc()).limit(1), level)
        if not found:
            break
        visible = found[0]
    return visible


async def find_by_identifier(
    connection: AsyncConnection, identifiers: Collection[UUID], level: int
) -> tuple[dict[UUID, VisibleReport], set[UUID]]:
    """Return the reports that a clearance sees by identifier, and the identifiers that are taken by others."""
    found: dict[UUID, VisibleReport] = {}
    taken: set[UUID] = set()
    for some in chunks(identifiers):
        among = col(Report.id).in_(some)
        reports = await _find(connection, _select_recognisable(level).where(among), level)
        found |= {visible.report.id: visible for visible in reports}
        taken |= set((await connection.execute(select(col(Report.id)).where(among))).scalars())
    return found, taken - found.keys()


async def find_relayed(connection: AsyncConnection, ids: Collection[UUID], level: int) -> dict[UUID, tuple[UUID, int]]:
    """Return the indicator and the level of those reports that a level sees, by identifier."""
    columns = (col(Report.id), col(Report.indicator_id), col(Report.level))
    found: dict[UUID, tuple[UUID, int]] = {}
    for some in chunks(ids):
        rows = await connection.execute(select(*columns).where(col(Report.id).in_(some), col(Report.level) <= level))
        found |= {row.id: (row.indicator_id, row.level) for row in rows}
    return found


async def find_visible_report(connection: AsyncConnection, report_id: UUID, caller: Principal) -> VisibleReport | None:
    """Return a report that the caller may see, else None."""
    statement = _select_reports(View(caller.level)).where(col(Report.id) == report_id, col(Report.level) <= caller.level)
    return next(iter(await _find(connection, statement, caller.level)), None)


async def require_visible_report(connection: AsyncConnection, report_id: UUID, caller: Principal) -> VisibleReport:
    """Return a report that the caller may see, else raise 404."""
    visible = await find_visible_report(connection, report_id, caller)
    if visible is None:
        raise not_found("report")
    return visible


def declassified_for(level: int, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a label change which fits `where` lowered the label of a report to this level or below."""
    lowering = [col(LedgerEntry.report_id) == col(Report.id), col(LedgerEntry.type) == "label", col(LedgerEntry.level) <= level]
    return and_(col(Report.level) < col(Report.highest_level), exists().where(*lowering, *where).correlate(Report))


def _visible_in(view: View) -> list[ColumnElement[bool]]:
    return [*visible_at(view.level, view.time_point), *reports_at(view.time_point)]


async def load_report(connection: AsyncConnection, report_id: UUID, view: View) -> dict[str, Any] | None:
    """Return the body of a report with the entries that amended it, or None if the view has no such report."""
    statement = _select_reports(view).where(col(Report.id) == report_id, *_visible_in(view))
    found = await _find(connection, statement, view.level)
    return report_body(found[0]) | {"amended": await _amendments(connection, report_id, view)} if found else None


async def _amendments(connection: AsyncConnection, report_id: UUID, view: View) -> list[dict[str, Any]]:
    columns = (
        col(LedgerEntry.global_seq),
        seq_column(view.level).label("seq"),
        col(LedgerEntry.type),
        col(LedgerEntry.report_id),
        col(LedgerEntry.reason),
        col(LedgerEntry.recorded_at),
    )
    entries = select(*columns)
    if view.time_point.through_global_seq is not None:
        entries = entries.where(col(LedgerEntry.global_seq) <= view.time_point.through_global_seq)
    own_types = col(LedgerEntry.type).in_(("retraction", "reinstatement"))
    own = entries.where(col(LedgerEntry.report_id) == report_id, own_types, col(LedgerEntry.level) <= view.level)
    corrections = entries.join(Report, col(Report.global_seq) == col(LedgerEntry.global_seq)).where(
        col(Report.supersedes) == report_id, *visible_at(view.level, view.time_point)
    )
    rows = [*await connection.execute(own), *await connection.execute(corrections)]
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
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, *, after: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """Return the bodies of a page in the order of recording, the last identifier if more follow, and the ledger's head."""
    statement = _select_reports(view).where(*_visible_in(view), *where)
    # Cursors hold the identifier: `global_seq` would tell how many entries are hidden from the reader.
    number = None if after is None else select(OLD.c.global_seq).where(OLD.c.id == after).scalar_subquery()
    rows, last, revision = await fetch_page(connection, statement, key="global_seq", after=number, limit=limit, level=view.level)
    bodies = [report_body(visible) for visible in await _visible_reports(connection, rows, view.level)]
    return bodies, rows[-1]["id"] if last is not None else None, revision
