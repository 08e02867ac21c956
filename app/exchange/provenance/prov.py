"""Render the provenance of a report or judgement in W3C PROV: PROV-JSON (W3C member submission, 2013) and JSON-LD with PROV-O terms.

The report is an entity attributed to its source. Its statement and its recording are activities; the recording organisation is an
agent. The document, the outlets that relayed it, the report that it repeats and what its source relies on are what the report was
derived from. A correction is a revision of the report
that it supersedes, a retraction that was not undone invalidates its report, and the assessment of the indicator used the report.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from app.assessment.envelope import METHOD
from app.reference.records import SourceRecord

_NAMESPACES = ("report", "judgement", "source", "organisation", "document", "activity", "indicator")
PREFIXES = {"lifeline": "urn:lifeline:"} | {name: f"urn:lifeline:{name}:" for name in _NAMESPACES}
_XSD = "http://www.w3.org/2001/XMLSchema#"

# The name of a relation, and its arguments by their names in PROV-JSON.
Relation = tuple[str, dict[str, Any]]


Elements = dict[str, dict[str, dict[str, Any]]]
# The content of a document of PROV.
Provenance = tuple[Elements, list[Relation]]


def report_provenance(report: Mapping[str, Any], source: SourceRecord, vias: Mapping[str, str], origin: SourceRecord | None) -> Provenance:
    """Return the provenance of a report as served; `vias` has the names of the outlets that relayed it, by slug."""
    return _elements(report, source, vias, origin), list(_relations(report, source, vias, origin))


def judgement_provenance(judgement: Mapping[str, Any]) -> Provenance:
    """Return the provenance of a judgement as served: its analyst's organisation, and the reports that it was derived from."""
    id_, indicator = judgement["id"], f"indicator:{judgement['indicator']}"
    entity, recording = f"judgement:{id_}", f"activity:recording-{id_}"
    described = {"prov:label": f"Judgement on {judgement['kind']}, {judgement['place']}"}
    described |= {f"lifeline:{name}": judgement[name] for name in ("likelihood", "confidence", "status", "sensitivity")}
    elements: Elements = {
        "entity": {entity: described, indicator: {"prov:label": "The assessment of the standing reports"}},
        "agent": {_organisation(judgement): {"prov:label": judgement["recorded_by"], "prov:type": "prov:Organization"}},
        "activity": {recording: {"prov:startTime": judgement["recorded_at"], "prov:endTime": judgement["recorded_at"]}},
    }
    relations: list[Relation] = [
        ("wasAttributedTo", {"prov:entity": entity, "prov:agent": _organisation(judgement)}),
        ("wasAssociatedWith", {"prov:activity": recording, "prov:agent": _organisation(judgement)}),
        ("wasGeneratedBy", {"prov:entity": entity, "prov:activity": recording, "prov:time": judgement["recorded_at"]}),
        ("used", {"prov:activity": recording, "prov:entity": indicator}),
    ]
    for report in judgement["reports"]:
        elements["entity"][f"report:{report}"] = {}
        relations.append(_derived(entity, f"report:{report}", "prov:PrimarySource"))
    if judgement["corrects"]:
        elements["entity"][f"judgement:{judgement['corrects']}"] = {}
        relations.append(_derived(entity, f"judgement:{judgement['corrects']}", "prov:Revision"))
    if end := judgement["retraction"]:
        elements["activity"][f"activity:retraction-{id_}"] = {"prov:label": end["reason"]}
        invalidated = {"prov:entity": entity, "prov:activity": f"activity:retraction-{id_}", "prov:time": end["recorded_at"]}
        relations.append(("wasInvalidatedBy", invalidated))
    return elements, relations


def _elements(report: Mapping[str, Any], source: SourceRecord, vias: Mapping[str, str], origin: SourceRecord | None) -> Elements:
    id_, provenance = report["id"], report["provenance"]
    stated_at = report["stated_at"] if len(report["stated_at"]) > len("2016-08-01") else f"{report['stated_at']}T00:00:00Z"
    entities: dict[str, dict[str, Any]] = {
        f"report:{id_}": {
            "prov:label": f"{source.name} on {report['kind']}, {report['place']}, {report['stated_at']}",
            "lifeline:kind": report["kind"],
            "lifeline:place": report["place"],
            "lifeline:status": report["status"],
            "lifeline:method": provenance["method"],
            "lifeline:directness": provenance["directness"],
            "lifeline:credibility": provenance["credibility"],
            "lifeline:sensitivity": report["sensitivity"],
        },
        f"indicator:{report['indicator']}": {"prov:label": "The assessment of the standing reports"},
    }
    agents: dict[str, dict[str, Any]] = {
        f"source:{source.slug}": {
            "prov:label": source.name,
            "prov:type": _agent_type(source),
            "lifeline:reliability": source.reliability,
        },
        _organisation(report): {"prov:label": report["recorded_by"], "prov:type": "prov:Organization"},
    }
    activities: dict[str, dict[str, Any]] = {
        f"activity:statement-{id_}": {"prov:startTime": stated_at, "prov:endTime": stated_at},
        f"activity:recording-{id_}": {"prov:startTime": report["recorded_at"], "prov:endTime": report["recorded_at"]},
        f"activity:assessment-{report['indicator']}": {"prov:label": METHOD},
    }
    if _has_document(provenance):
        document = {"prov:label": provenance["title"], "prov:location": provenance["url"]}
        document["lifeline:published_at"] = provenance["published_at"]
        entities[f"document:{id_}"] = {name: value for name, value in document.items() if value is not None}
    for slug, name in vias.items():
        entities[f"document:{id_}-{slug}"] = {"prov:label": f"As relayed by {name}"}
        agents[f"source:{slug}"] = agents.get(f"source:{slug}", {"prov:label": name, "prov:type": "prov:Organization"})
    if origin is not None:
        entities[f"document:{id_}.origin"] = {"prov:label": f"What {origin.name} said"}
        agents.setdefault(f"source:{origin.slug}", {"prov:label": origin.name, "prov:type": _agent_type(origin)})
    if provenance["relays"]:
        entities[f"report:{provenance['relays']}"] = {}
    if report["supersedes"]:
        entities[f"report:{report['supersedes']}"] = {}
    for amendment in report["amended"]:
        if amendment["report"] is None:
            activities[f"activity:{amendment['type']}-{id_}"] = {"prov:label": amendment["reason"]}
        else:
            entities[f"report:{amendment['report']}"] = {}
    return {"entity": entities, "agent": agents, "activity": activities}


def _agent_type(source: SourceRecord) -> str:
    return "prov:Person" if source.type == "witness" else "prov:Organization"


def _organisation(report: Mapping[str, Any]) -> str:
    return f"organisation:{quote(report['recorded_by'], safe='')}"


def _has_document(provenance: Mapping[str, Any]) -> bool:
    return provenance["url"] is not None or provenance["title"] is not None


def _relations(report: Mapping[str, Any], source: SourceRecord, vias: Mapping[str, str], origin: SourceRecord | None) -> Iterator[Relation]:
    id_ = report["id"]
    entity, statement, recording = f"report:{id_}", f"activity:statement-{id_}", f"activity:recording-{id_}"
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
        yield _derived(entity, f"document:{id_}", "prov:PrimarySource")
    for slug in vias:
        yield "wasAttributedTo", {"prov:entity": f"document:{id_}-{slug}", "prov:agent": f"source:{slug}"}
        yield _derived(entity, f"document:{id_}-{slug}", "prov:Quotation")
    if origin is not None:
        yield "wasAttributedTo", {"prov:entity": f"document:{id_}.origin", "prov:agent": f"source:{origin.slug}"}
        yield _derived(entity, f"document:{id_}.origin", "prov:PrimarySource")
    if relayed := report["provenance"]["relays"]:
        yield _derived(entity, f"report:{relayed}", "prov:Quotation")
    if report["supersedes"]:
        yield _derived(entity, f"report:{report['supersedes']}", "prov:Revision")
    for amendment in report["amended"]:
        if amendment["report"] is None:
            activity = {
                "prov:entity": entity,
                "prov:activity": f"activity:{amendment['type']}-{id_}",
                "prov:time": amendment["recorded_at"],
            }
            # An invalidation in PROV is final: a retraction that was undone only used the report.
            yield "wasInvalidatedBy" if amendment is report["amended"][-1] and report["status"] == "retracted" else "used", activity
        else:
            yield _derived(f"report:{amendment['report']}", entity, "prov:Revision")


def _derived(new: str, old: str, type_: str) -> Relation:
    return "wasDerivedFrom", {"prov:generatedEntity": new, "prov:usedEntity": old, "prov:type": type_}


def _typed(name: str, value: Any) -> Any:
    if name == "prov:type":
        return {"$": value, "type": "prov:QUALIFIED_NAME"}
    return {"$": value, "type": "xsd:anyURI"} if name == "prov:location" else value


def prov_json(provenance: Provenance) -> dict[str, Any]:
    """Render as PROV-JSON."""
    document: dict[str, Any] = {"prefix": {**PREFIXES, "xsd": _XSD}}
    for class_, elements in provenance[0].items():
        document[class_] = {id_: {name: _typed(name, value) for name, value in each.items()} for id_, each in elements.items()}
    for number, (name, arguments) in enumerate(provenance[1], 1):
        document.setdefault(name, {})[f"_:r{number}"] = {key: _typed(key, value) for key, value in arguments.items()}
    return document


# The PROV-O property of each relation: its name, the arguments that are subject and object, and the property of its time.
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
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": _XSD,
    **PREFIXES,
    **{name: {"@type": "xsd:dateTime"} for name in _TIMES},
    "prov:atLocation": {"@type": "@id"},
    **{name: {"@type": "@id"} for name, *_ in _PROPERTIES.values()},
}


def prov_jsonld(provenance: Provenance) -> dict[str, Any]:
    """Render the same as JSON-LD with PROV-O terms; the context is included, so that parsing needs no network."""
    nodes: dict[str, dict[str, Any]] = {}
    for class_, elements in provenance[0].items():
        for id_, each in elements.items():
            properties = {_RENAMED.get(name, name): value for name, value in each.items() if name != "prov:type"}
            types = [f"prov:{class_.capitalize()}", *([each["prov:type"]] if "prov:type" in each else [])]
            nodes[id_] = {"@id": id_, "@type": types, **properties}
    for name, arguments in provenance[1]:
        property_, subject, object_, time = _PROPERTIES[arguments.get("prov:type", name)]
        node = nodes[arguments[subject]]
        node.setdefault(property_, []).append(arguments[object_])
        if time is not None and "prov:time" in arguments:
            node[time] = arguments["prov:time"]
    return {"@context": CONTEXT, "@graph": list(nodes.values())}
