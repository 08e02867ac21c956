"""Record, correct and retract judgements: validate, append to the ledger and assess the indicator in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.assessment.document import IndicatorIdentity
from app.assessment.inputs import AssessmentInputs
from app.assessment.judgements import STATED_FIELDS, Judgement
from app.assessment.models import IndicatorSource
from app.assessment.projection import reassess
from app.domain.identifiers import uuid7
from app.domain.kinds import KINDS
from app.domain.times import day_at, end_of, rfc3339
from app.domain.tlp import LABELS
from app.domain.view import View
from app.http.problems import FieldProblem, Problem, invalid, validate_model
from app.judgements.queries import load_judged, require_judgement, status_of, visible_judgements
from app.judgements.schemas import JudgementCorrectionIn, JudgementIn
from app.ledger.appender import LedgerAppender, open_appender
from app.ledger.hash_chain import entry_body
from app.ledger.models import JUDGEMENT, JUDGEMENT_TYPES, LedgerEntry, first_recorded_detail
from app.reference.queries import find_routes
from app.reference.suggestions import describe_unknown
from app.reports.models import Report
from app.reports.validation import resolve_days
from app.settings import Settings


class Given(NamedTuple):
    """The identifier that a judgement gets, and if it is replicated, when another Lifeline first recorded it; None for new ones."""

    identifier: UUID | None = None
    first_recorded_at: datetime | None = None


NEW = Given()
# Two judgements with these in common are the same conclusion.
_SAID = ("value", "reasons")
UNKNOWN_REPORT = "no such report that stands on this indicator: send the id of one that you can read, or leave it out"


async def record_judgement(
    session: AsyncSession, caller: Principal, indicator: UUID, body: Any, settings: Settings, given: Given = NEW
) -> UUID:
    """Append a judgement on an indicator, which supersedes the one before, and return its identifier.

    Raise 404 if the caller does not see the indicator, 422 with every field that is wrong.
    """
    appender = await open_appender(session)
    inputs = await load_judged(await session.connection(), indicator, View(caller.level, horizons=settings.horizons))
    return await _append(session, appender, caller, inputs, body, settings, given)


async def correct_judgement(
    session: AsyncSession, caller: Principal, corrects: UUID, body: Any, settings: Settings, given: Given = NEW
) -> UUID:
    """Append a judgement that corrects another, at its label or a stricter one, and return its identifier.

    Raise 404 if the caller does not see it, 409 if it is superseded or retracted, 422 with every field that is wrong.
    """
    appender = await open_appender(session)
    inputs, old = await _require_standing(session, caller, corrects, settings)
    return await _append(session, appender, caller, inputs, body, settings, given, old)


async def retract_judgement(
    session: AsyncSession, caller: Principal, identifier: UUID, reason: str, settings: Settings, first_recorded_at: datetime | None = None
) -> None:
    """Withdraw a judgement, which stays readable; raise as `correct_judgement` does."""
    appender = await open_appender(session)
    inputs, judgement = await _require_standing(session, caller, identifier, settings)
    # With the reports, because who may not see one of these may not see the reason.
    detail = {JUDGEMENT: {"id": str(judgement.id), "reports": judgement.stated["reports"]}} | first_recorded_detail(first_recorded_at)
    about = {"indicator_id": judgement.indicator, "judgement_id": judgement.id, "level": judgement.level}
    entry = appender.new_entry(JUDGEMENT_TYPES[1], caller, reason=reason, detail=detail, **about)
    await _record(session, appender, entry, inputs.subject, settings)


async def _require_standing(
    session: AsyncSession, caller: Principal, identifier: UUID, settings: Settings
) -> tuple[AssessmentInputs, Judgement]:
    view = View(caller.level, horizons=settings.horizons)
    inputs, judgement = await require_judgement(await session.connection(), identifier, view)
    if (status := status_of(inputs.judgements, judgement, caller.level)) != "standing":
        raise Problem(409, f"The judgement is already {status}.", kind="not-standing")
    return inputs, judgement


async def _append(
    session: AsyncSession,
    appender: LedgerAppender,
    caller: Principal,
    inputs: AssessmentInputs,
    body: Any,
    settings: Settings,
    given: Given,
    corrects: Judgement | None = None,
) -> UUID:
    connection, subject = await session.connection(), inputs.subject
    replicated = given.first_recorded_at is not None
    # No clock that was ahead makes a judgement that no later one supersedes.
    recorded_at = min(given.first_recorded_at or appender.recorded_at, appender.recorded_at)
    sent, value, errors = _validate(JudgementCorrectionIn if corrects else JudgementIn, subject, body, recorded_at, replicated)
    if value is not None:
        errors += await _unknown_records(connection, subject, value, caller)
    levels, unknown = await _levels_of_reports(connection, subject.id, sent.reports if sent else (), caller, standing=not replicated)
    if not replicated:
        # Elsewhere it was valid when it was recorded, and may rely on reports that are not here.
        errors += [FieldProblem(pointer=f"/reports/{at}", detail=UNKNOWN_REPORT) for at in unknown]
        if sent and sent.valid_until and end_of(sent.valid_until) < recorded_at:
            errors.append(FieldProblem(pointer="/valid_until", detail="must not be in the past: send a later day, or leave it out"))
    floor = max([await _lowest_level(connection, subject.id), *levels.values()])
    if sent and sent.sensitivity and sent.sensitivity.level < floor and not replicated:
        detail = f"it rests on what is labelled {LABELS[floor]}: use that label or a stricter one, or leave sensitivity out"
        errors.append(FieldProblem(pointer="/sensitivity", detail=detail))
    if errors or sent is None or value is None:
        raise invalid(errors)
    stated = sent.model_dump(mode="json") | {"value": value.model_dump(mode="json"), "reports": [str(each) for each in levels]}
    # An earlier conclusion keeps its label: nothing but two persons lowers one.
    said = [each for each in visible_judgements(inputs, caller.level) if all(each.stated[name] == stated[name] for name in _SAID)]
    before = [each.shown_from for each in (*said, corrects) if each is not None]
    level = max([_label(sent, value, inputs, caller, settings), floor, *before])
    stated["sensitivity"] = LABELS[level].value
    judgement = given.identifier or uuid7()
    entry = appender.new_entry(
        JUDGEMENT,
        caller,
        indicator_id=subject.id,
        judgement_id=judgement,
        level=level,
        reason=stated.get("reason"),
        detail={
            JUDGEMENT: {"id": str(judgement), "kind": subject.kind, "place": subject.place.slug}
            | {name: stated[name] for name in (*STATED_FIELDS, "sensitivity")}
        }
        | ({"corrects": str(corrects.id)} if corrects else {})
        | first_recorded_detail(recorded_at if replicated else None),
    )
    await _record(session, appender, entry, subject, settings)
    return judgement


def _label(sent: JudgementIn, value: BaseModel, inputs: AssessmentInputs, caller: Principal, settings: Settings) -> int:
    """Return the level that was sent; by default that of a report, and where no report is named, that of all that its analyst saw stand."""
    if sent.sensitivity is not None:
        return sent.sensitivity.level
    seen = () if sent.reports else inputs.assess(caller.level).standing
    return max([KINDS[inputs.subject.kind].default_label(value, "", settings.default_label).level, *(each.level for each in seen)])


async def _record(
    session: AsyncSession, appender: LedgerAppender, entry: LedgerEntry, subject: IndicatorIdentity, settings: Settings
) -> None:
    appender.append(entry, entry_body(entry, None))
    await appender.flush(session, [entry])
    await reassess(session, [(subject.id, entry.level, entry)], settings.horizons, {subject.id: subject})


def _validate(
    model: type[JudgementIn], subject: IndicatorIdentity, body: Any, recorded_at: datetime, replicated: bool
) -> tuple[JudgementIn | None, BaseModel | None, list[FieldProblem]]:
    """Check what was sent; return it, its value with its relative days as dates, and every error."""
    kind, value = KINDS[subject.kind], None
    sent, errors = validate_model(model, body)
    if not isinstance(body, dict) or not isinstance(body.get("value"), dict):
        return sent, None, errors
    found, wrong = validate_model(kind.value_model, body["value"], ["value"])
    errors += wrong
    if found is not None:
        today = day_at(rfc3339(recorded_at), subject.place.timezone)
        resolved = resolve_days(kind, found, today, replicated=replicated)
        if isinstance(resolved, FieldProblem):
            errors.append(resolved)
        else:
            value = resolved
    if value is not None and kind.subject(value) != subject.subject:
        detail = f"the indicator is about {subject.subject}: send a value with that subject, or judge another indicator"
        errors.append(FieldProblem(pointer=f"/value/{kind.filter_field}", detail=detail))
    return sent, value, errors


async def _unknown_records(
    connection: AsyncConnection, subject: IndicatorIdentity, value: BaseModel, caller: Principal
) -> list[FieldProblem]:
    texts = {name: getattr(value, name) for name in KINDS[subject.kind].references}
    known = await find_routes(connection, {text for text in texts.values() if text is not None})
    missing = {name: text for name, text in texts.items() if text is not None and text not in known}
    details = await describe_unknown(connection, "route", sorted(missing.values()), caller.level) if missing else {}
    return [FieldProblem(pointer=f"/value/{name}", detail=details[text]) for name, text in missing.items()]


async def _levels_of_reports(
    connection: AsyncConnection, indicator: UUID, wanted: Sequence[UUID], caller: Principal, *, standing: bool
) -> tuple[dict[UUID, int], list[int]]:
    """Return the levels of those wanted reports on an indicator that the caller sees (`standing`), and the positions of the others."""
    where = [col(Report.id).in_(wanted), col(Report.indicator_id) == indicator, col(Report.level) <= caller.level]
    ends = (Report.superseded_from_level, Report.retracted_from_level) if standing else ()
    where += [or_(col(each).is_(None), col(each) > caller.level) for each in ends]
    rows = {row.id: row.level for row in await connection.execute(select(col(Report.id), col(Report.level)).where(*where))}
    levels = {each: rows[each] for each in wanted if each in rows}
    return levels, [at for at, each in enumerate(wanted) if each not in rows]


async def _lowest_level(connection: AsyncConnection, indicator: UUID) -> int:
    """Return the lowest clearance that sees the indicator."""
    lowest = select(func.min(col(IndicatorSource.level))).where(col(IndicatorSource.indicator_id) == indicator)
    return await connection.scalar(lowest) or 0
