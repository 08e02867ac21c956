"""What a curator adds beside statements: what became of a warning, and how reliable a source is from now on."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Caller
from app.assessment.loading import CHUNK
from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource
from app.assessment.projection import reassess, load_subjects
from app.domain.kinds import KINDS
from app.domain.times import rfc3339
from app.http.problems import Problem, invalid_field, not_found
from app.indicators.queries import visible_at
from app.ledger.appender import flush, open_appender
from app.ledger.hash_chain import entry_body
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry
from app.reference.models import SourceGrade
from app.reference.queries import find_sources
from app.reports.queries import find_visible_report
from app.settings import Settings
from app.storage.types import table_of, unstored


async def record_outcome(
    session: AsyncSession,
    caller: Caller,
    indicator: UUID,
    *,
    outcome: str,
    reason: str,
    report: UUID,
    settings: Settings,
    first_recorded_at: datetime | None = None,
) -> LedgerEntry:
    """Append what became of the warning that an indicator reads, with the report that shows it.

    Here and below, `first_recorded_at` is when another Lifeline recorded it, where it comes from one.

    404 for an indicator that the caller does not see, 409 where the kind does not warn, 422 for an unknown report.
    """
    tail = await open_appender(session)
    stored = select(col(IndicatorProjection.indicator_id)).where(
        col(IndicatorProjection.indicator_id) == indicator, *visible_at(caller.level)
    )
    found = await session.get(Indicator, indicator) if await session.scalar(stored) else None
    if found is None:
        raise not_found("indicator")
    if not KINDS[found.kind].has_outcome:
        raise Problem(409, f"Indicators of the kind {found.kind} are no warnings: they have no outcome.", kind="no-warning")
    evidence = await find_visible_report(await session.connection(), report, caller)
    if evidence is None:
        raise invalid_field("/report", "there is no such report")
    lowest = await session.scalar(
        select(col(IndicatorProjection.min_clearance))
        .where(col(IndicatorProjection.indicator_id) == indicator)
        .order_by(col(IndicatorProjection.min_clearance))
        .limit(1)
    )
    change = unstored(
        LedgerEntry,
        global_seq=0,
        type="outcome",
        indicator_id=indicator,
        report_id=report,
        # Nobody sees the outcome who may not see what shows it.
        level=max(evidence.report.level, lowest or 0),
        reason=reason,
        detail={"outcome": outcome} | _first(first_recorded_at),
        recorded_at=tail.recorded_at,
        recorded_by=caller.organisation or "",
        key_id=caller.key_id,
    )
    tail.append(change, entry_body(change, None))
    await flush(session, tail, [change])
    await reassess(session, await load_subjects(session, [indicator]), [(indicator, change.level, change)], settings)
    return change


def _first(recorded_at: datetime | None) -> dict[str, str]:
    return {} if recorded_at is None else {FIRST_RECORDED_AT: rfc3339(recorded_at)}


async def record_grade(
    session: AsyncSession,
    caller: Caller,
    slug: str,
    *,
    reliability: str,
    reason: str,
    settings: Settings,
    first_recorded_at: datetime | None = None,
) -> LedgerEntry:
    """Grade a source anew from now on, and read anew what rests on it; past readings keep the grade that was in force.

    One that comes from another Lifeline is in force from when it was recorded there, so that past readings are the same here.

    404 for an unknown source, 409 for the grade that it has already.
    """
    tail = await open_appender(session)
    connection = await session.connection()
    source = (await find_sources(connection, [slug], caller.level, caller.organisation)).get(slug)
    if source is None:
        raise not_found("source")
    if source.reliability == reliability:
        raise Problem(409, f"The source is graded {reliability} already.", kind="same-grade")
    change = unstored(
        LedgerEntry,
        global_seq=0,
        type="grade",
        source_id=source.id,
        level=0,
        reason=reason,
        detail={"reliability": reliability, "before": source.reliability} | _first(first_recorded_at),
        recorded_at=tail.recorded_at,
        recorded_by=caller.organisation or "",
        key_id=caller.key_id,
    )
    aliases = {source.slug: source.alias_slug} if source.alias_slug is not None else None
    tail.append(change, entry_body(change, None, source.slug), aliases)
    since = first_recorded_at or tail.recorded_at
    grade = {"source_id": source.id, "global_seq": change.global_seq, "effective_from": since, "reliability": reliability}
    await session.execute(insert(table_of(SourceGrade)), [grade])
    await flush(session, tail, [change])
    heard: dict[UUID, int] = {}
    for voice in await session.execute(
        select(col(IndicatorSource.indicator_id), col(IndicatorSource.level)).where(col(IndicatorSource.source_id) == source.id)
    ):
        heard[voice.indicator_id] = min(voice.level, heard.get(voice.indicator_id, voice.level))
    await _read_all_anew(session, heard, change, settings)
    return change


async def _read_all_anew(session: AsyncSession, heard: dict[UUID, int], change: LedgerEntry, settings: Settings) -> None:
    ids = sorted(heard)
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        await reassess(session, await load_subjects(session, some), [(each, heard[each], change) for each in some], settings)
