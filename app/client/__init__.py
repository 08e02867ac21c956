"""Python client of Lifeline's API: `Lifeline`, and `AsyncLifeline` with the same methods for asyncio.

with Lifeline("http://localhost:8000") as lifeline:
    for indicator in lifeline.indicators(kind="supply_runout", country="SYR"):
        print(indicator.place.name, indicator.value, indicator.agreement)
"""

from .asynchronous import AsyncLifeline
from .blocking import Lifeline
from .records import (
    Assessment,
    Brief,
    Change,
    Check,
    Digest,
    DigestItem,
    Draft,
    FieldError,
    Indicator,
    Judgement,
    LifelineError,
    Page,
    Place,
    PlaceName,
    Reason,
    Record,
    Report,
    ReportResult,
    Route,
    Situation,
    Source,
)

__all__ = [
    "Assessment",
    "AsyncLifeline",
    "Brief",
    "Change",
    "Check",
    "Digest",
    "DigestItem",
    "Draft",
    "FieldError",
    "Indicator",
    "Judgement",
    "Lifeline",
    "LifelineError",
    "Page",
    "Place",
    "PlaceName",
    "Reason",
    "Record",
    "Report",
    "ReportResult",
    "Route",
    "Situation",
    "Source",
]
