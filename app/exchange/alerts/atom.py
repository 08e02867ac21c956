"""Atom (RFC 4287): a feed of CAP messages, newest first, each entry with a link to its message. No web, no queries."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime

from app.domain.times import rfc3339
from app.exchange.alerts.cap import Message, as_xml, writable

NAMESPACE = "http://www.w3.org/2005/Atom"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def render_feed(messages: Sequence[Message], *, own: str, following: str | None, sender: str) -> bytes:
    """A page of the feed. `own` is its address and `following` that of the next page."""
    ET.register_namespace("", NAMESPACE)
    feed = ET.Element(f"{{{NAMESPACE}}}feed")
    _add(feed, "id", "urn:lifeline:alerts")
    _add(feed, "title", "Lifeline alerts")
    _add(feed, "updated", rfc3339(max((each.sent for each in messages), default=_NEVER)))
    _add(_add(feed, "author"), "name", sender)
    _link(feed, "self", own, "application/atom+xml")
    if following is not None:
        _link(feed, "next", following, "application/atom+xml")
    for message in messages:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:lifeline:alert:{message.identifier}")
        _add(entry, "title", message.headline)
        _add(entry, "updated", rfc3339(message.sent))
        _link(entry, "alternate", f"/v1/alerts/{message.identifier}.cap", "application/cap+xml")
        _add(entry, "category").set("term", message.type)
        _add(entry, "summary", message.note or message.headline)
    return as_xml(feed)


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    child = ET.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    child.text = None if text is None else writable(text)
    return child


def _link(parent: ET.Element, rel: str, href: str, media_type: str) -> None:
    for name, value in (("rel", rel), ("href", href), ("type", media_type)):
        link = parent[-1] if name != "rel" else _add(parent, "link")
        link.set(name, value)
