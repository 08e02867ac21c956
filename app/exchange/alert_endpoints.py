"""`/v1/alerts` as an Atom feed of CAP 1.2 messages, and `/v1/reports/{id}/provenance` as PROV."""

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import WithJsonSchema
from sqlalchemy import ColumnElement
from sqlmodel import col

from app.access.dependencies import Caller, CallerDep, DatabaseDep, SettingsDep
from app.answers import decode_number, encode_number
from app.documentation import READ_ERRORS, problems
from app.errors import not_found
from app.exchange.alerts import ALERTING, get_message, list_messages
from app.exchange.atom import render_feed
from app.exchange.cap import render
from app.exchange.prov import prov_json, prov_jsonld
from app.formats import MEDIA_TYPES, Format
from app.ledger.models import Report
from app.lists import chosen_format
from app.parameters import CountryFilter, Cursor, Limit, PlaceFilter, Within
from app.reference.queries import find_sources, places_in_country, places_within, source_names
from app.reports.queries import get_report

router = APIRouter()

KindFilter = Annotated[
    str | None,
    Query(description="Only alerts of this kind.", pattern=f"^({'|'.join(ALERTING)})$"),
    WithJsonSchema({"type": "string", "enum": ALERTING}),
]
_CAP_EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>0198...</identifier><sender>lifeline</sender>...</alert>
"""
_ATOM_EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><id>urn:lifeline:alerts</id><title>Lifeline alerts</title>...</feed>
"""


def _content(format_: Format, example: Any) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object" if isinstance(example, dict) else "string"}
    return {200: {"content": {MEDIA_TYPES[format_]: {"schema": schema, "example": example}}}}


def _answer(request: Request, caller: Caller, body: bytes, format_: Format, **headers: str) -> Response:
    request.state.keep_answer = True
    control = f"{'private' if caller.key_id is not None else 'public'}, no-cache"
    return Response(body, headers={"Cache-Control": control, **headers}, media_type=MEDIA_TYPES[format_])


@router.get(
    "/alerts",
    tags=["Alerts"],
    summary="Which alerts are there?",
    response_class=Response,
    responses=READ_ERRORS | problems(406) | _content(Format.ATOM, _ATOM_EXAMPLE),
)
async def list_alerts(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    kind: KindFilter = None,
    place: PlaceFilter = None,
    within: Within = False,
    country: CountryFilter = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """An Atom feed of CAP 1.2 messages, newest first: run-outs and routes as reported, corrected (Update) and withdrawn (Cancel).

    Each entry links to its message. `rel="next"` leads to the older ones.
    """
    chosen_format(request, [Format.ATOM], None)
    where: list[ColumnElement[bool]] = []
    if kind is not None:
        where.append(col(Report.kind) == kind)
    if place is not None:
        where.append(col(Report.place_id).in_(places_within(place, within=within)))
    if country is not None:
        where.append(col(Report.place_id).in_(places_in_country(country)))
    before = decode_number(cursor) if cursor is not None else None
    async with database.read() as connection:
        messages, last = await list_messages(connection, where, before=before, limit=limit, level=caller.level, settings=settings)
    query = sorted((name, value) for name, value in request.query_params.multi_items() if name != "cursor")
    own = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    following = f"{request.url.path}?{urlencode([*query, ('cursor', encode_number(last))])}" if last is not None else None
    return _answer(request, caller, render_feed(messages, own=own, following=following, sender=settings.cap_sender), Format.ATOM)


@router.get(
    "/alerts/{id}.cap",
    tags=["Alerts"],
    summary="One alert as CAP 1.2",
    response_class=Response,
    responses=READ_ERRORS | _content(Format.CAP, _CAP_EXAMPLE),
)
async def get_alert(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Annotated[str, Path(max_length=50, description="Of a report; with `-cancel` behind it, of its withdrawal.")],  # noqa: A002
) -> Response:
    """One message. Draft where nobody has judged how credible the statement is; Restricted where it is not labelled `clear`."""
    async with database.read() as connection:
        message = await get_message(connection, id, level=caller.level, settings=settings)
    if message is None:
        raise not_found("alert")
    return _answer(request, caller, render(message, settings.cap_sender), Format.CAP)


@router.get(
    "/reports/{id}/provenance",
    tags=["Reports"],
    summary="Where does a statement come from?",
    response_class=Response,
    responses=READ_ERRORS
    | problems(406)
    | {
        200: {
            "content": {
                MEDIA_TYPES[Format.JSON]: {"schema": {"type": "object", "description": "PROV-JSON."}},
                MEDIA_TYPES[Format.JSONLD]: {"schema": {"type": "object", "description": "JSON-LD with the terms of PROV-O."}},
            }
        }
    },
)
async def get_provenance(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    id: Annotated[UUID, Path(description="Identifier of the report.")],  # noqa: A002 - the field's name on the wire
    format: Annotated[  # noqa: A002 - the parameter's name on the wire
        str | None,
        Query(max_length=32, description="In place of `Accept`."),
        WithJsonSchema({"type": "string", "enum": ["json", "jsonld"]}),
    ] = None,
) -> Response:
    """A report's provenance in W3C PROV: PROV-JSON, or JSON-LD by `Accept: application/ld+json` or `?format=jsonld`."""
    chosen = chosen_format(request, [Format.JSON, Format.JSONLD], format)
    async with database.read() as connection:
        found = await get_report(connection, id, caller.level)
        if found is None:
            raise not_found("report")
        source = (await find_sources(connection, [found["source"]]))[found["source"]]
        names = await source_names(connection, found["provenance"]["via"])
    vias = {slug: names[slug] for slug in found["provenance"]["via"]}
    make = prov_jsonld if chosen is Format.JSONLD else prov_json
    return _answer(request, caller, orjson.dumps(make(found, source, vias)), chosen)
