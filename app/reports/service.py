"""Record, correct and retract reports: validate, append to the ledger and reassess the indicators in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.access.principal import Principal
from app.assessment.projection import reassess
from app.domain.identifiers import uuid7
from app.domain.times import DATE_LENGTH
from app.http.problems import Problem, invalid
from app.ledger.appender import LedgerAppender, open_appender
from app.ledger.models import LedgerEntry
from app.reports.amendments import require_own
from app.reports.appending import append_report, append_retraction, report_inserts, visible_report
from app.reports.labels import propose_sent_label
from app.reports.models import Report
from app.reports.queries import SameStatement, VisibleReport, find_by_fingerprint, find_by_identifier, require_visible_report
from app.reports.references import FieldErrors
from app.reports.validation import ResolvedReport, ValidatedReport, resolve_references, resolve_submissions
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Submission:
    """Reports that a caller sends together.

    With `all_or_nothing`, one invalid report prevents the recording of all; the results of the valid ones are then empty lists.
    With `identifiers`, one per report, the reports keep these and are recognised by them alone. A report gets a new identifier if the
    given one belongs to a report that the caller must not know of; it is then recognised by its content. `before_import` is the last
    entry before the import that brings them: the labels of what it recorded itself do not count. `at_least` is the lowest level.
    """

    caller: Principal
    reports: Sequence[ValidatedReport | FieldErrors]
    all_or_nothing: bool = False
    identifiers: Sequence[UUID] | None = None
    before_import: int | None = None
    at_least: int = 0


# One result per report, in order, and the head of the caller's ledger.
Recorded = tuple[list[VisibleReport | FieldErrors], int]


async def record_reports(
    session: AsyncSession, caller: Principal, reports: Sequence[ValidatedReport | FieldErrors], settings: Settings, **options: Any
) -> Recorded:
    """Record the reports of one submission, with the options of `Submission`, as `record_submissions` does."""
    (recorded,) = await record_submissions(session, [Submission(caller, reports, **options)], settings)
    assert recorded is not None
    return recorded


async def record_submissions(session: AsyncSession, submissions: Sequence[Submission], settings: Settings) -> list[Recorded | None]:
    """Append reports and reassess their indicators, as if one submission came after the other.

    A statement that stands already, as far as the caller sees, is not appended again. If the caller's key sees only retracted reports of
    it, it gets at least their label, so that sending a statement again lowers no label.
    None for a submission with a statement that an earlier one of these has just recorded: it has to be recorded in a later transaction.
    """
    appender = await open_appender(session)
    connection = await session.connection()
    all_resolved = await resolve_submissions(
        connection, [(each.caller, each.reports, each.identifiers is not None) for each in submissions], settings
    )
    given_ids = [await _given_ids(connection, each) for each in submissions]
    wanted: dict[int, set[str]] = {}
    for submission, resolved, (ids, _) in zip(submissions, all_resolved, given_ids, strict=True):
        # Without a key, entries of another Lifeline are applied: a copy keeps the labels that two persons agreed on there.
        compared = [each for each, id_ in zip(resolved, ids, strict=True) if id_ is None or submission.caller.key_id is not None]
        wanted.setdefault(submission.caller.level, set()).update(each.fingerprint for each in compared if isinstance(each, ResolvedReport))
    same = {level: await find_by_fingerprint(connection, some, level) for level, some in wanted.items()}
    recorded: list[list[VisibleReport | FieldErrors] | None] = []
    appended: list[_Appended] = []
    for submission, resolved, (ids, known) in zip(submissions, all_resolved, given_ids, strict=True):
        recorded.append(_append(appender, appended, submission, resolved, ids, known, same[submission.caller.level]))
    inserts = await report_inserts(session, [(new.resolved, new.report) for new in appended])
    proposals: list[LedgerEntry] = []
    for new in appended:
        reason = "The sender asked for this label; an equal statement has the stricter one."
        if (proposed := await propose_sent_label(session, appender, new.caller, new.resolved, new.report, reason)) is not None:
            new.results[new.at] = replace(new.visible, created=True, proposal=proposed[0])
            proposals.append(proposed[1])
    unwritten = await appender.statements(session, [*(new.entry for new in appended), *proposals], inserts)
    subjects = {new.resolved.indicator_id: new.resolved.indicator_subject() for new in appended}
    changes = [(new.resolved.indicator_id, new.entry.level, new.entry) for new in appended]
    await reassess(session, changes, settings.horizons, subjects, unwritten)
    heads = [appender.seq[each.caller.level] for each in submissions]
    return [None if results is None else (results, head) for results, head in zip(recorded, heads, strict=True)]


@dataclass(frozen=True, slots=True)
class _Appended:
    """A report that was appended, as its caller sees it, and where its result is."""

    caller: Principal
    resolved: ResolvedReport
    report: Report
    entry: LedgerEntry
    visible: VisibleReport
    results: list[VisibleReport | FieldErrors]
    at: int


def _append(
    appender: LedgerAppender,
    appended: list[_Appended],
    submission: Submission,
    resolved: Sequence[ResolvedReport | FieldErrors],
    ids: Sequence[UUID | None],
    by_identifier: Mapping[UUID, VisibleReport],
    same: Mapping[str, SameStatement],
) -> list[VisibleReport | FieldErrors] | None:
    """Append those reports of a submission that are new, and return its results; None if another just recorded one of its statements."""
    if submission.all_or_nothing and any(isinstance(each, list) for each in resolved):
        return [each if isinstance(each, list) else [] for each in resolved]
    known: dict[UUID | str, VisibleReport] = dict(by_identifier.items())
    for fingerprint, each_same in same.items():
        # An entry that is applied twice adds nothing, but a client may send again what was retracted.
        visible = each_same.standing or (each_same.reports[0] if submission.identifiers is not None else None)
        if visible is not None:
            known[fingerprint] = visible
    # As with those that are stored: what the caller may not see must not even change its place among the others.
    others = {new.resolved.fingerprint for new in appended if new.entry.level <= submission.caller.level} - known.keys()
    if others and any(isinstance(each, ResolvedReport) and each.fingerprint in others for each in resolved):
        return None
    results: list[VisibleReport | FieldErrors] = []
    # Of equally late statements the one with the later identifier leads, so those of one request have them in its order.
    last_ids: dict[tuple[UUID, str, int], UUID] = {}
    for each, identifier in zip(resolved, ids, strict=True):
        if isinstance(each, list):
            results.append(each)
            continue
        key = identifier or each.fingerprint
        if key in known:
            results.append(known[key])
            continue
        strictest = same[each.fingerprint].strictest(submission.before_import) if each.fingerprint in same else 0
        labelled = each.labelled(max(strictest, submission.at_least))
        of_day = labelled.indicator_id, (labelled.report.observed_to or labelled.report.stated_at)[:DATE_LENGTH]
        # After those that all its readers see; otherwise the identifier would show that there is a hidden one.
        before = [last_ids[*of_day, level] for level in range(labelled.level + 1) if (*of_day, level) in last_ids]
        last_ids[*of_day, labelled.level] = given = identifier or uuid7(later_than=max(before, default=None))
        report, entry = append_report(appender, labelled, submission.caller, identifier=given)
        known[key] = visible_report(report, entry, each, None, submission.caller)
        appended.append(_Appended(submission.caller, each, report, entry, known[key], results, len(results)))
        results.append(replace(known[key], created=True))
    return results


async def _given_ids(connection: AsyncConnection, submission: Submission) -> tuple[Sequence[UUID | None], dict[UUID, VisibleReport]]:
    """Return the identifiers that the reports of a submission may have, and the reports that have them already."""
    if submission.identifiers is None:
        return [None] * len(submission.reports), {}
    known, taken = await find_by_identifier(connection, submission.identifiers, submission.caller.level)
    return [None if each in taken else each for each in submission.identifiers], known


async def correct_report(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    correction: ValidatedReport | FieldErrors,
    reason: str,
    settings: Settings,
    *,
    identifier: UUID | None = None,
) -> VisibleReport:
    """Append a report that supersedes another, and reassess the indicators of both; `identifier` must be unused.

    It gets at least the label of the report that it corrects; a lower one that was sent becomes a proposal for a second person.
    Raise 404 if the caller does not see the report, 403 for a report of another organisation without the scope `curate`, 409 for a
    report that is superseded or retracted, 422 for an invalid correction.
    """
    appender = await open_appender(session)
    # `identifier` is that of a correction from elsewhere: what was withdrawn here is superseded as it is there.
    old = await _require_amendable(session, caller, report_id, replicated=identifier is not None)
    (resolved,) = await resolve_references(session, caller, [correction], settings, replicated=identifier is not None)
    if isinstance(resolved, list):
        raise invalid(resolved)
    report, entry = append_report(appender, resolved.labelled(old.level), caller, supersedes=old, reason=reason, identifier=identifier)
    session.add(old)
    await session.flush()
    inserts = await report_inserts(session, [(resolved, report)])
    proposal, *more = await propose_sent_label(session, appender, caller, resolved, report, reason) or (None,)
    await appender.flush(session, [entry, *more], inserts)
    changes = [(resolved.indicator_id, entry.level, entry)]
    if old.indicator_id != resolved.indicator_id:
        changes.append((old.indicator_id, max(report.level, old.level), entry))
    await reassess(session, changes, settings.horizons, {resolved.indicator_id: resolved.indicator_subject()})
    return replace(visible_report(report, entry, resolved, old.id, caller), created=True, proposal=proposal)


async def retract_report(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    reason: str,
    settings: Settings,
    first_recorded_at: datetime | None = None,
    *,
    replicated: bool = False,
) -> LedgerEntry:
    """Withdraw a report, which stays readable, and reassess its indicator; raise as `correct_report` does.

    `first_recorded_at` is when another Lifeline recorded it. With `replicated` withdraw also a report that was amended here.
    """
    appender = await open_appender(session)
    report = await _require_amendable(session, caller, report_id, replicated=replicated)
    entry = append_retraction(appender, report, caller, reason, first_recorded_at)
    session.add(report)
    await session.flush()
    await appender.flush(session, [entry])
    await reassess(session, [(report.indicator_id, entry.level, entry)], settings.horizons)
    return entry


async def _require_amendable(session: AsyncSession, caller: Principal, report_id: UUID, *, replicated: bool = False) -> Report:
    visible = await require_visible_report(await session.connection(), report_id, caller)
    require_own(caller, visible.report)
    if visible.status != "standing" and not replicated:
        raise Problem(409, f"The report is already {visible.status}.", kind="not-standing")
    report = await session.get(Report, visible.report.global_seq)
    assert report is not None
    return report
