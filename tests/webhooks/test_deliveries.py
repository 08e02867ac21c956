"""What a receiver gets: every event at least once, in order, signed, nothing above its clearance."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from app.changes import queries
from app.domain.tlp import Label
from app.webhooks import delivery, service
from tests.support.factories import post_all, report
from tests.support.fixtures import MakeClient, sqlite_only
from tests.webhooks.conftest import CLOSE, HANG, MID_BODY, Receiver, Register, http_response, delivery_log, until, verify

pytestmark = pytest.mark.usefixtures("reference")


async def _post(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/reports", json=report(**more))
    assert answer.status_code == 201, answer.text
    posted: dict[str, Any] = answer.json()
    return posted


async def test_every_type_of_change_comes_signed_in_order_as_in_the_feed(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    webhook = await register()
    first = await _post(client)
    second = await _post(client, kind="supply_runout", stated_at="2016-07-29")
    await client.post(f"/v1/reports/{first['id']}/correction", json=report(value={"people": 5}, reason="misread"))
    outcome = {"outcome": "averted", "reason": "a convoy", "report": second["id"]}
    assert (await client.post(f"/v1/indicators/{second['indicator']}/outcome", json=outcome)).status_code == 201
    await client.post(f"/v1/reports/{second['id']}/retraction", json={"reason": "withdrawn"})
    await client.post("/v1/sources/agency/grades", json={"reliability": "C", "reason": "was wrong"})
    await receiver.wait_for_requests(6)
    assert receiver.seqs() == [1, 2, 3, 4, 5, 6]
    assert [got.event["type"] for got in receiver.requests] == [
        "org.lifeline.report.recorded.v1",
        "org.lifeline.report.recorded.v1",
        "org.lifeline.report.corrected.v1",
        "org.lifeline.indicator.outcome.v1",
        "org.lifeline.report.retracted.v1",
        "org.lifeline.source.graded.v1",
    ]
    for got in receiver.requests:
        verify(webhook, got)
        with pytest.raises(WebhookVerificationError):
            verify({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, got)
        data = got.event["data"]
        (change,) = (await client.get(data.pop("links")["change"])).json()["items"]
        assert {name: data[name] for name in data if name != "documents"} == {name: change[name] for name in data if name != "documents"}
        assert [each["id"] for each in data["documents"]] == [each["id"] for each in change["documents"]]

    async def all_done() -> bool:
        return [item["status"] for item in await delivery_log(client, webhook)] == ["delivered"] * 6

    await until(all_done)
    log = await delivery_log(client, webhook)
    assert [item["seq"] for item in log] == [6, 5, 4, 3, 2, 1]
    assert {item["id"] for item in log} == {got.id for got in receiver.requests}


# What it says matters to the sender, how it is kept to the database.
FAILING: list[tuple[str, bytes | str]] = [("postgresql", HANG)]
FAILING += [("sqlite", each) for each in (HANG, CLOSE, MID_BODY, http_response(500), http_response(301, "Location: /elsewhere"))]


@pytest.mark.parametrize(("engine", "says"), FAILING, indirect=["engine"])
async def test_a_receiver_that_fails_gets_each_event_and_can_tell_repeats(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, app: Any, says: bytes | str
) -> None:
    if says == HANG:
        app.state.settings.webhook_timeout_seconds = 0.5
    webhook = await register()
    receiver.respond_with(says, says)
    bodies = [(await _post(client, value={"people": people}, source=source))["id"] for people, source in ((1, "agency"), (2, "envoy"))]
    await receiver.wait_until(lambda: len({got.id for got in receiver.requests}) == 2 and len(receiver.requests) >= 4)
    assert [receiver.requests[0].seq, min(got.seq for got in receiver.requests)] == [1, 1]
    by_id = {got.id: got.body for got in receiver.requests}
    assert len(by_id) == 2
    assert all(by_id[got.id] == got.body for got in receiver.requests), "the body is frozen"
    assert {json.loads(body)["data"]["report_id"] for body in by_id.values()} == set(bodies)
    assert {got.path for got in receiver.requests} == {"/hook"}, "redirects are not followed"

    async def all_done() -> bool:
        return [item["status"] for item in await delivery_log(client, webhook)] == ["delivered"] * 2

    await until(all_done)
    stands = (await client.get(webhook["links"]["self"])).json()
    assert (stands["status"], stands["failing_since"]) == ("active", None)
    assert sum(item["attempts"] for item in await delivery_log(client, webhook)) == len(receiver.requests)


@sqlite_only
async def test_retry_after_is_honoured(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    await register()
    receiver.respond_with(http_response(429, "Retry-After: 1"))
    await _post(client)
    await receiver.wait_for_requests(2)
    first, second = receiver.requests
    assert first.id == second.id
    assert second.received_at - first.received_at >= timedelta(seconds=1)


async def test_above_green_only_that_there_is_something(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    await register(client)
    await post_all(
        client,
        report(sensitivity="amber", value={"people": 47114711}),
        report("supply_runout", sensitivity="green"),
        # The indicator's document, as this key sees it, rests on an amber statement.
        report(source="monitor", sensitivity="clear"),
    )
    await receiver.wait_for_requests(3)
    thin, whole, beside = (got.event for got in receiver.requests)
    for event, seq in ((thin, 1), (beside, 3)):
        assert set(event["data"]) == {"seq", "type", "links"}
        assert "subject" not in event
        (change,) = (await client.get(event["data"]["links"]["change"])).json()["items"]
        assert (change["seq"], change["type"]) == (seq, "report")
    assert whole["data"]["documents"][0]["kind"] == "supply_runout"
    assert "47114711" not in "".join(got.body.decode() for got in receiver.requests)


async def test_a_correction_of_what_was_amber_is_thin_for_those_who_know(
    client: httpx.AsyncClient, make_client: MakeClient, receiver: Receiver, register: Register
) -> None:
    old = await _post(client, sensitivity="amber")
    await register(await make_client(clearance=Label.AMBER))
    public = await register(await make_client(clearance=Label.CLEAR))
    body = report(value={"people": 7}, reason="kept between us", sensitivity="clear")
    assert (await client.post(f"/v1/reports/{old['id']}/correction", json=body)).status_code == 201
    await receiver.wait_for_requests(2)
    told = {got.event["data"]["type"]: got for got in receiver.requests}
    assert set(told["correction"].event["data"]) == {"seq", "type", "links"}
    assert told["report"].event["data"]["report"]["value"]["people"] == 7
    verify(public, told["report"])
    assert all(b"kept between us" not in got.body and old["id"].encode() not in got.body for got in receiver.requests)


async def test_a_clear_key_never_hears_of_amber(
    client: httpx.AsyncClient, make_client: MakeClient, receiver: Receiver, register: Register
) -> None:
    reader = await make_client(clearance=Label.CLEAR)
    webhook = await register(reader)
    await post_all(
        client,
        report(sensitivity="clear", value={"people": 1}),
        report(sensitivity="amber", source="envoy", value={"people": 47114711}),
        report(sensitivity="clear", source="monitor", value={"people": 3}),
    )
    await receiver.wait_for_requests(2)
    assert receiver.seqs() == [1, 2]
    assert b"47114711" not in b"".join(got.body for got in receiver.requests)
    assert b"envoy" not in b"".join(got.body for got in receiver.requests)
    assert [item["seq"] for item in await delivery_log(reader, webhook)] == [2, 1]


@sqlite_only
async def test_an_attempt_that_breaks_in_a_way_nobody_thought_of_is_recorded(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be made again at once for ever, were it not."""

    async def break_(*_: Any) -> None:
        raise ValueError("odd")

    with monkeypatch.context() as broken:
        broken.setattr(delivery, "_ask", break_)
        webhook = await register()
        await _post(client)

        async def recorded() -> bool:
            return [item["attempts"] > 0 for item in await delivery_log(client, webhook)] == [True]

        await until(recorded)
        (item,) = await delivery_log(client, webhook)
        assert (item["status"], item["error"]) == ("pending", "the answer could not be read")
        assert not receiver.requests


@pytest.mark.parametrize(("engine", "look"), [("sqlite", 0.0), ("sqlite", 60.0), ("postgresql", 0.0)], indirect=["engine"])
async def test_filters_and_where_to_begin(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch, look: float
) -> None:
    # In stretches of one entry, which are looked at until something is found, in one turn or in several.
    monkeypatch.setattr(queries, "MAX_SCANNED", 1)
    monkeypatch.setattr(service, "MAX_SCAN_SECONDS", look)
    await _post(client)
    await register(kind="supply_runout", place="country", within=True, after="beginning")
    await register(country="SYR", after="beginning")
    await post_all(client, report("supply_runout"), report(place="country"))
    await receiver.wait_for_requests(4)
    hooks = {got.headers["webhook-id"]: got.seq for got in receiver.requests}
    assert sorted(hooks.values()) == [1, 2, 2, 3]


async def test_failed_deliveries_disable_and_a_redelivery_sets_it_going(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, app: Any
) -> None:
    # The schedule's window is over at once, and so is the patience.
    app.state.settings.webhook_retry_window_seconds = 0
    app.state.settings.webhook_disable_after_seconds = 0
    webhook = await register()
    receiver.respond = lambda _: http_response(503)
    await _post(client)

    async def disabled() -> bool:
        return bool((await client.get(webhook["links"]["self"])).json()["status"] == "disabled")

    await until(disabled)
    stands = (await client.get(webhook["links"]["self"])).json()
    assert stands["disabled_reason"].startswith("no delivery got through since")
    (failed,) = await delivery_log(client, webhook, status="failed")
    assert (failed["status_code"], failed["error"], failed["next_attempt_at"]) == (503, "the receiver answered 503", None)
    receiver.respond = lambda _: http_response(200)
    await _post(client, source="envoy")
    assert len(receiver.requests) == 1, "nothing is sent while it is disabled"
    answer = await client.post(failed["links"]["redelivery"])
    assert (answer.status_code, answer.json()["status"], answer.json()["id"]) == (202, "pending", failed["id"])
    await receiver.wait_for_requests(3)
    assert receiver.seqs() == [1, 1, 2]
    assert receiver.requests[1].id == receiver.requests[0].id
    assert receiver.requests[1].body == receiver.requests[0].body

    async def all_done() -> bool:
        return [item["status"] for item in await delivery_log(client, webhook)] == ["delivered"] * 2

    await until(all_done)
    assert (await client.get(webhook["links"]["self"])).json()["status"] == "active"


async def test_gone_disables_at_once_and_holds_the_rest_back(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    await post_all(client, report(), report(source="envoy"))
    receiver.respond = lambda _: http_response(410)
    webhook = await register(after="beginning")

    async def disabled() -> bool:
        return bool((await client.get(webhook["links"]["self"])).json()["status"] == "disabled")

    await until(disabled)
    assert len(receiver.requests) == 1
    for item in await delivery_log(client, webhook):
        assert item["error"] == "held back, the webhook was disabled: the receiver answered 410: it is gone"


@sqlite_only
async def test_a_long_answer_is_not_read_to_its_end(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    webhook = await register()
    # Says that a gigabyte follows: who waited for it would time out.
    receiver.respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)
    await _post(client)

    async def delivered() -> bool:
        return [item["attempts"] for item in await delivery_log(client, webhook, status="delivered")] == [1]

    await until(delivered)
