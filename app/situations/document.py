"""The document of a situation, made from those of indicators. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.assessment.document import place_brief
from app.domain.kinds import KINDS
from app.domain.times import day_of, rfc3339, start_of
from app.domain.view import View
from app.reference.records import PlaceRecord
from app.situations.urgency import Level, urgency

Document = dict[str, Any]


def build_situation(
    place: PlaceRecord,
    documents: Sequence[Document],
    view: View,
    times: Mapping[str, str],
    *,
    own: Sequence[Document] | None = None,
    children_level: Level | None = None,
) -> dict[str, Any]:
    """Build a situation from the documents of indicators. Pure.

    The level is that of the place's `own` documents, by default of all; `children_level` is the worst of the places below it. `times`
    are those of the reports that figures come from.
    """
    by_kind: dict[str, list[Document]] = {}
    unknown: dict[str, list[str]] = {}
    for document in documents:
        if document["provenance"] is not None:
            by_kind.setdefault(document["kind"], []).append(document)
        elif document["assessment"]["newest_at"] is not None:
            unknown.setdefault(document["kind"], []).append(document["subject"])
    assessed = [each for every in by_kind.values() for each in every]
    groups: dict[str, Any] = {}
    other: list[dict[str, Any]] = []
    for kind in KINDS.values():
        summaries = [(kind.summary(each["value"], view.at), each) for each in by_kind.get(kind.name, [])]
        summaries.sort(key=lambda pair: kind.sort_key(pair[0], pair[1]["place"]["slug"]))
        if kind.situation_group == "other":
            other += ({"kind": kind.name, "subject": each["subject"], "value": own} | _common(each, view.at) for own, each in summaries)
        else:
            groups |= kind.situation_fields([own | _common(each, view.at) for own, each in summaries], unknown.get(kind.name, []))
    _add_outdated(groups, by_kind)
    newest = max((each["assessment"]["newest_at"] for each in assessed), key=start_of, default=None)
    of_place = documents if own is None else own
    found = urgency(of_place, view.at, times)
    values = {
        kind: [each["value"] for each in of_place if each["kind"] == name and each["provenance"] is not None]
        for name, kind in KINDS.items()
    }
    return {
        "place": place_brief(place),
        "as_of": rfc3339(view.at),
        "level": found.level,
        "because": found.because,
        "set_aside": found.set_aside,
        "silent_days": found.silent_days,
        "dormant": found.dormant,
        "children_level": children_level,
        **groups,
        "other": other,
        "facts": {kind.name: facts for kind, some in values.items() if some and (facts := kind.place_facts(some, view.at))},
        "contested": [each["links"]["self"] for each in assessed if each["agreement"] == "contested"],
        "newest_statement": newest,
        "links": {"self": f"/v1/situations/{place.slug}", "indicators": f"/v1/indicators?place={place.slug}"},
    }


def _add_outdated(groups: dict[str, Any], by_kind: Mapping[str, Sequence[Document]]) -> None:
    """Name beside each figure what happened in its place after it was stated, of the kinds that outdate its group."""
    outdating = [kind for kind in KINDS.values() if kind.outdates is not None]
    for group in {kind.outdates for kind in outdating}:
        for item in groups[str(group)]:
            item["older_than"] = [
                each["links"]["self"]
                for kind in outdating
                for each in by_kind.get(kind.name, [])
                if kind.outdates == group
                and each["place"]["slug"] == item["place"]
                and (day := kind.happened_on(each["value"])) is not None
                and day > day_of(item["stated_at"])
            ]


def _common(document: Document, at: datetime) -> dict[str, Any]:
    return {
        "place": document["place"]["slug"],
        "agreement": document["agreement"],
        "stated_at": document["stated_at"],
        "stale": (until := document["stale_after"]) is not None and datetime.fromisoformat(until) < at,
        "source": document["provenance"]["source"]["slug"],
        "judgement": document["judgement"],
        "links": {"indicator": document["links"]["self"]},
    }
