"""Append reports and retractions to an open ledger, and insert the rows of reports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal
from app.assessment.models import Indicator, IndicatorSource
from app.domain.identifiers import uuid7
from app.domain.times import end_of, start_of
from app.ledger.appender import LedgerAppender
from app.ledger.evidence import NAMED
from app.ledger.hash_chain import entry_body, statement_body
from app.ledger.models import LedgerEntry, first_recorded_detail, seq_for
from app.reports.models import Report, ReportText, mark_superseded
from app.reports.queries import VisibleReport
from app.reports.search import text_rows
from app.reports.validation import ResolvedReport
from app.storage.direct import execute_direct, insert_into
from app.storage.paging import chunks
from app.storage.types import column_values, detached_row, table_of


def visible_report(
    report: Report, entry: LedgerEntry, resolved: ResolvedReport, supersedes: UUID | None, caller: Principal
) -> VisibleReport:
    """Return a report that was just appended, as its sender may see it."""
    source, *via = (each.names.visible_at(caller.level)[0] for each in (resolved.source, *resolved.via))
    origin = resolved.origin.names.visible_at(caller.level)[0] if resolved.origin else None
    seq = seq_for(entry, caller.level)
    return VisibleReport(report, resolved.place.slug, source, via, origin, report.relays, seq, supersedes, "standing")


def append_retraction(
    appender: LedgerAppender, report: Report, caller: Principal, reason: str, first_recorded_at: datetime | None = None
) -> LedgerEntry:
    """Append the withdrawal of a report and mark the report as retracted, without writing to the database."""
    detail = first_recorded_detail(first_recorded_at) or None
    entry = appender.new_entry(
        "retraction", caller, indicator_id=report.indicator_id, level=report.level, report_id=report.id, reason=reason, detail=detail
    )
    appender.append(entry, entry_body(entry, None))
    report.retracted_from_level, report.ended_global_seq = report.level, entry.global_seq
    return entry


def append_report(
    appender: LedgerAppender,
    resolved: ResolvedReport,
    caller: Principal,
    *,
    supersedes: Report | None = None,
    reason: str | None = None,
    identifier: UUID | None = None,
) -> tuple[Report, LedgerEntry]:
    """Append a report and mark the one that it supersedes, if any, without writing to the database."""
    sent = resolved.report
    report = detached_row(
        Report,
        global_seq=appender.global_seq + 1,
        id=identifier or uuid7(),
        kind=sent.kind,
        indicator_id=resolved.indicator_id,
        place_id=resolved.place.id,
        source_id=resolved.source.id,
        filter_key=resolved.filter_key,
        facet=resolved.facet,
        stated_at=start_of(sent.stated_at),
        stated_text=sent.stated_at,
        effective_at=end_of(sent.observed_to) if sent.observed_to else start_of(sent.stated_at),
        endless=resolved.endless,
        value=resolved.value,
        via=[each.slug for each in resolved.via],
        directness=sent.provenance.directness,
        relays=sent.provenance.relays,
        origin=resolved.origin.slug if resolved.origin else None,
        method=sent.provenance.method,
        credibility=sent.provenance.credibility,
        published_text=sent.provenance.published_at,
        url=sent.provenance.url,
        title=sent.provenance.title,
        quote=sent.provenance.quote,
        language=sent.provenance.language,
        licence=sent.provenance.licence,
        observed_from=sent.observed_from,
        observed_to=sent.observed_to,
        level=resolved.level,
        submitted_level=resolved.level,
        lowest_level=resolved.level,
        highest_level=resolved.level,
        supersedes=supersedes.id if supersedes else None,
        fingerprint=resolved.fingerprint,
        recorded_at=appender.recorded_at,
        recorded_by=caller.organisation or "",
        drafted_by=resolved.drafted_by,
    )
    entry = appender.new_entry("report", caller, indicator_id=resolved.indicator_id, level=resolved.level, report_id=report.id)
    if supersedes is not None:
        entry.type, entry.reason, entry.detail = "correction", reason, {"supersedes": str(supersedes.id)}
        entry.redacted_below = supersedes.level
        if supersedes.indicator_id != resolved.indicator_id:
            entry.from_indicator_id = supersedes.indicator_id
    appender.append(entry, entry_body(entry, statement_body(report, resolved.place.slug, resolved.source.slug)), resolved.aliases())
    if supersedes is not None:
        mark_superseded(supersedes, max(report.level, supersedes.level), entry.global_seq)
    return report, entry


# Built once and without the ORM, because every report runs them.
_SOURCE_KEY = ("indicator_id", "source_id", "facet", "level")
_indicators, _sources = table_of(Indicator), table_of(IndicatorSource)
_KNOWN = (
    select(_indicators.c.id, *(_sources.c[name] for name in _SOURCE_KEY))
    .select_from(_indicators.outerjoin(_sources, _sources.c.indicator_id == _indicators.c.id))
    .where(_indicators.c.id.in_(bindparam("ids", expanding=True)))
)


async def report_inserts(session: AsyncSession, appended: Sequence[tuple[ResolvedReport, Report]]) -> list[tuple[Insert, Any]]:
    """Return the statements that insert reports that were appended, with the indicators and sources that are new."""
    connection = await session.connection()
    by_indicator = {resolved.indicator_id: resolved for resolved, _ in appended}
    known: set[UUID] = set()
    known_sources: set[tuple[Any, ...]] = set()
    for some in chunks(by_indicator):
        for indicator_id, *source in await execute_direct(connection, _KNOWN, {"ids": some}):
            known.add(indicator_id)
            known_sources.add(tuple(source))
    indicators = [
        {
            "id": indicator_id,
            "kind": resolved.report.kind,
            "place_id": resolved.place.id,
            "subject": resolved.subject,
            "filter_key": resolved.filter_key,
        }
        for indicator_id, resolved in by_indicator.items()
        if indicator_id not in known
    ]
    first: dict[tuple[Any, ...], int] = {}
    for resolved, report in appended:
        first.setdefault((report.indicator_id, report.source_id, report.facet, report.level), report.global_seq)
        for each in resolved.sources()[1:]:
            first.setdefault((report.indicator_id, each.id, NAMED, report.level), report.global_seq)
    sources = [
        dict(zip(_SOURCE_KEY, each, strict=True)) | {"first_global_seq": seq} for each, seq in first.items() if each not in known_sources
    ]
    reports = [column_values(Report, report) for _, report in appended]
    texts = text_rows(report for _, report in appended)
    rows = ((Indicator, indicators), (Report, reports), (ReportText, texts), (IndicatorSource, sources))
    return [(insert_into(table_of(model)), some) for model, some in rows if some]
