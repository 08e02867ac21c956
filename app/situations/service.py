"""One place's indicators together: people trapped, soonest run-out, routes closed of routes known. Nothing is ever added up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.inputs import horizon_of
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.times import rfc3339
from app.indicators.past import assess_at
from app.indicators.queries import revision_for, visible_at
from app.reference.models import Place
from app.reference.queries import places_by_id
from app.reference.records import PlaceRecord
from app.settings import Settings
from app.storage.paging import current_revision

Document = dict[str, Any]

STEP = 200


async def list_situations(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    limit: int,
    level: int,
    moment: TimePoint,
    at: datetime,
    settings: Settings,
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page of situations in order of place, the last place when there are more, the head of the ledger.

    `where` holds conditions on places; `at` is the time that days left and staleness are counted from.
    """
    revision = await current_revision(connection, level)
    # Not EXISTS, for which PostgreSQL would read every reading first; in order, lest it look for the one in all of them.
    seen = visible_at(level) if moment == LATEST else []
    any_reading = select(col(IndicatorProjection.indicator_id)).where(col(IndicatorProjection.place_id) == col(Place.id), *seen)
    first = any_reading.order_by(col(IndicatorProjection.indicator_id)).limit(1).correlate(Place).scalar_subquery()
    statement = select(col(Place.id)).where(first.is_not(None), *where).order_by(col(Place.id))
    found: list[dict[str, Any]] = []
    # Past readings are computed: so few at a time that others have their turn.
    step = limit if moment == LATEST else min(limit, STEP)
    while True:
        page = statement if after is None else statement.where(col(Place.id) > after)
        places = list((await connection.execute(page.limit(step + 1))).scalars())
        documents = await _documents(connection, places[:step], level, moment, settings)
        facts = await places_by_id(connection, places[:step])
        for place in places[:step]:
            if place in documents:
                if len(found) == limit:
                    return found, after, revision
                found.append(situation(facts[place], documents[place], at, settings))
            after = place
        if len(places) <= step:
            return found, None, revision
        if len(found) == limit:
            return found, after, revision


async def get_situation(
    connection: AsyncConnection,
    places: Sequence[UUID],
    head: PlaceRecord,
    *,
    level: int,
    moment: TimePoint,
    at: datetime,
    settings: Settings,
) -> dict[str, Any]:
    """The situation of one place, or of it and its descendants together: every item names its own place."""
    documents = await _documents(connection, places, level, moment, settings)
    return situation(head, [document for place in places for document in documents.get(place, [])], at, settings)


async def _documents(
    connection: AsyncConnection, places: Sequence[UUID], level: int, moment: TimePoint, settings: Settings
) -> dict[UUID, list[Document]]:
    found: dict[UUID, list[Document]] = {}
    if moment == LATEST:
        statement = (
            select(col(IndicatorProjection.place_id), col(IndicatorProjection.document), revision_for(level))
            .where(col(IndicatorProjection.place_id).in_(places), *visible_at(level))
            .add_columns(col(IndicatorProjection.indicator_id))
        )
        for row in sorted(await connection.execute(statement), key=lambda each: each.indicator_id):
            found.setdefault(row.place_id, []).append(orjson.loads(with_revision(row.document, row.revision)))
        return found
    ids = list((await connection.execute(select(col(Indicator.id)).where(col(Indicator.place_id).in_(places)))).scalars())
    past = await assess_at(connection, ids, settings, moment, level)
    for each in sorted(past):
        found.setdefault(past[each].inputs.subject.place.id, []).append(orjson.loads(past[each].document()))
    return found


def situation(place: PlaceRecord, documents: Sequence[Document], at: datetime, settings: Settings) -> dict[str, Any]:
    """Return some indicators of a place as one situation, at a time. Pure."""
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        if document["value"] is not None:
            by_kind.setdefault(document["kind"], []).append(document)
    assessed = [each for every in by_kind.values() for each in every]
    groups: dict[str, Any] = {}
    other: list[dict[str, Any]] = []
    for kind in KINDS.values():
        summaries = [(kind.summary(each["value"], at), each) for each in by_kind.get(kind.name, [])]
        summaries.sort(key=lambda pair: kind.sort_key(pair[0], pair[1]["place"]["slug"]))
        if kind.situation_group == "other":
            other += ({"kind": kind.name, "subject": each["subject"], "value": own} | _common(each, at) for own, each in summaries)
        else:
            groups |= kind.situation_fields([own | _common(each, at) for own, each in summaries])
    return {
        "place": {
            "slug": place.slug,
            "name": place.name,
            "codes": [{"scheme": scheme, "code": code} for scheme, code in place.codes],
            "country": place.country,
        },
        "as_of": rfc3339(at),
        **groups,
        "other": other,
        "contested": [each["links"]["self"] for each in assessed if each["agreement"] == "contested"],
        "newest_statement": rfc3339(max(_newest(each, settings) for each in assessed)) if assessed else None,
        "links": {"self": f"/v1/situations/{place.slug}", "indicators": f"/v1/indicators?place={place.slug}"},
    }


def _newest(document: Document, settings: Settings) -> datetime:
    # Not `stated_at`, which is the preferred report's: that is often not the newest that stands.
    return datetime.fromisoformat(document["stale_after"]) - horizon_of(document["kind"], settings)


def _common(document: Document, at: datetime) -> dict[str, Any]:
    return {
        "place": document["place"]["slug"],
        "agreement": document["agreement"],
        "stated_at": document["stated_at"],
        "stale": datetime.fromisoformat(document["stale_after"]) < at,
        "source": document["provenance"]["source"]["slug"],
        "links": {"indicator": document["links"]["self"]},
    }
