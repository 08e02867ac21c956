"""The Python client against a running service: lists, changes, reporting, errors, broken connections."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.client import AsyncLifeline, Indicator, Lifeline, LifelineError
from app.client.calls import pause
from tests.support.factories import Reference, report
from tests.support.processes import Server, serve_demo

URL = "http://lifeline.test"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_demo(tmp_path_factory.mktemp("demo")) as server:
        yield server


def test_lists_are_read_to_their_end_and_records_have_fields(demo: Server) -> None:
    with Lifeline(demo.url) as lifeline:
        every = list(lifeline.indicators())
        assert [each.id for each in lifeline.indicators(limit=3)] == [each.id for each in every]
        trapped = next(each for each in lifeline.indicators(kind="trapped_population", as_of="2016-08-01") if each.subject == "trapped")
        assert isinstance(trapped, Indicator)
        assert (trapped.place.slug, trapped.agreement, trapped.value and trapped.value["people_high"]) == (
            "aleppo-east",
            "contested",
            300000,
        )
        # What this version of the client does not name is there all the same.
        assert lifeline.indicator(trapped.id).model_dump()["reports"]
        assert lifeline.situation("aleppo-east", as_of="2016-08-01").model_dump()["routes"]["closed"] == 2
        assert (
            lifeline.place("pcode:SY02").slug
            == next(each for each in lifeline.places() if each.codes == lifeline.place("pcode:SY02").codes).slug
        )
        assert {each.slug for each in lifeline.routes()} == {"castello-road", "ramouseh-passage"} | {
            each.slug for each in lifeline.routes()
        }
        assert lifeline.record("sources", "un-ocha").model_dump()["first_reliability"] == "B"
        assert len(list(lifeline.sources(type="un"))) == 3
        assert len(list(lifeline.reports(place="aleppo-east"))) > 10


def test_changes_are_followed_from_a_cursor(demo: Server) -> None:
    with Lifeline(demo.url) as lifeline:
        pages = lifeline.follow(wait=0)
        first = next(pages)
        assert [each.seq for each in first.items] == list(range(1, 17))
        assert first.items[0].documents[0].place.slug == "aleppo-east"
        after = lifeline.changes(first.next)
        assert (after.items, after.next) == ([], first.next)


def test_reporting_correcting_and_withdrawing(demo: Server) -> None:
    body = {
        "kind": "supply_runout",
        "place": "aleppo-east",
        "source": "un-envoy-syria",
        "stated_at": "2016-08-02",
        "value": {"supply": "water", "in_days_min": 3, "in_days_max": 5},
        "sensitivity": "clear",
    }
    with Lifeline(demo.url, demo.key) as lifeline:
        sent = lifeline.send(body)
        assert (sent.status, sent.value["runs_out_earliest"]) == ("standing", "2016-08-05")
        assert lifeline.send(body).id == sent.id
        corrected = lifeline.correct(sent.id, body | {"value": {"supply": "water", "in_days_min": 4}}, "misheard")
        assert (corrected.supersedes, lifeline.report(sent.id).status) == (sent.id, "superseded")
        assert lifeline.retract(corrected.id, "never said").model_dump()["type"] == "retraction"
        outcomes = lifeline.send_all([body | {"stated_at": "2016-08-03"}, body | {"place": "nowhere"}])
        assert [each.status for each in outcomes] == [201, 422]
        with pytest.raises(LifelineError, match="/value/people_low: people_low <= people") as caught:
            lifeline.send(body | {"kind": "trapped_population", "value": {"concept": "trapped", "people_low": 2, "people_high": 1}})
        assert (caught.value.status, caught.value.errors[0].pointer) == (422, "/value/people_low")
        with pytest.raises(LifelineError) as missing:
            lifeline.place("atlantis")
        assert missing.value.status == 404


async def test_the_same_for_asyncio(app: Any, reference: Reference, make_key: Any) -> None:
    async with AsyncLifeline(URL, await make_key(*Scope), transport=httpx.ASGITransport(app)) as lifeline:
        sent = await lifeline.send(report())
        (outcome,) = await lifeline.send_all([report(source="envoy")])
        assert outcome.status == 201
        assert [each.id async for each in lifeline.reports(limit=1)] == [sent.id, outcome.id]
        corrected = await lifeline.correct(sent.id, report(value={"people": 2}), "misheard")
        await lifeline.retract(corrected.id, "never said")
        assert [each.kind async for each in lifeline.indicators()] == ["trapped_population"]
        assert (await lifeline.situation("oldtown")).model_dump()["trapped"]
        assert (await lifeline.report(sent.id)).status == "superseded"
        assert [each.slug async for each in lifeline.places()] == ["country", "oldtown"]
        assert len([each async for each in lifeline.sources()]) == 8
        assert len([each async for each in lifeline.routes()]) == 2
        assert (await lifeline.place("oldtown")).parent == "country"
        assert (await lifeline.record("sources", "army")).model_dump()["reliability"] == "D"
        async for page in lifeline.follow(wait=1):
            assert [each.type for each in page.items] == ["report", "report", "correction", "retraction"]
            break
        following = asyncio.ensure_future(anext(lifeline.follow(page.next, wait=5)))
        await lifeline.send(report(source="monitor"))
        assert [each.type for each in (await following).items] == ["report"]


class Broken(httpx.BaseTransport):
    """Fails some times before it answers, and remembers what it was asked."""

    def __init__(self, *failures: int | None) -> None:
        self.failures = list(failures)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.failures:
            status = self.failures.pop(0)
            if status is None:
                raise httpx.ReadError("broken", request=request)
            return httpx.Response(status, headers={"Retry-After": "0"}, text="busy")
        if request.headers.get("If-None-Match") == '"one"':
            return httpx.Response(304)
        return httpx.Response(
            200, headers={"ETag": '"one"'}, json={"id": "1", "slug": "a", "name": "A", "items": [], "next": "c", "revision": 1}
        )


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.FIRST_PAUSE_SECONDS", 0.0)


def test_what_breaks_is_tried_again_and_a_post_is_done_once() -> None:
    broken = Broken(None, 503, 429, None)
    with Lifeline(URL, transport=broken) as lifeline:
        lifeline.send_all([{}])
    assert len({each.headers["Idempotency-Key"] for each in broken.asked}) == 1
    assert len(broken.asked) == 5
    with Lifeline(URL, transport=Broken(None, None), attempts=2) as lifeline, pytest.raises(httpx.ReadError):
        lifeline.place("a")
    with Lifeline(URL, transport=Broken(503, 503), attempts=2) as lifeline, pytest.raises(LifelineError, match="503"):
        lifeline.place("a")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>"), "200 The answer is not one to what was asked."),
        (httpx.Response(200, json=[1]), "200 The answer is not one to what was asked."),
        (httpx.Response(200, json={"slug": 5}), "200 The answer is not one to what was asked."),
        (httpx.Response(301, headers={"Location": "https://other.test/"}), "301 It has moved: ask https://other.test/"),
    ],
)
def test_what_is_no_lifeline_is_told_so(answer: httpx.Response, words: str) -> None:
    """As where the address is that of a site's front page, or of http where it is https: the key is not carried along."""
    with Lifeline(URL, transport=httpx.MockTransport(lambda _: answer)) as lifeline, pytest.raises(LifelineError) as raised:
        lifeline.place("a")
    assert str(raised.value) == words


def test_what_is_known_is_asked_for_again_by_its_etag() -> None:
    transport = Broken()
    with Lifeline(URL, transport=transport) as lifeline:
        assert lifeline.place("a") == lifeline.place("a")
    assert [each.headers.get("If-None-Match") for each in transport.asked] == [None, '"one"']


def test_pauses_grow_and_the_service_may_say_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.FIRST_PAUSE_SECONDS", 0.5)
    for attempt, most in ((0, 0.5), (3, 4.0), (50, 60.0)):
        assert most / 2 <= pause(attempt, None) <= most
    assert pause(0, httpx.Response(429, headers={"Retry-After": "7"})) == 7
    assert pause(0, httpx.Response(429, headers={"Retry-After": "7000"})) == 60


def test_the_client_knows_the_contract_alone() -> None:
    for path in (Path(__file__).parents[2] / "app" / "client").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line.startswith(("from app", "import app")) or line.startswith("from app.client"), (path, line)
