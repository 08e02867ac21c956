"""Whether a report is right: in itself, and in what it names."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal, Scope
from app.assessment.document import Subject
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.domain.times import start_of, utc_now
from app.http.problems import FieldProblem, field_problems, pointer
from app.http.request_body import NUL_MESSAGE, find_nul
from app.reference.facts import PlaceRecord, SourceRecord
from app.reference.queries import find_places, find_routes, find_sources
from app.reports.schemas import ReportIn
from app.settings import Settings

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
UNKNOWN_PLACE = "there is no such place"
NOT_YOURS = "the source belongs to another organisation: reporting for it needs the scope curate"
BARE_CODE = "there is no place with this slug; a code needs its scheme before it, such as pcode:SY02"


@dataclass(frozen=True, slots=True)
class ValidatedReport:
    """A report that is right in itself: its shape is checked, what it names is not yet looked up."""

    report: ReportIn
    value: BaseModel


@dataclass(frozen=True, slots=True)
class ResolvedReport:
    """A report ready to be recorded."""

    report: ReportIn
    value: dict[str, Any]
    place: PlaceRecord
    source: SourceRecord
    via: list[SourceRecord]
    subject: str
    filter_key: str
    facet: str
    level: int
    fingerprint: str
    indicator_id: UUID

    def indicator_subject(self) -> tuple[Subject, str]:
        """Return the indicator and its filter key."""
        return Subject(self.indicator_id, self.report.kind, self.subject, self.place), self.filter_key

    def aliases(self) -> dict[str, str]:
        """The slugs under which protected sources show that it names, by their own slugs."""
        return {each.slug: each.alias_slug for each in (self.source, *self.via) if each.alias_slug is not None}


FieldErrors = list[FieldProblem]


def validate(body: Any, settings: Settings) -> ValidatedReport | FieldErrors:
    """Check a report by itself: shape, bounds, relations between fields, no future. Looks nothing up."""
    if (path := find_nul(body)) is not None:
        return [FieldProblem(pointer=pointer(path), detail=NUL_MESSAGE)]
    try:
        report = ReportIn.model_validate(body)
    except ValidationError as error:
        return field_problems(error)
    kind = KINDS.get(report.kind)
    if kind is None:
        return [FieldProblem(pointer="/kind", detail=f"unknown kind; known are {', '.join(KINDS)}")]
    stated = start_of(report.stated_at)
    if stated > utc_now() + timedelta(seconds=settings.clock_skew_seconds):
        return [FieldProblem(pointer="/stated_at", detail="must not be in the future")]
    if stated < EARLIEST:
        return [FieldProblem(pointer="/stated_at", detail=f"must not be before {EARLIEST.year}")]
    try:
        value = kind.value_model.model_validate(report.value)
        return ValidatedReport(report, kind.resolve(value, stated.date()))
    except ValidationError as error:
        return field_problems(error, ["value"])
    except PydanticCustomError as error:
        at = (error.context or {}).get("field", "")
        return [FieldProblem(pointer=pointer(["value", at]), detail=error.message())]
    except OverflowError:
        return [FieldProblem(pointer="/value", detail="a date is out of range")]


async def resolve_references(
    session: AsyncSession, caller: Principal, sent: Sequence[ValidatedReport | FieldErrors], settings: Settings
) -> list[ResolvedReport | FieldErrors]:
    """Look up what reports name, in the writer's transaction; refuse those on sources of another organisation."""
    good = [each for each in sent if isinstance(each, ValidatedReport)]
    connection = await session.connection()
    places = await find_places(connection, {each.report.place for each in good})
    slugs = {slug for each in good for slug in [each.report.source, *each.report.provenance.via]}
    sources = await find_sources(connection, slugs, caller.level, caller.organisation)
    routes = await find_routes(connection, {getattr(each.value, field) for each in good for field in _route_fields(each)})
    found: list[ResolvedReport | FieldErrors] = []
    for each in sent:
        if not isinstance(each, ValidatedReport):
            found.append(each)
            continue
        wrong: FieldErrors = []
        report = each.report
        place, source = places.get(report.place), sources.get(report.source)
        if place is None:
            wrong.append(FieldProblem(pointer="/place", detail=UNKNOWN_PLACE if ":" in report.place else BARE_CODE))
        if source is None:
            wrong.append(FieldProblem(pointer="/source", detail="there is no such source"))
        elif source.organisation not in (None, caller.organisation) and Scope.CURATE not in caller.scopes:
            wrong.append(FieldProblem(pointer="/source", detail=NOT_YOURS))
        for at, slug in enumerate(report.provenance.via):
            if slug not in sources:
                wrong.append(FieldProblem(pointer=f"/provenance/via/{at}", detail="there is no such source"))
        for field in _route_fields(each):
            if getattr(each.value, field) not in routes:
                wrong.append(FieldProblem(pointer=f"/value/{field}", detail="there is no such route"))
        found.append(
            wrong
            if wrong or place is None or source is None
            else bind_references(each, place, source, [sources[slug] for slug in report.provenance.via], settings)
        )
    return found


def _route_fields(sent: ValidatedReport) -> list[str]:
    return [field for field, what in KINDS[sent.report.kind].references.items() if what == "route"]


def bind_references(
    sent: ValidatedReport, place: PlaceRecord, source: SourceRecord, via: list[SourceRecord], settings: Settings
) -> ResolvedReport:
    """A report whose place and sources were looked up and whose other references are there, ready to be recorded."""
    report, kind = sent.report, KINDS[sent.report.kind]
    label = report.sensitivity or kind.default_label(sent.value, source.type, settings.default_label)
    value = sent.value.model_dump(mode="json")
    subject = kind.subject(sent.value)
    same = [source.slug, report.kind, place.slug, subject, report.stated_at, value, report.provenance.url]
    return ResolvedReport(
        report=report,
        value=value,
        place=place,
        source=source,
        via=via,
        subject=subject,
        filter_key=str(value[kind.filter_field]),
        facet=kind.facet(sent.value),
        level=label.level,
        fingerprint=hashlib.sha256(orjson.dumps(same, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        indicator_id=indicator_id(report.kind, place.id, subject),
    )
