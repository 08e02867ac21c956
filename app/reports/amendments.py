"""Record what is added to reports: reinstatements, the outcomes of warnings and the grades of sources."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal, Scope
from app.assessment.inputs import load_inputs
from app.assessment.loading import load_latest
from app.assessment.models import IndicatorProjection, IndicatorSource
from app.assessment.projection import reassess
from app.domain.kinds import KINDS
from app.http.problems import Problem, invalid_field, not_found
from app.ledger.appender import open_appender
from app.ledger.evidence import replace_evidence_sources
from app.ledger.hash_chain import entry_body
from app.ledger.models import LedgerEntry, effective_detail, first_recorded_detail
from app.reference.models import SourceGrade
from app.reference.queries import find_sources
from app.reports.models import Report
from app.reports.queries import VisibleReport, find_visible_report, latest_in_chain, require_visible_report
from app.reports.schemas import GradeIn, OutcomeIn
from app.settings import Settings
from app.storage.paging import chunks
from app.storage.types import table_of


async def reinstate_report(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    reason: str,
    settings: Settings,
    first_recorded_at: datetime | None = None,
    *,
    replicated: bool = False,
) -> LedgerEntry:
    """Undo the retraction of a report, and reassess its indicator.

    `first_recorded_at` is when another Lifeline recorded it. With `replicated` reinstate also one that is not retracted here.

    Raise 404 if the caller does not see the report, 403 for a report of another organisation without the scope `curate`, 409 for a
    report that is not retracted.
    """
    appender = await open_appender(session)
    visible = await require_visible_report(await session.connection(), report_id, caller)
    require_own(caller, visible.report)
    if visible.status != "retracted" and not replicated:
        raise Problem(409, f"The report is {visible.status}: only a retracted report is reinstated.", kind="not-retracted")
    report = await session.get_one(Report, visible.report.global_seq)
    detail = first_recorded_detail(first_recorded_at) or None
    entry = appender.new_entry(
        "reinstatement", caller, indicator_id=report.indicator_id, level=report.level, report_id=report.id, reason=reason, detail=detail
    )
    appender.append(entry, entry_body(entry, None))
    report.retracted_from_level, report.ended_global_seq = None, entry.global_seq
    await session.flush()
    await appender.flush(session, [entry])
    await reassess(session, [(report.indicator_id, entry.level, entry)], settings.horizons)
    return entry


def require_own(caller: Principal, report: Report) -> None:
    """Raise 403 unless the caller may amend a report: its own organisation's, or any with the scope `curate`."""
    if Scope.CURATE not in caller.scopes and report.recorded_by != caller.organisation:
        raise Problem(403, "Another organisation sent this report: only a key with the scope curate may amend it.", kind="scope")


async def record_outcome(
    session: AsyncSession,
    caller: Principal,
    indicator_id: UUID,
    sent: OutcomeIn,
    settings: Settings,
    first_recorded_at: datetime | None = None,
) -> LedgerEntry:
    """Append the outcome of the warning of an indicator, with the report that shows it.

    `first_recorded_at` is when another Lifeline recorded it, if it is replicated.
    Raise 404 if the caller does not see the indicator, 409 for a kind without warnings, 422 for an unknown report.
    """
    appender = await open_appender(session)
    projections = table_of(IndicatorProjection).c
    stored = select(projections.kind, projections.place_id, projections.min_clearance, projections.filter_key).where(
        projections.indicator_id == indicator_id
    )
    row = (await session.execute(stored.order_by(projections.min_clearance).limit(1))).one_or_none()
    if row is None or row.min_clearance > caller.level:
        raise not_found("indicator")
    if not KINDS[row.kind].has_outcome:
        raise Problem(409, f"Indicators of the kind {row.kind} give no warnings, so they have no outcome.", kind="no-warning")
    evidence = await find_visible_report(await session.connection(), sent.report, caller)
    if evidence is None:
        raise invalid_field("/report", "no such report: send the id of a report that you can read")
    # A replicated outcome was checked where the warnings were that it ended, some of which this service may not see.
    if first_recorded_at is None:
        unfit = await _unfit_evidence(session, caller, indicator_id, row, evidence, sent.outcome)
        if unfit is not None:
            raise invalid_field("/report", unfit)
        if sent.outcome not in ("materialised", "pending"):
            await _check_no_event(session, caller, indicator_id, settings)
    entry = appender.new_entry(
        "outcome",
        caller,
        indicator_id=indicator_id,
        report_id=sent.report,
        # A reader who may not see the evidence must not see the outcome.
        level=max(evidence.report.level, row.min_clearance),
        reason=sent.reason,
        detail={"outcome": sent.outcome} | first_recorded_detail(first_recorded_at),
    )
    appender.append(entry, entry_body(entry, None))
    await appender.flush(session, [entry])
    await replace_evidence_sources(session, [indicator_id])
    await reassess(session, [(indicator_id, entry.level, entry)], settings.horizons)
    return entry


async def _unfit_evidence(
    session: AsyncSession, caller: Principal, indicator: UUID, row: Any, shown: VisibleReport, outcome: str
) -> str | None:
    """Return why a report cannot show an outcome of the warnings of an indicator."""
    kind, evidence = KINDS[row.kind], shown.report
    latest = await latest_in_chain(await session.connection(), shown, caller.level)
    if latest.status == "retracted":
        return "this report was withdrawn: send one that stands"
    if shown.status != "standing":
        correction = f"its correction, {latest.report.id}" if latest.status == "standing" else "one that stands"
        return f"this report was corrected: send {correction}"
    if evidence.place_id != row.place_id:
        return "this report is about another place: send one about the place of the warning"
    if evidence.kind not in {kind.name, *kind.evidence_kinds}:
        return f"this report is of the kind {evidence.kind}: send one of the kind {' or '.join(sorted({kind.name, *kind.evidence_kinds}))}"
    own_kind = KINDS[evidence.kind]
    value = own_kind.value_model.model_validate(evidence.value)
    if evidence.kind != kind.name and not own_kind.is_about(value, row.filter_key):
        return (
            f"this report names other supplies than {row.filter_key}, or says that it was taken off: send one of a delivery that brings it"
        )
    if outcome == "materialised" and own_kind.claims_relief(value):
        return "this report says that all is well, not that the warning came true: send one that shows it, or another outcome"
    if outcome == "averted" and evidence.kind != kind.name and not own_kind.claims_relief(value):
        return "this report does not say that help arrived: send one that does, or another outcome"
    if outcome == "averted" and evidence.indicator_id == indicator and kind.occurred_on(value, date.min) is not None:
        return "this report says that the warning came true: send one that shows that it did not, or another outcome"
    if evidence.indicator_id != indicator or not kind.warns(kind.value_model.model_validate(evidence.value)):
        return None
    said = (await load_latest(await session.connection(), [indicator])).get(indicator, [])
    warned = [each for each in said if each.level <= caller.level and each.id != evidence.id and kind.warns(each.value)]
    if any(each.stated_at < evidence.stated_at for each in warned):
        return None
    return "this report is the warning itself: send a later report that shows its outcome"


async def _check_no_event(session: AsyncSession, caller: Principal, indicator: UUID, settings: Settings) -> None:
    """Raise 422 if a report that stands says that the warnings came true, and none of them stands any more."""
    inputs = (await load_inputs(await session.connection(), [indicator], settings.horizons))[indicator]
    kind, standing = KINDS[inputs.subject.kind], inputs.assess(caller.level).standing
    came_true = [each for each in standing if kind.occurred_on(each.value, each.local_day) is not None]
    if came_true and not any(kind.warns(each.value) for each in standing):
        detail = f"report {came_true[0].id} says that it came true, so that this changes nothing: send materialised, or correct that report"
        raise invalid_field("/outcome", detail)


async def record_grade(
    session: AsyncSession,
    caller: Principal,
    slug: str,
    sent: GradeIn,
    settings: Settings,
    first_recorded_at: datetime | None = None,
    effective_from: datetime | None = None,
) -> LedgerEntry:
    """Grade a source from now on and reassess the indicators that rest on it; past assessments keep the grade then in force.

    `first_recorded_at` is when another Lifeline recorded it. `effective_from` is when it came into force there, so that past assessments
    agree there and here; None for now.
    Raise 404 for an unknown source, 409 for its current grade.
    """
    appender = await open_appender(session)
    connection = await session.connection()
    source = (await find_sources(connection, [slug], caller.level, caller.organisation)).get(slug)
    if source is None:
        raise not_found("source")
    # Another service's equal grade is recorded as well, because it decides which of the later ones counts.
    if source.reliability == sent.reliability and first_recorded_at is None:
        raise Problem(409, f"The source already has the grade {sent.reliability}.", kind="same-grade")
    # No clock that was ahead gives a grade that no later one replaces.
    effective_from = min(effective_from, appender.recorded_at) if effective_from else None
    entry = appender.new_entry(
        "grade",
        caller,
        source_id=source.id,
        level=0,
        reason=sent.reason,
        detail={"reliability": sent.reliability, "before": source.reliability}
        | first_recorded_detail(first_recorded_at)
        | effective_detail(effective_from, first_recorded_at, appender.recorded_at),
    )
    aliases = {source.slug: source.alias_slug} if source.alias_slug is not None else None
    appender.append(entry, entry_body(entry, None, source.slug), aliases)
    since = effective_from or appender.recorded_at
    grade = SourceGrade(source_id=source.id, global_seq=entry.global_seq, effective_from=since, reliability=sent.reliability)
    await session.execute(insert(table_of(SourceGrade)), [grade.model_dump()])
    await appender.flush(session, [entry])
    sources = table_of(IndicatorSource).c
    lowest = select(sources.indicator_id, func.min(sources.level)).where(sources.source_id == source.id).group_by(sources.indicator_id)
    levels = dict(tuple(row) for row in await session.execute(lowest))
    for some in chunks(sorted(levels)):
        await reassess(session, [(each, levels[each], entry) for each in dict.fromkeys(some)], settings.horizons)
    return entry
