"""Aleppo, July to October 2016, as public statements: the demo data.

The facts were reported publicly; the words are Lifeline's own. The reliability grades are the demo's own too, not anybody's
judgement of these organisations. Coordinates are approximate. Every report is labelled `clear`. Identifiers are fixed, so that the
examples of the OpenAPI document can name a record.
"""

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
    {
        "slug": "syrian-army",
        "name": "Syrian army and state media",
        "type": "government",
        "reliability": "D",
        "party_to_conflict": True,
    },
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


def _said(kind: str, source: str, stated_at: str, value: dict[str, Any], quote: str | None = None, **provenance: Any) -> dict[str, Any]:
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
    _said(
        "route_closure",
        "un-ocha",
        "2016-07-25",
        {"route": "castello-road", "status": "closed", "since": "2016-07-07", "cause": "hostilities"},
        **_BRIEFING,
    ),
    _said(
        "trapped_population",
        "un-ocha",
        "2016-07-25",
        {"concept": "trapped", "people_low": 250000, "people_high": 275000},
        **_BRIEFING,
    ),
    _said(
        "supply_runout",
        "un-ocha",
        "2016-07-25",
        {
            "supply": "food",
            "runs_out_earliest": "2016-08-11",
            "runs_out_latest": "2016-08-20",
            "relative_text": "by the middle of August",
        },
        **_BRIEFING,
    ),
    _said(
        "trapped_population",
        "un-ocha",
        "2016-07-25",
        {"concept": "at_risk", "people_low": 200000, "people_high": 300000},
        via=["second-outlet"],
        **_BRIEFING,
    ),
    _said(
        "supply_runout",
        "un-envoy-syria",
        "2016-07-28",
        {"supply": "basic", "in_days_min": 14, "in_days_max": 21, "relative_text": "two to three weeks"},
        **_BRIEFING,
    ),
    _said(
        "supply_runout",
        "un-envoy-syria",
        "2016-07-29",
        {"supply": "basic", "in_days_min": 21, "in_days_max": 21, "relative_text": "three weeks"},
        method="expert_estimate",
        **_BY_NEWS_SITE,
    ),
    _said(
        "trapped_population",
        "un",
        "2016-07-31",
        {"concept": "trapped", "people": 300000, "qualifier": "about"},
        method="expert_estimate",
        **_BY_NEWS_SITE,
    ),
    _said("supply_runout", "un", "2016-07-31", {"supply": "food", "state": "low", "relative_text": "dwindling"}, **_BY_NEWS_SITE),
    _said("supply_runout", "un", "2016-07-31", {"supply": "medical", "state": "low", "relative_text": "dwindling"}, **_BY_NEWS_SITE),
    _said(
        "route_closure",
        "news-agency",
        "2016-07-31",
        {
            "route": "castello-road",
            "status": "closed",
            "since_earliest": "2016-07-01",
            "since_latest": "2016-07-10",
            "last_route": True,
        },
        via=["regional-news-site"],
        published_at="2016-07-31",
        credibility=3,
    ),
    _said(
        "route_closure",
        "sohr",
        "2016-07-31",
        {"route": "ramouseh-passage", "status": "closed", "cause": "hostilities"},
        method="key_informant",
        credibility=3,
    ),
    _said(
        "route_closure", "rebel-alliance", "2016-08-06", {"route": "ramouseh-passage", "status": "open"}, method="unknown", credibility=4
    ),
    _said(
        "route_closure",
        "syrian-army",
        "2016-08-06",
        {"route": "ramouseh-passage", "status": "closed"},
        method="unknown",
        credibility=4,
    ),
    _said(
        "route_closure",
        "independent-observers",
        "2016-08-08",
        {"route": "ramouseh-passage", "status": "restricted", "passable_by": [], "cause": "hostilities"},
        method="direct_observation",
        credibility=3,
    ),
    _said(
        "route_closure",
        "russian-military",
        "2016-08-11",
        {"route": "castello-road", "status": "open", "assertion": "announced", "passable_by": ["humanitarian"]},
        method="unknown",
        credibility=4,
    ),
    _said(
        "trapped_population",
        "un-ocha",
        "2016-10-05",
        {"concept": "besieged", "people_high": 275000, "qualifier": "up_to"},
        **_BRIEFING,
    ),
]


Group = Literal["place", "source", "route", "report", "key", "webhook", "delivery", "proposal"]


def identifier(group: Group, number: int) -> UUID:
    """The fixed identifier of the demo's first, second, ... record of a group: a UUIDv7 such as `01900000-0000-7000-8001-000000000004`."""
    group_number = get_args(Group).index(group) + 1
    return UUID(f"01900000-0000-7000-8{group_number:03}-{number:012}")


class DemoError(RuntimeError):
    """The demo data does not fit the service: a mistake in this file."""


async def load_aleppo(session: AsyncSession, settings: Settings) -> bool:
    """Load the demo into an empty database, through the same door as any report; False when there is anything already."""
    if (
        await session.scalar(select(col(LedgerEntry.global_seq)).limit(1)) is not None
        or await session.scalar(select(col(Place.id)).limit(1)) is not None
    ):
        return False
    for number, place in enumerate(PLACES, 1):
        await add_place(session, PlaceIn.model_validate(place), identifier("place", number))
    for number, source in enumerate(SOURCES, 1):
        await add_source(session, SourceIn.model_validate(source), identifier("source", number))
    for number, route in enumerate(ROUTES, 1):
        await add_route(session, RouteIn.model_validate(route), identifier("route", number))
    caller = Principal(level=TOP, key_id=UUID(int=0), organisation="demo")
    sent = [validate(report, settings) for report in REPORTS]
    kept = [identifier("report", number) for number in range(1, len(sent) + 1)]
    outcomes, _ = await record_reports(session, caller, sent, settings, identifiers=kept)
    if wrong := [(report, each) for report, each in zip(REPORTS, outcomes, strict=True) if not isinstance(each, VisibleReport)]:
        raise DemoError(str(wrong))
    return True
