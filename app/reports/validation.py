"""Validate reports: first alone, then against the places, sources and routes that they refer to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal, Scope
from app.assessment.document import IndicatorIdentity
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.domain.times import start_of, utc_now
from app.http.problems import FieldProblem, field_problems, pointer
from app.http.request_body import NUL_MESSAGE, find_nul
from app.reference.queries import UNKNOWN_PLACE, UNKNOWN_ROUTE, UNKNOWN_SOURCE, find_places, find_routes, find_sources
from app.reference.records import PlaceRecord, SourceRecord
from app.reports.schemas import ReportIn
from app.settings import Settings

MIN_STATED_AT = datetime(1900, 1, 1, tzinfo=UTC)
FOREIGN_SOURCE = "this source belongs to another organisation: only its own keys and keys with the scope curate may report for it"


@dataclass(frozen=True, slots=True)
class ValidatedReport:
    """A report that is valid in itself; its place, sources and routes are not looked up yet."""

    report: ReportIn
    value: BaseModel


@dataclass(frozen=True, slots=True)
class ResolvedReport:
    """A report whose references are looked up, ready to be recorded."""

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

    def labelled(self, at_least: int) -> "ResolvedReport":
        """Return the report with at least this level."""
        return replace(self, level=max(self.level, at_least))

    def indicator_subject(self) -> IndicatorIdentity:
        """Return the identity of the indicator."""
        return IndicatorIdentity(self.indicator_id, self.report.kind, self.subject, self.filter_key, self.place)

    def aliases(self) -> dict[str, str]:
        """Map the slugs of the protected sources that it names to their alias slugs."""
        return {each.slug: each.alias_slug for each in (self.source, *self.via) if each.alias_slug is not None}


FieldErrors = list[FieldProblem]


def validate(body: Any, settings: Settings) -> ValidatedReport | FieldErrors:
    """Check a report alone: fields, bounds, relations between fields and times, without the database."""
    if (path := find_nul(body)) is not None:
        return [FieldProblem(pointer=pointer(path), detail=NUL_MESSAGE)]
    try:
        report = ReportIn.model_validate(body)
    except ValidationError as error:
        return field_problems(error)
    kind = KINDS.get(report.kind)
    if kind is None:
        return [FieldProblem(pointer="/kind", detail=f"unknown kind: use one of {', '.join(KINDS)}")]
    stated = start_of(report.stated_at)
    if stated > utc_now() + timedelta(seconds=settings.clock_skew_seconds):
        return [FieldProblem(pointer="/stated_at", detail="must not be in the future: send when the source said it, such as 2016-07-28")]
    if stated < MIN_STATED_AT:
        return [FieldProblem(pointer="/stated_at", detail=f"must be {MIN_STATED_AT.date()} or later, such as 2016-07-28")]
    try:
        value = kind.value_model.model_validate(report.value)
        return ValidatedReport(report, kind.resolve(value, stated.date()))
    except ValidationError as error:
        return field_problems(error, ["value"])
    except PydanticCustomError as error:
        field = (error.context or {}).get("field", "")
        return [FieldProblem(pointer=pointer(["value", field]), detail=error.message())]
    except OverflowError:
        return [FieldProblem(pointer="/value", detail="a date is out of range: use dates from 0001-01-01 to 9999-12-31")]


async def resolve_references(
    session: AsyncSession, caller: Principal, reports: Sequence[ValidatedReport | FieldErrors], settings: Settings
) -> list[ResolvedReport | FieldErrors]:
    """Look up the references of reports in the writer's transaction; reject those for sources of another organisation."""
    valid = [each for each in reports if isinstance(each, ValidatedReport)]
    connection = await session.connection()
    places = await find_places(connection, {each.report.place for each in valid})
    slugs = {slug for each in valid for slug in [each.report.source, *each.report.provenance.via]}
    sources = await find_sources(connection, slugs, caller.level, caller.organisation)
    routes = await find_routes(connection, {getattr(each.value, field) for each in valid for field in _route_fields(each)})
    resolved: list[ResolvedReport | FieldErrors] = []
    for each in reports:
        if not isinstance(each, ValidatedReport):
            resolved.append(each)
            continue
        report = each.report
        place, source = places.get(report.place), sources.get(report.source)
        errors: dict[str, str] = {}
        if place is None:
            errors["/place"] = UNKNOWN_PLACE
        if source is None:
            errors["/source"] = UNKNOWN_SOURCE
        elif source.organisation not in (None, caller.organisation) and Scope.CURATE not in caller.scopes:
            errors["/source"] = FOREIGN_SOURCE
        errors |= {f"/provenance/via/{at}": UNKNOWN_SOURCE for at, slug in enumerate(report.provenance.via) if slug not in sources}
        errors |= {f"/value/{field}": UNKNOWN_ROUTE for field in _route_fields(each) if getattr(each.value, field) not in routes}
        if errors or place is None or source is None:
            resolved.append([FieldProblem(pointer=at, detail=detail) for at, detail in errors.items()])
        else:
            resolved.append(bind_references(each, place, source, [sources[slug] for slug in report.provenance.via], settings))
    return resolved


def _route_fields(validated: ValidatedReport) -> list[str]:
    return [field for field, target in KINDS[validated.report.kind].references.items() if target == "route"]


def bind_references(
    validated: ValidatedReport, place: PlaceRecord, source: SourceRecord, via: list[SourceRecord], settings: Settings
) -> ResolvedReport:
    """Combine a valid report with its place and sources; the caller has checked its other references."""
    report, kind = validated.report, KINDS[validated.report.kind]
    label = report.sensitivity or kind.default_label(validated.value, source.type, settings.default_label)
    value = validated.value.model_dump(mode="json")
    subject = kind.subject(validated.value)
    # Two reports with equal values here are the same statement.
    identity = [source.slug, report.kind, place.slug, subject, report.stated_at, value, report.provenance.url]
    return ResolvedReport(
        report=report,
        value=value,
        place=place,
        source=source,
        via=via,
        subject=subject,
        filter_key=str(value[kind.filter_field]),
        facet=kind.facet(validated.value),
        level=label.level,
        fingerprint=hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        indicator_id=indicator_id(report.kind, place.id, subject),
    )
