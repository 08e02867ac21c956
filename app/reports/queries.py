"""Statements looked up, as a reader of some clearance may see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, or_, select

from app.access.dependencies import Caller
from app.db import fetch_page, table_of
from app.labels import LABELS
from app.ledger.chain import statement
from app.ledger.models import Change, Report
from app.reference.models import Place, Source
from app.reports.schemas import Status


@dataclass(frozen=True, slots=True)
class Known:
    """A report that was recorded before, and its seq for the caller."""

    report: Report
    seq: int | None


def _seq_for(level: int) -> ColumnElement[Any]:
    position = table_of(Change).c[f"seq_{LABELS[level]}"]
    return select(func.min(position)).where(col(Change.report_id) == col(Report.id)).correlate(Report).scalar_subquery()


def status_for(report: Report, level: int) -> Status:
    """Whether a report stands, as a reader of that level sees it."""
    if report.retracted_level is not None and report.retracted_level <= level:
        return "retracted"
    if report.superseded_level is not None and report.superseded_level <= level:
        return "superseded"
    return "standing"


def status_is(status: Status, level: int) -> ColumnElement[bool]:
    """The condition for `status_for`."""
    retracted = func.coalesce(col(Report.retracted_level) <= level, False)
    superseded = func.coalesce(col(Report.superseded_level) <= level, False)
    if status == "retracted":
        return retracted
    return ~retracted & (superseded if status == "superseded" else ~superseded)


def serve(report: Report, place: str, source: str, *, level: int, seq: int | None) -> dict[str, Any]:
    """A report as served to a reader of that level."""
    said = statement(report, place, source)
    return {
        "id": said.pop("id"),
        "seq": seq,
        **said,
        "sensitivity": LABELS[report.level].value,
        "indicator": str(report.indicator_id),
        "status": status_for(report, level),
        "links": {"self": f"/v1/reports/{report.id}", "indicator": f"/v1/indicators/{report.indicator_id}"},
    }


async def find_by_fingerprint(connection: AsyncConnection, fingerprints: Collection[str], caller: Caller) -> dict[str, Any]:
    """Reports recorded before, by fingerprint: those that the caller may see, or whose organisation sent them.

    Where one was superseded since, the report that stands in its place.
    """
    wanted = list(fingerprints)
    may_see = or_(col(Report.level) <= caller.level, col(Report.recorded_by) == (caller.organisation or ""))
    found: dict[str, Known] = {}
    columns = select(*table_of(Report).c, _seq_for(caller.level).label("seq"))
    for start in range(0, len(wanted), 500):
        where = col(Report.fingerprint).in_(wanted[start : start + 500])
        for row in (await connection.execute(columns.where(where, may_see).order_by(col(Report.number)))).mappings():
            found.setdefault(row["fingerprint"], _known(row))
    for fingerprint, known in found.items():
        while status_for(known.report, caller.level) == "superseded":
            newer = columns.where(col(Report.supersedes) == known.report.id, may_see).order_by(col(Report.number).desc()).limit(1)
            row = (await connection.execute(newer)).mappings().one_or_none()
            if row is None:
                break
            known = _known(row)
        found[fingerprint] = known
    return dict(found)


def _known(row: Any) -> Known:
    values = dict(row)
    seq = values.pop("seq")
    return Known(Report(**values), seq)


def _columns(level: int) -> Select[Any]:
    return (
        select(*table_of(Report).c, col(Place.slug).label("place_slug"), col(Source.slug).label("source_slug"), _seq_for(level).label("seq"))
        .join(Place, col(Place.id) == col(Report.place_id))
        .join(Source, col(Source.id) == col(Report.source_id))
        .where(col(Report.level) <= level)
    )


def _serve_row(row: Any, level: int) -> dict[str, Any]:
    values = {name: value for name, value in row.items() if name != "head_seq"}
    place, source, seq = values.pop("place_slug"), values.pop("source_slug"), values.pop("seq")
    return serve(Report(**values), place, source, level=level, seq=seq)


async def get_report(connection: AsyncConnection, report_id: UUID, level: int) -> dict[str, Any] | None:
    """One report as served; None when there is none that this level may see."""
    row = (await connection.execute(_columns(level).where(col(Report.id) == report_id))).mappings().one_or_none()
    return None if row is None else _serve_row(row, level)


async def list_reports(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], *, after: UUID | None, limit: int, level: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page in order of identifier, that is of recording: the served reports, the last identifier when there are more, the head."""
    rows, last, revision = await fetch_page(connection, _columns(level).where(*where), key="id", after=after, limit=limit, level=level)
    return [_serve_row(row, level) for row in rows], last, revision
