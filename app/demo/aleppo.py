"""The demo data: Aleppo, July to October 2016, in public statements.

The facts were reported publicly, in other words. The reliability grades are made for the demo and judge no organisation. Coordinates
are approximate. Every report is labelled `clear`. Identifiers are fixed, because the examples of the OpenAPI document name records.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.tlp import TOP
from app.ledger.models import LedgerEntry
from app.reference.models import Place
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.service import add_place, add_route, add_source
from app.reports.queries import VisibleReport
from app.reports.service import record_reports
from app.reports.validation import validate
from app.settings import Settings

PLACES: list[dict[str, Any]] = [
    {"slug": "syria", "name": "Syria", "country": "SYR", "codes": [{"scheme": "iso3166-1", "code": "SYR"}], "centroid": [38.5, 35.0]},
    {
        "slug": "aleppo-governorate",
        "name": "Aleppo governorate",
        "parent": "syria",
        "codes": [
            {"scheme": "pcode", "code": "SY02"},
            {"scheme": "iso3166-2", "code": "SY-HL"},
            {"scheme": "geonames-admin1", "code": "SY.09"},
        ],
        "centroid": [37.6, 36.2],
    },
    {
        "slug": "aleppo-city",
        "name": "Aleppo city",
        "parent": "aleppo-governorate",
        "codes": [{"scheme": "pcode", "code": "C1007"}],
        "centroid": [37.15, 36.2],
    },
    {"slug": "aleppo-east", "name": "Eastern Aleppo", "parent": "aleppo-city", "centroid": [37.19, 36.2]},
]

SOURCES: list[dict[str, Any]] = [
    {"slug": "un-ocha", "name": "UN relief chief and OCHA", "type": "un", "reliability": "B"},
    {"slug": "un-envoy-syria", "name": "UN special envoy for Syria", "type": "un", "reliability": "B"},
    {"slug": "un", "name": "United Nations", "type": "un", "reliability": "B"},
    {"slug": "syrian-army", "name": "Syrian army and state media", "type": "government", "reliability": "D", "party_to_conflict": True},
    {"slug": "rebel-alliance", "name": "Alliance of rebel groups", "type": "armed_actor", "reliability": "D", "party_to_conflict": True},
    {"slug": "russian-military", "name": "Russia's military", "type": "armed_actor", "reliability": "D", "party_to_conflict": True},
    {"slug": "sohr", "name": "Syrian Observatory for Human Rights", "type": "monitor", "reliability": "C"},
    {"slug": "independent-observers", "name": "Independent observers", "type": "monitor", "reliability": "C"},
    {"slug": "news-agency", "name": "A news agency", "type": "media", "reliability": "C"},
    {"slug": "regional-news-site", "name": "A regional news site", "type": "media", "reliability": "C"},
    {"slug": "second-outlet", "name": "Another news outlet", "type": "media", "reliability": "C"},
]

ROUTES: list[dict[str, Any]] = [
    {
        "slug": "castello-road",
        "name": "Castello Road",
        "mode": "road",
        "from": "Northern countryside of Aleppo",
        "to": "Eastern Aleppo",
        "geometry": {"type": "LineString", "coordinates": [[37.08, 36.26], [37.12, 36.25], [37.16, 36.24]]},
    },
    {
        "slug": "ramouseh-passage",
        "name": "Ramouseh passage",
        "mode": "road",
        "from": "South-western countryside of Aleppo",
        "to": "Eastern Aleppo",
        "geometry": {"type": "LineString", "coordinates": [[37.09, 36.13], [37.12, 36.15], [37.15, 36.17]]},
    },
]


def _report(kind: str, source: str, stated_at: str, value: dict[str, Any], quote: str | None = None, **provenance: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "place": "aleppo-east",
        "source": source,
        "stated_at": stated_at,
        "value": value,
        "provenance": {"quote": quote, "language": "en" if quote else None, **provenance},
        "sensitivity": "clear",
    }


_BRIEFING: dict[str, Any] = {"method": "expert_estimate", "credibility": 2}
_BY_NEWS_SITE: dict[str, Any] = {"via": ["regional-news-site"], "published_at": "2016-07-31", "credibility": 2}

REPORTS: list[dict[str, Any]] = [
    _report(
        "route_closure",
        "un-ocha",
        "2016-07-25",
        {"route": "castello-road", "status": "closed", "since": "2016-07-07", "cause": "hostilities"},
        **_BRIEFING,
    ),
    _report(
        "trapped_population", "un-ocha", "2016-07-25", {"concept": "trapped", "people_low": 250000, "people_high": 275000}, **_BRIEFING
    ),
    _report(
        "supply_runout",
        "un-ocha",
        "2016-07-25",
        {"supply": "food", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-20", "relative_text": "by the middle of August"},
        **_BRIEFING,
    ),
    _report(
        "trapped_population",
        "un-ocha",
        "2016-07-25",
        {"concept": "at_risk", "people_low": 200000, "people_high": 300000},
        via=["second-outlet"],
        **_BRIEFING,
    ),
    _report(
        "supply_runout",
        "un-envoy-syria",
        "2016-07-28",
        {"supply": "basic", "in_days_min": 14, "in_days_max": 21, "relative_text": "two to three weeks"},
        **_BRIEFING,
    ),
    _report(
        "supply_runout",
        "un-envoy-syria",
        "2016-07-29",
        {"supply": "basic", "in_days_min": 21, "in_days_max": 21, "relative_text": "three weeks"},
        method="expert_estimate",
        **_BY_NEWS_SITE,
    ),
    _report(
        "trapped_population",
        "un",
        "2016-07-31",
        {"concept": "trapped", "people": 300000, "qualifier": "about"},
        method="expert_estimate",
        **_BY_NEWS_SITE,
    ),
    _report("supply_runout", "un", "2016-07-31", {"supply": "food", "state": "low", "relative_text": "dwindling"}, **_BY_NEWS_SITE),
    _report("supply_runout", "un", "2016-07-31", {"supply": "medical", "state": "low", "relative_text": "dwindling"}, **_BY_NEWS_SITE),
    _report(
        "route_closure",
        "news-agency",
        "2016-07-31",
        {"route": "castello-road", "status": "closed", "since_earliest": "2016-07-01", "since_latest": "2016-07-10", "last_route": True},
        via=["regional-news-site"],
        published_at="2016-07-31",
        credibility=3,
    ),
    _report(
        "route_closure",
        "sohr",
        "2016-07-31",
        {"route": "ramouseh-passage", "status": "closed", "cause": "hostilities"},
        method="key_informant",
        credibility=3,
    ),
    _report(
        "route_closure", "rebel-alliance", "2016-08-06", {"route": "ramouseh-passage", "status": "open"}, method="unknown", credibility=4
    ),
    _report(
        "route_closure", "syrian-army", "2016-08-06", {"route": "ramouseh-passage", "status": "closed"}, method="unknown", credibility=4
    ),
    _report(
        "route_closure",
        "independent-observers",
        "2016-08-08",
        {"route": "ramouseh-passage", "status": "restricted", "passable_by": [], "cause": "hostilities"},
        method="direct_observation",
        credibility=3,
    ),
    _report(
        "route_closure",
        "russian-military",
        "2016-08-11",
        {"route": "castello-road", "status": "open", "assertion": "announced", "passable_by": ["humanitarian"]},
        method="unknown",
        credibility=4,
    ),
    _report(
        "trapped_population", "un-ocha", "2016-10-05", {"concept": "besieged", "people_high": 275000, "qualifier": "up_to"}, **_BRIEFING
    ),
]


RecordType = Literal["place", "source", "route", "report", "key", "webhook", "delivery", "proposal"]


def demo_id(record_type: RecordType, number: int) -> UUID:
    """Return the fixed identifier of a record, counted from 1: a UUIDv7 such as `01900000-0000-7000-8001-000000000004`."""
    type_number = get_args(RecordType).index(record_type) + 1
    return UUID(f"01900000-0000-7000-8{type_number:03}-{number:012}")


class DemoError(RuntimeError):
    """A report of the demo was rejected; the demo data has a mistake."""


async def load_aleppo(session: AsyncSession, settings: Settings) -> bool:
    """Load the demo data; return False, and load nothing, if the database has an entry or a place."""
    for column in (LedgerEntry.global_seq, Place.id):
        if await session.scalar(select(col(column)).limit(1)) is not None:
            return False
    for number, place in enumerate(PLACES, 1):
        await add_place(session, PlaceIn.model_validate(place), demo_id("place", number))
    for number, source in enumerate(SOURCES, 1):
        await add_source(session, SourceIn.model_validate(source), demo_id("source", number))
    for number, route in enumerate(ROUTES, 1):
        await add_route(session, RouteIn.model_validate(route), demo_id("route", number))
    await add_reports(session, Principal(level=TOP, key_id=UUID(int=0), organisation="demo"), REPORTS, settings)
    return True


async def add_reports(
    session: AsyncSession, caller: Principal, reports: Sequence[dict[str, Any]], settings: Settings, first: int = 1
) -> None:
    """Record reports with the identifiers from number `first`; raise DemoError if one is rejected."""
    identifiers = [demo_id("report", number) for number in range(first, first + len(reports))]
    validated = [validate(report, settings) for report in reports]
    results, _ = await record_reports(session, caller, validated, settings, identifiers=identifiers)
    if rejected := [(report, each) for report, each in zip(reports, results, strict=True) if not isinstance(each, VisibleReport)]:
        raise DemoError(str(rejected))
