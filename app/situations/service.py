"""Situations: the indicators of a place together. Nothing is added up."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import place_brief, with_revision
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST
from app.domain.times import rfc3339
from app.domain.view import View
from app.indicators.past import assess_at
from app.indicators.queries import revision_for, visible_at
from app.reference.models import Place
from app.reference.queries import places_by_id
from app.reference.records import PlaceRecord
from app.storage.paging import current_revision

Document = dict[str, Any]

# Indicators at an earlier time point are assessed again, which takes time: other requests get their turn between two steps.
MAX_PAST_PLACES_PER_STEP = 200


async def load_situations(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, *, after: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """Return a page of situations in order of place, the last place if there are more, and the revision.

    `where` has conditions on places.
    """
    revision = await current_revision(connection, view.level)
    latest = view.time_point == LATEST
    # With EXISTS, PostgreSQL would read all rows first; without ORDER BY, it may scan the table for each place.
    any_indicator = (
        select(col(IndicatorProjection.indicator_id))
        .where(col(IndicatorProjection.place_id) == col(Place.id), *(visible_at(view.level) if latest else []))
        .order_by(col(IndicatorProjection.indicator_id))
        .limit(1)
        .correlate(Place)
        .scalar_subquery()
    )
    statement = select(col(Place.id)).where(any_indicator.is_not(None), *where).order_by(col(Place.id))
    found: list[dict[str, Any]] = []
    step = limit if latest else min(limit, MAX_PAST_PLACES_PER_STEP)
    while True:
        page = statement if after is None else statement.where(col(Place.id) > after)
        ids = list((await connection.execute(page.limit(step + 1))).scalars())
        documents = await _documents_by_place(connection, ids[:step], view)
        places = await places_by_id(connection, ids[:step])
        for place in ids[:step]:
            if place in documents:
                if len(found) == limit:
                    return found, after, revision
                found.append(build_situation(places[place], documents[place], view))
            after = place
        if len(ids) <= step:
            return found, None, revision
        if len(found) == limit:
            return found, after, revision


async def load_situation(connection: AsyncConnection, ids: Sequence[UUID], place: PlaceRecord, view: View) -> dict[str, Any]:
    """Return the situation of a place; `ids` are the places whose indicators it includes."""
    documents = await _documents_by_place(connection, ids, view)
    return build_situation(place, [document for each in ids for document in documents.get(each, [])], view)


async def _documents_by_place(connection: AsyncConnection, places: Sequence[UUID], view: View) -> dict[UUID, list[Document]]:
    found: dict[UUID, list[Document]] = {}
    if view.time_point == LATEST:
        columns = (col(IndicatorProjection.place_id), col(IndicatorProjection.document), col(IndicatorProjection.indicator_id))
        statement = select(*columns, revision_for(view.level)).where(col(IndicatorProjection.place_id).in_(places), *visible_at(view.level))
        for row in sorted(await connection.execute(statement), key=lambda each: each.indicator_id):
            found.setdefault(row.place_id, []).append(orjson.loads(with_revision(row.document, row.revision)))
        return found
    ids = list((await connection.execute(select(col(Indicator.id)).where(col(Indicator.place_id).in_(places)))).scalars())
    past = await assess_at(connection, ids, view)
    for each in sorted(past):
        found.setdefault(past[each].inputs.subject.place.id, []).append(orjson.loads(past[each].document()))
    return found


def build_situation(place: PlaceRecord, documents: Sequence[Document], view: View) -> dict[str, Any]:
    """Build a situation from the documents of indicators. Pure."""
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        if document["provenance"] is not None:
            by_kind.setdefault(document["kind"], []).append(document)
    assessed = [each for every in by_kind.values() for each in every]
    groups: dict[str, Any] = {}
    other: list[dict[str, Any]] = []
    for kind in KINDS.values():
        summaries = [(kind.summary(each["value"], view.at), each) for each in by_kind.get(kind.name, [])]
        summaries.sort(key=lambda pair: kind.sort_key(pair[0], pair[1]["place"]["slug"]))
        if kind.situation_group == "other":
            other += ({"kind": kind.name, "subject": each["subject"], "value": own} | _common(each, view.at) for own, each in summaries)
        else:
            groups |= kind.situation_fields([own | _common(each, view.at) for own, each in summaries])
    newest = max((_newest_statement(each, view.horizons[each["kind"]]) for each in assessed), default=None)
    return {
        "place": place_brief(place),
        "as_of": rfc3339(view.at),
        **groups,
        "other": other,
        "contested": [each["links"]["self"] for each in assessed if each["agreement"] == "contested"],
        "newest_statement": None if newest is None else rfc3339(newest),
        "links": {"self": f"/v1/situations/{place.slug}", "indicators": f"/v1/indicators?place={place.slug}"},
    }


def _newest_statement(document: Document, horizon: timedelta) -> datetime:
    # Not `stated_at`: the preferred report is often not the newest.
    return datetime.fromisoformat(document["stale_after"]) - horizon


def _common(document: Document, at: datetime) -> dict[str, Any]:
    return {
        "place": document["place"]["slug"],
        "agreement": document["agreement"],
        "stated_at": document["stated_at"],
        "stale": datetime.fromisoformat(document["stale_after"]) < at,
        "source": document["provenance"]["source"]["slug"],
        "links": {"indicator": document["links"]["self"]},
    }
