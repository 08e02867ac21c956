"""Situations: the indicators of a place together. Nothing is added up."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.loading import load_all
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST
from app.domain.times import rfc3339
from app.domain.view import View
from app.http.localization import localization_for
from app.indicators.past import PastState, documents_at, has_statement, past_state
from app.indicators.queries import MAX_LISTED_REPORTS, revision_for, visible_at
from app.indicators.steps import select_steps, step_documents
from app.reference.models import Place, PlaceAncestor
from app.reference.names import load_names
from app.reference.past_places import ancestors_then, place_tree
from app.reference.queries import places_by_id
from app.reference.records import PlaceRecord
from app.reports.models import Report
from app.situations.checks import Document as Read
from app.situations.checks import Said, build_checks, build_said, counted_figures, is_checked, pair_families
from app.situations.document import Document, build_situation
from app.situations.kept import Kept, Moved, Stamp, find_situation, keep_situation, kept_positions, places_moved
from app.situations.urgency import Level, Position, level_of, urgency, worst
from app.situations.wording import Wording
from app.storage.paging import chunks, current_revision
from app.storage.slices import end_slice
from app.storage.types import table_of

# Other requests get their turn between two steps.
MAX_PLACES_PER_STEP = 10
# Places whose position is looked up at the cost of one indicator assessed.
PLACES_PER_ASSESSED = 20
# Of lists, whose checks have no words.
_WORDS = Wording(localization_for(None))


async def load_situations(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, *, after: Position | None, limit: int
) -> tuple[list[str], Position | None, int]:
    """Return a page of situations as JSON, the most urgent first, the last position if there are more, and the revision.

    `where` has conditions on places.
    """
    revision = await current_revision(connection, view.level)
    state = await _state(connection, view)
    positions = await _positions(connection, where, view, state)
    await end_slice(len(positions) // PLACES_PER_ASSESSED)
    left = sorted(position for _, position, _ in positions.values() if after is None or position > after)
    page = left[:limit]
    ids = [place for *_, place in page]
    ancestors = await _places_below(connection, ids, view)
    above = await ancestors_then(connection, ids, view.time_point)
    # Without conditions, all places that have indicators have a position already.
    for others in chunks(each for each in {*ancestors, *chain(*above.values())} if where and each not in positions):
        positions |= await _positions(connection, [col(Place.id).in_(others)], view, state)
    below = _worst_levels(ancestors, {each: level_of(positions[each][1]) for each in ancestors if each in positions})
    families = _families(ids, ancestors, above, {each: figures for each, (_, _, figures) in positions.items()})
    flags = {each: orjson.dumps(build_checks([], families[each], [], view.at, _WORDS)) for each in ids}
    stamps = {
        each: Stamp((each, view, view.at, by, below.get(each), flags[each]), revision)
        for each in ids
        if (by := positions[each][0]) is not None
    }
    found = {each: kept for each, stamp in stamps.items() if (kept := find_situation(connection, stamp)) is not None}
    for some in _steps([each for each in ids if each not in found]):
        places = await places_by_id(connection, some, view.time_point)
        documents = await _documents_by_place(connection, some, view, state)
        await end_slice(0)
        every = [each for own in documents.values() for each in own]
        times, said = await basis_times(connection, every), await _load_said(connection, every, view)
        await end_slice(0)
        for each in some:
            own = [one for one in said if one.document["place"]["slug"] == places[each].slug]
            checks = [check | {"detail": None} for check in build_checks(documents[each], families[each], own, view.at, _WORDS)]
            situation = build_situation(places[each], documents[each], view, times, children_level=below.get(each))
            found[each] = orjson.dumps(situation | {"checks": checks})
            if each in stamps:
                keep_situation(connection, stamps[each], found[each])
        await end_slice(0)
    return [found[each].decode() for each in ids], page[-1] if len(left) > limit else None, revision


async def _positions(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, state: PastState | None
) -> dict[UUID, Kept]:
    """Return the positions and figures of the places that have indicators; kept ones where these did not move."""
    moved: dict[UUID, Moved] = {}
    kept: dict[UUID, Kept] = {}
    if view.time_point.through_global_seq is None:
        moved, kept = await places_moved(connection, where, view), kept_positions(connection, view)
    elif state is not None:
        moved = dict.fromkeys((await connection.execute(select(col(Place.id)).where(*where, _has_past_indicator(view)))).scalars())
    found = {each: kept[each] for each, by in moved.items() if by is not None and each in kept and kept[each][0] == by}
    for some in _steps([each for each in moved if each not in found]):
        for place, documents in (await _documents_by_place(connection, some, view, state)).items():
            found[place] = (moved[place], urgency(documents, view.at).position(place), counted_figures(documents))
        await end_slice(0)
    kept |= found
    return found


def _steps(places: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (places[start : start + MAX_PLACES_PER_STEP] for start in range(0, len(places), MAX_PLACES_PER_STEP))


async def load_situation(
    connection: AsyncConnection, ids: Sequence[UUID], place: PlaceRecord, view: View, lang: str | None = None
) -> dict[str, Any]:
    """Return the situation of a place with its checks; `ids` are the places whose indicators it includes."""
    state = await _state(connection, view)
    place = (await places_by_id(connection, [place.id], view.time_point))[place.id]
    documents = await _documents_by_place(connection, ids, view, state)
    counted: list[Document] = []
    levels: dict[UUID, Level | None] = {}
    ancestors = await _places_below(connection, [place.id], view)
    for some in _steps(list(ancestors)):
        for each, below in (await _documents_by_place(connection, some, view, state)).items():
            levels[each] = urgency(below, view.at).level
            counted += counted_figures(below)
        await end_slice(0)
    shown = [document for each in ids for document in documents.get(each, [])]
    times = await basis_times(connection, shown)
    own = documents.get(place.id, [])
    found = build_situation(place, shown, view, times, own=own, children_level=_worst_levels(ancestors, levels).get(place.id))
    above = sorted((await ancestors_then(connection, [place.id], view.time_point))[place.id])
    parents = [each for every in (await _documents_by_place(connection, above, view, state)).values() for each in every]
    families = pair_families(counted_figures(own), counted, counted_figures(parents))
    slugs = {each["place"]["slug"] for pair in families for each in pair}
    words = Wording(localization_for(lang), await load_names(connection, {"place": slugs}, lang, view.time_point))
    return found | {"checks": build_checks(shown, families, await _load_said(connection, own, view), view.at, words)}


def _families(
    places: Sequence[UUID],
    ancestors: Mapping[UUID, Sequence[UUID]],
    above: Mapping[UUID, set[UUID]],
    figures: Mapping[UUID, Sequence[Read]],
) -> dict[UUID, list[tuple[Read, Read]]]:
    """Return the figures of places beside those of the places below them, which have some as `ancestors`, and of those above."""
    below: dict[UUID, list[Read]] = {}
    for place, some in ancestors.items():
        for each in some:
            below.setdefault(each, []).extend(figures.get(place, ()))
    parents = {each: chain(*(figures.get(one, ()) for one in above[each])) for each in places}
    return {each: pair_families(figures[each], below.get(each, ()), parents[each]) for each in places}


async def _load_said(connection: AsyncConnection, documents: Sequence[Document], view: View) -> list[Said]:
    """Return what checks read of the reports on some indicators: of each place the last recorded ones."""
    checked = {UUID(each["id"]): each for each in documents if is_checked(KINDS[each["kind"]])}
    places = {id_: each["place"]["slug"] for id_, each in checked.items()}
    statements = await load_all(connection, checked, view.time_point, level=view.level, limit=MAX_LISTED_REPORTS, limit_by=places)
    return [
        build_said(each, some, view.horizons[each["kind"]], view.level)
        for id_, each in checked.items()
        if (some := statements.get(id_)) is not None and is_checked(KINDS[each["kind"]], reports=len(some))
    ]


async def basis_times(connection: AsyncConnection, documents: Sequence[Document]) -> dict[str, str]:
    """Return the times of the reports, other than the preferred, that figures of some documents come from."""
    assessments = [each["assessment"] for each in documents]
    reports = {UUID(report) for each in assessments for report in each["basis"].values() if report != each["preferred"]}
    found: dict[str, str] = {}
    for some in chunks(reports):
        rows = await connection.execute(select(col(Report.id), col(Report.effective_at)).where(col(Report.id).in_(some)))
        found |= {str(row.id): rfc3339(row.effective_at) for row in rows}
    return found


async def _state(connection: AsyncConnection, view: View) -> PastState | None:
    return None if view.time_point.through_global_seq is None else await past_state(connection, view)


async def _places_below(connection: AsyncConnection, places: Sequence[UUID], view: View) -> dict[UUID, list[UUID]]:
    """Return the places below some, and for each those of them that it is below."""
    of, above = col(PlaceAncestor.place_id), col(PlaceAncestor.ancestor_id)
    ancestors: dict[UUID, list[UUID]] = {}
    tree = await place_tree(connection, view.time_point)
    pairs = [select(of, above).where(above.in_(some)) for some in chunks(places)]
    if tree.parents:
        pairs = [tree.below(each).add_columns(literal(each, table_of(PlaceAncestor).c.ancestor_id.type)).distinct() for each in places]
    for statement in pairs:
        for place, ancestor in await connection.execute(statement):
            if place != ancestor:
                ancestors.setdefault(place, []).append(ancestor)
    return ancestors


def _worst_levels(ancestors: Mapping[UUID, Sequence[UUID]], levels: Mapping[UUID, Level | None]) -> dict[UUID, Level | None]:
    """Return the worst level of the descendants of places that have any."""
    found: dict[UUID, Level | None] = {}
    for place, level in levels.items():
        found |= {each: worst([level, found.get(each)]) for each in ancestors[place]}
    return found


def _has_past_indicator(view: View) -> ColumnElement[bool]:
    indicator = select(col(Indicator.id)).where(col(Indicator.place_id) == col(Place.id), has_statement(view))
    return indicator.limit(1).correlate(Place).scalar_subquery().is_not(None)


async def _documents_by_place(
    connection: AsyncConnection, places: Sequence[UUID], view: View, state: PastState | None
) -> dict[UUID, list[Document]]:
    found: dict[UUID, list[Document]] = {}
    if view.time_point == LATEST:
        columns = (col(IndicatorProjection.place_id), col(IndicatorProjection.document), col(IndicatorProjection.indicator_id))
        statement = select(*columns, revision_for(view.level)).where(col(IndicatorProjection.place_id).in_(places), *visible_at(view.level))
        for row in sorted(await connection.execute(statement), key=lambda each: each.indicator_id):
            found.setdefault(row.place_id, []).append(orjson.loads(with_revision(row.document, row.revision)))
        return found
    if view.time_point.through_global_seq is None:
        statement = select_steps(view.level).where(col(IndicatorProjection.place_id).in_(places))
        rows = sorted(await connection.execute(statement, {"as_of": view.time_point.as_of}), key=lambda each: each.indicator_id)
        for step in await step_documents(connection, rows, view):
            found.setdefault(UUID(str(step.row.place_id)), []).append(orjson.loads(step.document))
        return found
    ids: list[UUID] = []
    for some in chunks(places):
        indicators = select(col(Indicator.id)).where(col(Indicator.place_id).in_(some), has_statement(view))
        ids += (await connection.execute(indicators)).scalars()
    for past in (await documents_at(connection, sorted(ids), view, state)).values():
        found.setdefault(past.place_id, []).append(orjson.loads(past.document))
    return found
