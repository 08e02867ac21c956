"""Examples of requests and responses about reports, for the OpenAPI document."""

from typing import Any

from pydantic import ConfigDict, JsonValue

from app.domain.kinds import KINDS
from app.http.problems import invalid_field
from app.indicators.examples import example_config, listed_example

_RECORDED = "2026-11-24T09:00:00Z"
_REPORT = "01900000-0000-7000-8004-000000000014"
_INDICATOR = listed_example(next(iter(KINDS.values())))["id"]
_PROPOSAL = "01900000-0000-7000-8008-000000000001"

REPORTS: dict[str, dict[str, Any]] = {
    kind.title: {
        "kind": kind.name,
        "place": "aleppo-east",
        "source": "un-envoy-syria",
        "stated_at": "2016-07-28",
        "value": kind.example,
        "provenance": {"via": ["news-agency"], "method": "expert_estimate", "credibility": 2, "published_at": "2016-07-29"},
        "sensitivity": "clear",
    }
    for kind in KINDS.values()
}
CORRECTION = {
    "kind": "trapped_population",
    "place": "aleppo-east",
    "source": "un-ocha",
    "stated_at": "2016-07-25",
    "value": {"concept": "trapped", "people_low": 250000, "people_high": 270000},
    "provenance": {"method": "expert_estimate", "credibility": 2},
    "sensitivity": "clear",
    "reason": "The upper figure was misread.",
}
OUTCOME = {"outcome": "overtaken", "reason": "A passage was fought open before the day that was named.", "report": _REPORT}
OUTCOMES: dict[str, JsonValue] = {
    "items": [
        {"status": 201, "id": _REPORT, "seq": 14, "indicator": _INDICATOR, "location": f"/v1/reports/{_REPORT}"},
        {"status": 422, "problem": invalid_field("/stated_at", "must not be in the future").body()},
    ],
    "created": 1,
    "existing": 0,
    "refused": 1,
    "revision": 14,
}
RECORDED_REPORT: dict[str, JsonValue] = {
    "id": _REPORT,
    "seq": 14,
    **next(iter(REPORTS.values())),
    "observed_from": None,
    "observed_to": None,
    "recorded_at": _RECORDED,
    "recorded_by": "demo",
    "indicator": _INDICATOR,
    "status": "standing",
    "supersedes": None,
    "links": {
        "self": f"/v1/reports/{_REPORT}",
        "indicator": f"/v1/indicators/{_INDICATOR}",
        "correction": f"/v1/reports/{_REPORT}/correction",
        "retraction": f"/v1/reports/{_REPORT}/retraction",
    },
}
PROPOSAL: dict[str, JsonValue] = {
    "id": _PROPOSAL,
    "report": _REPORT,
    "sensitivity": "clear",
    "before": "green",
    "reason": "The UN has published it.",
    "proposed_by": "demo",
    "created_at": _RECORDED,
    "links": {"report": f"/v1/reports/{_REPORT}", "confirmation": f"/v1/label-proposals/{_PROPOSAL}/confirmation"},
}


def entry_example(type_: str, reason: str, links: tuple[str, ...], **fields: JsonValue) -> ConfigDict:
    """Return the configuration of the model of an entry that is about these records."""
    subjects: dict[str, JsonValue] = {"report": _REPORT, "indicator": _INDICATOR, "source": "regional-news-site"}
    body: dict[str, JsonValue] = {"seq": 18, "type": type_, "reason": reason, "recorded_at": _RECORDED, "recorded_by": "demo"}
    paths: dict[str, JsonValue] = {name: f"/v1/{name}s/{subjects[name]}" for name in links}
    return example_config(body | {name: subjects[name] for name in links} | fields | {"links": paths})
