"""Tests for previews: what a report would change, with nothing recorded."""

import httpx

from app.domain.tlp import Label
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeClient


async def test_preview_shows_what_a_report_changes_and_records_nothing(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await post(client, **report(value={"people": 300000}))
    head, situation = (await client.get("/v1/ledger/head")).json(), (await client.get("/v1/situations/oldtown")).json()
    warning = report("supply_runout", stated_at="2016-07-28")
    answer = await client.post("/v1/drafts/preview", json=warning)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    shown = answer.json()
    assert (shown["indicator_before"], shown["existing"]) == (None, None)
    assert shown["report"]["value"]["runs_out_earliest"] == "2016-08-11"
    assert shown["report"]["sensitivity"] == warning["sensitivity"]
    assert shown["indicator"]["value"]["runs_out_earliest"] == "2016-08-11"
    assert (shown["situation_before"]["level"], shown["situation"]["level"]) == ("serious", "critical")
    # A correction replaces what it corrects; a statement that stands is named.
    corrected = (await client.post(f"/v1/drafts/preview?corrects={first['id']}", json=report(value={"people": 0}))).json()
    assert (corrected["indicator_before"]["value"]["people"], corrected["indicator"]["value"]["people"]) == (300000, 0)
    assert (await client.post("/v1/drafts/preview", json=report(value={"people": 300000}))).json()["existing"] == first["id"]
    assert (await client.get("/v1/ledger/head")).json() == head
    assert (await client.get("/v1/situations/oldtown")).json() == situation
    # The report recorded then is the one that was shown.
    recorded = await post(client, **warning)
    assert recorded["value"] == shown["report"]["value"]
    assert (await client.get("/v1/situations/oldtown")).json()["level"] == "critical"


async def test_preview_is_refused_as_the_report_would_be(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    wrong = await client.post("/v1/drafts/preview", json=report(place="nowhere", value={"people": -1}))
    assert (wrong.status_code, {each["pointer"] for each in wrong.json()["errors"]}) == (422, {"/place", "/value/people"})
    assert (await anonymous.post("/v1/drafts/preview", json=report())).status_code == 401
    hidden = await post(client, **report(sensitivity="red"))
    low = await make_client(clearance=Label.GREEN)
    assert (await low.post(f"/v1/drafts/preview?corrects={hidden['id']}", json=report(value={"people": 1}))).status_code == 404
