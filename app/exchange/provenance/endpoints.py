"""`/v1/reports/{id}/provenance` and that of judgements: provenance in W3C PROV."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.domain.view import View
from app.exchange.provenance.prov import Provenance, judgement_provenance, prov_json, prov_jsonld, report_provenance
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.lists import negotiate_format
from app.http.openapi import READ_ERRORS, problem_responses
from app.http.problems import not_found
from app.http.responses import json_response
from app.judgements.queries import judgement_body, require_judgement
from app.ledger.hash_chain import named_sources
from app.reference.queries import find_sources
from app.reports.queries import load_report
from app.storage.paging import current_revision

router = APIRouter(tags=["Reports"])

ProvenanceFormat: Any = TypeAliasType("ProvenanceFormat", Annotated[str, WithJsonSchema({"type": "string", "enum": ["json", "jsonld"]})])
_PROV_JSON: dict[str, Any] = {
    "schema": {"type": "object", "description": "PROV-JSON."},
    "example": {"wasAttributedTo": {"_:r1": {"prov:entity": "report:01900000", "prov:agent": "source:un"}}},
}
_JSON_LD: dict[str, Any] = {
    "schema": {"type": "object", "description": "JSON-LD with PROV-O terms."},
    "example": {"@graph": [{"@id": "report:01900000", "@type": ["prov:Entity"], "prov:wasAttributedTo": ["source:un"]}]},
}
_CONTENT = {MEDIA_TYPES[Format.JSON]: _PROV_JSON, MEDIA_TYPES[Format.JSONLD]: _JSON_LD}
_RESPONSES = READ_ERRORS | problem_responses(406) | {200: {"content": _CONTENT}}


@router.get("/reports/{id}/provenance", summary="Get the provenance of a report", response_class=Response, responses=_RESPONSES)
async def get_report_provenance(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000007"])],  # noqa: A002 - wire name
    format: Annotated[ProvenanceFormat, Query(max_length=32, description="Format, instead of the header `Accept`.")] = None,  # noqa: A002 - wire name
) -> Response:
    """Return the provenance of a report in W3C PROV: PROV-JSON, or JSON-LD for `Accept: application/ld+json` or `?format=jsonld`."""
    chosen = negotiate_format(request, [Format.JSON, Format.JSONLD], format)
    async with database.snapshot() as connection:
        report = await load_report(connection, id, View(caller.level))
        if report is None:
            raise not_found("report")
        revision = await current_revision(connection, caller.level)
        found = await find_sources(connection, named_sources(report), caller.level)
    sources = {slug: each.visible_at(caller.level) for slug, each in found.items()}
    vias = {slug: sources[slug].name for slug in report["provenance"]["via"]}
    origin = report["provenance"]["origin"]
    found_provenance = report_provenance(report, sources[report["source"]], vias, sources[origin] if origin else None)
    return _rendered(request, chosen, found_provenance, revision)


@router.get("/judgements/{id}/provenance", summary="Get the provenance of a judgement", response_class=Response, responses=_RESPONSES)
async def get_judgement_provenance(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Annotated[UUID, Path(description="Identifier of the judgement.", examples=["01900000-0000-7000-8010-000000000001"])],  # noqa: A002 - wire name
    format: Annotated[ProvenanceFormat, Query(max_length=32, description="Format, instead of the header `Accept`.")] = None,  # noqa: A002 - wire name
) -> Response:
    """Return whose judgement it is and which reports it was derived from in W3C PROV, in the formats of the provenance of a report."""
    chosen = negotiate_format(request, [Format.JSON, Format.JSONLD], format)
    async with database.snapshot() as connection:
        inputs, judgement = await require_judgement(connection, id, View(caller.level, horizons=settings.horizons))
        revision = await current_revision(connection, caller.level)
    return _rendered(request, chosen, judgement_provenance(judgement_body(inputs, judgement, caller.level)), revision)


def _rendered(request: Request, chosen: Format, provenance: Provenance, revision: int) -> Response:
    body = orjson.dumps((prov_jsonld if chosen is Format.JSONLD else prov_json)(provenance))
    return json_response(request, body, media_type=MEDIA_TYPES[chosen], revision=revision)
