"""The comparison of OpenAPI documents: it finds changes that break a client, and no others."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.openapi_compat import breaking_changes

Node = dict[str, Any]
Mutation = Callable[[Node], object]


def document() -> Node:
    """Return a small document with references, a cycle, unions by kind, maps, tuples, null and keys."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Small", "version": "1"},
        "security": [],
        "paths": {
            "/reports": {
                "parameters": [{"$ref": "#/components/parameters/Lang"}],
                "get": {
                    "operationId": "list_reports",
                    "parameters": [
                        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
                        {"name": "status", "in": "query", "schema": {"anyOf": [{"enum": ["standing", "retracted"]}, {"type": "null"}]}},
                    ],
                    "responses": {
                        "200": {
                            "description": "",
                            "headers": {"ETag": {"schema": {"type": "string"}}},
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/Page"}},
                                "text/csv": {"schema": {"type": "string"}},
                            },
                        },
                        "422": {"$ref": "#/components/responses/Problem"},
                    },
                },
                "post": {
                    "operationId": "add_report",
                    "security": [{"key": []}],
                    "requestBody": {"$ref": "#/components/requestBodies/Report"},
                    "responses": {
                        "201": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Out"}}}}
                    },
                },
            },
            "/search": {
                "post": {"operationId": "search", "requestBody": {"content": {"application/json": {"schema": {}}}}, "responses": {}},
            },
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "parameters": {"Lang": {"name": "Accept-Language", "in": "header", "schema": {"type": "string"}}},
            "requestBodies": {
                "Report": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"oneOf": [{"$ref": "#/components/schemas/Trapped"}, {"$ref": "#/components/schemas/Closure"}]}
                        },
                        "application/xml": {"schema": {"type": "string"}},
                    },
                }
            },
            "responses": {
                "Problem": {
                    "description": "",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "schemas": {
                "Base": {
                    "type": "object",
                    "properties": {
                        "place": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z]+$"},
                        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                        "codes": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
                        "labels": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
                    },
                    "required": ["place"],
                },
                "Trapped": {
                    "allOf": [{"$ref": "#/components/schemas/Base"}],
                    "type": "object",
                    "properties": {"kind": {"const": "trapped"}, "people": {"type": "integer", "minimum": 0}, "share": {"type": "number"}},
                    "required": ["kind", "people"],
                    "additionalProperties": False,
                },
                "Closure": {
                    "type": "object",
                    "properties": {"kind": {"const": "closure"}, "status": {"enum": ["open", "closed"]}, "since": {"type": "string"}},
                    "required": ["kind", "status"],
                    "additionalProperties": False,
                },
                "Out": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "format": "uuid"},
                        "value": {"oneOf": [{"$ref": "#/components/schemas/TrappedOut"}, {"$ref": "#/components/schemas/ClosureOut"}]},
                        "status": {"enum": ["standing", "retracted"]},
                        "days_left": {"type": ["integer", "null"]},
                        "centroid": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
                        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Out"}},
                        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
                    },
                    "required": ["id", "value", "status"],
                },
                "TrappedOut": {"type": "object", "properties": {"kind": {"const": "trapped"}, "people": {"type": "integer"}}},
                "ClosureOut": {
                    "type": "object",
                    "properties": {"kind": {"const": "closure"}, "since": {"type": "string", "format": "date"}},
                },
                "Page": {
                    "type": "object",
                    "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Out"}}},
                    "required": ["items"],
                },
                "Problem": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
            },
        },
    }


def put(path: str, value: Any) -> Mutation:
    """Return a mutation that sets the node at a path of names and indexes, separated by spaces."""

    def mutate(node: Any) -> None:
        *names, last = path.split(" ")
        for name in names:
            node = node[int(name)] if isinstance(node, list) else node[name]
        node[int(last) if isinstance(node, list) else last] = value

    return mutate


def drop(path: str) -> Mutation:
    """Return a mutation that removes the node at a path, or an entry of a list."""

    def mutate(node: Any) -> None:
        *names, last = path.split(" ")
        for name in names:
            node = node[int(name)] if isinstance(node, list) else node[name]
        if isinstance(node, list):
            node.remove(next(each for each in node if last in (each, isinstance(each, dict) and each.get("name"))))
        else:
            del node[last]

    return mutate


GET = "paths /reports get"
POST = "paths /reports post"
BODY = "components requestBodies Report"
SCHEMAS = "components schemas"
TRAPPED = f"{SCHEMAS} Trapped"
BASE = f"{SCHEMAS} Base properties"
OUT = f"{SCHEMAS} Out"

NEW_PATH = {"get": {"operationId": "new", "responses": {}}}
NEW_KIND = {"type": "object", "properties": {"kind": {"const": "runout"}, "supply": {"type": "string"}}, "required": ["kind"]}

BREAKING: dict[str, tuple[Mutation, str]] = {
    # operations
    "path removed": (drop("paths /search"), "/search: path removed"),
    "operation removed": (drop(POST), "POST /reports: operation removed"),
    "operation renamed": (put(f"{GET} operationId", "x"), "GET /reports: operationId changed"),
    "response status removed": (drop(f"{GET} responses 422"), "GET /reports: response 422: removed"),
    "response media type removed": (drop(f"{GET} responses 200 content text/csv"), "response 200 text/csv: media type removed"),
    "response header removed": (drop(f"{GET} responses 200 headers ETag"), "response 200: header ETag removed"),
    # parameters
    "parameter removed": (drop(f"{GET} parameters limit"), "query parameter limit: removed"),
    "parameter of the path item removed": (put("paths /reports parameters", []), "header parameter Accept-Language: removed"),
    "parameter newly required": (put(f"{GET} parameters 0 required", True), "query parameter limit: newly required"),
    "parameter added as required": (
        put("paths /search parameters", [{"name": "q", "in": "query", "required": True, "schema": {}}]),
        "POST /search: query parameter q: new and required",
    ),
    "parameter moved": (put(f"{GET} parameters 0 in", "header"), "query parameter limit: removed"),
    "parameter's type changed": (put(f"{GET} parameters 0 schema", {"type": "boolean"}), "parameter limit: integer no longer taken"),
    "parameter's maximum lowered": (
        put(f"{GET} parameters 0 schema maximum", 100),
        "query parameter limit: maximum narrowed from 1000 to 100",
    ),
    "parameter's enum value removed": (
        put(f"{GET} parameters 1 schema anyOf 0 enum", ["standing"]),
        'query parameter status: "retracted" no longer taken',
    ),
    "parameter no longer null": (
        put(f"{GET} parameters 1 schema", {"enum": ["standing", "retracted"]}),
        "parameter status: null no longer",
    ),
    # request bodies
    "request body newly required": (put("paths /search post requestBody required", True), "POST /search: request body newly required"),
    "request body added as required": (
        put(f"{GET} requestBody", {"required": True, "content": {}}),
        "GET /reports: request body newly required",
    ),
    "request body removed": (drop(f"{POST} requestBody"), "POST /reports: request body removed"),
    "request media type removed": (drop(f"{BODY} content application/xml"), "request application/xml: media type removed"),
    "request of anything narrowed": (
        put("paths /search post requestBody content application/json schema", {"type": "object"}),
        "POST /search: request application/json: anything no longer taken",
    ),
    "request kind removed": (
        put(f"{BODY} content application/json schema oneOf", [{"$ref": "#/components/schemas/Closure"}]),
        'request application/json.kind: "trapped" no longer taken',
    ),
    "request property removed": (drop(f"{TRAPPED} properties share"), "application/json.share: property removed"),
    "inherited request property removed": (drop(f"{BASE} note"), "application/json.note: property removed"),
    "request property newly required": (put(f"{TRAPPED} required", ["kind", "people", "share"]), "application/json.share: newly required"),
    "new request property required": (
        lambda node: (put(f"{TRAPPED} properties new", {})(node), put(f"{TRAPPED} required", ["kind", "people", "new"])(node)),
        "application/json.new: newly required",
    ),
    "request type narrowed": (put(f"{TRAPPED} properties share type", "integer"), "application/json.share: number no longer taken"),
    "request null removed": (put(f"{BASE} note", {"type": "string"}), "application/json.note: null no longer taken"),
    "request enum value removed": (
        put(f"{SCHEMAS} Closure properties status enum", ["open"]),
        'application/json.status: "closed" no longer',
    ),
    "request enum added": (put(f"{SCHEMAS} Closure properties since", {"enum": ["2016"]}), "application/json.since: now limited to"),
    "request const changed": (put(f"{TRAPPED} properties kind", {"const": "besieged"}), "application/json: Trapped no longer taken"),
    "request minimum raised": (put(f"{TRAPPED} properties people minimum", 1), "people: minimum narrowed from 0 to 1"),
    "request bound added": (put(f"{TRAPPED} properties people maximum", 9), "people: maximum narrowed from none to 9"),
    "request exclusive bound added": (
        put(f"{TRAPPED} properties share exclusiveMinimum", 0),
        "share: exclusiveMinimum narrowed from none to 0",
    ),
    "request length bounded closer": (put(f"{BASE} place maxLength", 63), "place: maxLength narrowed from 64 to 63"),
    "request length bounded": (put(f"{BASE} note anyOf 0 minLength", 1), "note: minLength narrowed from 0 to 1"),
    "request items bounded closer": (put(f"{BASE} codes maxItems", 9), "codes: maxItems narrowed from 10 to 9"),
    "request items unique": (put(f"{BASE} codes uniqueItems", True), "codes: items must now differ"),
    "request items narrowed": (put(f"{BASE} codes items", {"type": "integer"}), "codes[]: string no longer taken"),
    "request pattern changed": (put(f"{BASE} place pattern", "^[a-y]+$"), "place: pattern changed"),
    "request format added": (put(f"{SCHEMAS} Closure properties since format", "date"), "since: format changed from none to date"),
    "request map narrowed": (put(f"{BASE} labels additionalProperties", {"type": "string"}), "labels.*: number no longer taken"),
    "request map closed": (put(f"{BASE} labels additionalProperties", False), "labels: other properties no longer taken"),
    # responses
    "response property removed": (
        drop(f"{SCHEMAS} Problem properties title"),
        "response 422 application/problem+json.title: property removed",
    ),
    "response property no longer required": (put(f"{OUT} required", ["id", "value"]), "json.items[].status: no longer always there"),
    "response type changed": (put(f"{OUT} properties id", {"type": "integer"}), "response 201 application/json.id: may now be integer"),
    "response integer became a number": (put(f"{SCHEMAS} TrappedOut properties people type", "number"), "value.people: may now be number"),
    "response became null": (put(f"{OUT} properties id type", ["string", "null"]), "application/json.id: may now be null"),
    "response type untold": (put(f"{OUT} properties id", {}), "application/json.id: may now be anything"),
    "response format changed": (
        put(f"{SCHEMAS} ClosureOut properties since format", "date-time"),
        "value.since: format changed from date to date-time",
    ),
    "response values replaced": (put(f"{OUT} properties status enum", ["x"]), "status: none of the values that were known is served"),
    "response kind replaced": (put(f"{SCHEMAS} ClosureOut properties kind", {"const": "x"}), "value: may now be ClosureOut"),
    "response items changed": (put(f"{OUT} properties parts items", {"type": "string"}), "parts[]: may now be string"),
    "response tuple changed": (put(f"{OUT} properties centroid prefixItems 1", {"type": "string"}), "centroid[1]: may now be string"),
    "response map changed": (put(f"{OUT} properties counts additionalProperties", {"type": "string"}), "counts.*: may now be string"),
    # security
    "security added": (put(f"{GET} security", [{"key": []}]), "GET /reports: security: no key is no longer enough"),
    "security added everywhere": (put("security", [{"key": []}]), "GET /reports: security: no key is no longer enough"),
    "second key required": (put(f"{POST} security", [{"key": [], "other": []}]), "POST /reports: security: key is no longer enough"),
    "scope required": (put(f"{POST} security", [{"key": ["report"]}]), "POST /reports: security: key is no longer enough"),
    "key sent otherwise": (put("components securitySchemes key scheme", "basic"), "security scheme key: changed"),
}

HARMLESS: dict[str, Mutation] = {
    "nothing": lambda _: None,
    "words": put("info description", "new"),
    "path added": put("paths /new", NEW_PATH),
    "operation added": put("paths /search get", NEW_PATH["get"]),
    "optional parameter added": put("paths /search parameters", [{"name": "q", "in": "query", "schema": {}}]),
    "header named in another case": put("components parameters Lang name", "accept-language"),
    "parameter's maximum raised": put(f"{GET} parameters 0 schema maximum", 2000),
    "parameter's bound dropped": drop(f"{GET} parameters 0 schema minimum"),
    "parameter written without a reference": put(
        "paths /reports parameters", [{"name": "Accept-Language", "in": "header", "schema": {"type": ["string", "null"]}}]
    ),
    "request body optional": put(f"{BODY} required", False),
    "request media type added": put(f"{BODY} content text/plain", {}),
    "request property added": put(f"{TRAPPED} properties new", {"type": "string"}),
    "request property no longer required": put(f"{TRAPPED} required", ["kind"]),
    "request type widened": put(f"{TRAPPED} properties people type", "number"),
    "request null allowed": put(f"{TRAPPED} properties people", {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}),
    "request enum value added": put(f"{SCHEMAS} Closure properties status enum", ["closed", "open", "restricted"]),
    "request enum split": put(f"{SCHEMAS} Closure properties status", {"anyOf": [{"const": "open"}, {"const": "closed"}]}),
    "request enum opened": put(f"{SCHEMAS} Closure properties status", {"type": "string"}),
    "request kind added": lambda node: node["components"]["requestBodies"]["Report"]["content"]["application/json"]["schema"][
        "oneOf"
    ].append(NEW_KIND),
    "request bound that says nothing": put(f"{BASE} note anyOf 0 minLength", 0),
    "request pattern dropped": drop(f"{BASE} place pattern"),
    "request map opened": put(f"{BASE} labels additionalProperties", True),
    "request opened": drop(f"{TRAPPED} additionalProperties"),
    "response status added": put(f"{GET} responses 503", {"description": ""}),
    "response media type added": put(f"{GET} responses 200 content application/geo+json", {}),
    "response header added": put(f"{GET} responses 200 headers Link", {}),
    "response property added": put(f"{OUT} properties new", {"type": "string"}),
    "response property always there": put(f"{OUT} required", ["id", "value", "status", "parts"]),
    "response enum value added": put(f"{OUT} properties status enum", ["standing", "retracted", "superseded"]),
    "response enum value removed": put(f"{OUT} properties status enum", ["standing"]),
    "response never null": put(f"{OUT} properties days_left", {"type": "integer"}),
    "response kind added": lambda node: node["components"]["schemas"]["Out"]["properties"]["value"]["oneOf"].append(NEW_KIND),
    "response bound changed": put(f"{OUT} properties centroid maxItems", 3),
    "response format added": put(f"{SCHEMAS} Problem properties title format", "uri"),
    "security no longer required": put(f"{POST} security", []),
    "another key allowed": put(f"{POST} security", [{"key": []}, {"other": []}]),
}


@pytest.mark.parametrize("name", BREAKING)
def test_breaking_change_is_found(name: str) -> None:
    mutate, expected = BREAKING[name]
    changed = document()
    mutate(changed)
    findings = breaking_changes(document(), changed)
    assert any(expected in finding for finding in findings), findings


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_change_is_not_found(name: str) -> None:
    changed = document()
    HARMLESS[name](changed)
    assert breaking_changes(document(), changed) == []


def test_finding_is_named_once_and_documents_stay_unchanged() -> None:
    old, new = document(), document()
    new["components"]["schemas"]["Out"]["properties"]["id"] = {"type": "integer"}
    before = copy.deepcopy((old, new))
    findings = breaking_changes(old, new)
    assert findings == [
        "GET /reports: response 200 application/json.items[].id: may now be integer",
        "POST /reports: response 201 application/json.id: may now be integer",
    ]
    assert (old, new) == before


def test_reference_to_another_document_raises_key_error() -> None:
    old = document()
    old["components"]["schemas"]["Page"] = {"$ref": "other.json#/Page"}
    with pytest.raises(KeyError, match="not within the document"):
        breaking_changes(old, document())
