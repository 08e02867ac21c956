"""The OpenAPI document, with what FastAPI cannot derive: bodies that Lifeline reads itself, problems, headers, streams."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal, get_args

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.http.error_examples import fit_error_examples
from app.http.problems import MEDIA_TYPE, Problem, ProblemDetails, invalid_field
from app.http.responses import REVISION_HEADER, json_response

Responses = dict[int | str, dict[str, Any]]

_REJECTED = invalid_field("?limit", "must be 1000 or less")
# Description and example of each status.
_STATUS_DESCRIPTIONS: dict[int, tuple[str, Problem]] = {
    400: ("The body is not JSON, or the request is not one of OGC API - Features.", Problem(400, "The body is not JSON.", kind="json")),
    401: ("There is no key, or it is unknown, expired or revoked.", Problem(401, "The key is unknown, expired or revoked.", kind="key")),
    403: ("The key lacks the scope or the clearance.", Problem(403, "The key needs the scope report.", kind="scope")),
    404: ("No such record, or one above the caller's clearance.", Problem(404, "There is no such record.", kind="not-found")),
    406: ("None of the requested formats is offered.", Problem(406, "This is offered as json, csv.", kind="format")),
    408: ("The body did not arrive in time.", Problem(408, "The body did not arrive in time.")),
    409: ("The state of the records does not allow it.", Problem(409, "The report is already superseded.", kind="not-standing")),
    412: ("The record has changed since the `ETag` in `If-Match`.", Problem(412, "The record has changed since.")),
    413: ("The body is too large.", Problem(413, "The body must not exceed 4194304 bytes.")),
    414: ("Path and query are too long.", Problem(414, "The path and its query must not exceed 8192 bytes together.")),
    415: ("The body is not application/json.", Problem(415, "Send the body as application/json.")),
    422: ("The request is not valid; `errors` names every wrong field.", _REJECTED),
    429: (
        "Too many requests or invalid keys; try again after `Retry-After` seconds.",
        Problem(429, "Try again in 9 seconds.", kind="rate-limit"),
    ),
    503: ("Not available at present; try again after `Retry-After` seconds.", Problem(503, "The database does not answer; try again.")),
}


def problem_responses(*statuses: int) -> Responses:
    """Return the responses of an operation for these statuses, each with an example."""
    found: Responses = {}
    for status in statuses:
        description, problem = _STATUS_DESCRIPTIONS[status]
        content = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "example": problem.body()}
        found[status] = {"description": description, "content": {MEDIA_TYPE: content}}
    return found


NOT_MODIFIED: Responses = {304: {"description": "Not changed since the response whose `ETag` is in `If-None-Match`."}}
LIST_ERRORS: Responses = NOT_MODIFIED | problem_responses(401, 422, 503)
READ_ERRORS: Responses = NOT_MODIFIED | problem_responses(401, 404, 422, 503)
WRITE_ERRORS: Responses = problem_responses(400, 401, 403, 413, 415, 422, 503)
AMEND_ERRORS: Responses = WRITE_ERRORS | problem_responses(404, 409)
CURATE_ERRORS: Responses = WRITE_ERRORS | problem_responses(409)
# Of operations that need a key with a scope; their responses are not cacheable.
SCOPED_LIST_ERRORS: Responses = problem_responses(401, 403, 422, 503)
SCOPED_READ_ERRORS: Responses = problem_responses(401, 403, 404, 422, 503)

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Name of this request, chosen by the client: repeated with the same body it gets the first response again, with another "
    "body a 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
# `openapi_extra` of a POST without a body.
IDEMPOTENT: dict[str, Any] = {"parameters": [_IDEMPOTENCY_KEY]}
_REVISION_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_REVISION_SENT = {
    "description": "Head of the ledger as this caller sees it, in the state that the response was read from.",
    "schema": _REVISION_SCHEMA,
}
_REVISION_SEEN = {
    "name": REVISION_HEADER,
    "in": "header",
    "required": False,
    "description": "The `Lifeline-Revision` of your last response; this one is at least as recent.",
    "schema": _REVISION_SCHEMA,
}
# Records that have a revision; all lists have one.
_REVISION_PATHS = ("/v1/indicators/{id}", "/v1/situations/{place}", "/v1/reports/{id}", "/v1/ledger/head")
_BASIC = {
    "type": "http",
    "scheme": "basic",
    "description": "The key as password, with any user name, for spreadsheet programs; a write of another site's page needs `Key`.",
}
_CURSOR = "MIUAAAAAAAAAEAAAAAAAAAAQ"
# OpenAPI 3.1 has no word for the items of a stream; FastAPI writes `itemSchema`, which is of 3.2.
_EVENT_STREAM = {
    "schema": {"type": "string"},
    "example": f'event: ready\ndata: {{"revision":15}}\nid: {_CURSOR}\nretry: 2000\n\n',
}

# Examples of responses by component, and of requests by component and name; those of reports and indicators come from the kinds.
_EXAMPLES: dict[str, Any] = orjson.loads((files("app.http") / "examples.json").read_bytes())
_REQUEST_EXAMPLES: dict[str, dict[str, Any]] = orjson.loads((files("app.http") / "request_examples.json").read_bytes())
_body_models: dict[str, type[BaseModel]] = {ProblemDetails.__name__: ProblemDetails}
# Components of bodies that are one of several models.
_body_unions: dict[str, dict[str, Any]] = {}


def patch_operation(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a PATCH whose JSON Merge Patch (RFC 7396) has fields of a model."""
    _body_models[model.__name__] = model
    content = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}, "examples": _request_examples(model)}
    return {
        "requestBody": {"required": True, "content": {"application/merge-patch+json": content, "application/json": content}}
    } | IDEMPOTENT


def _request_examples(*models: type[BaseModel]) -> dict[str, Any]:
    return {name: {"value": value} for model in models for name, value in _REQUEST_EXAMPLES.get(model.__name__, {}).items()}


def create_operation(
    *models: type[BaseModel],
    name: str | None = None,
    responses: Responses = WRITE_ERRORS,
    examples: Mapping[str, Any] | None = None,
    max_items: int | None = None,
    idempotent: bool = True,
) -> dict[str, Any]:
    """Return the arguments of a route that creates a record from a JSON body; only an `idempotent` one takes an Idempotency-Key.

    The body is one of these models, which their `kind` tells apart if there are several, together the component `name`; or a list of up to
    `max_items`.
    """
    _body_models.update({model.__name__: model for model in models})
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema: dict[str, Any] = references[0]
    if name is not None:
        kinds = [get_args(model.model_fields["kind"].annotation)[0] for model in models]
        mapping = {kind: reference["$ref"] for kind, reference in zip(kinds, references, strict=True)}
        discriminator = {"propertyName": "kind", "mapping": mapping}
        _body_unions[name] = {"oneOf": references, "discriminator": discriminator, "description": f"One of the kinds {', '.join(kinds)}."}
        schema = {"$ref": f"#/components/schemas/{name}"}
    if max_items is not None and name is not None:
        # Each model twice, because openapi-generator compiles no union of a union and a list.
        several = {"type": "array", "items": {"anyOf": references}, "minItems": 1, "maxItems": max_items}
        _body_unions[f"{name}OrList"] = {"oneOf": [*references, several], "description": f"One of them, or a list of up to {max_items:,}."}
        schema = {"$ref": f"#/components/schemas/{name}OrList"}
    shown = _request_examples(*models) if examples is None else {title: {"value": value} for title, value in examples.items()}
    content = {"schema": schema, "examples": shown}
    body = {"requestBody": {"required": True, "content": {"application/json": content}}}
    return {"status_code": 201, "responses": responses, "openapi_extra": body | (IDEMPOTENT if idempotent else {})}


def install(app: FastAPI) -> None:
    """Serve the document at `/openapi.json`."""

    def cached_document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build_document(app)
        return app.openapi_schema

    app.openapi = cached_document  # type: ignore[method-assign]

    @app.get("/openapi.json", include_in_schema=False)
    async def get_openapi_document(request: Request) -> Response:
        document = app.openapi()
        root = request.scope.get("root_path", "").rstrip("/")
        # A proxy that removes a prefix serves the operations under that prefix.
        body = orjson.dumps(document | {"servers": [{"url": root}]} if root else document)
        return json_response(request, body, cacheable=not root)


def _build_document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        license_info=app.license_info,
        servers=[{"url": "/", "description": "This service"}],
        webhooks=app.webhooks.routes,
    )
    document["components"]["securitySchemes"]["Basic"] = _BASIC
    components = document["components"]["schemas"]
    mode: Literal["validation"] = "validation"
    models = [(model, mode) for _, model in sorted(_body_models.items())]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    components |= schemas["$defs"] | _body_unions
    _name_parts(components)
    document["components"]["schemas"] = dict(sorted(components.items()))
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    _restore_nulls_in_examples(document["components"]["schemas"])
    for name, example in _EXAMPLES.items():
        document["components"]["schemas"][name]["examples"] = [example]
    _add_page_examples(document["components"]["schemas"])
    for path, operations in (document["paths"] | document["webhooks"]).items():
        for method, operation in operations.items():
            _complete_operation(operation)
            fit_error_examples(path, method, operation)
            # An operation that needs a scope describes a 403, and takes no clearance; others answer without a key with what is public.
            scoped = "403" in operation["responses"] and not any(each["name"] == "clearance" for each in operation.get("parameters", []))
            if method == "get" and operation["security"] and not scoped:
                operation["security"].insert(0, {})
            if operation["security"]:
                operation["security"].append({"Basic": []})
            if method == "get" and path.startswith("/v1/"):
                _describe_revision(path, operation)
    return document


def _name_parts(components: dict[str, Any]) -> None:
    """Move enumerations of properties into components of their own, because each generator names them otherwise.

    Unions of models, no two of which fit one value, become `oneOf`: of `anyOf`, some generators make one model with all fields.
    """
    for name, schema in list(components.items()):
        for field, part in schema.get("properties", {}).items():
            if sum("$ref" in each for each in part.get("anyOf", ())) > 1:
                part["oneOf"] = part.pop("anyOf")
            if "enum" in part:
                components[f"{name}{field.title()}"] = part
                schema["properties"][field] = {"$ref": f"#/components/schemas/{name}{field.title()}", "description": part["description"]}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null, which no client can send in a query."""
    taken = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return schema if not taken else rest | taken[0] if len(taken) == 1 else rest | {"anyOf": taken}


def _add_page_examples(components: dict[str, Any]) -> None:
    for schema in components.values():
        properties = schema.get("properties", {})
        if properties.keys() >= {"items", "next", "revision"} and "examples" not in schema:
            item = components[properties["items"]["items"]["$ref"].rpartition("/")[2]]
            next_cursor = None if "anyOf" in properties["next"] else _CURSOR
            schema["examples"] = [{"items": item["examples"][:1], "next": next_cursor, "as_of": None, "revision": 15}]


def _complete_operation(operation: dict[str, Any]) -> None:
    # Operations that look at no key are marked as public.
    operation.setdefault("security", [])
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
    for response in operation["responses"].values():
        if "text/event-stream" in response.get("content", {}):
            response["content"]["text/event-stream"] = _EVENT_STREAM
    # Swagger UI fills in a form from the examples of parameters, not of schemas. Of the optional ones only `place` gets one, because a list
    # filtered by all of its parameters at once is empty; and `as_of` where days are counted from it, because nothing falls due today.
    parameters = operation.get("parameters", [])
    filled = {"place", "as_of"} if any(each["name"] == "within_days" for each in parameters) else {"place"}
    for parameter in parameters:
        parameter["schema"] = _without_null(parameter["schema"])
        examples = parameter["schema"].get("examples")
        if examples and (parameter["required"] or parameter["name"] in filled):
            parameter["example"] = examples[0]


def _describe_revision(path: str, operation: dict[str, Any]) -> None:
    if path in _REVISION_PATHS or any(each["name"] == "limit" for each in operation.get("parameters", [])):
        operation["responses"]["200"].setdefault("headers", {})[REVISION_HEADER] = _REVISION_SENT
        operation.setdefault("parameters", []).append(_REVISION_SEEN)


def _restore_nulls_in_examples(components: dict[str, Any]) -> None:
    """Set the examples of models again, because FastAPI removes nulls from them, and then they do not fit their schemas."""
    waiting = [BaseModel]
    while waiting:
        model = waiting.pop()
        waiting.extend(model.__subclasses__())
        extra = model.model_config.get("json_schema_extra")
        if model.__module__.startswith("app.") and model.__name__ in components and isinstance(extra, dict) and "examples" in extra:
            components[model.__name__]["examples"] = extra["examples"]
