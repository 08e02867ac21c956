"""Validate reports: first alone, then against the places, sources and routes that they refer to."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.access.principal import Principal, Scope
from app.assessment.document import IndicatorIdentity
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.times import day_at, is_after, normalise, time_error
from app.domain.tlp import LABELS, MAX_LEVEL
from app.http.problems import FieldProblem, pointer, unknown_code, validate_model
from app.http.request_body import NUL_MESSAGE, find_nul
from app.reference.models import MODELS
from app.reference.queries import find_any_sources, find_places, find_routes
from app.reference.records import PlaceRecord, SourceRecord
from app.reference.suggestions import describe_unknown
from app.reports.models import fingerprint_of
from app.reports.queries import find_relayed
from app.reports.references import MAX_NAME_CHARACTERS, FieldErrors, InvalidReport, Reference, own_outlets, references_in
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


def validate(body: Any, settings: Settings) -> ValidatedReport | FieldErrors:
    """Check a report alone: fields, bounds, relations between fields and times, without the database; return every error."""
    if (path := find_nul(body)) is not None:
        return [FieldProblem(pointer=pointer(path), detail=NUL_MESSAGE)]
    report, errors = validate_model(ReportIn, body)
    sent = body if isinstance(body, dict) else {}
    name, value = sent.get("kind"), None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is not None and isinstance(sent.get("value"), dict):
        value, wrong = validate_model(kind.value_model, sent["value"], ["value"])
        errors += wrong
    elif kind is None and isinstance(name, str):
        errors.append(FieldProblem(pointer="/kind", detail=unknown_code(name, list(KINDS))))
    errors += [
        FieldProblem(pointer=at, detail=detail)
        for at, text in _times(sent).items()
        if (detail := time_error(text, settings.clock_skew_seconds)) is not None
    ]
    return ValidatedReport(report, value) if report and value and not errors else InvalidReport(errors, body)


def _times(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the times of a report that are times, normalised, by pointer."""
    provenance = body.get("provenance")
    given = {f"/{name}": body.get(name) for name in ("stated_at", "observed_from", "observed_to")}
    given["/provenance/published_at"] = provenance.get("published_at") if isinstance(provenance, dict) else None
    found = {}
    for at, text in given.items():
        with suppress(ValueError):
            if isinstance(text, str):
                found[at] = normalise(text)
    return found


def _late_observations(times: Mapping[str, str], timezone: str) -> dict[str, str]:
    """Return the error of each end of the observation that is after the statement."""
    if (stated_at := times.get("/stated_at")) is None:
        return {}
    ends = {at: times[at] for at in ("/observed_from", "/observed_to") if at in times}
    detail = f"must not be after stated_at, {stated_at}: send that time or an earlier one"
    return {at: detail for at, text in ends.items() if is_after(text, stated_at, timezone)}


def resolve_days(kind: Kind[Any], value: BaseModel, stated_on: date, *, replicated: bool) -> BaseModel | FieldProblem:
    """Return a value with its relative days as dates at the place, or the first date in it that cannot be.

    In a replicated report the days may be counted in the zone that the other Lifeline has for the place.
    """
    problem: FieldProblem | None = None
    for days in (0, -1, 1) if replicated else (0,):
        try:
            resolved: BaseModel = kind.resolve(value, stated_on + timedelta(days=days))
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
    return (await resolve_submissions(await session.connection(), [(caller, reports, replicated)], settings))[0]


async def resolve_submissions(
    connection: AsyncConnection,
    submissions: Sequence[tuple[Principal, Sequence[ValidatedReport | FieldErrors], bool]],
    settings: Settings,
) -> list[list[ResolvedReport | FieldErrors]]:
    """Look up the references of several callers' reports, each as if alone; the last of a triple says whether they are replicated."""
    texts: dict[str, set[str]] = {name: set() for name in MODELS}
    relays: set[UUID] = set()
    named: list[list[list[Reference]]] = []
    for _, reports, _ in submissions:
        named.append([_references_of(each) for each in reports])
        for reference in chain.from_iterable(named[-1]):
            texts[reference.type_].add(reference.text)
        relays |= {id_ for each in reports if isinstance(each, ValidatedReport) and (id_ := each.report.provenance.relays)}
    places = await find_places(connection, texts["place"])
    all_sources = await find_any_sources(connection, texts["source"])
    routes = await find_routes(connection, texts["route"])
    all_relayed = await find_relayed(connection, relays, MAX_LEVEL)
    found: list[list[ResolvedReport | FieldErrors]] = []
    for (caller, reports, replicated), references in zip(submissions, named, strict=True):
        sources = all_sources.visible_to(caller.level, caller.organisation)
        relayed = {id_: (indicator, level) for id_, (indicator, level) in all_relayed.items() if level <= caller.level}
        known = {"place": places.keys(), "source": sources.keys(), "route": routes}
        unknown: dict[str, dict[str, str]] = {}
        missing = {(type_, text) for _, type_, text in chain.from_iterable(references) if text not in known[type_]}
        for type_ in {each for each, _ in missing}:
            unknown[type_] = await describe_unknown(connection, type_, sorted(text for of, text in missing if of == type_), caller.level)
        resolved: list[ResolvedReport | FieldErrors] = []
        for each, own in zip(reports, references, strict=True):
            missing_here = {pointer(path): unknown[type_][text] for path, type_, text in own if text in unknown.get(type_, ())}
            missing_here |= {} if replicated else own_outlets(own, sources)
            if isinstance(each, ValidatedReport):
                resolved.append(_resolve(each, missing_here, places, sources, relayed, caller, settings, replicated=replicated))
            else:
                resolved.append(_with_missing(each, missing_here, places))
        found.append(resolved)
    return found


def _references_of(report: ValidatedReport | FieldErrors) -> list[Reference]:
    if isinstance(report, InvalidReport):
        # Longer texts are wrong in themselves.
        return [each for each in references_in(report.body) if len(each.text) <= MAX_NAME_CHARACTERS]
    if not isinstance(report, ValidatedReport):
        return []
    sent, provenance = report.report, report.report.provenance
    found = [Reference(("place",), "place", sent.place), Reference(("source",), "source", sent.source)]
    found += [Reference(("provenance", "via", at), "source", slug) for at, slug in enumerate(provenance.via)]
    found += [Reference(("provenance", "origin"), "source", provenance.origin)] if provenance.origin is not None else []
    for name, type_ in KINDS[sent.kind].references.items():
        if (text := getattr(report.value, name)) is not None:
            found.append(Reference(("value", name), type_, text))
    return found


def _with_missing(errors: FieldErrors, missing: Mapping[str, str], places: Mapping[str, PlaceRecord]) -> FieldErrors:
    """Return the errors of an invalid report with those of its records, and of an observation after the statement."""
    if not isinstance(errors, InvalidReport) or not isinstance(errors.body, dict):
        return errors
    place = errors.body.get("place")
    known = places.get(place) if isinstance(place, str) else None
    # An unknown name needs no word on its letters besides.
    kept = [each for each in errors if each.pointer not in missing]
    taken = {each.pointer for each in kept}
    more = dict(missing) | _late_observations(_times(errors.body), known.timezone if known else "UTC")
    return kept + [FieldProblem(pointer=at, detail=detail) for at, detail in more.items() if at not in taken]


def _resolve(
    each: ValidatedReport,
    missing: Mapping[str, str],
    places: Mapping[str, PlaceRecord],
    sources: Mapping[str, SourceRecord],
    relayed: Mapping[UUID, tuple[UUID, int]],
    caller: Principal,
    settings: Settings,
    *,
    replicated: bool,
) -> ResolvedReport | FieldErrors:
    report, errors = each.report, dict(missing)
    place, source = places.get(report.place), sources.get(report.source)
    if source is not None and source.organisation not in (None, caller.organisation) and Scope.CURATE not in caller.scopes:
        errors["/source"] = FOREIGN_SOURCE
    timezone = place.timezone if place else "UTC"
    if not replicated:
        times = {"/stated_at": report.stated_at, "/observed_from": report.observed_from, "/observed_to": report.observed_to}
        errors |= _late_observations({at: text for at, text in times.items() if text is not None}, timezone)
    value = resolve_days(KINDS[report.kind], each.value, day_at(report.stated_at, timezone), replicated=replicated)
    errors |= {value.pointer: value.detail} if isinstance(value, FieldProblem) else {}
    if errors or place is None or source is None or isinstance(value, FieldProblem):
        return [FieldProblem(pointer=at, detail=detail) for at, detail in errors.items()]
    return _bind_relayed(bind_references(replace(each, value=value), place, source, sources, settings), relayed)


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
        fingerprint=fingerprint_of(source.slug, report.kind, place.slug, subject, report.stated_at, value, report.provenance.url),
        indicator_id=indicator_id(report.kind, place.id, subject),
        drafted_by=validated.drafted_by,
    )
