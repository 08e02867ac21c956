"""Labels that move: raising one takes effect at once, lowering one takes two different keys (contract, Sensitivity)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from app.access.principal import Caller
from app.assessment.models import IndicatorSource
from app.assessment.projection import reassess, load_subjects
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import LABELS, Label
from app.http.problems import Problem, not_found
from app.ledger.appender import flush, open_appender
from app.ledger.hash_chain import entry_body, statement_body
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry
from app.ledger.queries import load_aliases
from app.reference.models import Place, Source
from app.reports.models import LabelProposal, Report
from app.reports.queries import VisibleReport, find_visible_report, status_for
from app.settings import Settings
from app.storage.paging import fetch_page
from app.storage.types import table_of


async def change_label(
    session: AsyncSession,
    caller: Caller,
    report_id: UUID,
    label: Label,
    reason: str,
    settings: Settings,
    *,
    proposal: UUID | None = None,
) -> LedgerEntry | LabelProposal:
    """Raise a report's label at once, or propose to lower it; `proposal` is the proposal's identifier, a new one unless given.

    404 for a report that the caller does not see; 409 for the label that it has, and where lowering cannot be: the report is
    superseded or retracted, or it is a correction of what those may see who would come to see it only in another indicator.
    """
    known = await _visible(session, caller, report_id)
    if label.level == known.report.level:
        raise Problem(409, f"The report is labelled {label} already.", kind="same-label")
    if label.level > known.report.level:
        return await _apply_label(session, caller, known, label.level, reason, settings)
    await _may_be_lowered(session, caller, known, label.level)
    assert caller.key_id is not None
    proposed = LabelProposal(
        id=proposal or uuid7(),
        report_id=report_id,
        proposed_level=label.level,
        previous_level=known.report.level,
        reason=reason,
        proposed_by_key_id=caller.key_id,
        organisation=caller.organisation or "",
        created_at=utc_now(),
    )
    session.add(proposed)
    return proposed


async def confirm_declassification(session: AsyncSession, caller: Caller, proposal_id: UUID, settings: Settings) -> LedgerEntry:
    """Lower a label as another key has proposed.

    404 for a proposal on a report that the caller does not see, 403 for the key that made it, 409 for one that is done or has lapsed.
    """
    proposal = await session.get(LabelProposal, proposal_id)
    known = None if proposal is None else await find_visible_report(await session.connection(), proposal.report_id, caller)
    if proposal is None or known is None:
        raise not_found("proposal")
    if proposal.proposed_by_key_id == caller.key_id:
        raise Problem(403, "Lowering a label takes two different keys: another one has to confirm it.", kind="same-key")
    if proposal.confirmed_by_key_id is not None or known.report.level != proposal.previous_level:
        raise Problem(409, "The proposal has been confirmed, or the label has moved since.", kind="lapsed")
    await _may_be_lowered(session, caller, known, proposal.proposed_level)
    proposal.confirmed_by_key_id = caller.key_id
    return await _apply_label(session, caller, known, proposal.proposed_level, proposal.reason, settings)


async def replicate_label(
    session: AsyncSession, caller: Caller, report_id: UUID, label: Label, reason: str, settings: Settings, *, first_recorded_at: datetime
) -> LedgerEntry:
    """Move a label as it was moved in another Lifeline, where two keys agreed if it was lowered; 404 and 409 as for `set_label`."""
    known = await _visible(session, caller, report_id)
    if label.level == known.report.level:
        raise Problem(409, f"The report is labelled {label} already.", kind="same-label")
    return await _apply_label(session, caller, known, label.level, reason, settings, first_recorded_at)


async def load_proposal_page(
    connection: AsyncConnection, *, after: UUID | None, limit: int, level: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page of open proposals on reports that this level sees, oldest first; the last identifier when there are more; the head."""
    proposals = table_of(LabelProposal)
    statement = (
        select(*proposals.c)
        .join(Report, col(Report.id) == proposals.c.report_id)
        .where(proposals.c.confirmed_by_key_id.is_(None), col(Report.level) == proposals.c.previous_level, col(Report.level) <= level)
    )
    rows, last, revision = await fetch_page(connection, statement, key="id", after=after, limit=limit, level=level)
    return [proposal_body(LabelProposal(**{each.name: row[each.name] for each in proposals.c})) for row in rows], last, revision


def proposal_body(proposal: LabelProposal) -> dict[str, Any]:
    """A proposal as served."""
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


async def _visible(session: AsyncSession, caller: Caller, report_id: UUID) -> VisibleReport:
    known = await find_visible_report(await session.connection(), report_id, caller)
    if known is None:
        raise not_found("report")
    return known


async def _superseded(session: AsyncSession, report: Report) -> Report | None:
    return (await session.scalars(select(Report).where(col(Report.id) == report.supersedes))).one_or_none()


async def _may_be_lowered(session: AsyncSession, caller: Caller, known: VisibleReport, level: int) -> None:
    report = known.report
    if (status := status_for(report, caller.level)) != "standing":
        raise Problem(409, f"The report is {status}: its label can only be raised.", kind="not-standing")
    old = await _superseded(session, report)
    if old is not None and old.level < report.level and (old.level > level or old.indicator_id != report.indicator_id):
        raise Problem(
            409, "It corrects a report that more may see than itself: send a correction of it with the lower label.", kind="not-lowerable"
        )


async def _apply_label(
    session: AsyncSession,
    caller: Caller,
    known: VisibleReport,
    level: int,
    reason: str,
    settings: Settings,
    first_recorded_at: datetime | None = None,
) -> LedgerEntry:
    tail = await open_appender(session)
    report = await session.get(Report, known.report.global_seq)
    assert report is not None
    before, lowered = report.level, level < report.level
    detail = {"sensitivity": LABELS[level].value, "before": LABELS[before].value}
    if first_recorded_at is not None:
        detail[FIRST_RECORDED_AT] = rfc3339(first_recorded_at)
    old = await _superseded(session, report) if lowered else None
    if old is not None and old.level < before:
        detail["supersedes"] = str(old.id)
        old.superseded_from_level = min(level, old.superseded_from_level if old.superseded_from_level is not None else level)
        old.ended_global_seq = tail.number + 1
    report.level, report.lowest_level = level, min(level, report.lowest_level)
    change = LedgerEntry(
        global_seq=0,
        type="label",
        report_id=report.id,
        indicator_id=report.indicator_id,
        level=min(level, before),
        redacted_below=max(level, before),
        reason=reason,
        detail=detail,
        recorded_at=tail.recorded_at,
        recorded_by=caller.organisation or "",
        key_id=caller.key_id,
    )
    place, source = await session.get(Place, report.place_id), await session.get(Source, report.source_id)
    assert place is not None
    assert source is not None
    whole = entry_body(change, statement_body(report, place.slug, source.slug) if lowered else None)
    tail.append(change, whole, await load_aliases(await session.connection(), [whole]))
    await session.flush()
    await _ensure_indicator_source(session, report, change.global_seq)
    await flush(session, tail, [change])
    subjects = await load_subjects(session, [report.indicator_id])
    await reassess(session, subjects, [(report.indicator_id, change.level, change)], settings)
    return change


async def _ensure_indicator_source(session: AsyncSession, report: Report, number: int) -> None:
    """See that the source has a voice under the report's label."""
    voice = {"indicator_id": report.indicator_id, "source_id": report.source_id, "facet": report.facet, "level": report.level}
    if await session.get(IndicatorSource, voice) is None:
        await session.execute(insert(table_of(IndicatorSource)), [voice | {"first_global_seq": number}])
