"""Validate reports: first alone, then against the places, sources and routes that they refer to."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
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
from app.domain.times import day_at, is_after, time_error
from app.domain.tlp import LABELS
from app.http.problems import FieldProblem, field_problems, pointer
from app.http.request_body import NUL_MESSAGE, find_nul
from app.reference.queries import UNKNOWN_PLACE, UNKNOWN_ROUTE, UNKNOWN_SOURCE, find_places, find_routes, find_sources
from app.reference.records import PlaceRecord, SourceRecord
from app.reports.queries import find_relayed
from app.reports.schemas import ReportIn
from app.settings import Settings

UNKNOWN_RELAYED = "no such report about the same kind, place and subject: send the id of a report that you can read, or leave relays out"
FOREIGN_SOURCE = "this source belongs to another organisation: only its own keys and keys with the scope curate may report for it"


@dataclass(frozen=True, slots=True)
class ValidatedReport:
    """A report that is valid in itself; its place, sources and routes are not looked up yet.

    `value` still has relative days: which dates they are depends on the place's time zone. `drafted_by` is the organisation that drafted
    it, None if it was sent without a draft.
    """

    report: ReportIn
    value: BaseModel
    drafted_by: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedReport:
    """A report whose references are looked up, ready to be recorded."""

    report: ReportIn
    value: dict[str, Any]
    place: PlaceRecord
    source: SourceRecord
    via: list[SourceRecord]
    origin: SourceRecord | None
    subject: str
    filter_key: str
    facet: str
    endless: bool
    level: int
    fingerprint: str
    indicator_id: UUID
    drafted_by: str | None

    def labelled(self, at_least: int) -> "ResolvedReport":
        """Return the report with at least this level."""
        return replace(self, level=max(self.level, at_least))

    def indicator_subject(self) -> IndicatorIdentity:
        """Return the identity of the indicator."""
        return IndicatorIdentity(self.indicator_id, self.report.kind, self.subject, self.filter_key, self.place)

    def aliases(self) -> dict[str, str]:
        """Map the slugs of the protected sources that it names to their alias slugs."""
        return {each.slug: each.alias_slug for each in self.sources() if each.alias_slug is not None}

    def sources(self) -> list[SourceRecord]:
        """Return the sources that it names."""
        return [self.source, *self.via, *([self.origin] if self.origin else [])]


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
    times = {
        "/stated_at": report.stated_at,
        "/provenance/published_at": report.provenance.published_at,
        "/observed_from": report.observed_from,
        "/observed_to": report.observed_to,
    }
    errors = [
        FieldProblem(pointer=at, detail=detail)
        for at, text in times.items()
        if text is not None and (detail := time_error(text, settings.clock_skew_seconds)) is not None
    ]
    try:
        value = kind.value_model.model_validate(report.value)
    except ValidationError as error:
        return errors + field_problems(error, ["value"])
    return errors or ValidatedReport(report, value)


def _late_observations(report: ReportIn, timezone: str) -> dict[str, str]:
    """Return the error of each end of the observation that is after the statement."""
    ends = {"/observed_from": report.observed_from, "/observed_to": report.observed_to}
    detail = f"must not be after stated_at, {report.stated_at}: send that time or an earlier one"
    return {at: detail for at, text in ends.items() if text is not None and is_after(text, report.stated_at, timezone)}


def _resolve_days(validated: ValidatedReport, timezone: str, *, replicated: bool) -> BaseModel | FieldProblem:
    """Return the value with its relative days as dates at the place, or the first date in it that cannot be.

    In a replicated report the days may be counted in the zone that the other Lifeline has for the place.
    """
    kind, stated_on = KINDS[validated.report.kind], day_at(validated.report.stated_at, timezone)
    problem: FieldProblem | None = None
    for days in (0, -1, 1) if replicated else (0,):
        try:
            resolved: BaseModel = kind.resolve(validated.value, stated_on + timedelta(days=days))
            return resolved
        except PydanticCustomError as error:
            detail, field = error.message(), (error.context or {}).get("field", "")
            problem = problem or FieldProblem(pointer=pointer(["value", field]), detail=detail)
        except OverflowError:
            problem = FieldProblem(pointer="/value", detail="a date is out of range: use dates from 1900-01-01 to 9999-12-31")
    assert problem is not None
    return problem


async def resolve_references(
    session: AsyncSession,
    caller: Principal,
    reports: Sequence[ValidatedReport | FieldErrors],
    settings: Settings,
    *,
    replicated: bool = False,
) -> list[ResolvedReport | FieldErrors]:
    """Look up the references of reports in the writer's transaction; reject those for sources of another organisation."""
    valid = [each for each in reports if isinstance(each, ValidatedReport)]
    connection = await session.connection()
    places = await find_places(connection, {each.report.place for each in valid})
    named = [(each.report.source, *each.report.provenance.via, each.report.provenance.origin) for each in valid]
    sources = await find_sources(connection, {slug for slugs in named for slug in slugs if slug}, caller.level, caller.organisation)
    relayed = await find_relayed(connection, {id_ for each in valid if (id_ := each.report.provenance.relays)}, caller.level)
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
        if report.provenance.origin is not None and report.provenance.origin not in sources:
            errors["/provenance/origin"] = UNKNOWN_SOURCE
        errors |= {f"/value/{field}": UNKNOWN_ROUTE for field in _route_fields(each) if getattr(each.value, field) not in routes}
        timezone = place.timezone if place else "UTC"
        if not replicated:
            errors |= _late_observations(report, timezone)
        value = _resolve_days(each, timezone, replicated=replicated)
        if isinstance(value, FieldProblem):
            errors[value.pointer] = value.detail
        if errors or place is None or source is None or isinstance(value, FieldProblem):
            resolved.append([FieldProblem(pointer=at, detail=detail) for at, detail in errors.items()])
            continue
        found = bind_references(replace(each, value=value), place, source, sources, settings)
        resolved.append(_bind_relayed(found, relayed))
    return resolved


def _bind_relayed(resolved: ResolvedReport, relayed: Mapping[UUID, tuple[UUID, int]]) -> ResolvedReport | FieldErrors:
    """Check the report that one relays, given by identifier with its indicator and level; the report alone must not reveal it."""
    identifier = resolved.report.provenance.relays
    if identifier is None:
        return resolved
    indicator, level = relayed.get(identifier, (None, 0))
    if indicator != resolved.indicator_id:
        return [FieldProblem(pointer="/provenance/relays", detail=UNKNOWN_RELAYED)]
    if resolved.level >= level:
        return resolved
    if resolved.report.sensitivity is None:
        return replace(resolved, level=level)
    detail = f"the report that it repeats is {LABELS[level]}: label this one the same or stricter, or leave relays out"
    return [FieldProblem(pointer="/provenance/relays", detail=detail)]


def _route_fields(validated: ValidatedReport) -> list[str]:
    return [field for field, target in KINDS[validated.report.kind].references.items() if target == "route"]


def bind_references(
    validated: ValidatedReport, place: PlaceRecord, source: SourceRecord, sources: Mapping[str, SourceRecord], settings: Settings
) -> ResolvedReport:
    """Combine a valid report, whose value has no relative days left, with its place and sources.

    The caller has checked its references; `sources` has those of `via` and `origin`.
    """
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
        via=[sources[slug] for slug in report.provenance.via],
        origin=sources[report.provenance.origin] if report.provenance.origin else None,
        subject=subject,
        filter_key=str(value[kind.filter_field]),
        facet=kind.facet(validated.value),
        endless=kind.is_endless(validated.value),
        level=label.level,
        fingerprint=hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        indicator_id=indicator_id(report.kind, place.id, subject),
        drafted_by=validated.drafted_by,
    )
