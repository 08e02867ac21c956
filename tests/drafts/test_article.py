"""`POST /v1/drafts/from-text`."""

import time
from datetime import date
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from app.domain.words import NameIndex, read_article
from app.drafts.article import _body
from app.drafts.schemas import ArticleIn
from app.reports.validation import ValidatedReport, validate
from app.settings import Settings
from tests.domain.words.sentences import PARENTS, PLACES, PUBLISHED_ON, PUBLISHER, ROUTES, SOURCES, load
from tests.support.factories import Reference
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

TEXT = (
    "The agency is in town.\n\n\u201cSome 300,000 people are trapped in Old town,\u201d the Agency said on Friday. "
    "Food in Old town could run out in two to three weeks, it said. North-road into Old town has been closed since 7 July."
)


def article(**more: Any) -> dict[str, Any]:
    return {"text": TEXT, "publisher": "outlet", "published_at": "2016-07-31T20:00:00-05:00", "url": "https://example.org/a"} | more


@mostly_sqlite
async def test_article_is_answered_with_statements_their_spans_and_what_is_unclear(client: httpx.AsyncClient, reference: Reference) -> None:
    answer = await client.post("/v1/drafts/from-text", json=article())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    first, second = body["drafts"]
    assert first["report"] | {"provenance": None} == {
        "kind": "trapped_population", "place": "oldtown", "source": "agency", "stated_at": "2016-07-29", "provenance": None,
        "value": {"concept": "trapped", "people": 300000, "qualifier": "about"},
    }  # fmt: skip
    assert first["report"]["provenance"] == {
        "via": ["outlet"], "directness": "quoted", "published_at": "2016-08-01T01:00:00Z", "url": "https://example.org/a",
        "quote": "\u201cSome 300,000 people are trapped in Old town,\u201d the Agency said on Friday.", "language": "en",
    }  # fmt: skip
    assert TEXT[slice(*first["spans"]["/value/people"])] == "Some 300,000"
    assert (second["report"]["source"], second["report"]["provenance"]["directness"]) == ("outlet", "direct")
    assert second["report"]["value"] == {"route": "north-road", "status": "closed", "since": "2016-07-07"}
    assert [TEXT[slice(*each["span"])] for each in body["unclear"]] == ["Food in Old town could run out in two to three weeks, it said."]
    made = await client.post("/v1/drafts", json=first["report"])
    assert made.status_code == 201, made.text
    assert (await client.post(made.json()["links"]["confirmation"])).status_code == 201
    # Reading stores nothing.
    assert len((await client.get("/v1/drafts")).json()["items"]) == 1


@sqlite_only
@pytest.mark.parametrize(
    ("published_at", "stated_at"),
    [
        ("2016-08-05", "2016-07-30"),
        # Half past two on Saturday at the place.
        ("2016-08-05T23:30:00Z", None),
        ("2016-08-05T19:00:00Z", "2016-07-30"),
        ("2016-08-06T01:30:00+02:00", None),
        ("2016-08-06T12:00:00Z", "2016-08-06"),
    ],
)
async def test_weekday_that_the_time_zone_decides_is_marked(
    client: httpx.AsyncClient, reference: Reference, published_at: str, stated_at: str | None
) -> None:
    await reference.add("places", slug="hill", name="Hill town", centroid=[37.0, 36.0], timezone="Asia/Damascus")
    text = "The Agency said on Saturday that 40,000 people are trapped in Hill town. Castello Road is far."
    body = (await client.post("/v1/drafts/from-text", json=article(text=text, published_at=published_at))).json()
    assert [each["report"]["stated_at"] for each in body["drafts"]] == ([stated_at] if stated_at else [])
    assert [each["reason"] for each in body["unclear"]] == ([] if stated_at else ["the day of the statement is not certain"])


@sqlite_only
async def test_publisher_is_found_by_slug_or_name_and_otherwise_near_names_are_told(
    client: httpx.AsyncClient, reference: Reference
) -> None:
    for publisher in ("outlet", "Outlet", "OUTLET"):
        assert (await client.post("/v1/drafts/from-text", json=article(publisher=publisher))).status_code == 200
    answer = await client.post("/v1/drafts/from-text", json=article(publisher="Outlett"))
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["pointer"], "outlet" in error["detail"]) == (422, "/publisher", True)


@sqlite_only
@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"text": ""}, "/text"),
        ({"text": "9" * 1_000_000}, "/text"),
        ({"published_at": "9999-01-01"}, "/published_at"),
        ({"published_at": "early July"}, "/published_at"),
        ({"url": "javascript:alert(1)"}, "/url"),
        ({"publisher": "\u202eteltuo"}, "/publisher"),
        ({"more": 1}, "/more"),
        ({"published_at": "x", "publisher": "nope"}, "/published_at /publisher"),
        ({"text": "a\0b"}, "/text"),
    ],
)
async def test_wrong_article_is_refused_at_the_field(
    client: httpx.AsyncClient, reference: Reference, more: dict[str, Any], pointer: str
) -> None:
    answer = await client.post("/v1/drafts/from-text", json=article(**more))
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, pointer.split())


@sqlite_only
@pytest.mark.parametrize(
    ("text", "status"),
    [("x" * 5_000_000, 413), ("9" * 1_000_000, 422), ("<script>alert(1)</script>" * 2_000, 200), ("\u202e000,003" * 6_000, 200)],
    ids=["5 MB", "a million digits", "script", "direction overrides"],
)
async def test_hostile_article_is_answered_in_time(client: httpx.AsyncClient, reference: Reference, text: str, status: int) -> None:
    started = time.process_time()
    answer = await client.post("/v1/drafts/from-text", json=article(text=text))
    assert answer.status_code == status, answer.text[:300]
    assert time.process_time() - started < 2
    assert status != 200 or answer.json()["drafts"] == []


@sqlite_only
async def test_other_languages_are_marked_and_not_read(client: httpx.AsyncClient, reference: Reference) -> None:
    body = (await client.post("/v1/drafts/from-text", json=article(language="fr"))).json()
    assert (body["drafts"], body["unclear"]) == ([], [{"span": [0, len(TEXT)], "reason": "only English is read"}])


@sqlite_only
async def test_reading_needs_the_scope_report_and_shows_no_protected_name(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    await reference.add("sources", slug="nurse", name="Nurse Amal", type="media", alias="A health worker")
    text = "Nurse Amal said on Friday that 40,000 people are trapped in Old town."
    found = {}
    for clearance in (Label.GREEN, Label.AMBER):
        reporter = await make_client(Scope.READ, Scope.REPORT, clearance=clearance)
        found[clearance] = (await reporter.post("/v1/drafts/from-text", json=article(text=text))).json()["drafts"]
    assert found[Label.GREEN] == []
    assert found[Label.AMBER][0]["report"]["source"] == "nurse"
    reader = await make_client(Scope.READ, Scope.CURATE, clearance=Label.RED)
    assert (await reader.post("/v1/drafts/from-text", json=article())).status_code == 403


def test_every_proposal_is_a_report_that_would_be_accepted() -> None:
    names = NameIndex(PLACES.items(), SOURCES.items(), ROUTES.items(), PARENTS)
    for name in ("development.txt", "held_out.txt"):
        for sentence in load(name):
            sent = ArticleIn(text=sentence.text, publisher=PUBLISHER, published_at=PUBLISHED_ON)
            reading = read_article(sentence.text, names, PUBLISHER, date.fromisoformat(PUBLISHED_ON))
            for each in _body(sent, PUBLISHER, reading)["drafts"]:
                assert isinstance(validate(each["report"], Settings()), ValidatedReport), each
