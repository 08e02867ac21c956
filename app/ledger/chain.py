"""The hash chain of a ledger: `hash = SHA-256(previous hash, RFC 8785 canonical JSON of the entry)`.

The previous hash stands before the entry as 64 lower-case hexadecimal digits; before the first entry it is 64 zeros.
The entry is the change as served, without its position (`seq`), its hash and the indicator's document: the position is
proved by the chain itself, the document follows from the statements. No I/O here, so that anyone can recompute it.
"""

import hashlib
from typing import Any

import rfc8785

from app.labels import LABELS
from app.ledger.models import Change, Report
from app.times import rfc3339

GENESIS = "0" * 64


def link(previous: str, canonical: bytes) -> str:
    """The hash of an entry, given the hash before it and the entry's canonical JSON."""
    return hashlib.sha256(previous.encode() + canonical).hexdigest()


def canonical(entry: dict[str, Any]) -> bytes:
    """RFC 8785 canonical JSON."""
    return rfc8785.dumps(entry)


def statement(report: Report, place: str, source: str) -> dict[str, Any]:
    """A report as sent, with what the service added on the way in: the part of it that never moves."""
    return {
        "id": str(report.id),
        "kind": report.kind,
        "place": place,
        "source": source,
        "stated_at": report.stated_text,
        "value": report.value,
        "provenance": {
            "via": report.via,
            "method": report.method,
            "credibility": report.credibility,
            "published_at": report.published_text,
            "url": report.url,
            "title": report.title,
            "quote": report.quote,
            "language": report.language,
            "licence": report.licence,
        },
        "observed_from": report.observed_from,
        "observed_to": report.observed_to,
        "sensitivity": LABELS[report.level_sent].value,
        "recorded_at": rfc3339(report.recorded_at),
        "recorded_by": report.recorded_by,
    }


def entry(change: Change, report: dict[str, Any] | None, source: str | None = None) -> dict[str, Any]:
    """A change as it is hashed, for the clearances that see it as what it is.

    `report` is the statement that it brought, where it brought one; `source` the slug of the source that it regraded.
    """
    return {
        "type": change.type,
        "report_id": str(change.report_id) if change.report_id else None,
        "indicator": str(change.indicator_id) if change.indicator_id else None,
        "source": source,
        "report": report,
        "reason": change.reason,
        "detail": change.detail,
        "recorded_at": rfc3339(change.recorded_at),
        "recorded_by": change.recorded_by,
    }


def plain(entry: dict[str, Any]) -> dict[str, Any]:
    """A correction as those see it who may not know of what it supersedes: a plain report."""
    return {**entry, "type": "report", "reason": None, "detail": None}


class Faces:
    """The canonical JSON of an entry as each clearance sees it; each face is made once."""

    def __init__(self, entry: dict[str, Any], plain_below: int) -> None:
        self._entry = entry
        self._plain_below = plain_below
        self._made: dict[bool, bytes] = {}

    def canonical(self, level: int) -> bytes:
        """The entry's canonical JSON for a clearance."""
        as_plain = level < self._plain_below
        if as_plain not in self._made:
            self._made[as_plain] = canonical(plain(self._entry) if as_plain else self._entry)
        return self._made[as_plain]
