"""A client of Lifeline's API in Python, for programs that read from it or report to it: `Lifeline`, and `AsyncLifeline` for asyncio.

Both have the same calls. What is read are records whose fields are attributes; fields that this version does not know are kept
and do not harm. Requests are tried again after broken connections, 429 and 503, with pauses that grow; a POST carries an
`Idempotency-Key`, so that it is done once. What was read before is asked for again with its `ETag`. An error that the service
answers is a `LifelineError`.

    with Lifeline("http://localhost:8000") as lifeline:
        for indicator in lifeline.indicators(kind="supply_runout", country="SYR"):
            print(indicator.place.name, indicator.value, indicator.agreement)
"""

from app.client.asynchronous import AsyncLifeline
from app.client.blocking import Lifeline
from app.client.records import (
    Change,
    FieldError,
    Indicator,
    LifelineError,
    Outcome,
    Page,
    Place,
    PlaceName,
    Record,
    Report,
    Route,
    Source,
)

__all__ = [
    "AsyncLifeline",
    "Change",
    "FieldError",
    "Indicator",
    "Lifeline",
    "LifelineError",
    "Outcome",
    "Page",
    "Place",
    "PlaceName",
    "Record",
    "Report",
    "Route",
    "Source",
]
