"""Atom (RFC 4287): render a feed of CAP messages, each entry with a link to its message."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime

from app.domain.times import rfc3339
from app.exchange.alerts.cap import Message, xml_document, xml_text

NAMESPACE = "http://www.w3.org/2005/Atom"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render_feed(messages: Sequence[Message], *, url: str, next_url: str | None, sender: str) -> bytes:
    """Render a page of the feed, newest message first."""
    ET.register_namespace("", NAMESPACE)
    feed = ET.Element(f"{{{NAMESPACE}}}feed")
    _add(feed, "id", "urn:lifeline:alerts")
    _add(feed, "title", "Lifeline alerts")
    _add(feed, "updated", rfc3339(max((each.sent for each in messages), default=_EPOCH)))
    _add(_add(feed, "author"), "name", sender)
    _link(feed, "self", url, "application/atom+xml")
    if next_url is not None:
        _link(feed, "next", next_url, "application/atom+xml")
    for message in messages:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:lifeline:alert:{message.identifier}")
        _add(entry, "title", message.headline)
        _add(entry, "updated", rfc3339(message.sent))
        _link(entry, "alternate", f"/v1/alerts/{message.identifier}.cap", "application/cap+xml")
        _add(entry, "category").set("term", message.type)
        _add(entry, "summary", message.note or message.headline)
    return xml_document(feed)


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    child = ET.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    child.text = None if text is None else xml_text(text)
    return child


def _link(parent: ET.Element, rel: str, href: str, media_type: str) -> None:
    ET.SubElement(parent, f"{{{NAMESPACE}}}link", {"rel": rel, "href": href, "type": media_type})
