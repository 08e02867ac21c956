"""Common Alerting Protocol 1.2 (OASIS, 2010): render one message for each statement that its kind declares as an alert.

A report is an Alert, a correction an Update, a retraction a Cancel, a reinstatement an Alert again; a report that ended earlier ones is
an Update of these, a Cancel if it calls for no alert. To readers who see a report by its lowered label, it is sent then; those who do
not see it any more, because its label was raised, get a Cancel without content.
A message is Actual if the assessment confirmed its report
(`app.assessment.alerts`) and its credibility is not 6 (cannot be judged), else a Draft; labels other than `clear` make it Restricted.
Severity is Unknown, because no statement gives one; certainty follows from the credibility. As the standard demands, UTC is written
-00:00 and a position has its latitude first.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Literal

from app.domain.kinds.showing import Alert
from app.domain.tlp import Label
from app.exchange.exports.rendering import Geometry
from app.reference.records import PlaceRecord, SourceRecord

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_CERTAINTY = {1: "Observed", 2: "Likely", 3: "Possible", 4: "Unlikely", 5: "Unlikely", 6: "Unknown"}
# Characters that XML 1.0 excludes.
_INVALID_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class AlertStatement:
    """The statement of a message; `expires` is when it becomes stale, but not before the last day that it warns of is over."""

    kind: str
    indicator: str
    alert: Alert
    value: dict[str, Any]
    stated_at: datetime
    expires: datetime
    credibility: int
    quote: str | None
    url: str | None
    source: SourceRecord
    place: PlaceRecord
    geometry: Geometry | None


@dataclass(frozen=True, slots=True)
class Message:
    """A CAP message; `references` has the identifier and time of each message that it updates or cancels.

    `statement` is None if a correction calls for no alert. `confirmed` is what the assessment made of its report.
    """

    identifier: str
    type: Literal["Alert", "Update", "Cancel"]
    sent: datetime
    label: Label
    note: str | None
    references: Sequence[tuple[str, datetime]]
    statement: AlertStatement | None
    judged: bool
    confirmed: bool

    @property
    def headline(self) -> str:
        """Return the event and the place."""
        if self.statement is None:
            return "Withdrawn"
        headline = f"{self.statement.alert.event}, {self.statement.place.name}"
        if self.type == "Cancel":
            return f"Withdrawn: {headline}"
        return headline if self.confirmed else f"Unconfirmed: {headline}"


def cap_time(time_: datetime) -> str:
    """Format a time for CAP 1.2: whole seconds, UTC as -00:00."""
    return time_.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S-00:00")


def render(message: Message, sender: str) -> bytes:
    """Render a message as a CAP 1.2 document."""
    ET.register_namespace("", NAMESPACE)
    root = ET.Element(f"{{{NAMESPACE}}}alert")
    public = message.label is Label.CLEAR
    add_element(root, "identifier", message.identifier)
    add_element(root, "sender", sender)
    add_element(root, "sent", cap_time(message.sent))
    add_element(root, "status", "Actual" if message.judged and message.confirmed else "Draft")
    add_element(root, "msgType", message.type)
    add_element(root, "scope", "Public" if public else "Restricted")
    if not public:
        add_element(root, "restriction", f"TLP:{message.label.replace('_', '+').upper()}")
    if message.note is not None:
        add_element(root, "note", message.note)
    if message.references:
        add_element(root, "references", " ".join(f"{sender},{each},{cap_time(sent)}" for each, sent in message.references))
    if message.statement is not None:
        _add_info(root, message, message.statement)
    return xml_document(root)


def xml_document(root: ET.Element) -> bytes:
    """Serialise an XML document in UTF-8."""
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def add_element(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    """Append an element in the namespace of its parent; characters that XML excludes become U+FFFD."""
    child = ET.SubElement(parent, f"{parent.tag.partition('}')[0]}}}{name}")
    child.text = _INVALID_XML.sub("\ufffd", text)
    return child


def _add_info(root: ET.Element, message: Message, statement: AlertStatement) -> None:
    info = add_element(root, "info")
    add_element(info, "language", "en")
    for category in statement.alert.categories:
        add_element(info, "category", category)
    add_element(info, "event", statement.alert.event)
    # To withdraw a report recommends nothing: what it denied may stand again.
    if message.type != "Cancel":
        add_element(info, "responseType", statement.alert.response)
    add_element(info, "urgency", statement.alert.urgency)
    add_element(info, "severity", "Unknown")
    add_element(info, "certainty", _CERTAINTY[statement.credibility])
    add_element(info, "effective", cap_time(statement.stated_at))
    if statement.alert.onset is not None:
        add_element(info, "onset", cap_time(datetime.combine(statement.alert.onset, time.min, UTC)))
    add_element(info, "expires", cap_time(statement.expires))
    add_element(info, "senderName", statement.source.name)
    add_element(info, "headline", message.headline)
    add_element(info, "description", _description(statement))
    if statement.url is not None:
        add_element(info, "web", statement.url)
    for name, value in _parameters(message, statement):
        parameter = add_element(info, "parameter")
        add_element(parameter, "valueName", name)
        add_element(parameter, "value", value)
    area = add_element(info, "area")
    add_element(area, "areaDesc", statement.place.name)
    for ring in _rings(statement.geometry):
        add_element(area, "polygon", " ".join(f"{position[1]},{position[0]}" for position in ring))
    if statement.geometry is not None and statement.geometry["type"] == "Point":
        longitude, latitude = statement.geometry["coordinates"][:2]
        add_element(area, "circle", f"{latitude},{longitude} 0")
    for scheme, code in statement.place.codes:
        geocode = add_element(area, "geocode")
        add_element(geocode, "valueName", "P-CODE" if scheme == "pcode" else scheme.upper())
        add_element(geocode, "value", code)


def _description(statement: AlertStatement) -> str:
    fields = "; ".join(f"{name.replace('_', ' ')}: {_format_value(value)}" for name, value in _stated_fields(statement.value))
    description = f"{statement.source.name}, {statement.stated_at.date().isoformat()}: {fields}."
    return f"{description}\n{statement.quote}" if statement.quote else description


def _stated_fields(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, each) for name, each in value.items() if each is not None)


def _format_value(value: Any) -> str:
    return " ".join(value) or "none" if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


def _parameters(message: Message, statement: AlertStatement) -> Iterator[tuple[str, str]]:
    yield "lifeline:indicator", statement.indicator
    yield "lifeline:kind", statement.kind
    yield "lifeline:source", statement.source.slug
    yield "lifeline:credibility", str(statement.credibility)
    yield "lifeline:tlp", message.label.value
    for name, value in _stated_fields(statement.value):
        yield f"lifeline:value.{name}", _format_value(value)


def _rings(geometry: Geometry | None) -> Iterable[list[list[float]]]:
    """Return the outer rings of all polygons; CAP has no holes."""
    if geometry is None:
        return []
    if geometry["type"] == "GeometryCollection":
        return [ring for each in geometry["geometries"] for ring in _rings(each)]
    if geometry["type"] == "Polygon":
        return [geometry["coordinates"][0]]
    if geometry["type"] == "MultiPolygon":
        return [polygon[0] for polygon in geometry["coordinates"]]
    return []
