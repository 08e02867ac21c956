"""The hash chain of a ledger: `hash = SHA-256(previous hash, RFC 8785 canonical JSON of the entry)`.

The previous hash comes before the JSON as 64 lower-case hexadecimal digits; 64 zeros before the first entry.
The JSON is the change as it is served, without `seq` (the chain proves the order), `hash`, `redacted`, and `documents` (they follow
from the statements). Each entry has a random `salt`, so that its hash confirms no guess of what it says. A field that `redacted` names
was withheld later, and the salt with it: the entry cannot be hashed again, so take its hash as given; the next hash confirms it. This
module does no I/O, so that anyone can use it to verify a chain.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

import orjson
import rfc8785

from app.access.keys import persons_hash
from app.domain.times import rfc3339
from app.domain.tlp import LABELS, LEVELS, Label
from app.ledger.models import FIRST_RECORDED_AT, RECORD, REFERENCE_TYPES, LedgerEntry
from app.ledger.tree import leaf_hash
from app.reference.rows import visible_record
from app.reports.models import LabelProposal, Report

GENESIS = "0" * 64
# The level from which an entry tells which key recorded it, by a hash.
ACTOR_FROM = LEVELS[Label.AMBER]


def chain_hash(previous: str, canonical: bytes) -> str:
    """Return the hash of an entry from the hash before it and the canonical JSON of the entry."""
    return hashlib.sha256(previous.encode() + canonical).hexdigest()


def canonical_json(body: dict[str, Any]) -> bytes:
    """Return RFC 8785 canonical JSON."""
    encoded = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(body) if _MAY_DIFFER.search(encoded) else encoded


# JSON that orjson may write differently from RFC 8785, or that RFC 8785 forbids: a name beyond ASCII (sorted by UTF-16), a float, a
# long integer. For everything else both produce the same bytes, and orjson is about 30 times faster.
_MAY_DIFFER = re.compile(rb'[\x80-\xff](?:[^"\\\x80-\xff]|\\.)*":|[:\[,]-?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d{16,})[,}\]]')


def statement_body(report: Report, place: str, source: str) -> dict[str, Any]:
    """Return the part of a report that never changes, as JSON: what was sent, and what the service added when it was recorded."""
    return {
        "id": str(report.id),
        "kind": report.kind,
        "place": place,
        "source": source,
        "stated_at": report.stated_text,
        "value": report.value,
        "provenance": {
            "via": report.via,
            "directness": report.directness,
            "relays": str(report.relays) if report.relays else None,
            "origin": report.origin,
            "method": report.method,
            "credibility": report.credibility,
            "published_at": report.published_text,
            **{name: getattr(report, name) for name in ("url", "title", "quote", "language", "licence")},
        },
        "observed_from": report.observed_from,
        "observed_to": report.observed_to,
        "sensitivity": LABELS[report.submitted_level].value,
        "recorded_at": rfc3339(report.recorded_at),
        "recorded_by": report.recorded_by,
        **({} if report.drafted_by is None else {"drafted_by": report.drafted_by}),
    }


def entry_body(entry: LedgerEntry, report: dict[str, Any] | None, source: str | None = None) -> dict[str, Any]:
    """Return an entry in full as JSON.

    `report` is the statement that the entry records, if any; `source` is the slug of the source that it grades.
    """
    return {
        "type": entry.type,
        "salt": entry.salt,
        "report_id": str(entry.report_id) if entry.report_id else None,
        "indicator": str(entry.indicator_id) if entry.indicator_id else None,
        "source": source,
        "report": report,
        "reason": entry.reason,
        "detail": entry.detail,
        "recorded_at": rfc3339(entry.recorded_at),
        "recorded_by": entry.recorded_by,
    }


def proposal_detail(proposal: LabelProposal, hashing_key: bytes) -> dict[str, str]:
    """Return the detail of the entry that records a proposal; the persons behind it are in it as a hash."""
    return {
        "proposal": str(proposal.id),
        "sensitivity": LABELS[proposal.proposed_level].value,
        "before": LABELS[proposal.previous_level].value,
        "persons": persons_hash(proposal.id, proposal.persons, hashing_key),
    }


def pseudonymise(body: dict[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Replace the slugs of protected sources in the body of an entry by their alias slugs."""
    if not aliases:
        return body
    report = body["report"]
    if report is not None:
        via = [aliases.get(slug, slug) for slug in report["provenance"]["via"]]
        source = aliases.get(report["source"], report["source"])
        origin = aliases.get(report["provenance"]["origin"], report["provenance"]["origin"])
        report = {**report, "source": source, "provenance": {**report["provenance"], "via": via, "origin": origin}}
    return {**body, "source": aliases.get(body["source"], body["source"]), "report": report}


def source_slugs(body: dict[str, Any]) -> set[str]:
    """Return the slugs of all sources that the body of an entry names."""
    report = body["report"]
    slugs = {body["source"]} if report is None else {body["source"], *named_sources(report)}
    return slugs - {None}


def named_sources(report: Mapping[str, Any]) -> list[str]:
    """Return the slugs of the sources that a report names: who said it, who relayed it, and on whom the speaker relies."""
    origin = report["provenance"].get("origin")
    return [report["source"], *report["provenance"]["via"], *([origin] if origin else [])]


def without_author(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an entry without who recorded it."""
    return {**body, "recorded_by": ""} | dict.fromkeys({"actor"} & body.keys())


def _redacted_view(body: dict[str, Any]) -> dict[str, Any]:
    detail = body["detail"] or {}
    if body["type"] in REFERENCE_TYPES:
        return {**body, "detail": {**detail, RECORD: visible_record(body["type"], detail[RECORD], 0)}}
    if body["type"] != "label":
        # A correction, for readers who may not know of the report that it supersedes.
        return {**body, "type": "report", "reason": None, "detail": None}
    # An entry from another Lifeline keeps the time of its first recording; otherwise it would be new where it came from.
    kept = {name: detail[name] for name in ("supersedes", FIRST_RECORDED_AT) if name in detail} or None
    if body["report"] is None:
        return without_author({**body, "type": "tombstone", "reason": None, "detail": kept})
    return {
        **body,
        "type": "correction" if "supersedes" in detail else "report",
        "report": {**body["report"], "sensitivity": detail["sensitivity"]},
        "reason": None,
        "detail": kept,
    }


def _actor(entry: LedgerEntry, level: int) -> str:
    return hmac.digest(entry.actor_hash, LABELS[level].value.encode(), "sha256").hex()


def view_for_clearance(entry: LedgerEntry, body: dict[str, Any], level: int, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of an entry as a clearance sees it, which is also what the chain of that clearance hashes.

    `aliases` maps the slugs of the protected sources that the entry names to their alias slugs.
    """
    if level >= ACTOR_FROM:
        body = {**body, "actor": _actor(entry, level)}
    view = _redacted_view(body) if level < entry.redacted_below else body
    return pseudonymise(view, aliases) if level < entry.pseudonymised_below else view


class EntryViews:
    """The canonical JSON of an entry for each clearance; equal views are encoded once."""

    def __init__(self, entry: LedgerEntry, body: dict[str, Any], aliases: Mapping[str, str]) -> None:
        self._entry = entry
        self._body = body
        self._aliases = aliases
        self._encoded: dict[tuple[bool, bool, int], tuple[bytes, bytes]] = {}

    def canonical(self, level: int) -> bytes:
        """Return the canonical JSON for a clearance."""
        return self._encode(level)[0]

    def leaf(self, level: int) -> bytes:
        """Return the leaf of the tree of a clearance."""
        return self._encode(level)[1]

    def _encode(self, level: int) -> tuple[bytes, bytes]:
        view = level < self._entry.redacted_below, level < self._entry.pseudonymised_below, max(level, ACTOR_FROM - 1)
        if view not in self._encoded:
            if level > ACTOR_FROM and (first := self._encoded.get((*view[:2], ACTOR_FROM))) is not None:
                # From there on readers see the same, but for the hash of the actor, with which the JSON begins.
                before, after = (f'{{"actor":"{_actor(self._entry, each)}"'.encode() for each in (ACTOR_FROM, level))
                canonical = after + first[0].removeprefix(before) if first[0].startswith(before) else first[0]
            else:
                canonical = canonical_json(view_for_clearance(self._entry, self._body, level, self._aliases))
            self._encoded[view] = canonical, leaf_hash(canonical)
        return self._encoded[view]
