"""Alerts follow the assessment of their reports, as of when these are recorded: who confirms, what is ended, and for whom."""

import xml.etree.ElementTree as ET
from typing import Any

import feedparser
import httpx
import pytest

from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.assessment.stories import food, people, road, say, statement
from tests.exchange.alerts.test_endpoints import cap, text, texts
from tests.judgements.test_endpoints import problems
from tests.support.factories import post, post_all
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.plans import recorded

pytestmark = pytest.mark.usefixtures("reference")


async def shown(client: httpx.AsyncClient, report: dict[str, Any]) -> tuple[str | None, ...]:
    """Return status, type and response of the alert of a report."""
    message = await cap(client, report["id"])
    return text(message, "status"), text(message, "msgType"), text(message, "responseType")


async def references(client: httpx.AsyncClient, report: dict[str, Any]) -> list[str]:
    """Return the identifiers of the messages that the alert of a report refers to, whose other fields are checked."""
    found = (text(await cap(client, report["id"]), "references") or "").split()
    identifiers = [each.split(",")[1] for each in found]
    for identifier, reference in zip(identifiers, found, strict=True):
        assert reference == f"lifeline,{identifier},{text(await cap(client, identifier), 'sent')}"
    return identifiers


async def titles(client: httpx.AsyncClient) -> dict[str, tuple[str, str]]:
    """Return title and type of each entry of the feed, by identifier."""
    feed = feedparser.parse((await client.get("/v1/alerts")).content)
    return {each.id.rpartition("/")[2].removesuffix(".cap"): (each.title, each.tags[0].term) for each in feed.entries}


@sqlite_only
async def test_alert_says_none_where_no_group_can_pass(client: httpx.AsyncClient) -> None:
    for route, given, said in (("north-road", {"passable_by": []}, ["none"]), ("south-road", {}, [])):
        message = await cap(client, (await say(client, "monitor", "2016-08-08", road("restricted", route, **given)))["id"])
        parameters = dict(zip(texts(message, "valueName"), texts(message, "value"), strict=True))
        assert [value for name, value in parameters.items() if name == "lifeline:value.passable_by"] == said
        assert ("passable by: none" in (text(message, "description") or "")) == bool(said)


@mostly_sqlite
async def test_resupply_that_overtakes_warnings_is_an_update_of_them(client: httpx.AsyncClient) -> None:
    first = await say(client, "agency", "2016-08-01", food(days=(5, 9)))
    second = await say(client, "envoy", "2016-08-02", food(days=(6, 8)))
    one = await say(client, "monitor", "2016-08-06", food("resupplied"))
    # One voice is not enough: the warnings stand.
    assert await shown(client, one) == ("Draft", "Alert", "Monitor")
    two = await say(client, "outlet", "2016-08-06", food("resupplied"))
    assert await shown(client, two) == ("Actual", "Update", "AllClear")
    assert await references(client, two) == [first["id"], second["id"]]
    assert await titles(client) == {
        first["id"]: ("Supply run-out: food, Old town", "Alert"),
        second["id"]: ("Supply run-out: food, Old town", "Alert"),
        one["id"]: ("Unconfirmed: Supply restored: food, Old town", "Alert"),
        two["id"]: ("Supply restored: food, Old town", "Update"),
    }
    again = await say(client, "agency", "2016-08-20", food(days=(2, 3)))
    # An alert that was sent does not change when the assessment does.
    assert await shown(client, two) == ("Actual", "Update", "AllClear")
    assert await shown(client, first) == ("Actual", "Alert", "Prepare")
    assert await shown(client, again) == ("Actual", "Update", "Prepare")
    assert set(await references(client, again)) == {one["id"], two["id"]}


@sqlite_only
@pytest.mark.parametrize("value", [food("resupplied"), food(days=(90, 99)), road("open"), road("restricted")])
@pytest.mark.parametrize(
    "unsound", [{"source": "army"}, {"source": "agency", "credibility": 4}, {"source": "outlet", "origin": "rebels"}], ids=str
)
async def test_unsound_relief_claim_is_a_draft(client: httpx.AsyncClient, value: dict[str, Any], unsound: dict[str, Any]) -> None:
    warning = await say(client, "envoy", "2016-08-01", food(days=(5, 9)) if "supply" in value else road("closed"))
    body = statement(**{"source": "", "stated_at": "2016-08-09", "value": value} | unsound)
    assert (await shown(client, await post(client, **body)))[:2] == ("Draft", "Alert")
    # Alone, too, where nothing worse is said.
    alone = body | {"place": "country"}
    status, _, response = await shown(client, await post(client, **alone))
    assert (status, response == "AllClear") == ("Draft", False)
    assert await shown(client, warning) == ("Actual", "Alert", "Prepare" if "supply" in value else "Avoid")


@sqlite_only
@pytest.mark.parametrize("worse", [food(days=(20, 30)), road("closed")], ids=["supply", "route"])
async def test_withdrawn_relief_gives_no_all_clear(client: httpx.AsyncClient, worse: dict[str, Any]) -> None:
    await say(client, "monitor", "2016-08-01", worse)
    relief = await say(
        client, "agency", "2016-08-05", food("resupplied") if "supply" in worse else road("open"), method="direct_observation"
    )
    assert (await shown(client, relief))[0] == "Actual"
    await post(client, f"/v1/reports/{relief['id']}/retraction", reason="never said")
    assert await shown(client, {"id": f"{relief['id']}-cancel"}) == ("Actual", "Cancel", None)


@sqlite_only
@pytest.mark.parametrize("more", [{}, {"direction": "out"}, {"since": "2016-08-20"}], ids=str)
async def test_route_that_no_group_can_pass_gives_no_all_clear(client: httpx.AsyncClient, more: dict[str, Any]) -> None:
    assertion = {"assertion": "observed"} if "since" not in more else {"assertion": "announced"}
    said = await say(client, "agency", "2016-08-01", road("open", passable_by=[], **more, **assertion))
    assert await shown(client, said) == (("Actual", "Alert", "Avoid") if "since" not in more else ("Draft", "Alert", "Monitor"))


@sqlite_only
async def test_route_is_open_only_by_its_own_direction(client: httpx.AsyncClient) -> None:
    shut = await say(client, "agency", "2016-08-01", road("closed", direction="in"))
    out = await say(client, "agency", "2016-08-02", road("closed", direction="out"))
    way = await say(client, "envoy", "2016-08-03", road("open", direction="in"), method="direct_observation")
    assert await shown(client, way) == ("Actual", "Update", "AllClear")
    assert await references(client, way) == [shut["id"]]
    both = await say(client, "monitor", "2016-08-04", road("open"))
    assert await shown(client, both) == ("Draft", "Alert", "Monitor")
    reopened = await say(client, "agency", "2016-08-05", road("open", direction="out"))
    # A source's own later report ends its alert as well.
    assert (await shown(client, reopened), await references(client, reopened)) == (("Actual", "Update", "AllClear"), [out["id"]])


@sqlite_only
async def test_announced_relayed_and_late_reports_are_drafts(client: httpx.AsyncClient) -> None:
    said = await say(client, "agency", "2016-08-01", food(days=(5, 9)))
    repeated = await say(client, "agency", "2016-08-03", food(days=(6, 9)), via=["outlet"])
    relayed = await say(client, "envoy", "2016-08-04", food(days=(2, 5)), relays=said["id"])
    assert [(await shown(client, each))[0] for each in (said, repeated, relayed)] == ["Actual", "Draft", "Draft"]
    for status in ("open", "closed"):
        announced = await say(client, "envoy", "2016-08-01", road(status, assertion="announced", since="2016-08-20"))
        assert (await shown(client, announced))[:2] == ("Draft", "Alert")
    await say(client, "agency", "2016-08-20", food("resupplied"))
    late = await say(client, "agency", "2016-08-10", food(days=(1, 2)))
    assert (await shown(client, late))[0] == "Draft"


@mostly_sqlite
async def test_reports_of_one_request_alert_as_if_sent_one_by_one(client: httpx.AsyncClient) -> None:
    warned, restored = await post_all(
        client,
        statement("agency", "2016-08-01", food(days=(5, 9))),
        statement("agency", "2016-08-06", food("resupplied")),
    )
    assert await shown(client, warned) == ("Actual", "Alert", "Prepare")
    assert await shown(client, restored) == ("Actual", "Update", "AllClear")
    assert await references(client, restored) == [warned["id"]]


@sqlite_only
async def test_outcome_that_came_true_outlasts_a_weak_resupply(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(5, 9)))
    convoy = await say(client, "agency", "2016-08-11", food("ran_out"))
    await post(client, f"/v1/indicators/{warning['indicator']}/outcome", outcome="materialised", reason="it did", report=convoy["id"])
    assert await shown(client, await say(client, "monitor", "2016-08-20", food("resupplied"))) == ("Draft", "Alert", "Monitor")


@mostly_sqlite
async def test_alert_depends_on_no_report_above_the_clearance(client: httpx.AsyncClient, make_client: MakeClient) -> None:
    public = await make_client(clearance=Label.CLEAR)
    hidden = await say(client, "envoy", "2016-08-01", food(days=(5, 9)), sensitivity="amber")
    seen = await say(client, "agency", "2016-08-02", food(days=(5, 9)))
    first = await say(client, "outlet", "2016-08-06", food("resupplied"), sensitivity="red")
    second = await say(client, "monitor", "2016-08-06", food("resupplied"))
    # Above, two voices end both warnings; below, one voice ends nothing.
    assert (await shown(client, second), set(await references(client, second))) == (
        ("Actual", "Update", "AllClear"),
        {hidden["id"], seen["id"]},
    )
    assert (await shown(public, second), await references(public, second)) == (("Draft", "Alert", "Monitor"), [])
    assert set(await titles(public)) == {seen["id"], second["id"]}
    await post(client, f"/v1/reports/{seen['id']}/label", sensitivity="amber", reason="names a depot")
    assert first["id"] not in (await public.get("/v1/alerts")).text
    assert seen["id"] not in (await public.get(f"/v1/alerts/{second['id']}.cap")).text


@sqlite_only
@pytest.mark.parametrize(
    ("value", "expires"),
    [
        # Past the horizon of 30 days, until that day has ended everywhere.
        (food(runs_out_earliest="2016-10-01", runs_out_latest="2016-12-24"), "2016-12-25T11:59:59-00:00"),
        (food("low", runs_out_latest="2016-12-24"), "2016-12-25T11:59:59-00:00"),
        (food(runs_out_latest="9999-12-31"), "9999-12-31T11:59:59-00:00"),
        (road("closed", since="2016-12", assertion="announced"), "2017-01-01T11:59:59-00:00"),
        (food("resupplied"), "2016-08-15T00:00:00-00:00"),
        (road("open"), "2016-08-08T00:00:00-00:00"),
        (road("closed"), "2016-08-31T00:00:00-00:00"),
    ],
)
async def test_alert_expires_after_the_last_day_that_it_warns_of(client: httpx.AsyncClient, value: dict[str, Any], expires: str) -> None:
    report = await say(client, "agency", "2016-08-01", value)
    assert text(await cap(client, report["id"]), "expires") == expires


@sqlite_only
async def test_list_takes_as_many_queries_with_references_as_without(client: httpx.AsyncClient, database: Database) -> None:
    async def queries() -> int:
        with recorded(database) as found:
            assert (await client.get("/v1/alerts")).status_code == 200
        return len(found)

    await say(client, "agency", "2016-08-01", food(days=(5, 9)))
    await say(client, "agency", "2016-08-06", food("resupplied"))
    few = await queries()
    for day in range(1, 29):
        await say(client, "agency", f"2016-09-{day:02}", food("resupplied") if day % 2 else food(days=(1, 2)))
        await say(client, "agency", f"2016-09-{day:02}", road("open" if day % 2 else "closed"))
    # The webhook dispatcher and the upkeep of steps run queries of their own from time to time.
    assert min([await queries() for _ in range(3)]) <= few + 1


def hospitals(state: str, **more: Any) -> dict[str, Any]:
    """Return a value of hospitals."""
    return {"service": "hospital", "state": state} | more


@mostly_sqlite
async def test_service_that_works_again_cancels_the_alerts_that_it_ends(
    client: httpx.AsyncClient, make_client: MakeClient, settings: Settings
) -> None:
    green = await make_client(clearance=Label.GREEN)
    first = await say(client, "agency", "2016-11-01", hospitals("out_of_service"))
    second = await say(client, "envoy", "2016-11-02", hospitals("out_of_service", working=0))
    # One voice is not enough, and a party is none: nothing is sent.
    weak = await say(client, "monitor", "2016-11-05", hospitals("working", working=5))
    await say(client, "army", "2016-11-05", hospitals("working"))
    assert set(await titles(client)) == {first["id"], second["id"]}
    # A reader who sees more knows of one that still says so, beside which one voice is not enough.
    third = await say(client, "envoy", "2016-11-07", hospitals("out_of_service"), sensitivity="red")
    some = await say(green, "outlet", "2016-11-07", hospitals("partly_working", working=5, known=9))
    assert await shown(green, some) == ("Actual", "Cancel", None)
    assert await references(green, some) == [first["id"], second["id"]]
    assert text(await cap(green, some["id"]), "note") == "Ended by a later report: Services, partly working"
    assert str(text(await cap(green, some["id"], lang="fr"), "note")).startswith("Terminée par une déclaration ultérieure : Services, ")
    assert (await titles(green))[some["id"]] == ("Withdrawn", "Cancel")
    assert set(await titles(client)) == {first["id"], second["id"], third["id"]}
    for reader, path in ((client, some["id"]), (green, weak["id"]), (green, f"{some['id']}-cancel")):
        assert (await reader.get(f"/v1/alerts/{path}.cap")).status_code == 404
    # Withdrawn, it is no alert that needs a message.
    await post(client, f"/v1/reports/{some['id']}/retraction", reason="not so")
    assert set(await titles(green)) == {first["id"], second["id"], some["id"]}
    assert await problems(settings) == []


async def test_each_message_has_its_identifier_and_names_those_in_force(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(5, 9)))
    path, names = f"/v1/reports/{warning['id']}", [warning["id"]]
    for number in ("", "-2"):
        await post(client, f"{path}/retraction", reason=f"doubted{number}")
        await post(client, f"{path}/reinstatement", reason=f"confirmed{number}")
        names += [f"{warning['id']}-cancel{number}", f"{warning['id']}-reinstated{number}"]
    assert list(await titles(client)) == names[::-1]
    messages = [await cap(client, each) for each in names]
    assert [text(each, "identifier") for each in messages] == names
    assert [text(each, "note") for each in messages] == [None, "doubted", "confirmed", "doubted-2", "confirmed-2"]
    assert [text(each, "msgType") for each in messages] == ["Alert", "Cancel", "Alert", "Cancel", "Alert"]
    assert [await references(client, {"id": each}) for each in names] == [[], names[:1], [], names[2:3], []]
    await say(client, "monitor", "2016-08-06", food("resupplied"))
    assert await references(client, await say(client, "outlet", "2016-08-06", food("resupplied"))) == names[-1:]
    corrected = await post(client, f"{path}/correction", **statement("agency", "2016-08-01", food(days=(6, 9)), reason="misread"))
    assert await references(client, corrected) == names[-1:]
    for unknown in (f"{warning['id']}-cancel-3", f"{warning['id']}-2", f"{warning['id']}-cancel-1"):
        assert (await client.get(f"/v1/alerts/{unknown}.cap")).status_code == 404


@sqlite_only
async def test_raised_report_leaves_no_trace_in_the_alert_of_its_correction(client: httpx.AsyncClient, make_client: MakeClient) -> None:
    public = await make_client(clearance=Label.CLEAR)
    first = await say(client, "agency", "2016-08-01", hospitals("out_of_service"))
    new = await post(
        client, f"/v1/reports/{first['id']}/correction", **statement("agency", "2016-08-02", hospitals("out_of_service"), reason="the day")
    )
    ended = await post(
        client, f"/v1/reports/{new['id']}/correction", **statement("agency", "2016-08-02", hospitals("working"), reason="no")
    )
    assert await shown(public, new) == ("Actual", "Update", "Prepare")
    assert (await titles(public))[ended["id"]] == ("Withdrawn", "Cancel")
    for each in (first, new):
        await post(client, f"/v1/reports/{each['id']}/label", sensitivity="red", reason="names a depot")
        assert each["id"] not in (await public.get("/v1/alerts")).text
        if each is first:
            message = await cap(public, new["id"])
            assert (text(message, "msgType"), text(message, "references"), text(message, "note")) == ("Alert", None, None)
    # There is nothing left that it cancels.
    assert (await public.get(f"/v1/alerts/{ended['id']}.cap")).status_code == 404
    assert ended["id"] not in await titles(public)
    assert ended["id"] in await titles(client)


async def lower(make_client: MakeClient, report: dict[str, Any], label: Label) -> dict[str, Any]:
    """Lower a label as two persons do, and return the entry."""
    one, two = [await make_client(clearance=Label.RED) for _ in range(2)]
    answer = await one.post(f"/v1/reports/{report['id']}/label", json={"sensitivity": label.value, "reason": "public now"})
    return await post(two, f"/v1/label-proposals/{answer.json()['id']}/confirmation")


@mostly_sqlite
async def test_lowered_label_sends_the_alert_to_those_who_now_see_it(
    client: httpx.AsyncClient, make_client: MakeClient, settings: Settings
) -> None:
    public, green = await make_client(clearance=Label.CLEAR), await make_client(clearance=Label.GREEN)
    warning = await say(client, "agency", "2016-08-01", food(days=(5, 9)), sensitivity="amber")
    path = f"/v1/reports/{warning['id']}"
    await post(client, f"{path}/retraction", reason="doubted")
    await post(client, f"{path}/reinstatement", reason="confirmed")
    before = await cap(client, warning["id"])
    await lower(make_client, warning, Label.GREEN)
    shown_to_all = await lower(make_client, warning, Label.CLEAR)
    # Readers who saw it keep their message, and get no second one.
    assert len(await titles(client)) == 3
    assert text(await cap(client, warning["id"]), "sent") == text(before, "sent")
    for reader in (public, green):
        assert await titles(reader) == {warning["id"]: ("Supply run-out: food, Old town", "Alert")}
        assert await shown(reader, warning) == ("Actual", "Alert", "Prepare")
        assert text(await cap(reader, warning["id"]), "note") is None
    assert str(text(await cap(public, warning["id"]), "sent"))[:19] == shown_to_all["recorded_at"][:19]
    # Readers who do not see it any more are told to act on it no more, and get it once more where it is lowered again.
    await post(client, f"{path}/label", sensitivity="red", reason="names a depot")
    names = [f"{warning['id']}{each}" for each in ("-reinstated", "-cancel", "")]
    assert await titles(public) == {names[1]: ("Withdrawn", "Cancel")}
    await lower(make_client, warning, Label.CLEAR)
    assert list(await titles(public)) == names
    (entry,) = feedparser.parse((await public.get("/v1/alerts?limit=1")).content).entries
    assert entry.id.endswith(f"/{names[0]}.cap")
    corrected = await post(client, f"{path}/correction", **statement("agency", "2016-08-01", food(days=(6, 9)), reason="misread"))
    assert [await references(each, corrected) for each in (public, client)] == [names[:1], names[:1]]
    assert await references(public, {"id": names[1]}) == names[2:]
    assert len(await titles(client)) == 4
    assert await problems(settings) == []


@sqlite_only
async def test_lowered_label_ends_the_alerts_that_its_readers_have(
    client: httpx.AsyncClient, make_client: MakeClient, settings: Settings
) -> None:
    public = await make_client(clearance=Label.CLEAR)
    first = await say(client, "agency", "2016-11-01", hospitals("out_of_service"))
    await say(client, "monitor", "2016-11-05", hospitals("working", working=5))
    hidden = await say(client, "envoy", "2016-11-07", hospitals("out_of_service"), sensitivity="red")
    again = await say(client, "outlet", "2016-11-07", hospitals("working"), sensitivity="red")
    # Beside the hidden one, the second voice is not enough.
    assert set(await titles(client)) == {first["id"], hidden["id"]}
    await lower(make_client, again, Label.CLEAR)
    assert (await shown(public, again), await references(public, again)) == (("Actual", "Cancel", None), [first["id"]])
    # A correction that only some see is theirs; lowered, it is an update for all.
    road_ = await say(client, "agency", "2016-08-01", road("closed"))
    narrow = statement("agency", "2016-08-02", road("closed"), sensitivity="amber", reason="the day")
    corrected = await post(client, f"/v1/reports/{road_['id']}/correction", **narrow)
    assert next(iter(await titles(public))) == road_["id"]
    await lower(make_client, corrected, Label.CLEAR)
    assert (await shown(public, corrected), await references(public, corrected)) == (("Actual", "Update", "Avoid"), [road_["id"]])
    assert await problems(settings) == []


@sqlite_only
async def test_raised_label_ends_the_alert_of_those_who_lose_sight_of_it(
    client: httpx.AsyncClient, make_client: MakeClient, settings: Settings
) -> None:
    public, green, amber = [await make_client(clearance=each) for each in (Label.CLEAR, Label.GREEN, Label.AMBER)]
    plain = await say(client, "agency", "2016-08-01", road("closed"))
    narrow = await say(client, "agency", "2016-08-01", food(days=(5, 9)), sensitivity="green")
    counted = await say(client, "agency", "2016-08-01", people(5000))
    withdrawn = await say(client, "monitor", "2016-08-01", road("closed"))
    await post(client, f"/v1/reports/{withdrawn['id']}/retraction", reason="not so")
    for each in (plain, narrow, counted, withdrawn):
        await post(client, f"/v1/reports/{each['id']}/label", sensitivity="amber", reason="names a depot")
    cancel = f"{plain['id']}-cancel"
    # A report that is no alert, or was withdrawn before, has nothing to end; who never saw the narrow one is told nothing of it.
    assert await titles(public) == {cancel: ("Withdrawn", "Cancel")}
    assert await titles(green) == {f"{narrow['id']}-cancel": ("Withdrawn", "Cancel"), cancel: ("Withdrawn", "Cancel")}
    assert (await titles(amber)).keys() == {plain["id"], narrow["id"], withdrawn["id"], f"{withdrawn['id']}-cancel"}
    shown_ = {each.tag.partition("}")[2]: each.text for each in ET.fromstring(await cap(public, cancel))}  # noqa: S314 - our own
    assert shown_.keys() == {"identifier", "sender", "sent", "status", "msgType", "scope", "note", "references"}
    assert (shown_["status"], shown_["msgType"], shown_["scope"]) == ("Actual", "Cancel", "Public")
    assert shown_["note"] == "This alert is no longer shown: do not act on it."
    assert shown_["references"] == f"lifeline,{plain['id']},{text(await cap(amber, plain['id']), 'sent')}"
    assert text(await cap(green, f"{narrow['id']}-cancel"), "restriction") == "TLP:GREEN"
    assert "plus affichée" in str(text(await cap(public, cancel, lang="fr"), "note"))
    # No filter tells what it was about, and each subscriber of a part gets it.
    for query in ("kind=route_closure", "kind=supply_runout", "place=oldtown", "place=country", "country=SYR"):
        assert cancel in (await public.get(f"/v1/alerts?{query}")).text
    assert (await public.get("/v1/alerts?place=nowhere")).status_code == 422
    assert (await public.get(f"/v1/alerts/{plain['id']}.cap")).status_code == 404
    assert await problems(settings) == []
