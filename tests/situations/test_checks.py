"""Tests of plausibility checks: they flag figures of what a reader sees, and change none."""

from typing import Any

import httpx
import pytest

from tests.situations.helpers import warn
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import mostly_sqlite

pytestmark = mostly_sqlite


async def checks(client: httpx.AsyncClient, place: str = "oldtown", **params: str) -> list[dict[str, Any]]:
    """Return the checks of a place."""
    answer = await client.get(f"/v1/situations/{place}", params={"as_of": "2016-08-20"} | params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["checks"]
    return found


async def test_child_above_its_parent_is_flagged_in_both(client: httpx.AsyncClient, reference: Reference) -> None:
    child, parent = await post_all(
        client, report(value={"people": 5000}), report(value={"people_low": 1000, "people_high": 4999, "people": None}, place="country")
    )
    (flag,) = await checks(client)
    assert flag == {
        "check": "child_above_parent",
        "indicators": [child["indicator"], parent["indicator"]],
        "reports": [child["id"], parent["id"]],
        "detail": "Trapped in Old town: 5,000, more than 4,999, the highest claim for Country.",
    }
    assert await checks(client, "country") == [flag]
    assert await checks(client, as_of="2016-07-27") == []
    before = await client.get("/v1/situations/oldtown?as_of=2016-08-20")
    assert before.json()["trapped"][0]["people"] == 5000
    assert "5 000" in (await checks(client, lang="fr"))[0]["detail"].replace("\u202f", " ")
    # As many as in the whole are plausible.
    await post(client, **report(value={"people": 5000}, place="country", source="envoy", stated_at="2016-07-29"))
    assert await checks(client) == []


async def test_hidden_figure_of_a_child_is_no_flag(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    await post_all(client, report(value={"people": 5000}, sensitivity="amber"), report(value={"people": 1000}, place="country"))
    assert len(await checks(client, "country")) == 1
    assert await checks(anonymous, "country") == []


@pytest.mark.parametrize(
    ("figures", "flagged"),
    [
        ((30, 300), "300 after 30, at least ten times as many"),
        ((300, 29), "29 after 300, at most a tenth of it"),
        ((30, 299), None),
        ((0, 300), None),
    ],
)
async def test_tenfold_figure_is_flagged(
    client: httpx.AsyncClient, reference: Reference, figures: tuple[int, int], flagged: str | None
) -> None:
    first, last = await post_all(
        client, report(value={"people": figures[0]}), report(value={"people": figures[1]}, source="monitor", stated_at="2016-08-15")
    )
    found = await checks(client)
    assert [each["detail"] for each in found] == ([f"Trapped: {flagged}."] if flagged else [])
    if found:
        assert found[0]["reports"] == [first["id"], last["id"]]
        # A withdrawn report has no figure to compare with.
        await post(client, f"/v1/reports/{first['id']}/retraction", reason="typing error")
        assert await checks(client) == []
        recorded = (await client.get(f"/v1/reports/{last['id']}")).json()["recorded_at"]
        assert len(await checks(client, known_at=recorded)) == 1


async def test_tenfold_count_of_a_movement_is_flagged(client: httpx.AsyncClient, reference: Reference) -> None:
    counts = [("2016-08-16", 1000), ("2016-08-17", 3500), ("2016-08-18", 35_000)]
    said = await post_all(
        client,
        *(report("population_movement", {"since": "2016-08-15", "people": people}, stated_at=day) for day, people in counts),
    )
    (flag,) = await checks(client)
    assert (flag["check"], flag["reports"]) == ("tenfold", [said[1]["id"], said[2]["id"]])
    assert flag["detail"] == "Evacuated (since 15 Aug 2016): 35,000 after 3,500, at least ten times as many."
    # Another movement is no later count of this one.
    await post(client, **report("population_movement", {"movement": "fled", "since": "2016-08-15", "people": 9}, stated_at="2016-08-19"))
    assert await checks(client) == [flag]


async def test_runout_moved_later_without_delivery_is_flagged(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await warn(client, "food", "2016-08-05", "2016-08-08")
    # A paraphrase of the same words is no other warning.
    await warn(client, "food", "2016-08-09", stated_at="2016-07-29", provenance={"via": ["outlet"], "directness": "paraphrased"})
    assert await checks(client) == []
    later = await warn(client, "food", "2016-08-12", "2016-08-20", stated_at="2016-08-03")
    (flag,) = await checks(client)
    assert (flag["check"], flag["reports"]) == ("moved_later", [first["id"], later["id"]])
    assert flag["detail"] == (
        "Food: first will run out between 5 Aug 2016 and 8 Aug 2016, then will run out between 12 Aug 2016 and 20 Aug 2016; "
        "no delivery is known in between."
    )
    resupply = {"source": "army", "stated_at": "2016-08-01", "value": {"state": "resupplied"}}
    await warn(client, "food", None, **resupply)
    assert len(await checks(client)) == 1, "a party's claim is no delivery"
    await post(client, **report("aid_delivery", {"stage": "delivered", "supplies": ["shelter"]}, stated_at="2016-08-01"))
    assert len(await checks(client)) == 1, "a delivery of something else is none"
    await warn(client, "food", None, **resupply | {"source": "monitor"})
    assert await checks(client) == []
    await warn(client, "fuel", "2016-08-05", "2016-08-08")
    await warn(client, "fuel", "2016-08-12", "2016-08-20", stated_at="2016-08-03")
    assert len(await checks(client)) == 1
    await post(client, **report("aid_delivery", {"operation": "b", "stage": "delivered", "supplies": ["basic"]}, stated_at="2016-08-01"))
    assert await checks(client) == []


async def test_more_trapped_than_remaining_is_flagged(client: httpx.AsyncClient, reference: Reference) -> None:
    await post_all(client, report(value={"people": 5000}), report(value={"concept": "remaining", "people": 4000}, stated_at="2016-08-01"))
    (flag,) = await checks(client)
    assert flag["check"] == "contradicting_concepts"
    assert flag["detail"] == (
        "Trapped: 5,000 (28 Jul 2016), more than Remaining: 4,000 (1 Aug 2016); but people who are trapped in a place are still there."
    )
    # A figure that is out of date may be of before people left.
    assert await checks(client, as_of="2016-12-01") == []
    # At risk includes people who are not there.
    await post(client, **report(value={"concept": "at_risk", "people": 10}, stated_at="2016-08-01"))
    assert len(await checks(client)) == 1


async def test_list_has_the_checks_of_each_place_without_words(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="quarter", name="Quarter", parent="oldtown")
    first, *_ = await post_all(
        client,
        report(value={"people": 5000}),
        report(value={"people": 600}, place="country"),
        report(value={"people": 9000}, place="quarter"),
        report(value={"concept": "remaining", "people": 4000}, stated_at="2016-08-01"),
    )
    await post(client, **report(value={"people": 400}, source="monitor", stated_at="2016-08-15"))
    await warn(client, "food", "2016-08-05", "2016-08-08")
    await warn(client, "food", "2016-08-12", "2016-08-20", stated_at="2016-08-03")

    async def listed(query: str) -> dict[str, list[dict[str, Any]]]:
        items = (await client.get(f"/v1/situations?{query}")).json()["items"]
        return {each["place"]["slug"]: each["checks"] for each in items}

    for change in (None, ("place=country", 900), ("place=quarter", 50)):
        if change is not None:
            await post(client, **report(value={"people": change[1]}, place=change[0][6:], source="envoy", stated_at="2016-08-16"))
        own = {each: [one | {"detail": None} for one in await checks(client, each)] for each in ("country", "oldtown", "quarter")}
        assert await listed("as_of=2016-08-20") == own
        assert await listed("as_of=2016-08-20&known_at=2100-01-01") == own
        # Places above and below count where they are not on the page.
        for place, flags in own.items():
            assert await listed(f"as_of=2016-08-20&place={place}") == {place: flags}
        assert {"moved_later", "tenfold"} <= {each["check"] for each in own["oldtown"]} or change is not None
        assert any(each["check"] == "child_above_parent" for each in own["country"])
    assert first["id"] in str(own["oldtown"])
    table = (await client.get("/v1/situations.csv?as_of=2016-08-20")).text
    assert '""check"":""moved_later""' in table
