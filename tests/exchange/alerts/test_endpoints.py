"""Alerts: an Atom feed for feedparser, messages valid by the schema of CAP 1.2, nothing above the clearance."""

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import feedparser
import httpx
import pytest
from lxml import etree

from app.domain.kinds import KINDS
from app.domain.tlp import Label
from app.settings import Settings
from tests.exchange.conftest import POLYGON, post
from tests.support.factories import report
from tests.support.fixtures import MakeClient, sqlite_only

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"


@cache
def cap_schema() -> Any:
    """Return the schema of CAP 1.2."""
    # Every test process imports this file.
    import xmlschema  # noqa: PLC0415

    return xmlschema.XMLSchema(Path(__file__).with_name("cap12.xsd"))


def text(message: bytes, name: str) -> str | None:
    """Return the text of the first element with a name."""
    return etree.fromstring(message).findtext(f".//{CAP}{name}")


def texts(message: bytes, name: str) -> list[str | None]:
    """Return the texts of all elements with a name."""
    return [each.text for each in etree.fromstring(message).iter(f"{CAP}{name}")]


async def cap(client: httpx.AsyncClient, identifier: str, **params: str) -> bytes:
    """Return a message, validated by the schema."""
    response = await client.get(f"/v1/alerts/{identifier}.cap", params=params)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/cap+xml"), response.text
    cap_schema().validate(response.text)
    return response.content


@sqlite_only
async def test_feed_in_a_language_links_to_messages_in_it(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    entry = feedparser.parse((await client.get("/v1/alerts?lang=ar&limit=1")).content).entries[0]
    (link,) = entry.links
    assert link.href == f"{entry.id}?lang=ar"
    assert (await client.get(link.href)).status_code == 200


@sqlite_only
async def test_feed_links_to_every_message_newest_first(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    response = await client.get("/v1/alerts?limit=3")
    assert response.headers["content-type"] == "application/atom+xml"
    ids: list[str] = []
    while True:
        feed = feedparser.parse(response.content)
        assert not feed.bozo, feed.get("bozo_exception")
        assert feed.version == "atom10"
        for entry in feed.entries:
            (link,) = [each.href for each in entry.links if each.rel == "alternate"]
            # As an aggregator fetches it, which has no base address; some fetch the identifier instead.
            assert link == entry.id
            assert (await client.get(entry.id)).headers["content-type"] == "application/cap+xml"
            identifier = link.removeprefix("http://lifeline.test/v1/alerts/").removesuffix(".cap")
            message = await cap(client, identifier)
            assert entry.tags[0].term == text(message, "msgType")
            assert text(message, "identifier") == identifier
            ids.append(identifier)
        following = [each.href for each in feed.feed.links if each.rel == "next"]
        if not following:
            break
        response = await client.get(following[0])
    # All reports but those of the kind without alerts.
    assert ids[0] != filled["food"]["id"]
    assert len(ids) == len(set(ids)) == 8
    assert ids[-1] == filled["food"]["id"]
    assert filled["people"]["id"] not in ids


@sqlite_only
async def test_correction_and_retraction_refer_to_the_earlier_message(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    first, update = await cap(client, filled["wrong"]["id"]), await cap(client, filled["corrected"]["id"])
    assert (text(first, "msgType"), text(first, "references")) == ("Alert", None)
    assert text(update, "msgType") == "Update"
    assert text(update, "references") == f"lifeline,{filled['wrong']['id']},{text(first, 'sent')}"
    assert text(update, "note") == "misheard"
    said, cancel = await cap(client, filled["withdrawn"]["id"]), await cap(client, f"{filled['withdrawn']['id']}-cancel")
    assert text(cancel, "msgType") == "Cancel"
    assert text(cancel, "references") == f"lifeline,{filled['withdrawn']['id']},{text(said, 'sent')}"
    assert text(cancel, "note") == "never said"
    assert text(said, "msgType") == "Alert"
    await post(client, f"/v1/reports/{filled['withdrawn']['id']}/reinstatement", reason="said after all")
    again = await cap(client, f"{filled['withdrawn']['id']}-reinstated")
    assert (text(again, "msgType"), text(again, "references"), text(again, "note")) == ("Alert", None, "said after all")
    prov = (await client.get(f"/v1/reports/{filled['withdrawn']['id']}/provenance")).text
    assert "reinstatement-" in prov
    assert "wasInvalidatedBy" not in prov


@sqlite_only
async def test_correction_to_a_kind_without_alerts_is_a_cancel(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    new = await post(client, f"/v1/reports/{filled['shut']['id']}/correction", **report(source="outlet", reason="of people, not of roads"))
    cancel = await cap(client, new["id"])
    assert (text(cancel, "msgType"), text(cancel, "event")) == ("Cancel", None)
    assert filled["shut"]["id"] in (text(cancel, "references") or "")


async def test_message_is_draft_unless_judged_and_public_only_if_clear(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, filled: dict[str, Any]
) -> None:
    judged, unjudged, amber = [await cap(client, filled[name]["id"]) for name in ("shut", "food", "amber")]
    assert [(text(each, "status"), text(each, "certainty")) for each in (judged, unjudged)] == [
        ("Actual", "Possible"),
        ("Draft", "Unknown"),
    ]
    assert [(text(each, "scope"), text(each, "restriction")) for each in (judged, amber)] == [("Public", None), ("Restricted", "TLP:AMBER")]
    for reader in (anonymous, await make_client(clearance=Label.GREEN)):
        assert (await reader.get(f"/v1/alerts/{filled['amber']['id']}.cap")).status_code == 404
        assert filled["amber"]["id"] not in (await reader.get("/v1/alerts")).text


@sqlite_only
async def test_message_has_times_positions_and_codes_of_cap(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    food, shut = await cap(client, filled["food"]["id"]), await cap(client, filled["shut"]["id"])
    assert (text(food, "effective"), text(food, "onset")) == ("2016-07-28T00:00:00-00:00", "2016-08-11T00:00:00-00:00")
    assert text(food, "expires") == "2016-08-27T00:00:00-00:00"
    assert text(food, "polygon") == " ".join(f"{latitude},{longitude}" for longitude, latitude in POLYGON["coordinates"][0])
    assert text(food, "areaDesc") == '=Pocket, the "inner" one'
    assert (text(shut, "circle"), text(shut, "onset")) == ("36.2,37.19 0", "2016-07-01T00:00:00-00:00")
    assert [text(shut, "category"), text(shut, "responseType"), text(shut, "severity")] == ["Transport", "Avoid", "Unknown"]
    assert texts(shut, "category") == ["Transport", "Security"]
    geocode = etree.fromstring(shut).find(f".//{CAP}geocode")
    assert geocode is not None
    assert [each.text for each in geocode] == ["P-CODE", "SY02"]


ON_THE_11TH = {"supply": "food", "runs_out_earliest": "2016-08-11"}


@pytest.mark.parametrize(
    ("kind", "value", "sent", "event", "response", "urgency"),
    [
        ("supply_runout", ON_THE_11TH, "2016-08-10", "Supply run-out: food", "Prepare", "Immediate"),
        ("supply_runout", ON_THE_11TH, "2016-08-04", "Supply run-out: food", "Prepare", "Expected"),
        ("supply_runout", ON_THE_11TH, "2016-08-03", "Supply run-out: food", "Prepare", "Future"),
        ("supply_runout", ON_THE_11TH, "2016-08-12", "Supply run-out: food", "Prepare", "Past"),
        ("supply_runout", {"supply": "water"}, "2016-08-12", "Supply run-out: water", "Prepare", "Unknown"),
        ("supply_runout", {"supply": "water", "state": "resupplied"}, "2016-08-12", "Supply restored: water", "AllClear", "Past"),
        ("route_closure", {"status": "closed"}, "2016-08-12", "Route closed: a", "Avoid", "Immediate"),
        ("supply_runout", {"supply": "water", "imminence": "hours"}, "2016-08-12", "Supply run-out: water", "Prepare", "Immediate"),
        ("supply_runout", {"supply": "water", "imminence": "days"}, "2016-08-12", "Supply run-out: water", "Prepare", "Expected"),
        ("supply_runout", {"supply": "water", "imminence": "weeks"}, "2016-08-12", "Supply run-out: water", "Prepare", "Unknown"),
        ("supply_runout", ON_THE_11TH | {"imminence": "hours"}, "2016-08-03", "Supply run-out: food", "Prepare", "Future"),
        ("route_closure", {"status": "open"}, "2016-08-12", "Route open: a", "AllClear", "Past"),
        ("route_closure", {"status": "open", "passable_by": []}, "2016-08-12", "Route impassable: a", "Avoid", "Immediate"),
        ("route_closure", {"status": "open", "assertion": "announced"}, "2016-08-12", "Route passage announced: a", "Monitor", "Unknown"),
        ("route_closure", {"status": "closed", "since_earliest": "2016-09-01"}, "2016-08-12", "Route closed: a", "Avoid", "Future"),
    ],
)
def test_alert_of_a_kind_has_event_response_and_urgency(
    kind: str, value: dict[str, Any], sent: str, event: str, response: str, urgency: str
) -> None:
    model = KINDS[kind].value_model.model_validate(value | ({"route": "a"} if kind == "route_closure" else {}))
    alert = KINDS[kind].alert(model, date.fromisoformat(sent))
    assert alert is not None
    assert (alert.event, alert.response, alert.urgency) == (event, response, urgency)


async def test_feed_filters_and_unknown_messages_are_not_found(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    def entries(response: httpx.Response) -> int:
        return len(feedparser.parse(response.content).entries)

    assert entries(await client.get("/v1/alerts?kind=route_closure")) == 4
    assert entries(await client.get("/v1/alerts?place=pocket")) == 2
    assert entries(await client.get("/v1/alerts?place=oldtown&within=true")) == 8
    assert entries(await client.get("/v1/alerts?country=TUR")) == 0
    for path, status in (
        ("/v1/alerts?kind=trapped_population", 422),
        ("/v1/alerts?limit=0", 422),
        ("/v1/alerts/nonsense.cap", 404),
        (f"/v1/alerts/{filled['people']['id']}.cap", 404),
        (f"/v1/alerts/{filled['food']['id']}-cancel.cap", 404),
    ):
        response = await client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), path


@sqlite_only
async def test_feed_names_the_public_url_and_no_cached_host(client: httpx.AsyncClient, settings: Settings, filled: dict[str, Any]) -> None:
    def addresses(response: httpx.Response) -> list[str]:
        feed = feedparser.parse(response.content)
        return [feed.feed.id, *(each.href for each in feed.feed.links), *(each.id for each in feed.entries)]

    for host in ("one.example", "other.example"):
        answer = await client.get("/v1/alerts?limit=2", headers={"Host": host, "Accept": "application/problem+json;q=0.9, text/plain"})
        assert {urlsplit(each).netloc for each in addresses(answer)} == {host}
        assert answer.headers["etag"]
    settings.public_url = "https://alerts.example.org/lifeline/"
    for host in ("one.example", "other.example"):
        for each in addresses(await client.get("/v1/alerts?limit=2", headers={"Host": host})):
            assert each.startswith("https://alerts.example.org/lifeline/v1/alerts")
