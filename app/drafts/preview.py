"""Say what a report would change: record it, look, and roll back."""

from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.principal import Principal
from app.domain.time_point import LATEST
from app.domain.view import View
from app.http.problems import invalid
from app.indicators.queries import load_indicator
from app.reference.queries import find_places
from app.reports.queries import VisibleReport, report_body
from app.reports.references import FieldErrors
from app.reports.schemas import ReportIn
from app.reports.service import correct_report, record_reports
from app.reports.validation import ValidatedReport
from app.settings import Settings
from app.situations.service import load_situation
from app.storage.database import Database


class _Undo(Exception):
    """Rolls the transaction back."""


async def preview_report(
    database: Database, caller: Principal, sent: ValidatedReport | FieldErrors, corrects: UUID | None, settings: Settings
) -> dict[str, Any]:
    """Return the body of `PreviewOut` for a report, or for the correction of another; raise what recording it would raise."""
    view = View(caller.level, LATEST, settings.horizons)
    found: VisibleReport | FieldErrors = []
    after: tuple[Any, ...] = ()
    try:
        async with database.write() as session:
            if corrects is None:
                ((found,), _) = await record_reports(session, caller, [sent], settings, all_or_nothing=True)
            else:
                found = await correct_report(session, caller, corrects, sent, "preview", settings)
            if isinstance(found, list):
                raise invalid(found)
            after = await _shown(await session.connection(), found, view)
            raise _Undo
    except _Undo:
        assert isinstance(found, VisibleReport)
    async with database.snapshot() as connection:
        before = await _shown(connection, found, view)
    body = report_body(found)
    return {
        "report": {name: body[name] for name in ReportIn.model_fields},
        "existing": None if found.created else body["id"],
        "indicator_before": before[0],
        "indicator": after[0],
        "situation_before": before[1],
        "situation": after[1],
    }


async def _shown(connection: AsyncConnection, of: VisibleReport, view: View) -> tuple[Any, Any]:
    """Return the indicator of a report, None without one, and the situation of its place."""
    indicator = await load_indicator(connection, of.report.indicator_id, view)
    place = (await find_places(connection, [of.place]))[of.place]
    document = None if indicator is None else orjson.loads(indicator[0])
    kept = document and {name: document[name] for name in ("kind", "subject", "value", "agreement")}
    situation = await load_situation(connection, [place.id], place, view)
    return kept, {name: situation[name] for name in ("level", "because")}
