"""Judgements in changes, the stream of events, tables, provenance, and the check of the ledger."""

import csv
import io
from typing import Any

import httpx
import orjson
import pytest
from openpyxl import load_workbook
from prov.model import PROV, ProvDocument
from rdflib import Graph, URIRef

from app.settings import Settings
from app.webhooks.events import event_type
from tests.judgements.test_endpoints import get, judge, judgement, problems
from tests.support.factories import Reference, post, report
from tests.support.fixtures import sqlite_only
from tests.support.servers import execute_sql_async

pytestmark = sqlite_only


@pytest.fixture
async def judged(client: httpx.AsyncClient, reference: Reference) -> list[dict[str, Any]]:
    """Return a report, a judgement on it, its correction, and the answer to the retraction of that."""
    said = await post(client, **report())
    first = await judge(client, said["indicator"], reports=[said["id"]])
    second = await post(client, f"/v1/judgements/{first['id']}/correction", **judgement(reason="misread", reports=[said["id"]]))
    return [said, first, second, await post(client, f"/v1/judgements/{second['id']}/retraction", reason="wrong")]


async def test_changes_have_the_judgement_and_the_document(client: httpx.AsyncClient, judged: list[dict[str, Any]]) -> None:
    said, first, second, _ = judged
    entries = [each for each in (await get(client, "/v1/changes", limit=1000))["items"] if each["type"].startswith("judgement")]
    assert [each["type"] for each in entries] == ["judgement", "judgement", "judgement_retraction"]
    assert [each["reason"] for each in entries] == [None, "misread", "wrong"]
    assert [each["detail"]["judgement"]["id"] for each in entries] == [first["id"], second["id"], second["id"]]
    assert entries[1]["detail"]["corrects"] == first["id"]
    assert entries[0]["detail"]["judgement"]["likelihood"] == "likely"
    for each in entries:
        assert each["indicator"] == said["indicator"]
        assert [document["judgement"] for document in each["documents"]] == [None]
    filtered = (await get(client, "/v1/changes", kind="supply_runout", limit=1000))["items"]
    assert [each for each in filtered if each["type"].startswith("judgement")] == []
    assert [event_type(each["type"]) for each in entries[1:]] == [
        "org.lifeline.judgement.recorded.v1",
        "org.lifeline.judgement.retracted.v1",
    ]


async def test_tables_have_columns_of_the_judgement(client: httpx.AsyncClient, judged: list[dict[str, Any]]) -> None:
    standing = await judge(client, judged[0]["indicator"], valid_until="2999-01-01")
    (row,) = csv.DictReader(io.StringIO((await client.get("/v1/indicators.csv?hxl=false")).text))
    found = {name.removeprefix("judgement."): value for name, value in row.items() if name.startswith("judgement.")}
    assert orjson.loads(found.pop("value"))["people"] == 250000
    assert found == {
        "likelihood": "likely",
        "confidence": "moderate",
        "lapsed": "false",
        "valid_until": "2999-01-01",
        "recorded_at": standing["recorded_at"],
        "id": standing["id"],
    }
    sheet = load_workbook(io.BytesIO((await client.get("/v1/indicators.xlsx")).content)).worksheets[0]
    names = [each.value for each in sheet[1]]
    assert "judgement.likelihood" in names
    (feature,) = (await client.get("/v1/indicators.geojson")).json()["features"]
    assert feature["properties"]["judgement.confidence"] == "moderate"


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # inside rdflib
async def test_provenance_names_the_analyst_the_reports_and_what_became_of_it(
    client: httpx.AsyncClient, judged: list[dict[str, Any]]
) -> None:
    said, first, second, _ = judged
    answer = await client.get(f"/v1/judgements/{second['id']}/provenance")
    document = ProvDocument.deserialize(io.StringIO(answer.text), format="json")
    records = document.get_records()
    found = {each.get_type().localpart for each in records} - {"Entity", "Agent", "Activity"}
    assert found == {"Attribution", "Association", "Generation", "Usage", "Derivation", "Invalidation"}
    named = {each.identifier.uri for each in records if each.is_element()}
    for each in records:
        if each.is_relation():
            assert {value.uri for key, value in each.formal_attributes if key != PROV["time"] and value is not None} <= named
    linked = await client.get(f"/v1/judgements/{second['id']}/provenance?format=jsonld")
    graph, entity = Graph().parse(data=linked.text, format="json-ld"), URIRef(f"urn:lifeline:judgement:{second['id']}")
    assert {str(each) for each in graph.objects(entity, URIRef(f"{PROV.uri}hadPrimarySource"))} == {f"urn:lifeline:report:{said['id']}"}
    assert {str(each) for each in graph.objects(entity, URIRef(f"{PROV.uri}wasRevisionOf"))} == {f"urn:lifeline:judgement:{first['id']}"}


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE ledger_entry SET detail = replace(detail, '250000', '250001') WHERE type = 'judgement'", "was altered"),
        ("UPDATE ledger_entry SET reason = 'other' WHERE type = 'judgement_retraction'", "was altered"),
        (
            "UPDATE ledger_entry SET judgement_id = (SELECT max(judgement_id) FROM ledger_entry) WHERE type = 'judgement'",
            "its columns do not agree with its judgement",
        ),
        ("UPDATE ledger_entry SET judgement_id = NULL WHERE type = 'judgement'", "its columns do not agree with its judgement"),
        ("UPDATE indicator_projection SET document = replace(document, '250000', '1')", "the stored documents differ"),
    ],
)
async def test_verify_names_an_altered_judgement(
    client: httpx.AsyncClient, judged: list[dict[str, Any]], settings: Settings, statement: str, problem: str
) -> None:
    await judge(client, judged[0]["indicator"])
    assert await problems(settings) == []
    await execute_sql_async(settings.database_url, statement)
    found = await problems(settings)
    assert any(problem in each for each in found), found
