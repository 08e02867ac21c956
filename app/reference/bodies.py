"""JSON bodies of places, sources and routes, by page and one by one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.reference.geometry import EXACT_FROM, visible_geometry
from app.reference.models import Place, PlaceCode, ReferenceModel, Route, Source
from app.reference.queries import first_grade, grade_in_force, matches_slug, place_filter
from app.reference.records import SourceNames
from app.storage.paging import fetch_page
from app.storage.types import table_of


async def load_reference_page(
    connection: AsyncConnection,
    model: ReferenceModel,
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    limit: int,
    level: int,
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """Return the bodies of a page in the order of entry, the last identifier if more follow, and the ledger's head."""
    columns: list[ColumnElement[Any]] = list(table_of(model).c)
    if model is Source:
        columns += [grade_in_force().label("reliability"), first_grade().label("first_reliability")]
    rows, last, revision = await fetch_page(connection, select(*columns).where(*where), key="id", after=after, limit=limit, level=level)
    if model is Source:
        return [_source_body(row, level) for row in rows], last, revision
    if model is Route:
        return [_route_body(row, level) for row in rows], last, revision
    return await _place_bodies(connection, rows), last, revision


async def load_reference_record(
    connection: AsyncConnection, model: ReferenceModel, where: ColumnElement[bool], level: int
) -> dict[str, Any] | None:
    """Return the body of one record, or None if no record fits."""
    bodies, _, _ = await load_reference_page(connection, model, [where], after=None, limit=1, level=level)
    return bodies[0] if bodies else None


def record_filter(model: ReferenceModel, slug: str, level: int) -> ColumnElement[bool]:
    """Return the condition for the record with the slug that a clearance sees, or for a place with this `scheme:code`."""
    if model is Source:
        return matches_slug(slug, level)
    return place_filter(Place.id, slug, within=False) if model is Place else col(model.slug) == slug


async def _place_bodies(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    parent_ids = {row["parent_id"] for row in rows} - {None}
    parents = select(col(Place.id), col(Place.slug)).where(col(Place.id).in_(parent_ids))
    slugs = {row.id: row.slug for row in await connection.execute(parents)}
    codes: dict[UUID, list[dict[str, str]]] = {row["id"]: [] for row in rows}
    of_places = select(PlaceCode).where(col(PlaceCode.place_id).in_(list(codes))).order_by(col(PlaceCode.scheme), col(PlaceCode.code))
    for row in await connection.execute(of_places):
        codes[row.place_id].append({"scheme": row.scheme, "code": row.code})
    return [_place_body(row, slugs, codes) for row in rows]


def _place_body(row: RowMapping, slugs: Mapping[UUID, str], codes: Mapping[UUID, list[dict[str, str]]]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "slug": row["slug"],
        "name": row["name"],
        "parent": slugs.get(row["parent_id"]),
        "country": row["country"],
        "timezone": row["timezone"],
        "codes": codes[row["id"]],
        "centroid": None if row["longitude"] is None else [row["longitude"], row["latitude"]],
        "geometry": row["geometry"],
        "links": {"self": f"/v1/places/{row['slug']}"},
    }


def _source_body(row: RowMapping, level: int) -> dict[str, Any]:
    slug, name = SourceNames(row["slug"], row["name"], row["alias"], row["alias_slug"]).visible_at(level)
    pseudonymised = slug != row["slug"]
    return {
        "id": str(row["id"]),
        "slug": slug,
        "name": name,
        **{column: row[column] for column in ("type", "reliability", "first_reliability", "party_to_conflict", "alias")},
        "organisation": None if pseudonymised else row["organisation"],
        "redacted": ["slug", "name", "organisation"] if pseudonymised else [],
        "links": {"self": f"/v1/sources/{slug}"},
    }


def _route_body(row: RowMapping, level: int) -> dict[str, Any]:
    geometry = row["geometry"]
    return {
        "id": str(row["id"]),
        "slug": row["slug"],
        "name": row["name"],
        "mode": row["mode"],
        "from": row["origin"],
        "to": row["destination"],
        "geometry": None if geometry is None else visible_geometry(geometry, level),
        "redacted": ["geometry"] if level < EXACT_FROM and geometry is not None else [],
        "links": {"self": f"/v1/routes/{row['slug']}"},
    }
