"""The hash chain of a ledger: `hash = SHA-256(previous hash, RFC 8785 canonical JSON of the entry)`.

The previous hash stands before the entry as 64 lower-case hexadecimal digits; before the first entry it is 64 zeros.
The entry is the change as served, without its position (`seq`), its hash, `redacted` and the indicators' documents: the position
is proved by the chain itself, the documents follow from the statements. What was withheld after it was written (`redacted` names
it) cannot be recomputed; the hash of such an entry is taken as given, and the one after it proves that. No I/O here, so that
anyone can recompute it.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson
import rfc8785

from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.ledger.models import LedgerEntry
from app.reports.models import Report

GENESIS = "0" * 64


def chain_hash(previous: str, canonical: bytes) -> str:
    """The hash of an entry, given the hash before it and the entry's canonical JSON."""
    return hashlib.sha256(previous.encode() + canonical).hexdigest()


def canonical_json(entry: dict[str, Any]) -> bytes:
    """RFC 8785 canonical JSON."""
    written = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(entry) if _MAY_DIFFER.search(written) else written


# Where orjson may differ from RFC 8785, or that has to refuse: a name beyond ASCII (sorted by UTF-16), a float, a long integer.
# All else the two write alike, and orjson thirty times as fast.
_MAY_DIFFER = re.compile(rb'[\x80-\xff](?:[^"\\\x80-\xff]|\\.)*":|[:\[,]-?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d{16,})[,}\]]')


def statement_body(report: Report, place: str, source: str) -> dict[str, Any]:
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
        "sensitivity": LABELS[report.submitted_level].value,
        "recorded_at": rfc3339(report.recorded_at),
        "recorded_by": report.recorded_by,
    }


def entry_body(change: LedgerEntry, report: dict[str, Any] | None, source: str | None = None) -> dict[str, Any]:
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


def pseudonymise(entry: dict[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """An entry with protected sources under the slugs of their aliases, given by their own slugs."""
    if not aliases:
        return entry
    report = entry["report"]
    if report is not None:
        via = [aliases.get(each, each) for each in report["provenance"]["via"]]
        source = aliases.get(report["source"], report["source"])
        report = {**report, "source": source, "provenance": {**report["provenance"], "via": via}}
    return {**entry, "source": aliases.get(entry["source"], entry["source"]), "report": report}


def source_slugs(entry: dict[str, Any]) -> set[str]:
    """The slugs of all sources that an entry names."""
    report = entry["report"]
    slugs = {report["source"], *report["provenance"]["via"]} if report is not None else set()
    return slugs if entry["source"] is None else slugs | {entry["source"]}


def _redacted_view(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as those see it who are below its `plain_below`."""
    detail = entry["detail"] or {}
    if entry["type"] != "label":
        # A correction, for those who may not know of what it supersedes.
        return {**entry, "type": "report", "reason": None, "detail": None}
    if entry["report"] is None:
        return {**entry, "type": "tombstone", "reason": None, "detail": None, "recorded_by": ""}
    supersedes = detail.get("supersedes")
    return {
        **entry,
        "type": "correction" if supersedes else "report",
        "report": {**entry["report"], "sensitivity": detail["sensitivity"]},
        "reason": None,
        "detail": {"supersedes": supersedes} if supersedes else None,
    }


def view_for_clearance(change: LedgerEntry, entry: dict[str, Any], level: int, aliases: Mapping[str, str]) -> dict[str, Any]:
    """An entry as a clearance sees it, and as it is hashed in that clearance's chain.

    `aliases` has the slugs under which protected sources show that it names, by their own slugs.
    """
    seen = _redacted_view(entry) if level < change.redacted_below else entry
    return pseudonymise(seen, aliases) if level < change.pseudonymised_below else seen


class EntryViews:
    """The canonical JSON of an entry as each clearance sees it; each face is made once."""

    def __init__(self, change: LedgerEntry, entry: dict[str, Any], aliases: Mapping[str, str]) -> None:
        self._change = change
        self._entry = entry
        self._aliases = aliases
        self._made: dict[tuple[bool, bool], bytes] = {}

    def canonical(self, level: int) -> bytes:
        """The entry's canonical JSON for a clearance."""
        which = level < self._change.redacted_below, level < self._change.pseudonymised_below
        if which not in self._made:
            self._made[which] = canonical_json(view_for_clearance(self._change, self._entry, level, self._aliases))
        return self._made[which]
