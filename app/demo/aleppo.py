"""The demo data in aleppo.json: Aleppo, July to December 2016, in public statements.

The facts were reported publicly, in other words; the later ones name the page where they can be read. The reliability grades are made
for the demo and judge no organisation. Coordinates are approximate. Identifiers are fixed, because the examples of the OpenAPI
document name records.
"""

from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.tlp import MAX_LEVEL
from app.ledger.models import LedgerEntry
from app.reference.models import Place
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.service import add_place, add_route, add_source
from app.reports.queries import VisibleReport
from app.reports.service import record_reports
from app.reports.validation import validate
from app.settings import Settings

DATA = Path(__file__).with_name("aleppo.json")
# Number of the report whose label is proposed to be lowered from `green`; all others are `clear`.
GREEN_REPORT = 16

RecordType = Literal["place", "source", "route", "report", "key", "webhook", "delivery", "proposal", "draft", "judgement"]


class DemoData(BaseModel):
    """A part of aleppo.json, in the order of recording; reports are validated with their kinds."""

    places: list[PlaceIn]
    sources: list[SourceIn]
    routes: list[RouteIn]
    reports: list[dict[str, Any]]


def demo_id(record_type: RecordType, number: int) -> UUID:
    """Return the fixed identifier of a record, counted from 1: a UUIDv7 such as `01900000-0000-7000-8001-000000000004`."""
    type_number = get_args(RecordType).index(record_type) + 1
    return UUID(f"01900000-0000-7000-8{type_number:03}-{number:012}")


async def load_aleppo(session: AsyncSession, settings: Settings) -> bool:
    """Load the demo data; return False, and load nothing, if the database has an entry or a place."""
    for column in (LedgerEntry.global_seq, Place.id):
        if await session.scalar(select(col(column)).limit(1)) is not None:
            return False
    author = Principal(level=MAX_LEVEL, organisation="demo")
    places, sources, routes, reports = count(1), count(1), count(1), count(1)
    for part in TypeAdapter(list[DemoData]).validate_json(DATA.read_bytes()):
        for place in part.places:
            await add_place(session, author, place, demo_id("place", next(places)))
        for source in part.sources:
            await add_source(session, author, source, demo_id("source", next(sources)))
        for route in part.routes:
            await add_route(session, author, route, demo_id("route", next(routes)))
        valid = [validate(each, settings) for each in part.reports]
        identifiers = [demo_id("report", next(reports)) for _ in valid]
        results, _ = await record_reports(session, author, valid, settings, identifiers=identifiers)
        if rejected := [each for each in results if not isinstance(each, VisibleReport)]:
            raise RuntimeError(f"Reports of {DATA.name} were rejected: {rejected}")
    return True
