"""Streams lists in formats other than JSON, page by page."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.dependencies import credential_revoked, credential_still_valid
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.tlp import Label
from app.exchange.exports.geojson import GeoJsonRenderer
from app.exchange.exports.hxl_csv import CsvRenderer
from app.exchange.exports.rendering import NdjsonRenderer, Renderer, RowGeometry
from app.exchange.exports.tables import TABLES, indicator_columns
from app.exchange.exports.xlsx import XlsxRenderer
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.lists import ListQuery, Page
from app.http.responses import cache_control, link_to_next
from app.http.state import app_state, request_state
from app.ledger.queries import resolve_time_point
from app.reference.queries import place_geometries, route_geometries
from app.storage.consistency import current_requirement
from app.storage.database import Database

PAGE_ROWS = 500
# Small enough to be sent over a slow link before the send times out.
CHUNK_BYTES = 64 * 1024
# Kinds whose subject is a route, with the field that names it: a row of such a kind is on its route, not on its place.
ROUTE_FIELDS = {name: kind.filter_field for name, kind in KINDS.items() if kind.references.get(kind.filter_field) == "route"}


async def stream_list(request: Request, listing: ListQuery, format_: Format, cursor: str | None, limit: int | None) -> Response:
    """Return a list in a format other than JSON; `limit` None is the whole selection.

    Memory does not grow with the list, and no database connection is held while a slow client receives a page. Rows are in order of
    identifier, so each appears once while others are added. Raises the errors of the first page. The response is cut off
    when the key is revoked or expires.
    """
    first = await listing.fetch_page(cursor, limit or PAGE_ROWS)
    _, following, revision = first
    # Later pages may be read from a replica: they must not show an older state.
    current_requirement().require_revision(revision)
    headers = {"Cache-Control": cache_control(request), "Lifeline-Revision": str(revision)}
    if format_ in (Format.CSV, Format.XLSX, Format.NDJSON):
        headers["Content-Disposition"] = f'attachment; filename="{listing.kind or listing.collection}.{format_}"'
    if limit is not None and following is not None:
        headers |= link_to_next(request, following, listing.cursor_parameter)
    request_state(request.scope)["cacheable"] = True
    body = _stream(request, listing, _renderer(listing, format_, revision), first, whole=limit is None)
    return StreamingResponse(body, headers=headers, media_type=MEDIA_TYPES[format_])


def _renderer(listing: ListQuery, format_: Format, revision: int) -> Renderer:
    columns = TABLES[listing.collection] if listing.kind is None else indicator_columns([KINDS[listing.kind]])
    if not listing.hxl:
        columns = tuple(replace(each, tag="") for each in columns)
    match format_:
        case Format.CSV:
            return CsvRenderer(listing.collection, columns)
        case Format.XLSX:
            return XlsxRenderer(listing.collection, columns, listing.kind)
        case Format.GEOJSON:
            return GeoJsonRenderer(listing.collection, columns, listing.as_of, revision)
        case _:
            return NdjsonRenderer(listing.collection, columns)


async def _stream(request: Request, listing: ListQuery, renderer: Renderer, first: Page, *, whole: bool) -> AsyncIterator[bytes]:
    database = app_state(request).database
    documents, following, _ = first
    try:
        yield renderer.begin()
        while True:
            geometries: Sequence[RowGeometry] = ()
            if isinstance(renderer, GeoJsonRenderer):
                async with database.read() as connection:
                    time_point = await resolve_time_point(connection, None, listing.known_at)
                    geometries = await attach_geometries(connection, listing.collection, documents, listing.level, time_point)
            # Rendering a page takes milliseconds; in a thread it does not delay other requests.
            rendered = await asyncio.to_thread(renderer.page, documents, geometries)
            for start in range(0, len(rendered), CHUNK_BYTES):
                yield rendered[start : start + CHUNK_BYTES]
            if not whole or following is None or await request.is_disconnected():
                break
            await _check_credential(request, database)
            documents, following, _ = await listing.fetch_page(following, PAGE_ROWS)
        if whole:
            # A workbook is sent only now, so check again after the time that it took to write.
            await _check_credential(request, database)
        end = iter(renderer.end())
        while chunk := await asyncio.to_thread(next, end, b""):
            yield chunk
    finally:
        renderer.close()


async def _check_credential(request: Request, database: Database) -> None:
    caller = request_state(request.scope).get("caller")
    if caller is not None and not await credential_still_valid(caller, database):
        raise credential_revoked()


async def attach_geometries(
    connection: AsyncConnection, collection: str, documents: Sequence[str], level: int, time_point: TimePoint = LATEST
) -> list[RowGeometry]:
    """Return the geometry of each document, as the clearance may see it: its own, that of its route, or that of its place."""
    records = [orjson.loads(each) for each in documents]
    if collection in ("places", "routes"):
        return [own_geometry(each) for each in records]
    named = [_place_and_route(each["indicator"] if collection == "warnings" else each) for each in records]
    routes = await route_geometries(connection, {route for _, route in named if route}, level, time_point)
    places = await place_geometries(connection, {place for place, _ in named}, time_point)
    coarse = level < Label.AMBER.level
    return [RowGeometry(routes[route], coarse) if route in routes else RowGeometry(places.get(place)) for place, route in named]


def own_geometry(record: dict[str, Any]) -> RowGeometry:
    """Return the geometry of a place or route as served, or its centroid as a point."""
    centroid = record.get("centroid")
    geometry = record["geometry"] or (None if centroid is None else {"type": "Point", "coordinates": centroid})
    return RowGeometry(geometry, coarse="geometry" in record.get("redacted", []))


def _place_and_route(record: dict[str, Any]) -> tuple[str, str]:
    """Return the slugs of the place and of the route that a record names; no route is an empty slug."""
    place, field = record["place"], ROUTE_FIELDS.get(record.get("kind", ""))
    return place if isinstance(place, str) else place["slug"], record["value"].get(field) or "" if field else ""
