"""The columns of each list. A kind declares the fields and HXL hashtags of its value."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.exchange.exports.columns import Column, Dtype, column, nest

_DTYPES: dict[str, Dtype] = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text"}
# Fields with a date that may have no day.
PARTIAL_DATES = frozenset({"since"})
_PLACE = (
    column("place.slug", "#loc+code+slug"),
    column("place.name", "#loc+name"),
    column("place.codes", "#loc+code+list", "codes"),
    column("place.country", "#country+code+v_iso3"),
)
_SOURCE = (
    column("slug", "#meta+source+code"),
    column("name", "#meta+source+name"),
    column("type", "#meta+source+type"),
    column("reliability", "#meta+source+reliability"),
    column("party_to_conflict", "#meta+source+party", "boolean"),
)
_BASIS = (
    column("provenance.method", "#meta+method"),
    column("provenance.credibility", "#meta+credibility", "integer"),
    column("provenance.url", "#meta+url"),
    column("provenance.title", "#meta+title"),
    column("provenance.quote", "#description+quote"),
    column("provenance.language", "#meta+lang"),
    column("provenance.licence", "#meta+licence"),
)


def value_columns(kinds: Iterable[Kind[Any]], model: str) -> tuple[Column, ...]:
    """Return the columns of the values of some kinds, each field once; `model` is `value_model` or `assessment_model`."""
    found: dict[str, Column] = {}
    for kind in kinds:
        fields: type[BaseModel] = getattr(kind, model)
        schema = fields.model_json_schema()
        for name, field in schema["properties"].items():
            dtype = "date" if name in PARTIAL_DATES else _dtype(field, schema.get("$defs", {}))
            found.setdefault(name, column(f"value.{name}", kind.hxl.get(name, ""), dtype))
    return tuple(found.values())


def _dtype(schema: dict[str, Any], definitions: dict[str, Any]) -> Dtype:
    def resolve(each: dict[str, Any]) -> dict[str, Any]:
        return definitions[each["$ref"].rpartition("/")[2]] if "$ref" in each else each

    alternatives = [resolve(each) for each in schema.get("anyOf", [schema])]
    types = {each.get("type", "object") for each in alternatives} - {"null"}
    if any(each.get("format") == "date" for each in alternatives):
        return "date"
    if types == {"array"} and all(resolve(each["items"]).get("enum") for each in alternatives if "items" in each):
        return "optional_words" if len(alternatives) > 1 else "words"
    return _DTYPES.get(types.pop(), "json") if len(types) == 1 else "json"


def indicator_columns(kinds: Iterable[Kind[Any]]) -> tuple[Column, ...]:
    """Return the columns of a list of indicators of some kinds."""
    return (
        column("id", "#meta+id"),
        column("kind", "#indicator+type"),
        column("subject", "#indicator+name"),
        *_PLACE,
        *value_columns(kinds, "assessment_model"),
        column("agreement", "#status+agreement"),
        column("stated_at", "#date+reported", "time"),
        column("stale_after", "#date+stale", "time"),
        column("recorded_at", "#date+recorded", "time"),
        column("revision", "#meta+revision", "integer"),
        column("assessment.method", "#meta+assessment"),
        column("assessment.reports", "#meta+reports", "integer"),
        column("assessment.sources", "#meta+sources", "integer"),
        column("assessment.origins", "#meta+origins", "integer"),
        column("assessment.spread", "#meta+spread", "number"),
        column("assessment.basis", "#meta+basis", "json"),
        column("assessment.newest_at", "#date+reported+newest", "time"),
        column("assessment.newest_sound_at", "#date+reported+sound", "time"),
        column("provenance.report", "#meta+report+id"),
        *nest("provenance", nest("source", _SOURCE)),
        column("provenance.via", "#meta+via+list", "slugs"),
        column("provenance.directness", "#meta+directness"),
        column("provenance.origin.slug", "#meta+origin+code"),
        *_BASIS,
        column("judgement.value", "#meta+judgement+value", "json"),
        column("judgement.likelihood", "#meta+judgement+likelihood"),
        column("judgement.confidence", "#meta+judgement+confidence"),
        column("judgement.lapsed", "#status+judgement+lapsed", "boolean"),
        column("judgement.valid_until", "#date+judgement+end", "date"),
        column("judgement.recorded_at", "#date+judgement+recorded", "time"),
        column("judgement.id", "#meta+judgement+id"),
        column("sensitivity", "#meta+tlp"),
        column("links.self", "#meta+link"),
    )


# The fields of a report in its ledger entry: those that were sent, and those that the service adds.
STATEMENT = (
    column("id", "#meta+id"),
    column("kind", "#indicator+type"),
    column("place", "#loc+code+slug"),
    column("source", "#meta+source+code"),
    column("stated_at", "#date+reported", "date"),
    *value_columns(KINDS.values(), "value_model"),
    column("provenance.via", "#meta+via+list", "words"),
    column("provenance.directness", "#meta+directness"),
    column("provenance.relays", "#meta+relays+id"),
    column("provenance.origin", "#meta+origin+code"),
    column("provenance.published_at", "#date+published", "date"),
    *_BASIS,
    column("observed_from", "#date+start", "date"),
    column("observed_to", "#date+end", "date"),
    column("sensitivity", "#meta+tlp"),
    column("recorded_at", "#date+recorded", "time"),
    column("recorded_by", "#org+recorded"),
    column("drafted_by", "#org+drafted"),
)
REPORTS = (
    *STATEMENT,
    column("seq", "#meta+seq", "integer"),
    column("indicator", "#meta+indicator+id"),
    column("status", "#status+report"),
    column("supersedes", "#meta+supersedes"),
)
PLACES = (
    column("id", "#meta+id"),
    column("slug", "#loc+code+slug"),
    column("name", "#loc+name"),
    column("parent", "#loc+code+parent"),
    column("country", "#country+code+v_iso3"),
    column("timezone", "#meta+timezone"),
    column("codes", "#loc+code+list", "codes"),
    column("centroid.1", "#geo+lat", "number", header="latitude"),
    column("centroid.0", "#geo+lon", "number", header="longitude"),
    column("geometry", "#geo+geojson", "json"),
    column("names", "#meta+names", "json"),
    column("valid_from", "#date+start", "date"),
    column("valid_to", "#date+end", "date"),
    column("successor_of", "#loc+code+former"),
)
SOURCES = (
    column("id", "#meta+id"),
    *_SOURCE,
    column("names", "#meta+names", "json"),
    column("alias", "#meta+source+alias"),
    column("organisation", "#meta+source+org"),
    column("redacted", "#meta+redacted", "words"),
)
ROUTES = (
    column("id", "#meta+id"),
    column("slug", "#access+route+code"),
    column("name", "#access+route+name"),
    column("mode", "#access+route+mode"),
    column("from", "#loc+origin"),
    column("to", "#loc+dest"),
    column("geometry", "#geo+geojson", "json"),
    column("names", "#meta+names", "json"),
    column("redacted", "#meta+redacted", "words"),
)
CHANGES = (
    column("seq", "#meta+seq", "integer"),
    column("hash", "#meta+hash"),
    column("type", "#meta+change"),
    column("report_id", "#meta+report+id"),
    column("indicator", "#meta+indicator+id"),
    column("source", "#meta+source+code+graded"),
    column("reason", "#description+reason"),
    column("detail", "#meta+detail", "json"),
    column("redacted", "#meta+redacted", "words"),
    column("recorded_at", "#date+recorded+entry", "time"),
    column("recorded_by", "#org+recorded+entry"),
    *nest("report", STATEMENT),
)
WARNINGS = (
    column("due", "#date+due+warning", "date"),
    column("days_left", "#indicator+days_remaining+num", "integer"),
    column("past_due", "#status+past_due", "boolean"),
    *nest("indicator", indicator_columns([kind for kind in KINDS.values() if kind.has_outcome])),
)
SITUATIONS = (
    *_PLACE,
    column("as_of", "#date+asof", "time"),
    column("level", "#severity"),
    column("because", "#description+severity", "json"),
    column("set_aside", "#description+severity+aside", "json"),
    column("silent_days", "#indicator+silent_days+num", "integer"),
    column("dormant", "#status+dormant", "boolean"),
    column("children_level", "#severity+children"),
    *(column(path, tag, dtype) for kind in KINDS.values() for path, tag, dtype in kind.situation_columns),
    column("contested", "#meta+contested+list", "words"),
    column("checks", "#meta+checks", "json"),
    column("newest_statement", "#date+reported", "time"),
)


TABLES = {
    "indicators": indicator_columns(KINDS.values()),
    "reports": REPORTS,
    "situations": SITUATIONS,
    "warnings": WARNINGS,
    "places": PLACES,
    "sources": SOURCES,
    "routes": ROUTES,
    "changes": CHANGES,
}


def flatten(collection: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with the nesting of its columns: those of a situation have people by concept, for example."""
    if collection != "situations":
        return record
    grouped = [(kind, record[kind.situation_group]) for kind in KINDS.values() if kind.situation_group != "other"]
    return record | {
        kind.situation_group: {each[kind.filter_field]: each for each in items} for kind, items in grouped if isinstance(items, list)
    }
