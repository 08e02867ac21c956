"""Atom (RFC 4287): render a feed of CAP messages, each entry with the absolute address of its message as identifier and link.

Aggregators fetch either of the two, and many have no base address to complete a relative one.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from app.domain.times import rfc3339
from app.exchange.alerts.cap import Message, add_element, xml_document

NAMESPACE = "http://www.w3.org/2005/Atom"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render_feed(messages: Sequence[Message], *, url: str, query: str, next_url: str | None, sender: str, lang: str | None = None) -> bytes:
    """Render a page of the feed at an absolute address, newest message first; `query` selected the page, `lang` chose the names."""
    ET.register_namespace("", NAMESPACE)
    feed = ET.Element(f"{{{NAMESPACE}}}feed")
    add_element(feed, "id", url)
    add_element(feed, "title", "Lifeline alerts")
    add_element(feed, "updated", rfc3339(max((each.sent for each in messages), default=_EPOCH)))
    add_element(add_element(feed, "author"), "name", sender)
    _link(feed, "self", f"{url}?{query}".rstrip("?"), "application/atom+xml")
    if next_url is not None:
        _link(feed, "next", next_url, "application/atom+xml")
    for message in messages:
        entry = add_element(feed, "entry")
        message_url = f"{url}/{message.identifier}.cap"
        add_element(entry, "id", message_url)
        add_element(entry, "title", message.headline)
        add_element(entry, "updated", rfc3339(message.sent))
        _link(entry, "alternate", message_url if lang is None else f"{message_url}?{urlencode({'lang': lang})}", "application/cap+xml")
        add_element(entry, "category").set("term", message.type)
        add_element(entry, "summary", message.note or message.headline)
    return xml_document(feed)


def _link(parent: ET.Element, rel: str, href: str, media_type: str) -> None:
    add_element(parent, "link").attrib.update(rel=rel, href=href, type=media_type)
