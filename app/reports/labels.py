"""Change the labels of reports: raising one takes effect at once, lowering one takes two persons."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, case, cast, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.keys import UNKNOWN_PERSON, persons_of
from app.access.models import ApiKey
from app.access.principal import Principal
from app.assessment.models import IndicatorSource
from app.assessment.projection import judge_shown_alert, reassess
from app.domain.identifiers import uuid7
from app.domain.kinds import KINDS
from app.domain.times import rfc3339
from app.domain.tlp import LABELS, Label
from app.http.problems import Problem, not_found
from app.ledger.appender import LedgerAppender, open_appender
from app.ledger.evidence import NAMED, OUTCOMES, replace_evidence_sources
from app.ledger.hash_chain import entry_body, proposal_detail, statement_body
from app.ledger.models import LedgerEntry, first_recorded_detail
from app.ledger.queries import load_aliases
from app.reference.models import Place, Source
from app.reports.models import LabelProposal, Report, mark_superseded
from app.reports.queries import OLD, VisibleReport, find_visible_report, require_visible_report
from app.reports.validation import ResolvedReport
from app.settings import Settings
from app.storage.paging import fetch_page
from app.storage.types import row_from, table_of

REASON_WITHHELD = "The reason is withheld."


async def change_label(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    label: Label,
    reason: str,
    settings: Settings,
    *,
    proposal_id: UUID | None = None,
) -> tuple[LedgerEntry | LabelProposal, bool]:
    """Raise the label of a report at once, or propose to lower it; return also whether that is new, not proposed already.

    Raise 404 if the caller does not see the report, 409 for its current label, and 409 for a label that cannot be lowered: that of a
    superseded or retracted report, or of a correction whose original is visible to more readers, where they would see it twice.
    """
    visible = await _require_other_label(session, caller, report_id, label)
    if label.level > visible.report.level:
        return await _apply_label(session, caller, visible, label.level, reason, settings), True
    await _require_declassifiable(session, visible, label.level)
    appender = await open_appender(session)
    equal = {"report_id": report_id, "proposed_level": label.level, "previous_level": visible.report.level, "reason": reason}
    equal |= {"proposed_by_key_id": caller.key_id, "confirmed_by_key_id": None}
    if (waiting := await session.scalar(select(LabelProposal).filter_by(**equal).limit(1))) is not None:
        return waiting, False
    proposal, entry = await _propose(session, appender, caller, visible.report, label.level, reason, proposal_id)
    await appender.flush(session, [entry])
    return proposal, True


async def propose_sent_label(
    session: AsyncSession, appender: LedgerAppender, caller: Principal, sent: ResolvedReport, report: Report, reason: str
) -> tuple[LabelProposal, LedgerEntry] | None:
    """Propose the label that a report was sent with, if the report was recorded at a stricter one and a key sent it."""
    if sent.report.sensitivity is None or sent.level >= report.level or caller.key_id is None:
        return None
    return await _propose(session, appender, caller, report, sent.level, reason)


async def _propose(
    session: AsyncSession,
    appender: LedgerAppender,
    caller: Principal,
    report: Report,
    level: int,
    reason: str,
    proposal_id: UUID | None = None,
) -> tuple[LabelProposal, LedgerEntry]:
    assert caller.key_id is not None
    key = await session.get_one(ApiKey, caller.key_id)
    proposal = LabelProposal(
        id=proposal_id or uuid7(),
        global_seq=appender.global_seq + 1,
        report_id=report.id,
        proposed_level=level,
        previous_level=report.level,
        reason=reason,
        proposed_by_key_id=caller.key_id,
        persons=persons_of(key),
        organisation=caller.organisation or "",
        created_at=appender.recorded_at,
    )
    session.add(proposal)
    # Without the indicator, which a proposal does not change.
    detail = proposal_detail(proposal, appender.hashing_key)
    entry = appender.new_entry("proposal", caller, report_id=report.id, level=report.level, reason=reason, detail=detail)
    appender.append(entry, entry_body(entry, None))
    return proposal, entry


async def confirm_declassification(session: AsyncSession, caller: Principal, proposal_id: UUID, settings: Settings) -> LedgerEntry:
    """Lower a label as another person proposed.

    Raise 404 if the caller does not see the report, 403 unless the two keys belong to two persons, 409 for a proposal that is confirmed
    or has lapsed.
    """
    proposal = await session.get(LabelProposal, proposal_id)
    visible = None if proposal is None else await find_visible_report(await session.connection(), proposal.report_id, caller)
    if proposal is None or visible is None:
        raise not_found("proposal")
    if proposal.proposed_by_key_id == caller.key_id:
        raise Problem(403, "Lowering a label takes two persons: another curator has to confirm this proposal.", kind="same-key")
    _require_two_persons(proposal.persons, persons_of(await session.get_one(ApiKey, caller.key_id)))
    if proposal.confirmed_by_key_id is not None or visible.report.level != proposal.previous_level:
        raise Problem(409, "The proposal is already confirmed, or the label has changed since: propose again.", kind="lapsed")
    await _require_declassifiable(session, visible, proposal.proposed_level)
    proposal.confirmed_by_key_id = caller.key_id
    return await _apply_label(session, caller, visible, proposal.proposed_level, proposal.reason, settings, proposal=proposal.id)


def _require_two_persons(proposed_by: Collection[str], confirmed_by: Collection[str]) -> None:
    for persons, key, then in ((proposed_by, "The key that proposed this", "propose it again"), (confirmed_by, "This key", "confirm it")):
        if any(each.startswith(UNKNOWN_PERSON) for each in persons):
            detail = f"{key} names no person, or a key that names none made or rotated it: {then} with a key that names one."
            raise Problem(403, detail, kind="no-person")
    if not set(proposed_by).isdisjoint(confirmed_by):
        detail = (
            "Lowering a label takes two persons, but one person can use both keys: it is the person of both, or has made or rotated one "
            "of them. Use keys that were made, or rotated without an overlap, on the command line."
        )
        raise Problem(403, detail, kind="same-person")


async def replicate_label(
    session: AsyncSession, caller: Principal, report_id: UUID, label: Label, reason: str, settings: Settings, *, first_recorded_at: datetime
) -> LedgerEntry:
    """Change a label at once as another Lifeline did, where two persons agreed to lower it; raise 404 and 409 as `change_label` does."""
    visible = await _require_other_label(session, caller, report_id, label)
    await _require_relayed_visible(session, visible.report, label.level)
    return await _apply_label(session, caller, visible, label.level, reason, settings, first_recorded_at)


async def load_proposal_page(
    connection: AsyncConnection, *, after: UUID | None, limit: int, level: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """Return a page of open proposals on reports that this level sees, oldest first, the last identifier if more follow, and the head."""
    proposals = table_of(LabelProposal)
    # The reason of a correction may describe the report that it supersedes.
    reason = case((OLD.c.level > level, REASON_WITHHELD), else_=proposals.c.reason).label("reason")
    statement = (
        select(*(each for each in proposals.c if each.name != "reason"), reason)
        .join(Report, col(Report.id) == proposals.c.report_id)
        .outerjoin(OLD, OLD.c.id == col(Report.supersedes))
        .where(proposals.c.confirmed_by_key_id.is_(None), col(Report.level) == proposals.c.previous_level, col(Report.level) <= level)
    )
    rows, last, revision = await fetch_page(connection, statement, key="id", after=after, limit=limit, level=level)
    return [proposal_body(row_from(LabelProposal, row)) for row in rows], last, revision


def proposal_body(proposal: LabelProposal) -> dict[str, Any]:
    """Return the JSON body of a proposal."""
    return {
        "id": str(proposal.id),
        "report": str(proposal.report_id),
        "sensitivity": LABELS[proposal.proposed_level].value,
        "before": LABELS[proposal.previous_level].value,
        "reason": proposal.reason,
        "proposed_by": proposal.organisation,
        "created_at": rfc3339(proposal.created_at),
        "links": {"report": f"/v1/reports/{proposal.report_id}", "confirmation": f"/v1/label-proposals/{proposal.id}/confirmation"},
    }


async def _require_other_label(session: AsyncSession, caller: Principal, report_id: UUID, label: Label) -> VisibleReport:
    visible = await require_visible_report(await session.connection(), report_id, caller)
    if label.level == visible.report.level:
        raise Problem(409, f"The report already has the label {label}.", kind="same-label")
    return visible


async def _superseded(session: AsyncSession, report: Report) -> Report | None:
    return (await session.scalars(select(Report).where(col(Report.id) == report.supersedes))).one_or_none()


async def _require_declassifiable(session: AsyncSession, visible: VisibleReport, level: int) -> None:
    report = visible.report
    if visible.status != "standing":
        raise Problem(409, f"The report is {visible.status}: its label can only be raised.", kind="not-standing")
    old = await _superseded(session, report)
    if old is not None and old.level < report.level and (old.level > level or old.indicator_id != report.indicator_id):
        raise Problem(
            409,
            "This report corrects one that more readers see: send a correction of it with the lower label instead.",
            kind="not-lowerable",
        )
    await _require_relayed_visible(session, report, level)


async def _require_relayed_visible(session: AsyncSession, report: Report, level: int) -> None:
    """Raise 409 for a label at which readers would learn of a report that they may not see: the one that this report repeats."""
    relayed = select(col(Report.level)).where(col(Report.id) == report.relays)
    if level < report.level and (await session.scalar(relayed) or 0) > level:
        detail = "The report that this one repeats has a stricter label: lower that label first, or send a correction without relays."
        raise Problem(409, detail, kind="not-lowerable")


async def _apply_label(
    session: AsyncSession,
    caller: Principal,
    visible: VisibleReport,
    level: int,
    reason: str,
    settings: Settings,
    first_recorded_at: datetime | None = None,
    proposal: UUID | None = None,
) -> LedgerEntry:
    appender = await open_appender(session)
    report = await session.get(Report, visible.report.global_seq)
    assert report is not None
    before, lowered, lowest = report.level, level < report.level, report.lowest_level
    detail = {"sensitivity": LABELS[level].value, "before": LABELS[before].value} | first_recorded_detail(first_recorded_at)
    if proposal is not None:
        detail["proposal"] = str(proposal)
    old = await _superseded(session, report) if lowered else None
    if old is not None and old.level < before:
        detail["supersedes"] = str(old.id)
        mark_superseded(old, level, appender.global_seq + 1)
    report.level, report.lowest_level, report.highest_level = level, min(level, report.lowest_level), max(level, report.highest_level)
    entry = appender.new_entry(
        "label",
        caller,
        report_id=report.id,
        indicator_id=report.indicator_id,
        level=min(level, before),
        redacted_below=max(level, before),
        reason=reason,
        detail=detail,
    )
    place, source = await session.get(Place, report.place_id), await session.get(Source, report.source_id)
    assert place is not None
    assert source is not None
    body = entry_body(entry, statement_body(report, place.slug, source.slug) if lowered else None)
    appender.append(entry, body, await load_aliases(await session.connection(), [body]))
    await session.flush()
    await appender.flush(session, [entry])
    await _update_indicator_sources(session, report)
    rested = select(OUTCOMES.c.indicator_id).where(OUTCOMES.c.report_id == report.id, OUTCOMES.c.type == "outcome")
    await replace_evidence_sources(session, set(await session.scalars(rested)))
    await reassess(session, [(report.indicator_id, entry.level, entry)], settings.horizons)
    if level < lowest and KINDS[report.kind].has_alerts:
        await judge_shown_alert(session, report.indicator_id, report.id, lowest, settings.horizons)
    return entry


async def _update_indicator_sources(session: AsyncSession, report: Report) -> None:
    """Replace the rows of an indicator, and of the source and facet of a report and of each source that it names beside its own.

    A level that sees no report gets no row, another one from the first time it saw one: a row below a raised label would show later
    grades of the source to readers who must not know that the indicator rests on it.
    """
    reports = table_of(Report).c
    await _replace_rows(
        session, report, report.source_id, report.facet, reports.source_id == report.source_id, reports.facet == report.facet
    )
    named = select(col(Source.id), col(Source.slug)).where(col(Source.slug).in_({*report.via, report.origin}))
    for source, slug in (await session.execute(named)).all():
        await _replace_rows(session, report, source, NAMED, or_(reports.origin == slug, cast(reports.via, String).contains(f'"{slug}"')))


async def _replace_rows(session: AsyncSession, report: Report, source: UUID, facet: str, *of_source: ColumnElement[bool]) -> None:
    reports, rows = table_of(Report).c, table_of(IndicatorSource)
    key = {"indicator_id": report.indicator_id, "source_id": source, "facet": facet}
    of_key = [reports.indicator_id == report.indicator_id, *of_source]
    unchanged = select(reports.level, func.min(reports.global_seq)).where(*of_key, reports.lowest_level >= reports.submitted_level)
    # A report whose label was raised alone is seen by fewer readers, but by these from the beginning.
    first: dict[int, int] = {each[0]: each[1] for each in await session.execute(unchanged.group_by(reports.level))}
    lowered = select(reports.id, reports.global_seq, reports.level, reports.submitted_level)
    for each in await session.execute(lowered.where(*of_key, reports.lowest_level < reports.submitted_level)):
        entries = table_of(LedgerEntry).c
        changes = select(entries.level, entries.global_seq).where(entries.report_id == each.id, entries.type == "label")
        for level, global_seq in [(each.submitted_level, each.global_seq), *await session.execute(changes)]:
            seen_from = max(level, each.level)
            first[seen_from] = min(global_seq, first.get(seen_from, global_seq))
    await session.execute(delete(rows).where(*(rows.c[name] == value for name, value in key.items())))
    await session.execute(insert(rows), [key | {"level": level, "first_global_seq": each} for level, each in first.items()])
