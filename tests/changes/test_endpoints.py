"""`/v1/changes`: every entry in order, none missed, none twice."""

import asyncio
import hashlib
import json
import time
from typing import Any

import httpx
import pytest
import rfc8785

from app.changes import endpoints, queries
from app.changes.queries import CHANGE_CURSORS
from app.domain.tlp import Label
from tests.support.factories import SEEDED, Reference, listed, post_all, report
from tests.support.fixtures import MakeClient, mostly_sqlite

# Fields of a served change that are not hashed.
UNHASHED = ("seq", "hash", "documents", "documents_complete")


async def _post(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    response = await client.post("/v1/reports", json=report(**more))
    assert response.status_code == 201, response.text
    posted: dict[str, Any] = response.json()
    return posted


async def _all(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = (await client.get("/v1/changes", params=params)).json()
        if not page["items"]:
            return items
        items += page["items"]
        params["after"] = page["next"]


async def _correct_at_lower_label(make_client: MakeClient, client: httpx.AsyncClient, old: dict[str, Any], **body: Any) -> None:
    """Correct a report with a lower label, which a second person confirms."""
    answer = await client.post(f"/v1/reports/{old['id']}/correction", json=report(**body, sensitivity="clear"))
    assert answer.status_code == 201, answer.text
    second = await make_client(clearance=Label.RED)
    (proposal,) = (await second.get("/v1/label-proposals")).json()["items"]
    assert (await second.post(proposal["links"]["confirmation"])).status_code == 201


async def test_changes_are_complete_and_in_order_at_any_page_size(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await _post(client)
    second = await _post(client, kind="supply_runout", stated_at="2016-07-29")
    await client.post(f"/v1/reports/{first['id']}/correction", json=report(value={"people": 5}, reason="misread"))
    await client.post(f"/v1/reports/{second['id']}/retraction", json={"reason": "withdrawn"})
    await client.post("/v1/sources/agency/grades", json={"reliability": "C", "reason": "was wrong"})
    for params in ({"limit": 1}, {"limit": 2}, {}):
        every = await _all(client, **params)
        assert [item["seq"] for item in every] == list(range(1, SEEDED + 6))
        items = every[SEEDED:]
        assert [item["type"] for item in items] == ["report", "report", "correction", "retraction", "grade"]
    assert items[3]["report"] is None
    assert items[3]["reason"] == "withdrawn"
    assert items[2]["detail"] == {"supersedes": first["id"]}
    assert {document["kind"] for document in items[4]["documents"]} == {"trapped_population", "supply_runout"}
    for item in items:
        for document in item["documents"]:
            now = (await client.get(document["links"]["self"])).json()
            assert listed(now, document) == document


@mostly_sqlite
async def test_hash_chain_can_be_verified_from_the_changes(
    make_client: MakeClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    """Each clearance can recompute its ledger up to the head from the changes that it sees."""
    labels_and_sources = (("amber", "agency"), ("clear", "envoy"), ("red", "monitor"))
    old, *_ = await post_all(client, *(report(sensitivity=label, source=source) for label, source in labels_and_sources))
    await _correct_at_lower_label(make_client, client, old, value={"people": 7}, reason="may be published")
    for label in Label:
        reader = await make_client(clearance=label)
        previous = "0" * 64
        items = await _all(reader)
        for number, item in enumerate(items, 1):
            assert item["seq"] == number
            entry = {name: value for name, value in item.items() if name not in UNHASHED}
            previous = hashlib.sha256(previous.encode() + rfc8785.dumps(entry)).hexdigest()
            assert item["hash"] == previous
        head = (await reader.get("/v1/ledger/head")).json()
        assert (head["seq"], head["hash"]) == (len(items), previous)


@mostly_sqlite
async def test_correction_of_a_hidden_report_is_a_plain_report(
    make_client: MakeClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    old = await _post(client, sensitivity="amber")
    await _correct_at_lower_label(make_client, client, old, value={"people": 7}, reason="may be published")
    public = await make_client(clearance=Label.CLEAR)
    response = await public.get("/v1/changes")
    item = response.json()["items"][SEEDED]
    assert (item["type"], item["reason"], item["detail"]) == ("report", None, None)
    assert old["id"] not in response.text


async def test_filter_does_not_reveal_the_indicator_that_a_hidden_report_left(
    make_client: MakeClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    await _post(client)
    hidden = await _post(client, source="monitor", sensitivity="amber")
    await _correct_at_lower_label(make_client, client, hidden, source="monitor", place="country", reason="another place")
    readers = {label: await make_client(clearance=label) for label in (Label.CLEAR, Label.AMBER)}
    for label, left, came in ((Label.CLEAR, [1], [2]), (Label.AMBER, [1, 2, 3], [3, 5])):
        for place, seqs in (("oldtown", left), ("country", came)):
            page = (await readers[label].get("/v1/changes", params={"place": place})).json()
            assert [item["seq"] - SEEDED for item in page["items"]] == seqs, (label, place)


@mostly_sqlite
async def test_raised_label_hides_the_indicator_that_a_correction_left(
    make_client: MakeClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    public, green = await make_client(clearance=Label.CLEAR), await make_client(clearance=Label.GREEN)
    stays = await _post(client, source="monitor", sensitivity="clear")
    old = await _post(client, sensitivity="clear")
    body = report(place="country", sensitivity="clear", reason="another place")
    new = (await client.post(f"/v1/reports/{old['id']}/correction", json=body)).json()

    async def seen(reader: httpx.AsyncClient) -> tuple[list[int], list[str], list[str | None]]:
        """Return the changes at the former place, the documents of the correction, and the reports in the history."""
        there = (await reader.get("/v1/changes", params={"place": "oldtown"})).json()["items"]
        (change,) = [each for each in (await reader.get("/v1/changes")).json()["items"] if each["report_id"] == new["id"]]
        history = (await reader.get(f"/v1/indicators/{old['indicator']}/history")).json()["items"]
        seqs = [each["seq"] - SEEDED for each in there]
        return seqs, [each["id"] for each in change["documents"]], [each["report"] for each in history]

    both = [new["indicator"], old["indicator"]]
    assert old["indicator"] == stays["indicator"]
    assert (await seen(public))[:2] == ([1, 2, 3], both)
    raised = await client.post(f"/v1/reports/{old['id']}/label", json={"sensitivity": "green", "reason": "names a shelter"})
    assert raised.status_code == 201
    assert await seen(public) == ([1, 2, 4], [new["indicator"]], [stays["id"]])
    assert (await seen(green))[:2] == ([1, 2, 3, 4], both)


@mostly_sqlite
async def test_after_now_starts_at_the_head_and_filters_apply(client: httpx.AsyncClient, reference: Reference) -> None:
    await _post(client)
    start = (await client.get("/v1/changes", params={"after": "now"})).json()
    assert start["items"] == []
    await post_all(client, report("supply_runout"), report("route_closure"), report(place="country"))
    for params, seqs in (
        ({"kind": "supply_runout"}, [2]),
        ({"place": "country"}, [4]),
        ({"place": "country", "within": "true"}, [2, 3, 4]),
        ({"country": "SYR"}, [2, 3, 4]),
        ({"country": "LBN"}, []),
    ):
        page = (await client.get("/v1/changes", params={"after": start["next"], **params})).json()
        assert [item["seq"] - SEEDED for item in page["items"]] == seqs, params
        assert (await client.get("/v1/changes", params={"after": page["next"], **params})).json()["items"] == []


@pytest.mark.parametrize(("engine", "patient"), [("sqlite", True), ("sqlite", False), ("postgresql", False)], indirect=["engine"])
async def test_filtered_page_scans_a_bounded_number_of_entries(
    client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    """Within MAX_SCAN_SECONDS a page continues until a change fits; after that it is empty and `next` advances. None is missed."""
    monkeypatch.setattr(queries, "MAX_SCANNED", 2)
    monkeypatch.setattr(endpoints, "MAX_SCAN_SECONDS", 60.0 if patient else 0.0)
    others = [report(stated_at=f"2016-08-0{day}") for day in range(1, 8)]
    await post_all(client, *others, report(place="country"), report())
    found, empty, params = [], 0, {"place": "country"}
    head = (await client.get("/v1/changes", params={"after": "now"})).json()["next"]
    params["after"] = (await client.get("/v1/changes", params={"limit": SEEDED})).json()["next"]
    while params.get("after") != head:
        page = (await client.get("/v1/changes", params=params)).json()
        found += [item["seq"] - SEEDED for item in page["items"]]
        empty += not page["items"]
        params["after"] = page["next"]
    assert found == [8]
    assert empty == (1 if patient else 4)
    lines = (await client.get("/v1/changes.ndjson", params={"place": "country"})).text.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [SEEDED + 8]
    start = time.monotonic()
    waited = (await client.get("/v1/changes", params={"place": "country", "wait": 10})).json()
    assert [item["seq"] for item in waited["items"]] == [SEEDED + 8]
    assert time.monotonic() - start < 9, "the request waited although a change fits"


async def test_long_poll_waits_for_a_change(client: httpx.AsyncClient, reference: Reference) -> None:
    start = (await client.get("/v1/changes", params={"after": "now"})).json()["next"]
    waiting = asyncio.create_task(client.get("/v1/changes", params={"after": start, "wait": 30}, timeout=40))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await _post(client)
    page = (await asyncio.wait_for(waiting, 10)).json()
    assert [item["seq"] for item in page["items"]] == [SEEDED + 1]
    empty = (await client.get("/v1/changes", params={"after": page["next"], "wait": 1})).json()
    assert empty["items"] == []
    assert empty["next"] == page["next"]


@mostly_sqlite
async def test_cursor_of_another_list_or_clearance_gets_422(
    make_client: MakeClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    await _post(client)
    mine = (await client.get("/v1/changes")).json()["next"]
    other = await make_client(clearance=Label.GREEN)
    for reader, after in ((client, "nonsense"), (client, ""), (other, mine)):
        response = await reader.get("/v1/changes", params={"after": after})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "?after"


@mostly_sqlite
async def test_cursor_ahead_of_the_ledger_gets_422(client: httpx.AsyncClient, reference: Reference, make_client: MakeClient) -> None:
    await _post(client)
    behind = await make_client(clearance=Label.RED)
    # A client has such a cursor after the server was restored from a backup.
    ahead = CHANGE_CURSORS[Label.RED.level].encode(SEEDED + 2, SEEDED + 2)
    response = await behind.get("/v1/changes", params={"after": ahead})
    assert response.status_code == 422
    assert "ahead" in response.json()["errors"][0]["detail"]
