"""Examples of responses for the OpenAPI document, rendered from the examples of the kinds."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from pydantic import ConfigDict

from app.assessment.document import IndicatorIdentity, render, render_report, with_revision
from app.assessment.envelope import assess
from app.assessment.statement import Statement
from app.domain.identifiers import indicator_id
from app.domain.kinds.base import Kind
from app.domain.times import rfc3339
from app.reference.records import PlaceRecord, SourceRecord

PLACE = PlaceRecord(UUID("01900000-0000-7000-8001-000000000005"), "aleppo-east", "Eastern Aleppo", "SYR", (("pcode", "SY020001"),))
STATED_AT = datetime(2016, 7, 28, tzinfo=UTC)
_RECORDED_AT = datetime(2026, 11, 24, 9, tzinfo=UTC)


def example_config(example: dict[str, Any]) -> ConfigDict:
    """Return the configuration of a model with an example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


@cache
def indicator_example(kind: Kind[Any]) -> dict[str, Any]:
    """Return an indicator with its reports."""
    value = kind.resolve(kind.value_model.model_validate(kind.example), STATED_AT.date())
    statement = Statement(
        global_seq=14,
        id=UUID("01900000-0000-7000-8004-000000000014"),
        source=SourceRecord(UUID("01900000-0000-7000-8002-000000000003"), "un-envoy-syria", "UN Envoy for Syria", "un", False, "B"),
        value=value,
        stated_at=STATED_AT,
        recorded_at=_RECORDED_AT,
        credibility=2,
        method="expert_estimate",
    )
    assessment = assess(kind, [statement], level=0, horizon=timedelta(days=kind.horizon_days))
    name = kind.subject(value)
    subject = IndicatorIdentity(indicator_id(kind.name, PLACE.id, name), kind.name, name, str(kind.example[kind.filter_field]), PLACE)
    document: dict[str, Any] = orjson.loads(with_revision(render(subject, assessment, _RECORDED_AT, 0), 14))
    document["assessment"]["deciding"] = [str(statement.id)]
    return document | {"reports": [render_report(statement, 0) | {"relation": "preferred"}], "left_out": []}


def listed_example(kind: Kind[Any]) -> dict[str, Any]:
    """Return an indicator as lists show it."""
    listed = {name: each for name, each in indicator_example(kind).items() if name not in ("reports", "left_out")}
    assessment = {name: each for name, each in listed["assessment"].items() if name != "deciding"}
    return listed | {"assessment": assessment}


def history_step_example(kind: Kind[Any]) -> dict[str, Any]:
    """Return the first step of the history of an indicator."""
    indicator = indicator_example(kind)
    return {
        "seq": 14,
        "type": "report",
        "report": indicator["assessment"]["preferred"],
        "reason": None,
        "recorded_at": rfc3339(_RECORDED_AT),
        "moved": ["value", "range", "agreement"],
        "value": indicator["value"],
        "agreement": indicator["agreement"],
        "preferred": indicator["assessment"]["preferred"],
        "judgement": None,
    }
