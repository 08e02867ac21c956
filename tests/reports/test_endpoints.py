"""`POST /v1/reports`: bodies, single reports, lists and atomic lists."""

import json
import re
from typing import Any

import httpx

from tests.reports.invalid_reports import assert_problem
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import mostly_sqlite, sqlite_only


async def _revision(client: httpx.AsyncClient) -> int:
    revision: int = (await client.get("/v1/reports")).json()["revision"]
    return revision


VALID = json.dumps(report()).encode()


MALFORMED_JSON: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "cut off": (b"{", 400),
    "more after it": (VALID + b"x", 400),
    "NaN": (VALID.replace(b"300000", b"NaN"), 400),
    "Infinity": (VALID.replace(b"300000", b"Infinity"), 400),
    "-Infinity": (VALID.replace(b"300000", b"-Infinity"), 400),
    "a number of 5,000 digits": (VALID.replace(b"300000", b"9" * 5000), 400),
    "half a surrogate pair": (VALID.replace(b"oldtown", b"old\\ud800town"), 400),
    "the other half": (VALID.replace(b"oldtown", b"old\\udc00town"), 400),
    "no UTF-8": (VALID.replace(b"oldtown", b"old\xfftown"), 400),
    "a surrogate in UTF-8": (VALID.replace(b"oldtown", b"old\xed\xa0\x80town"), 400),
    "UTF-16": (VALID.decode().encode("utf-16"), 400),
    "deep": (b"[" * 100_000, 400),
    "deep and closed": (b"[" * 100_000 + b"]" * 100_000, 400),
    "deep objects": (VALID.replace(b"300000", b'{"a":' * 50_000 + b"1" + b"}" * 50_000), 400),
    "10 MB of nothing": (b" " * (10 * 1024 * 1024), 413),
    "10 MB": (VALID.replace(b"oldtown", b"o" * (10 * 1024 * 1024)), 413),
}


@sqlite_only
async def test_malformed_or_oversized_json_gets_400_or_413(client: httpx.AsyncClient, reference: Reference) -> None:
    """A 400 says where parsing stopped; the service continues to work."""
    for what, (content, status) in MALFORMED_JSON.items():
        response = await client.post("/v1/reports", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == status, (what, response.text)
        body = assert_problem(response, status, "/v1/reports")
        if status == 400:
            assert re.search(r"line \d+ column \d+", body["detail"]), what
        assert await _revision(client) == SEEDED, what
    assert (await client.post("/v1/reports", content=VALID, headers={"Content-Type": "application/json"})).status_code == 201


NOT_A_REPORT: dict[str, tuple[bytes, str]] = {
    "null": (b"null", ""),
    "true": (b"true", ""),
    "text": (b'"report"', ""),
    "empty list": (b"[]", ""),
    "1,001": (b"[" + b",".join([b"{}"] * 1001) + b"]", ""),
    "infinite by its exponent": (VALID.replace(b"300000", b"1e400"), "/value/people"),
    "deep in one field": (VALID.replace(b"300000", b"[" * 100 + b"]" * 100), "/value/people"),
    "NUL in a name": (VALID.replace(b'"concept"', b'"con\\u0000cept"'), "/value"),
}


@sqlite_only
async def test_json_that_is_not_a_report_gets_422(client: httpx.AsyncClient, reference: Reference) -> None:
    for what, (content, pointer) in NOT_A_REPORT.items():
        response = await client.post("/v1/reports", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == 422, (what, response.text)
        assert [error["pointer"] for error in assert_problem(response, 422, "/v1/reports")["errors"]] == [pointer], what
        assert await _revision(client) == SEEDED, what


COMPLETE: list[dict[str, Any]] = [
    report(
        "trapped_population",
        {"people_low": 250000, "people_high": 320000, "qualifier": "about", "includes_combatants": "no"},
        stated_at="2016-07-28T11:30:00.25+02:00",
        observed_from="2016-07-01",
        observed_to="2016-07-27T10:00:00Z",
        provenance={
            "via": ["outlet", "monitor"],
            "method": "expert_estimate",
            "credibility": 2,
            "published_at": "2016-07-29",
            "url": "https://example.org/a?b=c#d",
            "title": "“Nearly” all \u2013 \U0001f54a",
            "quote": "line\nline",
            "language": "ar-SY",
            "licence": "CC BY 4.0",
        },
    ),
    report("supply_runout", {"relative_text": "two to three weeks", "scope": "agency_stock", "conditional_on": "if no convoy gets in"}),
    report("route_closure", {"since": "2016-07", "direction": "in", "cause": "hostilities", "last_route": True}, place="pcode:SY02"),
    report("route_closure", {"status": "open", "passable_by": ["medical", "civilian"], "assertion": "agreed"}, sensitivity="red"),
]


async def test_recorded_report_is_returned_completely_and_found_at_location(client: httpx.AsyncClient, reference: Reference) -> None:
    """The body of the 201 is what GET returns at `Location`, which adds `amended`; every field that was sent is in it."""
    every = []
    for seq, sent in enumerate(COMPLETE, SEEDED + 1):
        response = await client.post("/v1/reports", json=sent)
        assert response.status_code == 201, response.text
        assert response.headers["content-type"] == "application/json"
        posted = response.json()
        every.append(posted)
        assert response.headers["location"] == posted["links"]["self"] == f"/v1/reports/{posted['id']}"
        got = (await client.get(response.headers["location"])).json()
        assert got == posted | {"amended": []}
        assert (posted["seq"], posted["status"], posted["supersedes"], posted["recorded_by"]) == (seq, "standing", None, "test")
        assert posted["id"][14] == "7"
        assert posted["recorded_at"].endswith("Z")
        assert posted["place"] == "oldtown"
        assert posted["source"] == sent["source"]
        assert posted["sensitivity"] == sent["sensitivity"]
        assert sent["value"].items() <= posted["value"].items()
        assert sent.get("provenance", {}).items() <= posted["provenance"].items()
        assert [posted["observed_from"], posted["observed_to"]] == [sent.get("observed_from"), sent.get("observed_to")]
        indicator = (await client.get(f"/v1/indicators/{posted['indicator']}")).json()
        assert posted["id"] in [each["id"] for each in indicator["reports"]]
    assert (await client.get("/v1/reports")).json()["items"] == every


async def test_stated_at_is_kept_as_sent_or_converted_to_utc(client: httpx.AsyncClient, reference: Reference) -> None:
    for sent, stored in (
        ("2016-07-28", "2016-07-28"),
        ("2016-07-28T11:30:00+02:00", "2016-07-28T09:30:00Z"),
        ("2016-07-28T09:30Z", "2016-07-28T09:30:00Z"),
        ("2016-07-28t09:30:00.5z", "2016-07-28T09:30:00.500000Z"),
    ):
        response = await client.post("/v1/reports", json=report(stated_at=sent, source="monitor", value={"people": len(sent)}))
        assert response.json()["stated_at"] == stored, sent


@mostly_sqlite
async def test_list_gets_one_result_per_report(client: httpx.AsyncClient, reference: Reference) -> None:
    """207 with results in the order sent: valid reports are recorded, and a repeated statement is recorded once."""
    known = (await client.post("/v1/reports", json=report(source="envoy"))).json()
    sent = [
        report(),
        report(place="nowhere"),
        report(source="envoy"),
        5,
        report("supply_runout", stated_at="9999-01-01"),
        report(),
        report("route_closure", {"route": "no-road"}),
        report("route_closure"),
        [report()],
    ]
    response = await client.post("/v1/reports", json=sent)
    assert response.status_code == 207, response.text
    body = response.json()
    assert [item["status"] for item in body["items"]] == [201, 422, 200, 422, 422, 200, 422, 201, 422]
    assert (body["created"], body["existing"], body["refused"], body["revision"]) == (2, 2, 5, SEEDED + 3)
    problems = [
        (item["problem"]["status"], [e["pointer"] for e in item["problem"]["errors"]]) for item in body["items"] if "problem" in item
    ]
    assert problems == [(422, ["/place"]), (422, [""]), (422, ["/stated_at"]), (422, ["/value/route"]), (422, [""])]
    assert body["items"][2]["id"] == known["id"]
    assert body["items"][0]["id"] == body["items"][5]["id"]
    stored = (await client.get("/v1/reports")).json()["items"]
    assert [item["id"] for item in stored] == [known["id"], body["items"][0]["id"], body["items"][7]["id"]]
    for item in body["items"]:
        if item["status"] != 422:
            got = (await client.get(item["location"])).json()
            assert (got["id"], got["seq"], got["indicator"]) == (item["id"], item["seq"], item["indicator"])


async def test_list_with_nul_in_one_report_records_the_others(client: httpx.AsyncClient, reference: Reference) -> None:
    response = await client.post("/v1/reports", json=[report(), report(provenance={"quote": "a\0b"}), report(source="envoy")])
    assert response.status_code == 207, response.text
    items = response.json()["items"]
    assert [item["status"] for item in items] == [201, 422, 201]
    assert [error["pointer"] for error in items[1]["problem"]["errors"]] == ["/provenance/quote"]


@mostly_sqlite
async def test_atomic_list_is_recorded_completely_or_not_at_all(client: httpx.AsyncClient, reference: Reference) -> None:
    wrong = [report(), report(place="nowhere"), report("supply_runout"), report("supply_runout", {"supply": "bread"})]
    response = await client.post("/v1/reports", json=wrong, params={"atomic": "true"})
    pointers = [error["pointer"] for error in assert_problem(response, 422, "/v1/reports")["errors"]]
    assert pointers == ["/1/place", "/3/value/supply"]
    assert await _revision(client) == SEEDED
    assert (await client.get("/v1/indicators")).json()["items"] == []
    good = [report(), report("supply_runout"), report()]
    response = await client.post("/v1/reports", json=good, params={"atomic": "true"})
    assert response.status_code == 207
    assert [item["status"] for item in response.json()["items"]] == [201, 201, 200]
    assert await _revision(client) == SEEDED + 2


async def test_list_of_a_thousand_reports_is_recorded(client: httpx.AsyncClient, reference: Reference) -> None:
    response = await client.post("/v1/reports", json=[report(value={"people": at % 3}) for at in range(1000)])
    body = response.json()
    assert (response.status_code, body["created"], body["existing"], len(body["items"])) == (207, 3, 997, 1000)
    assert [item["status"] for item in body["items"][:4]] == [201, 201, 201, 200]
    assert body["items"][999]["id"] == body["items"][0]["id"]
