"""The indicator as served: rendered once, when somebody has spoken, into the JSON that is kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.assessment.envelope import METHOD, Assessment
from app.assessment.statement import Statement
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.reference.records import PlaceRecord


@dataclass(frozen=True, slots=True)
class Subject:
    """What an indicator is about."""

    id: UUID
    kind: str
    subject: str
    place: PlaceRecord


def render(about: Subject, reading: Assessment, recorded_at: datetime, level: int) -> str:
    """The document without `revision`, which each clearance counts for itself; `with_revision` puts it in.

    `recorded_at` is when the last change to the indicator was recorded. `level` is the clearance that it is for: below `amber`
    protected sources show under their alias.
    """
    preferred = reading.preferred
    at = f"/v1/indicators/{about.id}"
    document: dict[str, Any] = {
        "id": str(about.id),
        "kind": about.kind,
        "subject": about.subject,
        "place": {
            "slug": about.place.slug,
            "name": about.place.name,
            "codes": [{"scheme": scheme, "code": code} for scheme, code in about.place.codes],
            "country": about.place.country,
        },
        "value": reading.value,
        "agreement": reading.agreement,
        "stated_at": _time(reading.stated_at),
        "stale_after": _time(reading.stale_after),
        "recorded_at": rfc3339(recorded_at),
        "assessment": {
            "method": METHOD,
            "reports": len(reading.standing),
            "sources": reading.sources,
            "preferred": str(preferred.id) if preferred else None,
        },
        "provenance": _provenance(preferred, level) if preferred else None,
        "sensitivity": LABELS[max(each.statement.level for each in reading.standing)].value if reading.standing else None,
        "redacted": [],
        "links": {"self": at, "history": f"{at}/history", "reports": f"/v1/reports?indicator={about.id}"},
    }
    return orjson.dumps(document).decode()


def with_revision(document: str, revision: int) -> str:
    """The document as a clearance sees it; `revision` is the seq of the last change to it in that clearance's ledger."""
    return f'{document[:-1]},"revision":{revision}}}'


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _source(statement: Statement, level: int) -> dict[str, Any]:
    source = statement.source
    slug, name = source.names.visible_at(level)
    return {
        "slug": slug,
        "name": name,
        "type": source.type,
        "reliability": source.reliability,
        "party_to_conflict": source.party_to_conflict,
    }


def _via(statement: Statement, level: int) -> list[dict[str, str]]:
    return [{"slug": slug, "name": name} for slug, name in (each.visible_at(level) for each in statement.via)]


def _provenance(statement: Statement, level: int) -> dict[str, Any]:
    return {
        "report": str(statement.id),
        "source": _source(statement, level),
        "stated_at": rfc3339(statement.stated_at),
        "via": _via(statement, level),
        "method": statement.method,
        "credibility": statement.credibility,
        "url": statement.url,
        "title": statement.title,
        "quote": statement.quote,
        "language": statement.language,
        "licence": statement.licence,
    }


def render_report(statement: Statement, level: int) -> dict[str, Any]:
    """A report as it stands in the list of those behind a reading, for a clearance."""
    return {
        "id": str(statement.id),
        "source": _source(statement, level),
        "via": _via(statement, level),
        "stated_at": rfc3339(statement.stated_at),
        "recorded_at": rfc3339(statement.recorded_at),
        "value": statement.value.model_dump(mode="json"),
        "method": statement.method,
        "credibility": statement.credibility,
        "sensitivity": LABELS[statement.level].value,
        "links": {"self": f"/v1/reports/{statement.id}"},
    }
