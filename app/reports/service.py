"""The one door for writing statements: they are checked, appended to the ledger and read together in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from app.access.principal import Caller, Scope
from app.assessment.loading import CHUNK
from app.assessment.models import Indicator, IndicatorSource
from app.assessment.projection import reassess, load_subjects
from app.domain.times import start_of
from app.http.problems import Problem, invalid, not_found
from app.ledger.appender import LedgerAppender, flush, open_appender
from app.ledger.hash_chain import entry_body, statement_body
from app.ledger.models import LedgerEntry
from app.reports.models import Report
from app.reports.queries import VisibleReport, find_by_fingerprint, find_by_identifier, find_visible_report, status_for
from app.reports.schemas import Status
from app.reports.validation import ResolvedReport, FieldErrors, ValidatedReport, resolve_references
from app.settings import Settings
from app.storage.types import row_of, table_of, unstored


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored report with what its answer shows beside it. `created` is False for one that was recorded before."""

    report: Report
    place: str
    source: str
    via: list[str]
    seq: int | None
    supersedes: UUID | None
    status: Status
    created: bool


async def record_reports(
    session: AsyncSession,
    caller: Caller,
    sent: Sequence[ValidatedReport | FieldErrors],
    settings: Settings,
    *,
    all_or_nothing: bool = False,
    identifiers: Sequence[UUID] | None = None,
    requester: Caller | None = None,
) -> tuple[list[Recorded | FieldErrors], int]:
    """Append reports, and read their indicators anew.

    Answers one outcome an item, in order, and the head of the ledger as the caller sees it. With `all_or_nothing`,
    nothing is written once one item is refused. The same statement sent twice is recorded once.
    `identifiers` are those to keep, one an item: then a report is recognised by its identifier and by nothing else, and lists are in
    their order. Without them new ones are made, and for those that a report has already which the asker may not know of.
    `asker` is who is answered, where that is another than the caller, in whose name it is recorded.
    """
    tail = await open_appender(session)
    checked = await resolve_references(session, caller, sent, settings)
    if all_or_nothing and any(isinstance(each, list) for each in checked):
        return [each if isinstance(each, list) else [] for each in checked], tail.seq[caller.level]
    connection = await session.connection()
    known: dict[UUID | str, VisibleReport]
    kept: Sequence[UUID | None] = [None] * len(checked)
    known = {}
    if identifiers is not None:
        of_others: set[UUID]
        by_identifier, of_others = await find_by_identifier(connection, identifiers, requester or caller)
        known.update(by_identifier.items())
        kept = [None if each in of_others else each for each in identifiers]
    new = {each.fingerprint for each, id_ in zip(checked, kept, strict=True) if isinstance(each, ResolvedReport) and id_ is None}
    known.update((await find_by_fingerprint(connection, new, requester or caller)).items())
    outcomes: list[Recorded | FieldErrors] = []
    added: list[tuple[ResolvedReport, Report, LedgerEntry]] = []
    for at, each in enumerate(checked):
        if isinstance(each, list):
            outcomes.append(each)
            continue
        same = kept[at] or each.fingerprint
        before = known.get(same)
        if before is None:
            report, change = append_report(tail, each, caller, identifier=kept[at])
            added.append((each, report, change))
            seq = getattr(change, f"seq_{caller.clearance}")
            known[same] = before = visible_report(report, each, seq, None, caller)
            created = True
        else:
            created = False
        outcomes.append(
            Recorded(
                before.report,
                before.place,
                before.source,
                before.via,
                before.seq,
                before.supersedes,
                status_for(before.report, caller.level),
                created,
            )
        )
    await _store(session, added)
    await flush(session, tail, [change for _, _, change in added])
    subjects = {each.indicator_id: each.about() for each, _, _ in added}
    await reassess(session, subjects, [(each.indicator_id, change.level, change) for each, _, change in added], settings)
    return outcomes, tail.seq[caller.level]


async def correct_report(
    session: AsyncSession,
    caller: Caller,
    report_id: UUID,
    sent: ValidatedReport | FieldErrors,
    reason: str,
    settings: Settings,
    *,
    identifier: UUID | None = None,
) -> Recorded:
    """Append a report that supersedes another, and read anew what they are about. `identifier` is one to keep, which must be new.

    404 for a report that the caller does not see, 403 for another organisation's without the scope `curate`, 409 for one
    that is superseded or retracted already, 422 for a report that is not right.
    """
    tail = await open_appender(session)
    old = await _amendable(session, caller, report_id)
    (checked,) = await resolve_references(session, caller, [sent], settings)
    if isinstance(checked, list):
        raise invalid(checked)
    report, change = append_report(tail, checked, caller, supersedes=old.report, reason=reason, identifier=identifier)
    from_level = max(report.level, old.report.level)
    session.add(old.report)
    await session.flush()
    await _store(session, [(checked, report, change)])
    await flush(session, tail, [change])
    subjects = {checked.indicator_id: checked.about()}
    touched = [(checked.indicator_id, change.level, change)]
    if old.report.indicator_id != checked.indicator_id:
        subjects |= await load_subjects(session, [old.report.indicator_id])
        touched.append((old.report.indicator_id, from_level, change))
    await reassess(session, subjects, touched, settings)
    seq = getattr(change, f"seq_{caller.clearance}")
    made = visible_report(report, checked, seq, old.report.id, caller)
    return Recorded(report, made.place, made.source, made.via, seq, made.supersedes, "standing", created=True)


async def retract_report(
    session: AsyncSession, caller: Caller, report_id: UUID, reason: str, settings: Settings
) -> tuple[LedgerEntry, VisibleReport]:
    """Withdraw a report, which stays readable and marked, and read its indicator anew. Errors as for `correct`."""
    tail = await open_appender(session)
    old = await _amendable(session, caller, report_id)
    change = append_retraction(tail, old.report, caller, reason)
    session.add(old.report)
    await session.flush()
    await flush(session, tail, [change])
    subjects = await load_subjects(session, [old.report.indicator_id])
    await reassess(session, subjects, [(old.report.indicator_id, change.level, change)], settings)
    return change, old


async def _amendable(session: AsyncSession, caller: Caller, report_id: UUID) -> VisibleReport:
    old = await find_visible_report(await session.connection(), report_id, caller)
    if old is None:
        raise not_found("report")
    if Scope.CURATE not in caller.scopes and old.report.recorded_by != caller.organisation:
        raise Problem(403, "Another organisation sent this report: amending it needs the scope curate.", kind="scope")
    if (status := status_for(old.report, caller.level)) != "standing":
        raise Problem(409, f"The report is {status} already.", kind="not-standing")
    stored = await session.get(Report, old.report.global_seq)
    assert stored is not None
    return replace(old, report=stored)


def visible_report(report: Report, said: ResolvedReport, seq: int | None, supersedes: UUID | None, caller: Caller) -> VisibleReport:
    """A report just recorded, as its sender may see it."""
    source, *via = (each.names.visible_at(caller.level)[0] for each in (said.source, *said.via))
    return VisibleReport(report, said.place.slug, source, via, seq, supersedes)


def _end(report: Report, number: int, *, superseded: int | None = None, retracted: int | None = None) -> None:
    if superseded is not None:
        report.superseded_from_level = superseded if report.superseded_from_level is None else min(superseded, report.superseded_from_level)
    if retracted is not None:
        report.retracted_from_level = retracted
    report.ended_global_seq = number


def _change(type_: str, indicator: UUID, level: int, tail: LedgerAppender, caller: Caller, **more: Any) -> LedgerEntry:
    return unstored(
        LedgerEntry,
        global_seq=0,
        type=type_,
        indicator_id=indicator,
        level=level,
        recorded_at=tail.recorded_at,
        recorded_by=caller.organisation or "",
        key_id=caller.key_id,
        **more,
    )


def append_retraction(tail: LedgerAppender, report: Report, caller: Caller, reason: str) -> LedgerEntry:
    """Number and hash the withdrawal of a report, and mark it so; nothing is stored yet."""
    change = _change("retraction", report.indicator_id, report.level, tail, caller, report_id=report.id, reason=reason)
    tail.append(change, entry_body(change, None))
    _end(report, tail.number, retracted=report.level)
    return change


def append_report(
    tail: LedgerAppender,
    said: ResolvedReport,
    caller: Caller,
    *,
    supersedes: Report | None = None,
    reason: str | None = None,
    identifier: UUID | None = None,
) -> tuple[Report, LedgerEntry]:
    """Number and hash a report, and mark the one that it supersedes, if any; nothing is stored yet."""
    sent = said.report
    report = unstored(
        Report,
        global_seq=tail.number + 1,
        id=identifier or uuid7(),
        kind=sent.kind,
        indicator_id=said.indicator_id,
        place_id=said.place.id,
        source_id=said.source.id,
        filter_key=said.topic,
        facet=said.aspect,
        stated_at=start_of(sent.stated_at),
        stated_text=sent.stated_at,
        value=said.value,
        via=[each.slug for each in said.via],
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
        level=said.level,
        submitted_level=said.level,
        lowest_level=said.level,
        supersedes=supersedes.id if supersedes else None,
        fingerprint=said.fingerprint,
        recorded_at=tail.recorded_at,
        recorded_by=caller.organisation or "",
    )
    change = _change("report", said.indicator_id, said.level, tail, caller, report_id=report.id)
    if supersedes is not None:
        change.type, change.reason, change.detail = "correction", reason, {"supersedes": str(supersedes.id)}
        change.redacted_below = supersedes.level
        if supersedes.indicator_id != said.indicator_id:
            change.from_indicator_id = supersedes.indicator_id
    tail.append(change, entry_body(change, statement_body(report, said.place.slug, said.source.slug)), said.aliases())
    if supersedes is not None:
        _end(supersedes, tail.number, superseded=max(report.level, supersedes.level))
    return report, change


async def _store(session: AsyncSession, added: Sequence[tuple[ResolvedReport, Report, LedgerEntry]]) -> None:
    if not added:
        return
    about = {checked.indicator_id: checked for checked, _, _ in added}
    known: set[UUID] = set()
    heard: set[tuple[Any, ...]] = set()
    for some in _chunks(about):
        known |= set(await session.scalars(select(col(Indicator.id)).where(col(Indicator.id).in_(some))))
        spoken = select(
            col(IndicatorSource.indicator_id), col(IndicatorSource.source_id), col(IndicatorSource.facet), col(IndicatorSource.level)
        ).where(col(IndicatorSource.indicator_id).in_(some))
        heard |= {tuple(row) for row in await session.execute(spoken)}
    indicators = [
        {"id": each, "kind": said.report.kind, "place_id": said.place.id, "subject": said.subject, "filter_key": said.topic}
        for each, said in about.items()
        if each not in known
    ]
    if indicators:
        await session.execute(insert(table_of(Indicator)), indicators)
    await session.execute(insert(table_of(Report)), [row_of(Report, report) for _, report, _ in added])
    voices: dict[tuple[Any, ...], int] = {}
    for _, report, _ in added:
        voices.setdefault((report.indicator_id, report.source_id, report.facet, report.level), report.global_seq)
    names = ("indicator_id", "source_id", "facet", "level")
    new = [dict(zip(names, voice, strict=True)) | {"first_global_seq": number} for voice, number in voices.items() if voice not in heard]
    if new:
        await session.execute(insert(table_of(IndicatorSource)), new)


def _chunks(ids: Iterable[UUID]) -> list[list[UUID]]:
    every = list(ids)
    return [every[start : start + CHUNK] for start in range(0, len(every), CHUNK)]
