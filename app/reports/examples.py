"""Examples of requests about reports, for the OpenAPI document."""

from typing import Any

from app.domain.kinds import KINDS

REPORTS: dict[str, dict[str, Any]] = {
    kind.title: {
        "kind": kind.name,
        "place": "aleppo-east",
        "source": "un-envoy-syria",
        "stated_at": "2016-07-28",
        "value": kind.example,
        "provenance": {
            "via": ["news-agency"],
            "directness": "quoted",
            "method": "expert_estimate",
            "credibility": 2,
            "published_at": "2016-07-29",
        },
        "sensitivity": "clear",
    }
    for kind in KINDS.values()
}
