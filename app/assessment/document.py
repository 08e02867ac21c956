"""The JSON document of an indicator, rendered when a change is written and stored as it is served."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.assessment.envelope import METHOD, Assessment
from app.assessment.statement import Statement
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.reference.records import PlaceRecord, SourceNames


@dataclass(frozen=True, slots=True)
class IndicatorIdentity:
    """An indicator's identity; `filter_key` is the value that lists are filtered by."""

    id: UUID
    kind: str
    subject: str
    filter_key: str
    place: PlaceRecord


def render(subject: IndicatorIdentity, assessment: Assessment, recorded_at: datetime, level: int) -> str:
    """Render the document for a clearance, without `revision`; `recorded_at` is the time of the last change."""
    preferred = assessment.preferred
    path, judgement = f"/v1/indicators/{subject.id}", assessment.judgement
    document: dict[str, Any] = {
        "id": str(subject.id),
        "kind": subject.kind,
        "subject": subject.subject,
        "place": place_brief(subject.place),
        "value": assessment.value,
        "agreement": assessment.agreement,
        "stated_at": None if assessment.stated_at is None else rfc3339(assessment.stated_at),
        "stale_after": None if assessment.stale_after is None else rfc3339(assessment.stale_after),
        "recorded_at": rfc3339(recorded_at),
        "assessment": {
            "method": METHOD,
            "policy": assessment.policy.as_document(),
            "reports": assessment.reports,
            "sources": assessment.sources,
            "origins": assessment.origins,
            "preferred": str(preferred.id) if preferred else None,
            "basis": {name: str(report) for name, report in assessment.basis.items()},
            "spread": assessment.spread,
            "newest_at": assessment.newest_at and rfc3339(assessment.newest_at),
            "newest_sound_at": assessment.newest_sound_at and rfc3339(assessment.newest_sound_at),
        },
        "provenance": _provenance(preferred, level) if preferred else None,
        # Behind the time of the last change, which `app.assessment.steps` finds by what comes first.
        "judgement": judgement
        and judgement.document()
        | {"lapsed": assessment.lapsed, "partial": assessment.partial, "unsupported": judgement.is_unsupported_for(level)},
        "sensitivity": LABELS[max(each.level for each in assessment.standing)].value if assessment.standing else None,
        "redacted": [],
        "links": {"self": path, "history": f"{path}/history", "reports": f"/v1/reports?indicator={subject.id}"},
    }
    return orjson.dumps(document).decode()


def with_revision(document: str, revision: int) -> str:
    """Add the revision: the seq of the last change to the indicator in the ledger of a clearance."""
    return f'{document[:-1]},"revision":{revision}}}'


def place_brief(place: PlaceRecord) -> dict[str, Any]:
    """Return a place as documents show it."""
    return {
        "slug": place.slug,
        "name": place.name,
        "codes": [{"scheme": scheme, "code": code} for scheme, code in place.codes],
        "country": place.country,
    }


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


def _origin(statement: Statement, level: int) -> dict[str, str] | None:
    return None if statement.origin is None else _named(statement.origin.names, level)


def _named(names: SourceNames, level: int) -> dict[str, str]:
    slug, name = names.visible_at(level)
    return {"slug": slug, "name": name}


def _via(statement: Statement, level: int) -> list[dict[str, str]]:
    return [_named(each, level) for each in statement.via]


def _provenance(statement: Statement, level: int) -> dict[str, Any]:
    return {
        "report": str(statement.id),
        "source": _source(statement, level),
        "stated_at": rfc3339(statement.stated_at),
        "via": _via(statement, level),
        "directness": statement.directness,
        "origin": _origin(statement, level),
        **{name: getattr(statement, name) for name in ("method", "credibility", "url", "title", "quote", "language", "licence")},
    }


def render_report(statement: Statement, level: int) -> dict[str, Any]:
    """Return a report behind an assessment, for a clearance."""
    return {
        "id": str(statement.id),
        "source": _source(statement, level),
        "via": _via(statement, level),
        "directness": statement.directness,
        "origin": _origin(statement, level),
        "stated_at": rfc3339(statement.stated_at),
        "recorded_at": rfc3339(statement.recorded_at),
        "value": statement.value.model_dump(mode="json"),
        "method": statement.method,
        "credibility": statement.credibility,
        "sensitivity": LABELS[statement.level].value,
        "links": {"self": f"/v1/reports/{statement.id}"},
    }
