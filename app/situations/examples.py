"""Examples of responses for the OpenAPI document, built from the examples of the kinds."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.view import View
from app.indicators.examples import PLACE, listed_example
from app.situations.service import build_situation

_AT = datetime(2016, 8, 5, 23, 59, 59, 999999, tzinfo=UTC)
_INDICATORS = [(kind, listed_example(kind)) for kind in KINDS.values()]
_HORIZONS = {name: timedelta(days=kind.horizon_days) for name, kind in KINDS.items()}

SITUATION = build_situation(PLACE, [document for _, document in _INDICATORS], View(0, TimePoint(_AT), _HORIZONS))
WARNING: dict[str, Any] = next(
    {"due": due.isoformat(), "days_left": (due - _AT.date()).days, "past_due": due < _AT.date(), "indicator": document}
    for kind, document in _INDICATORS
    if (due := kind.due_date(document["value"])) is not None
)
TRACK_RECORD: dict[str, Any] = {
    "source": "un-envoy-syria",
    "as_of": "2016-12-31T23:59:59.999999Z",
    "fell_due": 1,
    "materialised": 1,
    "averted": 0,
    "overtaken": 0,
    "unknown": 0,
    "pending": 0,
    "days_off": {"median": 2.0, "earliest": 2, "latest": 2},
    "items": [
        {
            "report": "01900000-0000-7000-8004-000000000014",
            "indicator": WARNING["indicator"]["id"],
            "runs_out_earliest": "2016-08-11",
            "runs_out_latest": "2016-08-18",
            "outcome": "materialised",
            "fact": "2016-08-20",
            "days_off": 2,
        }
    ],
}
