"""Common Alerting Protocol 1.2 (OASIS, 2010): one message for each statement that a kind reads as an alert. No web, no queries.

A report is an Alert, a correction an Update that refers to the message before it, a retraction a Cancel. What nobody has judged
(credibility 6) is a Draft, the rest Actual; what is not labelled `clear` is Restricted and says its label. Severity is Unknown,
since no statement gives one; certainty follows from the credibility (1 Observed, 2 Likely, 3 Possible, 4 and 5 Unlikely, 6
Unknown). Times are UTC written -00:00, positions latitude first, as the standard wants them.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from app.domain.kinds.base import Alert
from app.domain.tlp import Label
from app.exchange.exports.rendering import Geometry
from app.reference.facts import PlaceFacts, SourceFacts

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_CERTAINTY = {1: "Observed", 2: "Likely", 3: "Possible", 4: "Unlikely", 5: "Unlikely", 6: "Unknown"}
# What XML 1.0 cannot hold.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a message tells of the statement that it is about."""

    kind: str
    indicator: str
    alert: Alert
    value: dict[str, Any]
    stated_at: datetime
    expires: datetime
    credibility: int
    quote: str | None
    url: str | None
    source: SourceFacts
    place: PlaceFacts
    geometry: Geometry | None


@dataclass(frozen=True, slots=True)
class Message:
    """One CAP message. `refers_to` are identifier and time of the message that it updates or cancels.

    `about` is None where a correction made something else of the statement, for which there is no alert.
    """

    identifier: str
    type: Literal["Alert", "Update", "Cancel"]
    sent: datetime
    label: Label
    note: str | None
    refers_to: tuple[str, datetime] | None
    about: Statement | None
    judged: bool

    @property
    def headline(self) -> str:
        """The event and the place, in one line."""
        if self.about is None:
            return "Withdrawn"
        said = f"{self.about.alert.event}, {self.about.place.name}"
        return f"Withdrawn: {said}" if self.type == "Cancel" else said


def cap_time(moment: datetime) -> str:
    """A time as CAP 1.2 writes it: whole seconds, and UTC as -00:00."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S-00:00")


def cap_day(day: date) -> str:
    """The first moment of a day."""
    return cap_time(datetime.combine(day, time.min, UTC))


def writable(text: str) -> str:
    """The text without what XML cannot hold."""
    return _UNWRITABLE.sub("\ufffd", text)


def render(message: Message, sender: str) -> bytes:
    """The message as a CAP 1.2 document."""
    ET.register_namespace("", NAMESPACE)
    root = ET.Element(f"{{{NAMESPACE}}}alert")
    public = message.label is Label.CLEAR
    _add(root, "identifier", message.identifier)
    _add(root, "sender", sender)
    _add(root, "sent", cap_time(message.sent))
    _add(root, "status", "Actual" if message.judged else "Draft")
    _add(root, "msgType", message.type)
    _add(root, "scope", "Public" if public else "Restricted")
    if not public:
        _add(root, "restriction", f"TLP:{message.label.replace('_', '+').upper()}")
    if message.note is not None:
        _add(root, "note", message.note)
    if message.refers_to is not None:
        identifier, sent = message.refers_to
        _add(root, "references", f"{sender},{identifier},{cap_time(sent)}")
    if message.about is not None:
        _info(root, message, message.about)
    return as_xml(root)


def as_xml(root: ET.Element) -> bytes:
    """An XML document in UTF-8."""
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{NAMESPACE}}}{name}").text = writable(text)


def _info(root: ET.Element, message: Message, about: Statement) -> None:
    info = ET.SubElement(root, f"{{{NAMESPACE}}}info")
    _add(info, "language", "en")
    for category in about.alert.categories:
        _add(info, "category", category)
    _add(info, "event", about.alert.event)
    _add(info, "responseType", about.alert.response)
    _add(info, "urgency", about.alert.urgency)
    _add(info, "severity", "Unknown")
    _add(info, "certainty", _CERTAINTY[about.credibility])
    _add(info, "effective", cap_time(about.stated_at))
    if about.alert.onset is not None:
        _add(info, "onset", cap_day(about.alert.onset))
    _add(info, "expires", cap_time(about.expires))
    _add(info, "senderName", about.source.name)
    _add(info, "headline", message.headline)
    _add(info, "description", _description(about))
    if about.url is not None:
        _add(info, "web", about.url)
    for name, value in _parameters(message, about):
        parameter = ET.SubElement(info, f"{{{NAMESPACE}}}parameter")
        _add(parameter, "valueName", name)
        _add(parameter, "value", value)
    area = ET.SubElement(info, f"{{{NAMESPACE}}}area")
    _add(area, "areaDesc", about.place.name)
    for ring in _rings(about.geometry):
        _add(area, "polygon", " ".join(f"{position[1]},{position[0]}" for position in ring))
    if about.geometry is not None and about.geometry["type"] == "Point":
        longitude, latitude = about.geometry["coordinates"][:2]
        _add(area, "circle", f"{latitude},{longitude} 0")
    for scheme, code in about.place.codes:
        geocode = ET.SubElement(area, f"{{{NAMESPACE}}}geocode")
        _add(geocode, "valueName", "P-CODE" if scheme == "pcode" else scheme.upper())
        _add(geocode, "value", code)


def _description(about: Statement) -> str:
    said = "; ".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in _given(about.value))
    words = f"{about.source.name}, {about.stated_at.date().isoformat()}: {said}."
    return f"{words}\n{about.quote}" if about.quote else words


def _given(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, each) for name, each in value.items() if each is not None and each != [])


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


def _parameters(message: Message, about: Statement) -> Iterator[tuple[str, str]]:
    yield "lifeline:indicator", about.indicator
    yield "lifeline:kind", about.kind
    yield "lifeline:source", about.source.slug
    yield "lifeline:credibility", str(about.credibility)
    yield "lifeline:tlp", message.label.value
    for name, value in _given(about.value):
        yield f"lifeline:value.{name}", _text(value)


def _rings(geometry: Geometry | None) -> Iterable[list[list[float]]]:
    """The outer rings of polygons; CAP has no holes."""
    if geometry is None:
        return []
    if geometry["type"] == "GeometryCollection":
        return [ring for each in geometry["geometries"] for ring in _rings(each)]
    polygons: list[Any] = []
    if geometry["type"] == "Polygon":
        polygons = [geometry["coordinates"]]
    elif geometry["type"] == "MultiPolygon":
        polygons = geometry["coordinates"]
    return [polygon[0] for polygon in polygons]
