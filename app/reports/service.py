"""The one door for writing: statements are checked, appended to the ledger and read together in one transaction."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from uuid_utils.compat import uuid7

from app.access.dependencies import Caller
from app.db import table_of
from app.errors import FieldProblem, field_problems, pointer
from app.indicators.service import read_anew
from app.kinds import KINDS
from app.ledger.chain import entry, statement
from app.ledger.identity import indicator_id
from app.ledger.models import Change, Indicator, Report, Voice
from app.ledger.service import Tail, close_tail, open_tail
from app.reading.document import Subject
from app.reference.facts import PlaceFacts, SourceFacts
from app.reference.queries import find_places, find_routes, find_sources
from app.reports.queries import find_by_fingerprint
from app.reports.schemas import ReportIn
from app.settings import Settings
from app.times import instant, utc_now

CHUNK = 500
UNKNOWN_PLACE = "there is no such place"
BARE_CODE = "there is no place with this slug; a code needs its scheme before it, such as pcode:SY02"


@dataclass(frozen=True, slots=True)
class Sent:
    """A report that is right in itself: its shape is checked, what it names is not yet looked up."""

    report: ReportIn
    value: BaseModel


@dataclass(frozen=True, slots=True)
class Statement:
    """A report ready to be recorded."""

    report: ReportIn
    value: dict[str, Any]
    place: PlaceFacts
    source: SourceFacts
    subject: str
    topic: str
    aspect: str
    level: int
    fingerprint: str
    indicator_id: UUID


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored report with what its answer shows beside it. `created` is False for one that was recorded before."""

    report: Report
    place: str
    source: str
    seq: int | None
    created: bool


Refused = list[FieldProblem]


def check(body: Any, settings: Settings) -> Sent | Refused:
    """Check a report by itself: shape, bounds, relations between fields, no future. Looks nothing up."""
    try:
        report = ReportIn.model_validate(body)
    except ValidationError as error:
        return field_problems(error)
    kind = KINDS.get(report.kind)
    if kind is None:
        return [FieldProblem(pointer="/kind", detail=f"unknown kind; known are {', '.join(KINDS)}")]
    stated = instant(report.stated_at)
    if stated > utc_now() + timedelta(seconds=settings.clock_skew_seconds):
        return [FieldProblem(pointer="/stated_at", detail="must not be in the future")]
    try:
        value = kind.value_model.model_validate(report.value)
        return Sent(report, kind.resolve(value, stated.date()))
    except ValidationError as error:
        return field_problems(error, ["value"])
    except PydanticCustomError as error:
        at = (error.context or {}).get("field", "")
        return [FieldProblem(pointer=pointer(["value", at]), detail=error.message())]
    except OverflowError:
        return [FieldProblem(pointer="/value", detail="a date is out of range")]


async def _look_up(session: AsyncSession, sent: Sequence[Sent | Refused], settings: Settings) -> list[Statement | Refused]:
    good = [each for each in sent if isinstance(each, Sent)]
    connection = await session.connection()
    places = await find_places(connection, {each.report.place for each in good})
    sources = await find_sources(connection, {slug for each in good for slug in [each.report.source, *each.report.provenance.via]})
    routes = await find_routes(connection, {getattr(each.value, field) for each in good for field in _route_fields(each)})
    found: list[Statement | Refused] = []
    for each in sent:
        if not isinstance(each, Sent):
            found.append(each)
            continue
        wrong: Refused = []
        report = each.report
        place, source = places.get(report.place), sources.get(report.source)
        if place is None:
            wrong.append(FieldProblem(pointer="/place", detail=UNKNOWN_PLACE if ":" in report.place else BARE_CODE))
        if source is None:
            wrong.append(FieldProblem(pointer="/source", detail="there is no such source"))
        for at, slug in enumerate(report.provenance.via):
            if slug not in sources:
                wrong.append(FieldProblem(pointer=f"/provenance/via/{at}", detail="there is no such source"))
        for field in _route_fields(each):
            if getattr(each.value, field) not in routes:
                wrong.append(FieldProblem(pointer=f"/value/{field}", detail="there is no such route"))
        found.append(wrong if wrong or place is None or source is None else _statement(each, place, source, settings))
    return found


def _route_fields(sent: Sent) -> list[str]:
    return [field for field, what in KINDS[sent.report.kind].references.items() if what == "route"]


def _statement(sent: Sent, place: PlaceFacts, source: SourceFacts, settings: Settings) -> Statement:
    report, kind = sent.report, KINDS[sent.report.kind]
    label = report.sensitivity or kind.default_label(sent.value, source.type, settings.default_label)
    value = sent.value.model_dump(mode="json")
    subject = kind.subject(sent.value)
    same = [source.slug, report.kind, place.slug, subject, report.stated_at, value, report.provenance.url]
    return Statement(
        report=report,
        value=value,
        place=place,
        source=source,
        subject=subject,
        topic=str(value[kind.topic]),
        aspect=kind.aspect(sent.value),
        level=label.level,
        fingerprint=hashlib.sha256(orjson.dumps(same, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        indicator_id=indicator_id(report.kind, place.id, subject),
    )


async def record(
    session: AsyncSession, caller: Caller, sent: Sequence[Sent | Refused], settings: Settings, *, all_or_nothing: bool = False
) -> tuple[list[Recorded | Refused], int]:
    """Append reports, and read their indicators anew.

    Answers one outcome an item, in order, and the head of the ledger as the caller sees it. With `all_or_nothing`,
    nothing is written once one item is refused. The same statement sent twice is recorded once.
    """
    tail = await open_tail(session)
    statements = await _look_up(session, sent, settings)
    if all_or_nothing and any(isinstance(each, list) for each in statements):
        return [each if isinstance(each, list) else [] for each in statements], tail.seq[caller.level]
    good = [each for each in statements if isinstance(each, Statement)]
    known = await find_by_fingerprint(await session.connection(), {each.fingerprint for each in good}, caller)
    outcomes: list[Recorded | Refused] = []
    changes: list[Change] = []
    for each in statements:
        if isinstance(each, list):
            outcomes.append(each)
            continue
        before = known.get(each.fingerprint)
        if before is not None:
            outcomes.append(Recorded(before.report, each.place.slug, each.source.slug, before.seq, created=False))
            continue
        report, change = _append(tail, each, caller)
        changes.append(change)
        recorded = Recorded(report, each.place.slug, each.source.slug, _seq(change, caller), created=True)
        known[each.fingerprint] = recorded
        outcomes.append(recorded)
    created = [outcome.report for outcome in outcomes if isinstance(outcome, Recorded) and outcome.created]
    await _store(session, good, created)
    await close_tail(session, tail, changes)
    subjects = {
        each.indicator_id: (Subject(each.indicator_id, each.report.kind, each.subject, each.place), each.topic)
        for each in good
        if each.indicator_id in {change.indicator_id for change in changes}
    }
    await read_anew(session, subjects, changes, settings)
    return outcomes, tail.seq[caller.level]


def _seq(change: Change, caller: Caller) -> int | None:
    seq: int | None = getattr(change, f"seq_{caller.clearance}")
    return seq


def _append(tail: Tail, said: Statement, caller: Caller) -> tuple[Report, Change]:
    sent = said.report
    report = Report(
        number=tail.number + 1,
        id=uuid7(),
        kind=sent.kind,
        indicator_id=said.indicator_id,
        place_id=said.place.id,
        source_id=said.source.id,
        topic=said.topic,
        aspect=said.aspect,
        stated_at=instant(sent.stated_at),
        stated_text=sent.stated_at,
        value=said.value,
        via=list(sent.provenance.via),
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
        level_sent=said.level,
        fingerprint=said.fingerprint,
        recorded_at=tail.recorded_at,
        recorded_by=caller.organisation or "",
    )
    change = Change(
        number=0,
        type="report",
        report_id=report.id,
        indicator_id=said.indicator_id,
        level=said.level,
        recorded_at=tail.recorded_at,
        recorded_by=report.recorded_by,
        key_id=caller.key_id,
    )
    tail.append(change, entry(change, statement(report, said.place.slug, said.source.slug)))
    return report, change


async def _store(session: AsyncSession, statements: Sequence[Statement], reports: Sequence[Report]) -> None:
    if not reports:
        return
    about = {each.indicator_id: each for each in statements}
    ids = {report.indicator_id for report in reports}
    known = set()
    heard = set()
    for some in _chunks(ids):
        known |= set(await session.scalars(select(Indicator.id).where(col(Indicator.id).in_(some))))
        voices = await session.execute(
            select(Voice.indicator_id, Voice.source_id, Voice.aspect, Voice.level).where(col(Voice.indicator_id).in_(some))
        )
        heard |= {tuple(row) for row in voices}
    indicators = [
        {"id": each, "kind": about[each].report.kind, "place_id": about[each].place.id, "subject": about[each].subject, "topic": about[each].topic}
        for each in sorted(ids - known)
    ]
    if indicators:
        await session.execute(insert(table_of(Indicator)), indicators)
    await session.execute(insert(table_of(Report)), [report.model_dump() for report in reports])
    new = {(report.indicator_id, report.source_id, report.aspect, report.level) for report in reports} - heard
    if new:
        names = ("indicator_id", "source_id", "aspect", "level")
        await session.execute(insert(table_of(Voice)), [dict(zip(names, each, strict=True)) for each in sorted(new)])


def _chunks(ids: Iterable[UUID]) -> list[list[UUID]]:
    every = list(ids)
    return [every[start : start + CHUNK] for start in range(0, len(every), CHUNK)]
