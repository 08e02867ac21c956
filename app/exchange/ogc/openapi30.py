"""A part of the OpenAPI 3.1 document in OpenAPI 3.0, which GIS programs read."""

from typing import Any


def openapi30(document: dict[str, Any], prefix: str, server: str, limits: dict[str, int]) -> dict[str, Any]:
    """Return the operations below a prefix.

    `limits` has parameters with the greatest value that has an effect; ArcGIS reads that of `limit` among the components.
    """
    paths: dict[str, Any] = _plain({path: each for path, each in document["paths"].items() if path.startswith(prefix)})
    parameters: dict[str, Any] = {}
    for operation in (each for operations in paths.values() for each in operations.values()):
        for number, parameter in enumerate(operation.get("parameters", [])):
            if (name := parameter["name"]) in limits:
                parameters[name] = parameter | {"schema": parameter["schema"] | {"maximum": limits[name]}}
                operation["parameters"][number] = {"$ref": f"#/components/parameters/{name}"}
    schemas: dict[str, Any] = {}
    waiting = _references(paths)
    while waiting:
        if (name := waiting.pop()) not in schemas:
            schemas[name] = _plain(document["components"]["schemas"][name])
            waiting |= _references(schemas[name])
    components = {"schemas": schemas, "parameters": parameters, "securitySchemes": document["components"]["securitySchemes"]}
    info = {name: document["info"][name] for name in ("title", "description", "version")}
    return {"openapi": "3.0.3", "info": info, "servers": [{"url": server}], "paths": paths, "components": components}


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].rpartition("/")[2]} if str(node.get("$ref", "")).startswith("#/components/schemas/") else set()
    return own.union(*map(_references, node.values()))


def _plain(node: Any) -> Any:
    """Return a part of a document without what is new in 3.1: null as a type, and lists of examples."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _plain(value) for name, value in node.items()}
    if {"type": "null"} in found.get("anyOf", ()):
        others = [each for each in found.pop("anyOf") if each != {"type": "null"}]
        found |= {"nullable": True} | (others[0] if len(others) == 1 else {"anyOf": others})
    if isinstance(found.get("examples"), list):
        found["example"] = found.pop("examples")[0]
    return found
