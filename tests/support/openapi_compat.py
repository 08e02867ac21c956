"""Find out whether a client written for one OpenAPI 3.1 document breaks on another.

What a client sends must still be accepted, and what it reads must still be there: a request schema may only accept more, and a response
may only contain more. Clients ignore fields, values and kinds that they do not know, so responses may add these.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Node = dict[str, Any]
Direction = Literal["request", "response"]
Pairs = frozenset[str]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
_FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_NEUTRAL = {"minLength": 0, "minItems": 0, "minProperties": 0}  # the same as leaving it out
# Compared literally, because whether one pattern accepts what another accepts is not decided here.
_OPAQUE = (
    "contains", "contentEncoding", "contentMediaType", "dependentRequired", "dependentSchemas", "else", "if", "maxContains", "minContains",
    "multipleOf", "not", "pattern", "patternProperties", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip


def breaking_changes(old: Node, new: Node) -> list[str]:
    """Return a line for each difference in `new` that breaks a client of `old`, with the operation and the place in it.

    Both are parsed OpenAPI 3.1 documents. Raises KeyError for a reference to another document.
    """
    return list(dict.fromkeys(_Comparison(old, new).run()))


def _target(document: Node, reference: str) -> Any:
    if not reference.startswith("#/"):
        raise KeyError(f"{reference} is not within the document")
    node: Any = document
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        node = node[int(name)] if isinstance(node, list) else node[name]
    return node


def _deref(document: Node, node: Any) -> Node:
    """Return a parameter, body, response, header or path item with its references resolved."""
    seen: set[str] = set()
    while "$ref" in node and node["$ref"] not in seen:
        seen.add(node["$ref"])
        node = _target(document, node["$ref"])
    found: Node = node
    return found


def _merge(one: Node, other: Node) -> Node:
    """Return a schema that accepts what both accept, as far as one schema can express it."""
    merged = one | other
    for name in one.keys() & other.keys():
        if name == "properties":
            both = one[name].keys() & other[name].keys()
            merged[name] = one[name] | other[name] | {each: {"allOf": [one[name][each], other[name][each]]} for each in both}
        elif name == "required":
            merged[name] = sorted({*one[name], *other[name]})
        elif name == "enum":
            merged[name] = [value for value in one[name] if _holds(other[name], value)]
        elif name == "type":
            merged[name] = _common_types(_listed(one[name]), _listed(other[name]))
        elif name in _FLOORS:
            merged[name] = max(one[name], other[name])
        elif name in _CEILINGS:
            merged[name] = min(one[name], other[name])
        elif name == "unions":
            merged[name] = one[name] + other[name]
    return merged


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _common_types(some: list[str], others: list[str]) -> list[str]:
    either = dict.fromkeys((*some, *others))
    return [each for each in either if all(any(_type_fits(each, wider) for wider in types) for types in (some, others))]


def _type_fits(given: str, taken: str) -> bool:
    return given == taken or (given == "integer" and taken == "number")


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: unlike in Python, true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _holds(values: Iterable[Any], value: Any) -> bool:
    return any(_same(each, value) for each in values)


def _flat(document: Node, schema: Any, seen: tuple[str, ...] = ()) -> Node:
    """Return one schema object without `$ref`, `allOf` and `const`; `unions` holds its `anyOf` and `oneOf`, each a list of schemas."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    own = {name: value for name, value in schema.items() if name not in ("$ref", "allOf", "anyOf", "oneOf", "const")}
    own["unions"] = [schema[name] for name in ("anyOf", "oneOf") if name in schema]
    if "const" in schema:
        own["enum"] = [schema["const"]]
    parts: list[Node] = [_flat(document, part, seen) for part in schema.get("allOf", [])]
    reference = schema.get("$ref")
    if reference is not None and reference not in seen:
        parts.append(_flat(document, _target(document, reference), (*seen, reference)) | {"name": reference})
    for part in parts:
        own = _merge(part, own)
    return own


def _variants(document: Node, schema: Any, seen: frozenset[str] = frozenset()) -> list[Node]:
    """Return flat schemas, without unions and of at most one type, that together accept what the schema accepts."""
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    if reference in seen:
        return []  # a union that contains itself adds nothing
    within = seen | {reference} if reference else seen
    flat = _flat(document, schema)
    found = [{name: value for name, value in flat.items() if name != "unions"}]
    for union in flat.get("unions", []):
        members = [variant for member in union for variant in _variants(document, member, within)]
        found = [_merge(base, member) for base, member in itertools.product(found, members)]
    return [single for variant in found for single in _single_types(variant)]


def _single_types(schema: Node) -> Iterator[Node]:
    values = schema.get("enum")
    if values is not None:
        types = _listed(schema["type"]) if "type" in schema else []
        grouped: dict[str, list[Any]] = {}
        for value in values:
            name = _TYPES[type(value)]
            if not types or any(_type_fits(name, each) for each in types):
                grouped.setdefault(name, []).append(value)
        for name, some in grouped.items():
            yield schema | {"type": name, "enum": some}
    elif "type" in schema:
        for name in _listed(schema["type"]):
            yield schema | {"type": name}
    elif "properties" in schema:
        yield schema | {"type": "object"}
    else:
        yield schema


@dataclass
class _Comparison:
    old: Node
    new: Node

    def run(self) -> Iterator[str]:
        for path, old_item in self.old.get("paths", {}).items():
            if path not in self.new.get("paths", {}):
                yield f"{path}: path removed"
                continue
            old_item, new_item = _deref(self.old, old_item), _deref(self.new, self.new["paths"][path])  # noqa: PLW2901
            for method in _METHODS:
                if method not in old_item:
                    continue
                where = f"{method.upper()} {path}"
                if method not in new_item:
                    yield f"{where}: operation removed"
                else:
                    yield from self._operation(old_item, new_item, method, where)
        yield from self._security_schemes()

    def _operation(self, old_item: Node, new_item: Node, method: str, where: str) -> Iterator[str]:
        old, new = old_item[method], new_item[method]
        if "operationId" in old and old["operationId"] != new.get("operationId"):
            yield f"{where}: operationId changed, which renames the method of generated clients"
        yield from self._parameters(_parameters(self.old, old_item, old), _parameters(self.new, new_item, new), where)
        yield from self._request_body(old.get("requestBody"), new.get("requestBody"), where)
        yield from self._responses(old.get("responses", {}), new.get("responses", {}), where)
        yield from self._security(old, new, where)

    def _parameters(self, old: dict[tuple[str, str], Node], new: dict[tuple[str, str], Node], where: str) -> Iterator[str]:
        for key, parameter in old.items():
            label = f"{where}: {key[0]} parameter {parameter['name']}"
            if key not in new:
                yield f"{label}: removed"
                continue
            found = new[key]
            if found.get("required", False) and not parameter.get("required", False):
                yield f"{label}: newly required"
            if "content" in parameter or "content" in found:
                yield from self._content(parameter.get("content", {}), found.get("content", {}), label, "request")
            else:
                yield from self._schema(parameter.get("schema", {}), found.get("schema", {}), label, "request")
        for key, parameter in new.items():
            if key not in old and parameter.get("required", False):
                yield f"{where}: {key[0]} parameter {parameter['name']}: new and required"

    def _request_body(self, old: Node | None, new: Node | None, where: str) -> Iterator[str]:
        before = _deref(self.old, old) if old is not None else {}
        after = _deref(self.new, new) if new is not None else {}
        if old is not None and new is None:
            yield f"{where}: request body removed"
            return
        if after.get("required", False) and not before.get("required", False):
            yield f"{where}: request body newly required"
        yield from self._content(before.get("content", {}), after.get("content", {}), f"{where}: request", "request")

    def _responses(self, old: Node, new: Node, where: str) -> Iterator[str]:
        for status, response in old.items():
            label = f"{where}: response {status}"
            if status not in new:
                yield f"{label}: removed"
                continue
            before, after = _deref(self.old, response), _deref(self.new, new[status])
            kept = {name.lower() for name in after.get("headers", {})}
            for name in before.get("headers", {}):
                if name.lower() not in kept:
                    yield f"{label}: header {name} removed"
            yield from self._content(before.get("content", {}), after.get("content", {}), label, "response")

    def _content(self, old: Node, new: Node, where: str, direction: Direction) -> Iterator[str]:
        for media_type, content in old.items():
            if media_type not in new:
                yield f"{where} {media_type}: media type removed"
            else:
                label = f"{where} {media_type}"
                yield from self._schema(content.get("schema", {}), new[media_type].get("schema", {}), label, direction)

    def _security(self, old: Node, new: Node, where: str) -> Iterator[str]:
        # A list of alternatives, one of which is enough; {} means no key.
        before: list[Node] = old.get("security", self.old.get("security", [])) or [{}]
        after: list[Node] = new.get("security", self.new.get("security", [])) or [{}]
        for way in before:
            if not any(all(name in way and set(scopes) <= set(way[name]) for name, scopes in other.items()) for other in after):
                yield f"{where}: security: {' and '.join(way) or 'no key'} is no longer enough"

    def _security_schemes(self) -> Iterator[str]:
        old, new = (each.get("components", {}).get("securitySchemes", {}) for each in (self.old, self.new))
        for name in sorted(old.keys() & new.keys()):
            before, after = _deref(self.old, old[name]), _deref(self.new, new[name])
            if any(before.get(part) != after.get(part) for part in ("type", "scheme", "in", "name")):
                yield f"security scheme {name}: changed"

    def _schema(self, old: Any, new: Any, where: str, direction: Direction, within: Pairs = frozenset()) -> list[str]:
        """Compare two schemas; a pair that contains itself is compatible if the rest of it is."""
        pair = json.dumps([old, new], sort_keys=True)
        if pair in within:
            return []
        within |= {pair}
        olds, news = _variants(self.old, old), _variants(self.new, new)
        if direction == "request":
            return [finding for variant in olds for finding in self._taken(variant, news, where, within)]
        return self._readable(olds, news, where, within)

    def _taken(self, old: Node, news: list[Node], where: str, within: Pairs) -> list[str]:
        """Return findings unless some variant of the new schema still accepts what clients send."""
        if "enum" in old:
            return [f"{where}: {json.dumps(value)} no longer taken" for value in old["enum"] if not any(_takes(new, value) for new in news)]
        new, findings = self._closest(old, news, where, "request", within)
        return [f"{where}: {_kind_of(old)} no longer taken"] if new is None else findings

    def _readable(self, olds: list[Node], news: list[Node], where: str, within: Pairs) -> list[str]:
        """Return findings unless a client that knows the old variants can read the new ones."""
        findings: list[str] = []
        unknown: list[Node] = []
        recognised: list[Node] = []
        for new in news:
            old, wrong = self._closest(new, olds, where, "response", within)
            if old is None:
                unknown.append(new)
            else:
                recognised.append(old)
                findings += wrong
        # An added object is a kind that clients ignore, as long as every kind that they know is still served.
        kinds = [each for each in olds if each.get("type") == "object"]
        ignored = len(kinds) > 1 and all(any(each is known for known in recognised) for each in kinds)
        findings += [f"{where}: may now be {_kind_of(each)}" for each in unknown if not (ignored and each.get("type") == "object")]
        return findings

    def _closest(self, one: Node, others: list[Node], where: str, direction: Direction, within: Pairs) -> tuple[Node | None, list[str]]:
        """Return the closest variant and what does not fit; None where all are of another type or kind."""
        best: tuple[Node | None, list[str]] = (None, [])
        for other in sorted(others, key=lambda each: each.get("name") != one.get("name")):
            old, new = (one, other) if direction == "request" else (other, one)
            if "type" in other and not ("type" in one and _type_fits(one["type"], other["type"])):
                continue
            if len(others) > 1 and self._of_other_kinds(old, new):
                continue
            findings = list(self._single(old, new, where, direction, within))
            if best[0] is None or len(findings) < len(best[1]):
                best = (other, findings)
            if not findings:
                break
        return best

    def _of_other_kinds(self, old: Node, new: Node) -> bool:
        """Return whether both have a property of fixed values, such as `kind`, with no value in common."""
        for name in old.get("properties", {}).keys() & new.get("properties", {}).keys():
            before = _flat(self.old, old["properties"][name]).get("enum")
            after = _flat(self.new, new["properties"][name]).get("enum")
            if before and after and not any(_holds(after, value) for value in before):
                return True
        return False

    def _single(self, old: Node, new: Node, where: str, direction: Direction, within: Pairs) -> Iterator[str]:
        """Compare two flat schemas whose types fit."""
        given, taken = (old, new) if direction == "request" else (new, old)
        if "format" in taken and given.get("format") != taken["format"]:
            yield f"{where}: format changed from {old.get('format', 'none')} to {new.get('format', 'none')}"
        if direction == "request":
            yield from _narrowed(old, new, where)
        elif "enum" in old and "enum" in new and not any(_holds(new["enum"], value) for value in old["enum"]):
            yield f"{where}: none of the values that were known is served"
        yield from self._properties(old, new, where, direction, within)
        for at in range(max(len(old.get("prefixItems", [])), len(new.get("prefixItems", [])))):
            yield from self._schema(_item(old, at), _item(new, at), f"{where}[{at}]", direction, within)
        if "items" in taken:
            yield from self._schema(old.get("items", {}), new.get("items", {}), f"{where}[]", direction, within)

    def _properties(self, old: Node, new: Node, where: str, direction: Direction, within: Pairs) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            label = f"{where}.{name}"
            if name in after:
                yield from self._schema(schema, after[name], label, direction, within)
            elif direction == "request" and new.get("additionalProperties", False) is not False:
                yield from self._schema(schema, new["additionalProperties"], label, direction, within)
            else:
                yield f"{label}: property removed"
        was, now = set(old.get("required", [])), set(new.get("required", []))
        if direction == "request":
            yield from (f"{where}.{name}: newly required" for name in sorted(now - was))
        else:
            yield from (f"{where}.{name}: no longer always there" for name in sorted((was - now) & after.keys()))
        rest = (old if direction == "response" else new).get("additionalProperties", True)
        if direction == "request" and rest is False:
            if old.get("additionalProperties", True) is not False:
                yield f"{where}: other properties no longer taken"
        elif isinstance(rest, dict):
            others = (old.get("additionalProperties", True), new.get("additionalProperties", True))
            if False not in others:
                yield from self._schema(*others, f"{where}.*", direction, within)


def _parameters(document: Node, item: Node, operation: Node) -> dict[tuple[str, str], Node]:
    """Return the parameters of an operation and its path by (in, name), with header names in lower case."""
    found = {}
    for each in (*item.get("parameters", []), *operation.get("parameters", [])):
        parameter = _deref(document, each)
        name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
        found[parameter["in"], name] = parameter
    return found


def _item(schema: Node, at: int) -> Any:
    fixed = schema.get("prefixItems", [])
    return fixed[at] if at < len(fixed) else schema.get("items", {})


def _takes(schema: Node, value: Any) -> bool:
    if "type" in schema and not _type_fits(_TYPES[type(value)], schema["type"]):
        return False
    return "enum" not in schema or _holds(schema["enum"], value)


def _narrowed(old: Node, new: Node, where: str) -> Iterator[str]:
    if "enum" in new:
        yield f"{where}: now limited to {json.dumps(new['enum'])}"
    for name in (*_FLOORS, *_CEILINGS):
        before, after = old.get(name, _NEUTRAL.get(name)), new.get(name, _NEUTRAL.get(name))
        if after is None or after == before:
            continue
        if before is None or (after > before) == (name in _FLOORS):
            yield f"{where}: {name} narrowed from {'none' if before is None else before} to {after}"
    for name in _OPAQUE:
        if name in new and not _same(old.get(name), new[name]):
            yield f"{where}: {name} changed"
    if new.get("uniqueItems", False) and not old.get("uniqueItems", False):
        yield f"{where}: items must now differ"


def _kind_of(schema: Node) -> str:
    """Return the name of a variant for a finding: that of its component, or its type."""
    name: str = schema.get("name", "").rpartition("/")[2] or schema.get("type", "anything")
    return name
