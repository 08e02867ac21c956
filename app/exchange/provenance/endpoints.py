"""`/v1/reports/{id}/provenance`: where a statement comes from, in W3C PROV."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import WithJsonSchema

from app.access.dependencies import CallerDep, DatabaseDep
from app.exchange.provenance.prov import prov_json, prov_jsonld
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.lists import negotiate_format
from app.http.openapi import READ_ERRORS, problems
from app.http.problems import not_found
from app.http.responses import json_response
from app.reference.queries import find_sources
from app.reports.queries import get_report
from app.storage.paging import revision_of

router = APIRouter()


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
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000007"])],  # noqa: A002 - the field's name on the wire
    format: Annotated[  # noqa: A002 - the parameter's name on the wire
        str | None,
        Query(max_length=32, description="In place of `Accept`."),
        WithJsonSchema({"type": "string", "enum": ["json", "jsonld"]}),
    ] = None,
) -> Response:
    """A report's provenance in W3C PROV: PROV-JSON, or JSON-LD by `Accept: application/ld+json` or `?format=jsonld`."""
    chosen = negotiate_format(request, [Format.JSON, Format.JSONLD], format)
    async with database.snapshot() as connection:
        found = await get_report(connection, id, caller.level)
        if found is None:
            raise not_found("report")
        revision = await revision_of(connection, caller.level)
        called = [found["source"], *found["provenance"]["via"]]
        seen = {slug: facts.seen_by(caller.level) for slug, facts in (await find_sources(connection, called, caller.level)).items()}
    source = seen[found["source"]]
    vias = {slug: seen[slug].name for slug in found["provenance"]["via"]}
    make = prov_jsonld if chosen is Format.JSONLD else prov_json
    body = orjson.dumps(make(found, source, vias))
    return json_response(request, body, private=caller.key_id is not None, media_type=MEDIA_TYPES[chosen], revision=revision)
