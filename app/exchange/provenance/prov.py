"""The provenance of one report in W3C PROV: as PROV-JSON (W3C member submission, 2013) and as JSON-LD with PROV-O terms. Pure.

The report is an entity attributed to its source. The source's statement and the recording of it are activities; who recorded it is
an agent. A document and the outlets that relayed it are what it was taken from. A correction is a revision of what it supersedes,
a retraction invalidates it, and the assessment behind the indicator used it.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from app.reference.facts import SourceFacts

PREFIXES = {
    "lifeline": "urn:lifeline:",
    "report": "urn:lifeline:report:",
    "source": "urn:lifeline:source:",
    "organisation": "urn:lifeline:organisation:",
    "document": "urn:lifeline:document:",
    "activity": "urn:lifeline:activity:",
    "indicator": "urn:lifeline:indicator:",
}
_PROV = "http://www.w3.org/ns/prov#"
_XSD = "http://www.w3.org/2001/XMLSchema#"

# A relation: its name, and its arguments by PROV-JSON's names.
Relation = tuple[str, dict[str, Any]]


def _instant(text: str) -> str:
    """A date or a date-time as xsd:dateTime."""
    return text if len(text) > 10 else f"{text}T00:00:00Z"


def _things(report: Mapping[str, Any], source: SourceFacts, vias: Mapping[str, str]) -> dict[str, dict[str, dict[str, Any]]]:
    at = report["id"]
    provenance = report["provenance"]
    entities: dict[str, dict[str, Any]] = {
        f"report:{at}": {
            "prov:label": f"{source.name} on {report['kind']}, {report['place']}, {report['stated_at']}",
            "lifeline:kind": report["kind"],
            "lifeline:place": report["place"],
            "lifeline:status": report["status"],
            "lifeline:method": provenance["method"],
            "lifeline:credibility": provenance["credibility"],
            "lifeline:sensitivity": report["sensitivity"],
        },
        f"indicator:{report['indicator']}": {"prov:label": "The reading of the standing reports"},
    }
    agents: dict[str, dict[str, Any]] = {
        f"source:{source.slug}": {
            "prov:label": source.name,
            "prov:type": "prov:Person" if source.type == "witness" else "prov:Organization",
            "lifeline:reliability": source.reliability,
        },
        _organisation(report): {"prov:label": report["recorded_by"], "prov:type": "prov:Organization"},
    }
    activities: dict[str, dict[str, Any]] = {
        f"activity:statement-{at}": {"prov:startTime": _instant(report["stated_at"]), "prov:endTime": _instant(report["stated_at"])},
        f"activity:recording-{at}": {"prov:startTime": report["recorded_at"], "prov:endTime": report["recorded_at"]},
        f"activity:assessment-{report['indicator']}": {"prov:label": "envelope/1"},
    }
    if _has_document(provenance):
        named = {"prov:label": provenance["title"], "prov:location": provenance["url"], "lifeline:published_at": provenance["published_at"]}
        entities[f"document:{at}"] = {name: value for name, value in named.items() if value is not None}
    for slug, name in vias.items():
        entities[f"document:{at}-{slug}"] = {"prov:label": f"As relayed by {name}"}
        agents[f"source:{slug}"] = agents.get(f"source:{slug}", {"prov:label": name, "prov:type": "prov:Organization"})
    if report["supersedes"]:
        entities[f"report:{report['supersedes']}"] = {}
    for amendment in report["amended"]:
        if amendment["type"] == "retraction":
            activities[f"activity:retraction-{at}"] = {"prov:label": amendment["reason"]}
        else:
            entities[f"report:{amendment['report']}"] = {}
    return {"entity": entities, "agent": agents, "activity": activities}


def _organisation(report: Mapping[str, Any]) -> str:
    return f"organisation:{quote(report['recorded_by'], safe='')}"


def _has_document(provenance: Mapping[str, Any]) -> bool:
    return provenance["url"] is not None or provenance["title"] is not None


def _relations(report: Mapping[str, Any], source: SourceFacts, vias: Mapping[str, str]) -> Iterator[Relation]:
    at = report["id"]
    entity, statement, recording = f"report:{at}", f"activity:statement-{at}", f"activity:recording-{at}"
    assessment = f"activity:assessment-{report['indicator']}"
    yield "wasAttributedTo", {"prov:entity": entity, "prov:agent": f"source:{source.slug}"}
    yield "wasAssociatedWith", {"prov:activity": statement, "prov:agent": f"source:{source.slug}"}
    yield "wasAssociatedWith", {"prov:activity": recording, "prov:agent": _organisation(report)}
    yield "wasGeneratedBy", {"prov:entity": entity, "prov:activity": recording, "prov:time": report["recorded_at"]}
    yield "wasInformedBy", {"prov:informed": recording, "prov:informant": statement}
    if report["status"] == "standing":
        yield "used", {"prov:activity": assessment, "prov:entity": entity}
    yield "wasGeneratedBy", {"prov:entity": f"indicator:{report['indicator']}", "prov:activity": assessment}
    if _has_document(report["provenance"]):
        yield _derived(entity, f"document:{at}", "prov:PrimarySource")
    for slug in vias:
        yield "wasAttributedTo", {"prov:entity": f"document:{at}-{slug}", "prov:agent": f"source:{slug}"}
        yield _derived(entity, f"document:{at}-{slug}", "prov:Quotation")
    if report["supersedes"]:
        yield _derived(entity, f"report:{report['supersedes']}", "prov:Revision")
    for amendment in report["amended"]:
        if amendment["type"] == "retraction":
            retraction = f"activity:retraction-{at}"
            yield "wasInvalidatedBy", {"prov:entity": entity, "prov:activity": retraction, "prov:time": amendment["recorded_at"]}
        else:
            yield _derived(f"report:{amendment['report']}", entity, "prov:Revision")


def _derived(new: str, old: str, how: str) -> Relation:
    return "wasDerivedFrom", {"prov:generatedEntity": new, "prov:usedEntity": old, "prov:type": how}


def _typed(name: str, value: Any) -> Any:
    if name == "prov:type":
        return {"$": value, "type": "prov:QUALIFIED_NAME"}
    return {"$": value, "type": "xsd:anyURI"} if name == "prov:location" else value


def prov_json(report: Mapping[str, Any], source: SourceFacts, vias: Mapping[str, str]) -> dict[str, Any]:
    """PROV-JSON of a report as served with its amendments, its source, and the names of those who relayed it, by slug."""
    document: dict[str, Any] = {"prefix": {**PREFIXES, "xsd": _XSD}}
    for what, things in _things(report, source, vias).items():
        document[what] = {each: {name: _typed(name, value) for name, value in facts.items()} for each, facts in things.items()}
    for number, (name, arguments) in enumerate(_relations(report, source, vias), 1):
        document.setdefault(name, {})[f"_:r{number}"] = {key: _typed(key, value) for key, value in arguments.items()}
    return document


_CLASSES = {"entity": "prov:Entity", "agent": "prov:Agent", "activity": "prov:Activity"}
# The property of PROV-O for each relation: its name, the argument that it stands on and the one that it points to, and that of its time.
_PROPERTIES: dict[str, tuple[str, str, str, str | None]] = {
    "wasAttributedTo": ("prov:wasAttributedTo", "prov:entity", "prov:agent", None),
    "wasAssociatedWith": ("prov:wasAssociatedWith", "prov:activity", "prov:agent", None),
    "wasGeneratedBy": ("prov:wasGeneratedBy", "prov:entity", "prov:activity", "prov:generatedAtTime"),
    "wasInformedBy": ("prov:wasInformedBy", "prov:informed", "prov:informant", None),
    "used": ("prov:used", "prov:activity", "prov:entity", None),
    "wasInvalidatedBy": ("prov:wasInvalidatedBy", "prov:entity", "prov:activity", "prov:invalidatedAtTime"),
    "prov:PrimarySource": ("prov:hadPrimarySource", "prov:generatedEntity", "prov:usedEntity", None),
    "prov:Quotation": ("prov:wasQuotedFrom", "prov:generatedEntity", "prov:usedEntity", None),
    "prov:Revision": ("prov:wasRevisionOf", "prov:generatedEntity", "prov:usedEntity", None),
}
_RENAMED = {
    "prov:label": "rdfs:label",
    "prov:startTime": "prov:startedAtTime",
    "prov:endTime": "prov:endedAtTime",
    "prov:location": "prov:atLocation",
}
_TIMES = ("prov:startedAtTime", "prov:endedAtTime", "prov:generatedAtTime", "prov:invalidatedAtTime")
CONTEXT: dict[str, Any] = {
    "prov": _PROV,
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": _XSD,
    **PREFIXES,
    **{name: {"@type": "xsd:dateTime"} for name in _TIMES},
    "prov:atLocation": {"@type": "@id"},
    **{name: {"@type": "@id"} for name, *_ in _PROPERTIES.values()},
}


def prov_jsonld(report: Mapping[str, Any], source: SourceFacts, vias: Mapping[str, str]) -> dict[str, Any]:
    """The same as JSON-LD with the terms of PROV-O. The context stands in it, so that it is read without the internet."""
    nodes: dict[str, dict[str, Any]] = {}
    for what, things in _things(report, source, vias).items():
        for each, facts in things.items():
            kept = {_RENAMED.get(name, name): value for name, value in facts.items() if name != "prov:type"}
            types = [_CLASSES[what], *([facts["prov:type"]] if "prov:type" in facts else [])]
            nodes[each] = {"@id": each, "@type": types, **kept}
    for name, arguments in _relations(report, source, vias):
        term, on, to, when = _PROPERTIES[arguments.get("prov:type", name)]
        node = nodes[arguments[on]]
        node.setdefault(term, []).append(arguments[to])
        if when is not None and "prov:time" in arguments:
            node[when] = arguments["prov:time"]
    return {"@context": CONTEXT, "@graph": list(nodes.values())}
