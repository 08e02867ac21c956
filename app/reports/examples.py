"""Examples of requests about reports, for the OpenAPI document."""

from typing import Any

from app.domain.kinds import KINDS

_REPORT = "01900000-0000-7000-8004-000000000014"

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
