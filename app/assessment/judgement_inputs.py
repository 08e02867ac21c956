"""Load the judgements on indicators from the ledger, at any time point."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import IndicatorIdentity
from app.assessment.judgements import Judgement, judged_since
from app.assessment.loading import effective_levels, ends_at, reports_at
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.times import day_at, rfc3339
from app.ledger.models import JUDGEMENT, JUDGEMENT_TYPES, LedgerEntry, first_recorded
from app.reports.models import Report
from app.storage.direct import execute_direct
from app.storage.paging import chunks
from app.storage.types import table_of

_JUDGED_COLUMNS = ("global_seq", "type", "indicator_id", "judgement_id", "level", "reason", "detail", "recorded_at", "recorded_by")
_REPORT_COLUMNS = ("id", "level", "submitted_level", "highest_level", "ended_global_seq", "superseded_from_level", "retracted_from_level")
_JUDGED = select(*(table_of(LedgerEntry).c[name] for name in _JUDGED_COLUMNS)).where(
    col(LedgerEntry.indicator_id).in_(bindparam("ids", expanding=True)),
    col(LedgerEntry.type).in_(JUDGEMENT_TYPES),
    col(LedgerEntry.judgement_id).is_not(None),
)


async def load_judgements(
    connection: AsyncConnection, subjects: Mapping[UUID, IndicatorIdentity], time_point: TimePoint = LATEST
) -> dict[UUID, list[Judgement]]:
    """Load the judgements on some indicators that were recorded by a time point, oldest first; each counts from then."""
    rows = [row for ids in chunks(subjects) for row in await execute_direct(connection, _JUDGED, {"ids": ids})]
    if (through := time_point.through_global_seq) is not None:
        rows = [row for row in rows if row.global_seq <= through]
    withdrawn = {row.judgement_id: row for row in rows if row.type != JUDGEMENT}
    reports = {UUID(each) for row in rows for each in row.detail[JUDGEMENT]["reports"]}
    of_reports = select(*(table_of(Report).c[name] for name in _REPORT_COLUMNS))
    found_reports = [row for ids in chunks(reports) for row in await connection.execute(of_reports.where(col(Report.id).in_(ids)))]
    levels = {str(row.id): row.level for row in found_reports}
    levels |= {str(each): level for each, level in (await effective_levels(connection, found_reports, time_point)).items()}
    ends = await ends_at(connection, found_reports, time_point)
    ended = {str(each): min((end for end in pair if end is not None), default=None) for each, pair in ends.items()}
    found: dict[UUID, list[Judgement]] = {}
    for row in sorted(rows, key=lambda each: each.global_seq):
        stated, recorded_at = row.detail[JUDGEMENT], first_recorded(row.recorded_at, row.detail)
        if row.type != JUDGEMENT or (time_point.as_of is not None and recorded_at > time_point.as_of):
            continue
        subject, end = subjects[row.indicator_id], withdrawn.get(row.judgement_id)
        retraction = end and {"reason": end.reason, "recorded_at": rfc3339(end.recorded_at), "recorded_by": end.recorded_by}
        judgement = Judgement(
            id=row.judgement_id,
            indicator=row.indicator_id,
            recorded_at=recorded_at,
            recorded_by=row.recorded_by,
            day=day_at(rfc3339(recorded_at), subject.place.timezone),
            level=row.level,
            shown_from=max([row.level, *(levels[each] for each in stated["reports"])]),
            value=KINDS[subject.kind].value_model.model_validate(stated["value"]),
            stated=stated,
            corrects=row.detail.get("corrects"),
            reason=row.reason,
            retraction=retraction or None,
            unsupported_from=_last_end([ended.get(each) for each in stated["reports"]]),
        )
        found.setdefault(row.indicator_id, []).append(judgement)
    return found


def _last_end(ends: Sequence[int | None]) -> int | None:
    """Return the lowest clearance for which all of some reports ended; None while one stands, or without any."""
    known = [each for each in ends if each is not None]
    return max(known, default=None) if len(known) == len(ends) else None


async def spoken_of_since(
    connection: AsyncConnection, judgements: Mapping[UUID, Sequence[Judgement]], time_point: TimePoint
) -> dict[UUID, datetime]:
    """Return for each judged indicator the first time that reports stated after the judgements speak of: these may contradict one."""
    found: dict[UUID, datetime] = {}
    for indicator, some in judgements.items():
        if (since := judged_since(some)) is not None:
            later = (col(Report.indicator_id) == indicator, col(Report.stated_at) > since, *reports_at(time_point))
            if (first := await connection.scalar(select(func.min(col(Report.effective_at))).where(*later))) is not None:
                found[indicator] = first
    return found
