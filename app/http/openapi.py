"""The OpenAPI document: what FastAPI cannot see by itself (bodies read by hand, shared errors), and Swagger UI without the internet."""

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.http.problems import MEDIA_TYPE, ProblemDetails
from app.http.responses import REVISION_HEADER, json_response

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
_STATUS_DESCRIPTIONS = {
    400: "The body is not JSON, or the request is not what OGC API - Features takes.",
    401: "No key, or one that is unknown, expired or revoked.",
    403: "The key lacks the scope.",
    404: "There is no such record, or not for this reader.",
    406: "None of the formats asked for is offered.",
    408: "The body did not arrive in time.",
    409: "It exists already, or is superseded or retracted already.",
    413: "The body is too large.",
    415: "The body is not sent as application/json.",
    414: "The path and its query are too long.",
    422: "Something in the request is not valid; `errors` names each field.",
    429: "Too many requests, or too many wrong keys; try again after `Retry-After` seconds.",
    503: "The database does not answer; try again after `Retry-After` seconds.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The documentation of some errors."""
    return {status: {"description": _STATUS_DESCRIPTIONS[status], "content": _PROBLEM} for status in statuses}


NOT_MODIFIED: Responses = {304: {"description": "Not changed since the `ETag` in `If-None-Match`."}}
LIST_ERRORS: Responses = NOT_MODIFIED | problems(401, 422, 503)
READ_ERRORS: Responses = NOT_MODIFIED | problems(401, 404, 422, 503)
WRITE_ERRORS: Responses = problems(400, 401, 403, 413, 415, 422, 503)
AMEND_ERRORS: Responses = WRITE_ERRORS | problems(404, 409)
CURATE_ERRORS: Responses = WRITE_ERRORS | problems(409)

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request gives the first answer again; with another request, 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_body_models: dict[str, type[BaseModel]] = {ProblemDetails.__name__: ProblemDetails}


def body_schema(*models: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body that one of these models describes."""
    for model in models:
        _body_models[model.__name__] = model
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return references[0] if len(references) == 1 else {"anyOf": references}


def json_request_body(schema: Mapping[str, Any], examples: Mapping[str, Any]) -> dict[str, Any]:
    """The documentation of a JSON body that is read by hand, with named examples."""
    content = {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}, "parameters": [IDEMPOTENCY_KEY]}


_STREAM = "text/event-stream"
_STREAM_EXAMPLE = 'event: ready\ndata: {"revision":16}\nid: BAAAAAAAAAAAEA\nretry: 2000\n\n'


REVISION_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
# Beside every list: records that say of which state they are.
WITH_REVISION = ("/v1/indicators/{id}", "/v1/situations/{place}", "/v1/reports/{id}", "/v1/ledger/head")


def _describe_revisions(document: dict[str, Any]) -> None:
    told = {"description": "Head of the ledger as this reader sees it, in the state that was answered from.", "schema": REVISION_SCHEMA}
    asked = {
        "name": REVISION_HEADER,
        "in": "header",
        "required": False,
        "description": "The one of an answer before: this answer comes from no older state, wherever it is read.",
        "schema": REVISION_SCHEMA,
    }
    for path, operations in document["paths"].items():
        reading = operations.get("get")
        if reading is None or not path.startswith("/v1/"):
            continue
        if path in WITH_REVISION or any(each.get("name") == "limit" for each in reading.get("parameters", [])):
            reading["responses"]["200"].setdefault("headers", {})[REVISION_HEADER] = told
            reading.setdefault("parameters", []).append(asked)


def install_openapi(app: FastAPI) -> None:
    """Make the app's OpenAPI document hold the models of bodies that are read by hand."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
                license_info=app.license_info,
                servers=[{"url": "/", "description": "This service"}],
            )
            _mark_public_operations(document)
            mode: Literal["validation"] = "validation"
            _, schemas = models_json_schema(
                [(model, mode) for _, model in sorted(_body_models.items())], ref_template="#/components/schemas/{model}"
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in schemas.get("$defs", {}).items():
                components.setdefault(name, schema)
            _keep_nulls_in_examples(components)
            for leftover in ("HTTPValidationError", "ValidationError"):
                components.pop(leftover, None)
            for operations in document["paths"].values():
                for operation in operations.values():
                    # The framework's own 422, where an address answers otherwise.
                    if "HTTPValidationError" in str(operation["responses"].get("422")):
                        del operation["responses"]["422"]
            document["components"]["schemas"] = dict(sorted(components.items()))
            _describe_streams(document)
            _describe_revisions(document)
            _copy_parameter_examples(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_document(request: Request) -> Response:
        document = app.openapi()
        root = request.scope.get("root_path", "").rstrip("/")
        # Behind a proxy that takes a prefix off, the operations stand under that prefix.
        body = orjson.dumps(document | {"servers": [{"url": root}]} if root else document)
        return json_response(request, body, private=False, cacheable=not root)


def _describe_streams(document: dict[str, Any]) -> None:
    """Say of an event stream what OpenAPI 3.1 can: text. `itemSchema`, which FastAPI writes, is of 3.2."""
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                if _STREAM in response.get("content", {}):
                    response["content"][_STREAM] = {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}


def _copy_parameter_examples(document: dict[str, Any]) -> None:
    """Give parameters the examples of their schemas: Swagger UI fills a form in with a parameter's own example only.

    Of the parameters that may be left out only `place` is filled in, since a list by all of its filters at once is empty.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                examples = parameter["schema"].get("examples")
                if examples and (parameter["required"] or parameter["name"] == "place"):
                    parameter["example"] = examples[0]


def _mark_public_operations(document: dict[str, Any]) -> None:
    """Say of the operations that look at no key that they need none."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.setdefault("security", [])


def _keep_nulls_in_examples(components: dict[str, Any]) -> None:
    """Write the models' examples anew: FastAPI leaves what is null out of them, and they would not fit their schemas."""
    waiting = [BaseModel]
    while waiting:
        model = waiting.pop()
        waiting.extend(model.__subclasses__())
        extra = model.model_config.get("json_schema_extra")
        if model.__module__.startswith("app.") and model.__name__ in components and isinstance(extra, dict) and "examples" in extra:
            components[model.__name__]["examples"] = extra["examples"]
