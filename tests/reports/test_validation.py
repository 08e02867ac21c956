"""One report with one thing wrong is refused, the answer points at it, and the ledger does not move; what is right is kept whole."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.domain.kinds import KINDS
from app.domain.tlp import Label
from app.settings import Settings
from tests.support.factories import Reference, report
from tests.support.fixtures import FULL, MakeKey, sqlite_only
from tests.support.servers import client_for

MISSING: Any = object()
NOT_TEXT: tuple[Any, ...] = (5, 1.5, True, [], {})
# What pydantic and Python say of themselves helps no client who sends JSON.
PYTHON = re.compile(r"\b(tuple|timedelta|datetime\.|NoneType|Decimal|dict)\b")


@dataclass(frozen=True)
class Wrong:
    """`value` put at the pointer `at` of a report that is right but for that; `pointer` is where the answer points, if not there.

    `base` is laid over the kind's value first, and `beside` over the report.
    """

    at: str
    value: Any
    pointer: str | None = None
    base: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)

    def body(self, kind: str) -> dict[str, Any]:
        body: dict[str, Any] = report(kind, self.base, **self.beside)
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in self.at[1:].split("/")]
        node: Any = body
        for name in way:
            node = node.setdefault(name, {})
        if self.value is MISSING:
            del node[last]
        else:
            node[last] = self.value
        return body


def each(at: str, *values: Any, pointer: str | None = None, **base: Any) -> list[Wrong]:
    return [Wrong(at, value, pointer, base) for value in values]


def text(at: str, most: int) -> list[Wrong]:
    return each(at, *NOT_TEXT, "", "a" * (most + 1), "a\0b")


def choice(at: str, *near_misses: str) -> list[Wrong]:
    return each(at, *NOT_TEXT, None, "", "no_such_word", "a\0", *near_misses)


def slug(at: str) -> list[Wrong]:
    return each(at, *NOT_TEXT, None, "", "no-such-slug", "Old Town", "a" * 65, "agency\n", "../agency", "a\0")


def count(at: str, most: int, **base: Any) -> list[Wrong]:
    return each(at, True, False, 3.0, 2.5, "3", "", -1, most + 1, 10**30, -(10**30), [], {}, [3], **base)


def day(at: str) -> list[Wrong]:
    return each(
        at, 20160728, 1469664000, 1.5, True, [], {}, "", "2016-7-28", "20160728", "2016-02-30", "2016-13-01", "0000-01-01",
        "2016-07-28T00:00:00Z", "28.07.2016", "2016-W30-4", "1469664000", "2016-07-28\n", "2016-07-28\0",
        "\u0662\u0660\u0661\u0666-\u0660\u0667-\u0662\u0668", "NaN",
    )  # fmt: skip


def moment(at: str) -> list[Wrong]:
    return each(
        at, 20160728, 1469664000, 1.5, True, [], {}, "", "yesterday", "2016-7-28", "20160728", "2016-02-30", "2016-13-01", "0000-01-01",
        "2016-07-28T09:30:00", "2016-07-28 09:30", "2016-07-28T25:00:00Z", "2016-07-28T09:61:00Z", "2016-07-28T09:30:00+25:00",
        "2016-07-28T09:30:00 Europe/Rome", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-07-28\n", "2016-07-28\0",
        "\u0662\u0660\u0661\u0666-\u0660\u0667-\u0662\u0668", "NaN", "1469664000",
    )  # fmt: skip


def future() -> list[Wrong]:
    now = datetime.now(UTC)
    ahead = ((now + timedelta(days=2)).date().isoformat(), (now + timedelta(minutes=5)).isoformat(), "9999-12-31")
    return each("/stated_at", *ahead)


ENVELOPE = [
    *each("/kind", MISSING, None, *NOT_TEXT, "", "no_such_kind", "Trapped_Population", "trapped-population", "a\0"),
    *each("/place", MISSING, None, *NOT_TEXT, "", "nowhere", "Oldtown", " oldtown", "a" * 101, "a\0"),
    # A code without its scheme, with another scheme, in other letters: the same letters mean other places in other schemes.
    *each("/place", "SY02", "iso:SY02", "pcode:sy02", "pcode:", ":SY02", ":"),
    *each("/source", MISSING),
    *slug("/source"),
    *each("/stated_at", MISSING, None, "1899-12-31"),
    *moment("/stated_at"),
    *each("/value", MISSING, None, *(value for value in NOT_TEXT if value != {}), "text"),
    *each("/provenance", None, 5, True, "text", []),
    *moment("/observed_from"),
    *moment("/observed_to"),
    *[Wrong("/sensitivity", value) for value in (*NOT_TEXT, "", "white", "CLEAR", "amber+strict", "TLP:RED", 0)],
    *each("/id", "019f0000-0000-7000-8000-000000000000"),
    *each("/seq", 1),
    *each("/status", "standing"),
    *each("/stated_At", "2016-07-28"),
    *each("/a~1b~0c", 1),
]

PROVENANCE = [
    *each("/provenance/via", None, 5, True, "outlet", {}, {"0": "outlet"}, ["outlet"] * 21),
    *[Wrong("/provenance/via", [wrong.value], "/provenance/via/0") for wrong in slug("/source")],
    Wrong("/provenance/via", ["outlet", "nobody"], "/provenance/via/1"),
    *choice("/provenance/method", "Headcount", "guess"),
    *each("/provenance/credibility", None, 0, 7),
    *count("/provenance/credibility", 6),
    *moment("/provenance/published_at"),
    *each(
        "/provenance/url",
        *NOT_TEXT,
        "",
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.org/",
        "//example.org/",
        "example.org",
        "https://",
        "https://a b",
        " https://example.org/",
        "https://example.org/\n",
        "https://example.org/\0",
        "https://example.org/" + "a" * 2000,
    ),
    *text("/provenance/title", 500),
    *text("/provenance/quote", 2000),
    *text("/provenance/licence", 200),
    *each("/provenance/language", *NOT_TEXT, "", "e", "en_GB", "english language", "en-", "a" * 36, "en\0"),
    *each("/provenance/author", "somebody"),
]

VALUES: dict[str, list[Wrong]] = {
    "trapped_population": [
        *each("/value/concept", MISSING),
        *choice("/value/concept", "Trapped", "trapped ", "hard-to-reach"),
        *each("/value/people", MISSING, None),
        *count("/value/people", 10_000_000_000),
        *count("/value/people_low", 10_000_000_000),
        *count("/value/people_high", 10_000_000_000),
        *each("/value/people_low", 300001),
        *each("/value/people_high", 299999),
        *each("/value/people_low", 11, people=None, people_high=10),
        *[wrong for wrong in choice("/value/qualifier", "around") if wrong.value is not None],
        *choice("/value/includes_combatants", "maybe"),
        *each("/value/supply", "food"),
        *each("/value/number", 1),
    ],
    "supply_runout": [
        *each("/value/supply", MISSING),
        *choice("/value/supply", "Food", "bread", "food.agency_stock"),
        *choice("/value/state", "running_out"),
        *day("/value/runs_out_earliest"),
        *day("/value/runs_out_latest"),
        *count("/value/in_days_min", 3650),
        *count("/value/in_days_max", 3650),
        *each("/value/in_days_min", 22),
        # Dates that are not those which the days give.
        *each("/value/runs_out_earliest", "2016-08-12"),
        *each("/value/runs_out_latest", "2016-08-12", pointer="/value/runs_out_earliest"),
        *each("/value/runs_out_earliest", "2016-08-19", in_days_min=None, in_days_max=None, runs_out_latest="2016-08-18"),
        *text("/value/relative_text", 500),
        *choice("/value/scope", "all", "city"),
        *text("/value/conditional_on", 500),
        *each("/value/outcome", "averted"),
        *each("/value/people", 3),
    ],
    "route_closure": [
        *each("/value/route", MISSING),
        *slug("/value/route"),
        *each("/value/status", MISSING),
        *choice("/value/status", "Closed", "shut", "unknown"),
        *each(
            "/value/since",
            *NOT_TEXT,
            "",
            "2016-13",
            "2016-00",
            "2016-02-30",
            "0000",
            "16",
            "2016-7",
            "2016-07-07T00:00:00Z",
            "July 2016",
            "2016-07\n",
            "2016\0",
            "\u0662\u0660\u0661\u0666",
        ),
        *day("/value/since_earliest"),
        *day("/value/since_latest"),
        *each("/value/since_earliest", "2016-07-11", since_latest="2016-07-10"),
        *each("/value/since", "2016-07", since_earliest="2016-06-01", since_latest="2016-06-10"),
        *choice("/value/direction", "inward"),
        *each("/value/passable_by", None, 5, True, "civilian", {}, status="open"),
        *[
            Wrong("/value/passable_by", [value], "/value/passable_by/0", {"status": "open"})
            for value in (*NOT_TEXT, None, "", "armed", "a\0")
        ],
        *each("/value/passable_by", ["civilian", "civilian"], status="open"),
        *each("/value/passable_by", ["civilian"]),
        *choice("/value/assertion", "rumoured"),
        *[wrong for wrong in choice("/value/cause", "Hostilities", "war") if wrong.value is not None],
        *each("/value/last_route", 0, 1, "true", "yes", "", 1.0, [], {}),
        *each("/value/status_in", "closed"),
    ],
}


def assert_problem(answer: httpx.Response, status: int, path: str) -> dict[str, Any]:
    """RFC 9457: media type, members, and the status said twice."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert (body["status"], body["instance"]) == (status, path)
    assert body["title"]
    assert body["detail"]
    return body


async def revision(client: httpx.AsyncClient) -> int:
    found: int = (await client.get("/v1/reports")).json()["revision"]
    return found


def cases(kind: str) -> list[Wrong]:
    crossed = Wrong("/observed_from", "2016-07-29", beside={"observed_to": "2016-07-28"})
    return [*ENVELOPE, *future(), crossed, *PROVENANCE, *VALUES[kind]]


def unlike(wrong: Wrong, status: int, problem: dict[str, Any]) -> str | None:
    """What an answer does other than refuse the report for exactly the field that is wrong, in words of no programming language."""
    what = f"{wrong.at} = {str(wrong.value)[:60]!r}: {status}"
    if status != 422:
        return f"{what} {str(problem)[:200]}"
    errors = problem["errors"]
    if [error["pointer"] for error in errors] != [wrong.pointer or wrong.at]:
        return f"{what} {errors}"
    if not errors[0]["detail"] or PYTHON.search(errors[0]["detail"]):
        return f"{what} speaks Python: {errors[0]['detail']}"
    return None


def test_the_table_knows_every_field_of_every_kind() -> None:
    for name, kind in KINDS.items():
        told = {wrong.at.removeprefix("/value/") for wrong in VALUES[name]}
        assert set(kind.value_model.model_fields) <= told, name


@sqlite_only
@pytest.mark.parametrize("kind", list(KINDS))
async def test_one_field_wrong_is_pointed_at_and_the_ledger_does_not_move(
    client: httpx.AsyncClient, reference: Reference, kind: str
) -> None:
    """Every field with one way of being wrong, or with LIFELINE_TEST_FULL=1 each way: 422, and exactly that field is named."""
    assert (await client.post("/v1/reports", json=report(kind))).status_code == 201
    before = (await client.get("/v1/ledger/head")).json()
    every = cases(kind)
    alone = every if FULL else {wrong.at: wrong for wrong in reversed(every)}.values()
    found = []
    for wrong in alone:
        answer = await client.post("/v1/reports", content=json.dumps(wrong.body(kind)), headers={"Content-Type": "application/json"})
        problem = assert_problem(answer, 422, "/v1/reports") if answer.status_code == 422 else answer.json()
        found.append(unlike(wrong, answer.status_code, problem))
    assert not any(found), "\n".join(filter(None, found))
    assert (await client.get("/v1/ledger/head")).json() == before


@pytest.mark.parametrize("kind", list(KINDS))
async def test_each_way_of_being_wrong_is_pointed_at_in_a_list_too(client: httpx.AsyncClient, reference: Reference, kind: str) -> None:
    """Every field of the contract with each way of being wrong, as one list: each item is refused on its own, none is recorded."""
    every = cases(kind)
    sent = json.dumps([wrong.body(kind) for wrong in every])
    answer = await client.post("/v1/reports", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 207, answer.text
    items = answer.json()["items"]
    found = [unlike(wrong, item["status"], item.get("problem", item)) for wrong, item in zip(every, items, strict=True)]
    assert not any(found), "\n".join(filter(None, found))
    assert await revision(client) == 0


@sqlite_only
async def test_every_wrong_field_is_named(client: httpx.AsyncClient, reference: Reference) -> None:
    answer = await client.post("/v1/reports", json={"kind": 1, "place": "", "stated_at": "x", "value": {}, "more": 1})
    pointers = {error["pointer"] for error in assert_problem(answer, 422, "/v1/reports")["errors"]}
    assert pointers == {"/kind", "/place", "/source", "/stated_at", "/more"}
    answer = await client.post("/v1/reports", json=report(place="nowhere", source="nobody", provenance={"via": ["no-one"]}))
    pointers = {error["pointer"] for error in assert_problem(answer, 422, "/v1/reports")["errors"]}
    assert pointers == {"/place", "/source", "/provenance/via/0"}


GOOD = json.dumps(report()).encode()


NO_JSON: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "cut off": (b"{", 400),
    "more after it": (GOOD + b"x", 400),
    "NaN": (GOOD.replace(b"300000", b"NaN"), 400),
    "Infinity": (GOOD.replace(b"300000", b"Infinity"), 400),
    "-Infinity": (GOOD.replace(b"300000", b"-Infinity"), 400),
    "a number of 5,000 digits": (GOOD.replace(b"300000", b"9" * 5000), 400),
    "half a surrogate pair": (GOOD.replace(b"oldtown", b"old\\ud800town"), 400),
    "the other half": (GOOD.replace(b"oldtown", b"old\\udc00town"), 400),
    "no UTF-8": (GOOD.replace(b"oldtown", b"old\xfftown"), 400),
    "a surrogate in UTF-8": (GOOD.replace(b"oldtown", b"old\xed\xa0\x80town"), 400),
    "UTF-16": (GOOD.decode().encode("utf-16"), 400),
    "deep": (b"[" * 100_000, 400),
    "deep and closed": (b"[" * 100_000 + b"]" * 100_000, 400),
    "deep objects": (GOOD.replace(b"300000", b'{"a":' * 50_000 + b"1" + b"}" * 50_000), 400),
    "10 MB of nothing": (b" " * (10 * 1024 * 1024), 413),
    "10 MB": (GOOD.replace(b"oldtown", b"o" * (10 * 1024 * 1024)), 413),
}


@sqlite_only
async def test_what_is_no_json_or_too_large(client: httpx.AsyncClient, reference: Reference) -> None:
    """400 that says where reading stopped, or 413; the service goes on."""
    for what, (content, status) in NO_JSON.items():
        answer = await client.post("/v1/reports", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, (what, answer.text)
        body = assert_problem(answer, status, "/v1/reports")
        if status == 400:
            assert re.search(r"line \d+ column \d+", body["detail"]), what
        assert await revision(client) == 0, what
    assert (await client.post("/v1/reports", content=GOOD, headers={"Content-Type": "application/json"})).status_code == 201


NO_REPORT: dict[str, tuple[bytes, str]] = {
    "null": (b"null", ""),
    "true": (b"true", ""),
    "text": (b'"report"', ""),
    "empty list": (b"[]", ""),
    "1,001": (b"[" + b",".join([b"{}"] * 1001) + b"]", ""),
    "infinite by its exponent": (GOOD.replace(b"300000", b"1e400"), "/value/people"),
    "deep in one field": (GOOD.replace(b"300000", b"[" * 100 + b"]" * 100), "/value/people"),
    "NUL in a name": (GOOD.replace(b'"concept"', b'"con\\u0000cept"'), "/value"),
}


@sqlite_only
async def test_json_that_is_no_report(client: httpx.AsyncClient, reference: Reference) -> None:
    for what, (content, pointer) in NO_REPORT.items():
        answer = await client.post("/v1/reports", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (what, answer.text)
        assert [error["pointer"] for error in assert_problem(answer, 422, "/v1/reports")["errors"]] == [pointer], what
        assert await revision(client) == 0, what


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


async def test_recorded_reports_are_answered_whole_and_found_where_they_say(client: httpx.AsyncClient, reference: Reference) -> None:
    """201, a Location, and the body that GET gives from then on (which adds only what became of it); nothing that was sent is lost."""
    every = []
    for seq, sent in enumerate(COMPLETE, 1):
        answer = await client.post("/v1/reports", json=sent)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/json"
        posted = answer.json()
        every.append(posted)
        assert answer.headers["location"] == posted["links"]["self"] == f"/v1/reports/{posted['id']}"
        got = (await client.get(answer.headers["location"])).json()
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
        assert indicator["reports"][0]["id"] == posted["id"]
    assert (await client.get("/v1/reports")).json()["items"] == every


async def test_times_are_kept_as_sent_but_for_the_zone(client: httpx.AsyncClient, reference: Reference) -> None:
    for sent, kept in (
        ("2016-07-28", "2016-07-28"),
        ("2016-07-28T11:30:00+02:00", "2016-07-28T09:30:00Z"),
        ("2016-07-28T09:30Z", "2016-07-28T09:30:00Z"),
        ("2016-07-28t09:30:00.5z", "2016-07-28T09:30:00.500000Z"),
    ):
        answer = await client.post("/v1/reports", json=report(stated_at=sent, source="monitor", value={"people": len(sent)}))
        assert answer.json()["stated_at"] == kept, sent


async def test_a_statement_sent_twice_is_recognised(client: httpx.AsyncClient, reference: Reference) -> None:
    """Same source, kind, place, subject, stated_at, value and url: 200 with the report that stands; any of them other: 201."""
    first = await client.post("/v1/reports", json=report(stated_at="2016-07-28T10:00:00Z"))
    same = {"stated_at": "2016-07-28T10:00:00Z"}
    for again in (
        report(**same),
        report(stated_at="2016-07-28T12:00:00+02:00"),
        report(**same, place="pcode:SY02"),
        report(**same, provenance={"quote": "other words", "credibility": 1}),
        report(**same, sensitivity="green"),
        report(**same, value={"people_low": None, "includes_combatants": "unknown"}),
    ):
        answer = await client.post("/v1/reports", json=again)
        assert answer.status_code == 200, answer.text
        assert answer.json() == first.json()
        assert answer.headers["location"] == first.headers["location"]
    assert await revision(client) == 1
    other = [
        report(**same, source="envoy"),
        report(**same, place="country"),
        report(stated_at="2016-07-28T10:00:01Z"),
        report(**same, value={"people": 300001}),
        report(**same, value={"concept": "besieged"}),
        report(**same, provenance={"url": "https://example.org/"}),
    ]
    items = (await client.post("/v1/reports", json=other)).json()["items"]
    assert [item["status"] for item in items] == [201] * len(other)
    assert len({first.json()["id"], *(item["id"] for item in items)}) == await revision(client) == 1 + len(other)


async def test_a_statement_that_was_corrected_is_answered_with_the_correction(client: httpx.AsyncClient, reference: Reference) -> None:
    first = (await client.post("/v1/reports", json=report())).json()
    corrected = await client.post(f"/v1/reports/{first['id']}/correction", json=report(value={"people": 5}, reason="misread"))
    again = await client.post("/v1/reports", json=report())
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, corrected.json()["id"], "standing")


async def test_a_list_is_answered_item_by_item(client: httpx.AsyncClient, reference: Reference) -> None:
    """207: outcomes in the order sent, the good ones recorded, a statement that stands twice recorded once."""
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
    answer = await client.post("/v1/reports", json=sent)
    assert answer.status_code == 207, answer.text
    body = answer.json()
    assert [item["status"] for item in body["items"]] == [201, 422, 200, 422, 422, 200, 422, 201, 422]
    assert (body["created"], body["existing"], body["refused"], body["revision"]) == (2, 2, 5, 3)
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


async def test_text_that_cannot_be_kept_spoils_its_own_item_only(client: httpx.AsyncClient, reference: Reference) -> None:
    answer = await client.post("/v1/reports", json=[report(), report(provenance={"quote": "a\0b"}), report(source="envoy")])
    assert answer.status_code == 207, answer.text
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [201, 422, 201]
    assert [error["pointer"] for error in items[1]["problem"]["errors"]] == ["/provenance/quote"]


async def test_an_atomic_list_is_recorded_whole_or_not_at_all(client: httpx.AsyncClient, reference: Reference) -> None:
    wrong = [report(), report(place="nowhere"), report("supply_runout"), report("supply_runout", {"supply": "bread"})]
    answer = await client.post("/v1/reports", json=wrong, params={"atomic": "true"})
    pointers = [error["pointer"] for error in assert_problem(answer, 422, "/v1/reports")["errors"]]
    assert pointers == ["/1/place", "/3/value/supply"]
    assert await revision(client) == 0
    assert (await client.get("/v1/indicators")).json()["items"] == []
    good = [report(), report("supply_runout"), report()]
    answer = await client.post("/v1/reports", json=good, params={"atomic": "true"})
    assert answer.status_code == 207
    assert [item["status"] for item in answer.json()["items"]] == [201, 201, 200]
    assert await revision(client) == 2


async def test_a_thousand_at_once(client: httpx.AsyncClient, reference: Reference) -> None:
    answer = await client.post("/v1/reports", json=[report(value={"people": at % 3}) for at in range(1000)])
    body = answer.json()
    assert (answer.status_code, body["created"], body["existing"], len(body["items"])) == (207, 3, 997, 1000)
    assert [item["status"] for item in body["items"][:4]] == [201, 201, 201, 200]
    assert body["items"][999]["id"] == body["items"][0]["id"]


UNLABELLED: list[tuple[dict[str, Any], str]] = [
    (report(), "green"),
    (report("supply_runout"), "green"),
    (report("supply_runout", {"scope": "market"}), "green"),
    (report("supply_runout", {"scope": "facility"}), "amber"),
    (report("route_closure"), "green"),
    (report("route_closure", {"status": "restricted"}), "amber"),
    (report("route_closure", {"status": "open"}), "amber"),
    (report("route_closure", {"status": "open", "assertion": "announced"}), "amber"),
    (report(source="neighbour"), "amber"),
    (report("route_closure", source="neighbour"), "amber"),
]


async def test_a_report_without_a_label_gets_the_safest_that_fits(client: httpx.AsyncClient, reference: Reference) -> None:
    sent, expected = [], []
    for at, (body, label) in enumerate(UNLABELLED):
        unlabelled = {name: value for name, value in body.items() if name != "sensitivity"} | {"stated_at": f"2016-07-{at + 1:02}"}
        sent += [unlabelled, unlabelled | {"sensitivity": None, "provenance": {"url": "https://example.org/"}}]
        expected += [label, label]
    assert (await client.post("/v1/reports", json=sent)).json()["created"] == len(sent)
    assert [item["sensitivity"] for item in (await client.get("/v1/reports")).json()["items"]] == expected
    answer = await client.post("/v1/reports", json=report(source="neighbour", stated_at="2016-08-20"))
    assert answer.json()["sensitivity"] == "clear"


@sqlite_only
@pytest.mark.parametrize(("usual", "labels"), [("clear", ["clear", "amber", "amber"]), ("red", ["red", "red", "red"])])
async def test_the_usual_label_is_configured_and_a_stricter_rule_holds(
    settings: Settings, reference: Reference, make_key: MakeKey, usual: str, labels: list[str]
) -> None:
    secret = await make_key(clearance=Label.RED)
    async with client_for(settings.model_copy(update={"default_label": Label(usual)}), secret) as client:
        found = []
        for body in (report(), report("route_closure", {"status": "open"}), report(source="neighbour")):
            answer = await client.post("/v1/reports", json={name: value for name, value in body.items() if name != "sensitivity"})
            found.append(answer.json()["sensitivity"])
    assert found == labels


async def test_unknown_indicator_of_a_refused_report_is_not_made(client: httpx.AsyncClient, reference: Reference) -> None:
    """A refused report leaves nothing behind: no indicator, no change, no situation."""
    before = {path: (await client.get(path)).content for path in ("/v1/indicators", "/v1/changes", "/v1/situations", "/v1/ledger/head")}
    for body in (report(source="nobody"), report(value={"people": -1}), report("route_closure", {"route": str(uuid4())})):
        assert (await client.post("/v1/reports", json=body)).status_code == 422
    assert {path: (await client.get(path)).content for path in before} == before
