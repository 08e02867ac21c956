"""A change as a CloudEvent (CloudEvents 1.0, structured JSON), the body of a delivery."""

from uuid import UUID

import orjson

from app.changes.queries import CHANGE_CURSORS, ServedChange
from app.domain.tlp import LEVELS, Label

MEDIA_TYPE = "application/cloudevents+json"
SOURCE = "/v1/changes"
EVENT_TYPES = {
    "report": "org.lifeline.report.recorded.v1",
    "correction": "org.lifeline.report.corrected.v1",
    "retraction": "org.lifeline.report.retracted.v1",
    "reinstatement": "org.lifeline.report.reinstated.v1",
    "outcome": "org.lifeline.indicator.outcome.v1",
    "judgement": "org.lifeline.judgement.recorded.v1",
    "judgement_retraction": "org.lifeline.judgement.retracted.v1",
    "grade": "org.lifeline.source.graded.v1",
}
# Data of higher labels leaves only on request with a key: such a delivery is a reference, a link to the change.
MAX_DOCUMENT_LEVEL = LEVELS[Label.GREEN]


def event_type(change_type: str) -> str:
    """Return the CloudEvents type of a type of change."""
    return EVENT_TYPES.get(change_type, f"org.lifeline.{change_type}.recorded.v1")


def build_event(delivery: UUID, served: ServedChange, *, reference_only: bool, reader_level: int) -> str:
    """Render a change as an event; `data` is the change as in `/v1/changes` and a link to it, or only its seq, its type and the link."""
    links = {"change": f"/v1/changes?after={CHANGE_CURSORS[reader_level].encode(served.seq - 1, served.seq - 1)}&limit=1"}
    reference = {"seq": served.seq, "type": served.type, "links": links}
    event = {
        "specversion": "1.0",
        "id": str(delivery),
        "source": SOURCE,
        "type": event_type(served.type),
        "time": served.recorded_at,
        "datacontenttype": "application/json",
        "data": reference if reference_only else orjson.Fragment(f'{served.json[:-1]},"links":{orjson.dumps(links).decode()}}}'),
    }
    return orjson.dumps(event).decode()
