"""Tests of the history of an indicator, and of the reports that it lists."""

from typing import Any

import httpx
import pytest

from app.indicators import queries
from tests.support.factories import SEEDED, Reference, post, post_all, report
from tests.support.fixtures import mostly_sqlite


async def steps(client: httpx.AsyncClient, indicator: str, **params: Any) -> list[dict[str, Any]]:
    """Return all steps, page by page."""
    found: list[dict[str, Any]] = []
    path = str(httpx.URL(f"/v1/indicators/{indicator}/history", params=params))
    while True:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next"] is None:
            assert "link" not in answer.headers
            return found
        path = answer.links["next"]["url"]


@mostly_sqlite
async def test_step_names_its_entry_and_the_parts_that_moved(client: httpx.AsyncClient, reference: Reference) -> None:
    """Entries that change nothing or are about something else are no steps; so it is in pages, too."""
    first = await post(client, **report(value={"people": 1000}))
    await post(client, **report(value={"people": 1000}, source="monitor"))
    wider = await post(
        client, **report(value={"people_low": 900, "people_high": 1000, "people": None}, source="envoy", provenance={"credibility": 6})
    )
    await post(client, **report(value={"concept": "besieged"}))
    outlet = await post(client, **report(value={"people": 2000}, source="outlet"))
    corrected = await post(
        client, f"/v1/reports/{outlet['id']}/correction", **report(value={"people": 2100}, source="outlet", reason="misread")
    )
    graded = await post(client, "/v1/sources/outlet/grades", reliability="A", reason="was right")
    await post(client, "/v1/sources/rebels/grades", reliability="A", reason="says nothing here")
    gone = await post(client, f"/v1/reports/{corrected['id']}/retraction", reason="withdrawn")
    moved = await post(
        client, f"/v1/reports/{first['id']}/correction", **report(value={"concept": "in_need", "people": 5}, reason="another concept")
    )
    found = await steps(client, first["indicator"])
    assert [(each["type"], each["seq"], each["moved"], each["agreement"]) for each in found] == [
        ("report", SEEDED + 1, ["value", "range", "agreement"], "single"),
        ("report", SEEDED + 2, ["agreement"], "consistent"),
        ("report", SEEDED + 3, ["value", "range"], "consistent"),
        ("report", SEEDED + 5, ["range", "agreement"], "contested"),
        ("correction", SEEDED + 6, ["range"], "contested"),
        ("grade", SEEDED + 7, ["value"], "contested"),
        ("retraction", SEEDED + 9, ["value", "range", "agreement"], "consistent"),
    ]
    assert [each["report"] for each in found] == [
        first["id"],
        found[1]["report"],
        wider["id"],
        outlet["id"],
        corrected["id"],
        None,
        corrected["id"],
    ]
    assert [each["reason"] for each in found] == [None, None, None, None, "misread", "was right", "withdrawn"]
    assert found[6]["recorded_at"] == gone["recorded_at"]
    assert [each["value"]["people"] for each in found] == [1000, 1000, None, None, None, 2100, None]
    assert found[5]["preferred"] == corrected["id"]
    # The correction that moves the first report away changes nothing: the envoy was preferred, and its range includes the figure.
    assert moved["seq"] == SEEDED + 10
    assert await steps(client, first["indicator"], limit=3) == found
    for at in (0, 3, 5):
        assert await steps(client, first["indicator"], known_at=found[at]["recorded_at"]) == found[: at + 1]
    then = await client.get(f"/v1/indicators/{first['indicator']}/history?known_at={graded['recorded_at']}")
    assert then.json()["revision"] == SEEDED + 10


@mostly_sqlite
async def test_history_has_outcomes_and_the_loss_of_all_reports(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await post(client, **report("supply_runout"))
    convoy = await post(client, **report("supply_runout", {"scope": "agency_stock"}, stated_at="2016-07-30"))
    outcome = {"outcome": "averted", "reason": "a convoy", "report": convoy["id"]}
    await post(client, f"/v1/indicators/{warning['indicator']}/outcome", **outcome)
    later = await post(client, **report("supply_runout", stated_at="2016-08-20"))
    moved = await post(
        client, f"/v1/reports/{warning['id']}/correction", **report("supply_runout", {"supply": "water"}, reason="another supply")
    )
    await post(client, f"/v1/reports/{later['id']}/retraction", reason="withdrawn")
    found = await steps(client, warning["indicator"])
    assert [(each["type"], each["moved"], (each["value"] or {}).get("outcome")) for each in found] == [
        ("report", ["value", "range", "agreement"], "pending"),
        # An ended warning gives no dates.
        ("outcome", ["value", "range"], "averted"),
        ("report", ["value", "range"], "pending"),
        ("retraction", ["value", "range", "agreement"], None),
    ]
    assert (found[1]["report"], found[1]["reason"]) == (convoy["id"], "a convoy")
    assert (found[3]["value"], found[3]["preferred"]) == (None, None)
    assert [each["type"] for each in await steps(client, moved["indicator"])] == ["correction"]
    # As of July the outcome counts, because its evidence was stated by then, but not the later statement.
    assert [each["type"] for each in await steps(client, warning["indicator"], as_of="2016-07-31")] == ["report", "outcome", "correction"]


async def test_history_has_the_loss_of_evidence_on_another_indicator(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """A retraction is a step on both indicators; a raised label is one to those who see what it was evidence of."""
    warning = await post(client, **report("supply_runout"))
    seen = [await post(client, **report("supply_runout", {"scope": each}, stated_at="2016-07-30")) for each in ("agency_stock", "market")]
    for outcome, each in zip(("averted", "unknown"), seen, strict=True):
        sent = {"outcome": outcome, "reason": "seen there", "report": each["id"]}
        await post(client, f"/v1/indicators/{warning['indicator']}/outcome", **sent)
    await post(client, f"/v1/reports/{seen[1]['id']}/retraction", reason="withdrawn")
    await post(client, f"/v1/reports/{seen[0]['id']}/label", sensitivity="amber", reason="names")
    await post(client, f"/v1/reports/{seen[0]['id']}/retraction", reason="withdrawn, too")

    async def found(reader: httpx.AsyncClient) -> list[tuple[str, str]]:
        return [(each["type"], each["value"]["outcome"]) for each in await steps(reader, warning["indicator"], limit=2)]

    assert await found(client) == [
        ("report", "pending"), ("outcome", "averted"), ("outcome", "unknown"), ("retraction", "averted"), ("retraction", "pending"),
    ]  # fmt: skip
    # Without what was raised, the outcome that it showed was never there.
    assert await found(anonymous) == [("report", "pending"), ("outcome", "unknown"), ("retraction", "pending")]


@mostly_sqlite
async def test_history_reveals_nothing_above_the_clearance(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """A correction that moves a hidden report to another indicator is no step here, nor does it change the pages."""
    clear = await post(client, **report(value={"people": 1}))
    hidden = await post(client, **report(value={"people": 2}, source="monitor", sensitivity="red"))
    path = f"/v1/indicators/{clear['indicator']}/history?limit=1"
    moved = report(value={"concept": "besieged", "people": 2}, source="monitor", reason="another concept")
    before = (await anonymous.get(path)).json()
    await post(client, f"/v1/reports/{hidden['id']}/correction", **moved)
    after = (await anonymous.get(path)).json()
    assert (before["next"], after["next"]) == (None, None)
    assert after["items"] == before["items"]
    assert [each["type"] for each in await steps(client, clear["indicator"])] == ["report", "report", "correction"]
    assert [each["type"] for each in await steps(anonymous, clear["indicator"])] == ["report"]


@mostly_sqlite
async def test_history_withholds_the_reason_of_a_raised_report(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    old = await post(client, **report(value={"people": 1}, sensitivity="clear"))
    reason = "1 is where they hide"
    new = await post(client, f"/v1/reports/{old['id']}/correction", **report(value={"people": 2}, reason=reason, sensitivity="clear"))
    assert [each["reason"] for each in await steps(anonymous, new["indicator"])] == [None, reason]
    await post(client, f"/v1/reports/{old['id']}/label", sensitivity="red", reason="names a shelter")
    (told,) = [each for each in await steps(anonymous, new["indicator"]) if each["report"] == new["id"]]
    assert (told["type"], told["reason"]) == ("correction", None)
    assert reason in [each["reason"] for each in await steps(client, new["indicator"])]


async def test_indicator_lists_only_reports_that_are_visible(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden reports do not displace visible ones when the list is full."""
    # The OpenAPI document names this number.
    assert queries.MAX_LISTED_REPORTS == 1000
    monkeypatch.setattr(queries, "MAX_LISTED_REPORTS", 100)
    old = [report(value={"people": at}, stated_at=f"2016-07-01T00:{at:02}:00Z") for at in range(3)]
    first, *_ = await post_all(client, *old)
    hidden = [
        report(value={"people": at}, sensitivity="red", source="monitor", stated_at=f"2016-07-02T{at // 60:02}:{at % 60:02}:00Z")
        for at in range(100)
    ]
    before = (await anonymous.get(f"/v1/indicators/{first['indicator']}")).json()
    await post_all(client, *hidden)
    after = (await anonymous.get(f"/v1/indicators/{first['indicator']}")).json()
    assert len(after["left_out"]) == 2
    assert after == before
    whole = (await client.get(f"/v1/indicators/{first['indicator']}")).json()
    assert len(whole["reports"]) + len(whole["left_out"]) == 101, "the agency's report stands, although it is not among the last 100"


@mostly_sqlite
async def test_unknown_indicator_is_not_found(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    hidden = await post(client, **report(sensitivity="red"))
    for path in (f"/v1/indicators/{hidden['indicator']}/history", f"/v1/indicators/{hidden['id']}/history"):
        assert (await anonymous.get(path)).status_code == 404
    wrong = await client.get(f"/v1/indicators/{hidden['indicator']}/history?cursor=x")
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["?cursor"]
