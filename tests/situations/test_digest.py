"""Tests of digests: what changed between two times of statements, or since a revision, and as text."""

from typing import Any

import httpx
import pytest

from tests.situations.helpers import set_outcome, warn
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import mostly_sqlite

pytestmark = mostly_sqlite


async def digest(client: httpx.AsyncClient, since: object, **params: Any) -> list[dict[str, Any]]:
    """Return the changes of Old town."""
    answer = await client.get("/v1/situations/oldtown/digest", params={"since": since, "as_of": "2016-12-31"} | params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def revision(client: httpx.AsyncClient) -> int:
    return int((await client.get("/v1/situations/oldtown")).headers["Lifeline-Revision"])


def changes(items: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    return [(each["change"], each["subject"], each["reports"]) for each in items]


class TestAleppo:
    """The demo, as a reader without a key sees it."""

    @pytest.fixture
    def database_url(self, demo_database: str) -> str:
        return demo_database

    async def test_digest_of_28_to_29_july_word_for_word(self, anonymous: httpx.AsyncClient) -> None:
        path = "/v1/situations/aleppo-east/digest?since=2016-07-28&as_of=2016-07-29"
        answer = await anonymous.get(path, headers={"Accept": "text/plain"})
        assert answer.text == (
            "TLP:CLEAR\n"
            "Eastern Aleppo: what changed from 28 Jul 2016 to 29 Jul 2016\n"
            "\n"
            "- New \u2013 Basic supplies: will run out on 19 Aug 2016 (UN special envoy for Syria, 29 Jul 2016, via A regional news site, "
            "repeats another statement). The assessment stays: will run out between 11 Aug 2016 and 18 Aug 2016. "
            "[01900000-0000-7000-8004-000000000006]\n"
        )
        assert (answer.headers["Lifeline-TLP"], answer.headers["Content-Language"]) == ("TLP:CLEAR", "en")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        (item,) = (await anonymous.get(path)).json()["items"]
        assert (item["change"], item["subject"], item["agreement"]) == ("new", "basic", "single")
        assert [item[name]["runs_out_latest"] for name in ("old", "new")] == ["2016-08-18", "2016-08-18"]

    async def test_digest_of_6_to_9_august_word_for_word(self, anonymous: httpx.AsyncClient) -> None:
        path = "/v1/situations/aleppo-east/digest.txt?since=2016-08-05&as_of=2016-08-09"
        assert (await anonymous.get(path)).text == (
            "TLP:CLEAR\n"
            "Eastern Aleppo: what changed from 5 Aug 2016 to 9 Aug 2016\n"
            "\n"
            "- New \u2013 Ramouseh passage: open (Alliance of rebel groups, party to the conflict, 6 Aug 2016); closed (Syrian army and "
            "state media, party to the conflict, 6 Aug 2016); restricted, passable by no one (Independent observers, 8 Aug 2016). "
            "Assessed: restricted, passable by no one. Sources contradict each other. [01900000-0000-7000-8004-000000000011, "
            "01900000-0000-7000-8004-000000000012, 01900000-0000-7000-8004-000000000013]\n"
            "- Newly contested \u2013 Ramouseh passage: restricted, passable by no one (Independent observers, 8 Aug 2016); closed (Syrian "
            "army and state media, party to the conflict, 6 Aug 2016); open (Alliance of rebel groups, party to the conflict, 6 Aug 2016). "
            "Sources contradict each other now. [01900000-0000-7000-8004-000000000013, 01900000-0000-7000-8004-000000000012, "
            "01900000-0000-7000-8004-000000000011]\n"
        )
        assert (await anonymous.get(path.replace("2016-08-05", "2016-08-06"))).text == (
            "TLP:CLEAR\n"
            "Eastern Aleppo: what changed from 6 Aug 2016 to 9 Aug 2016\n"
            "\n"
            "- New \u2013 Ramouseh passage: restricted, passable by no one (Independent observers, 8 Aug 2016). The assessment was: "
            "closed. It is now: restricted, passable by no one. [01900000-0000-7000-8004-000000000013]\n"
        )
        assert (await anonymous.get(path.replace("2016-08-05", "2016-08-09"))).text.endswith("\n\nNothing changed.\n")

    @pytest.mark.parametrize(
        ("language", "title", "part"),
        [
            ("fr", "Eastern Aleppo : ce qui a changé du 6 août 2016 au 9 août 2016", "restreinte, impraticable pour tous"),
            ("es", "Eastern Aleppo: qué cambió del 6 ago 2016 al 9 ago 2016", "Ahora es: restringida, transitable por nadie."),
            ("ar", "\u2068شرق حلب\u2069: ما تغيّر من 6 أغسطس 2016 إلى 9 أغسطس 2016", "لا يمكن لأحد عبوره"),
        ],
    )
    async def test_digest_speaks_four_languages(self, anonymous: httpx.AsyncClient, language: str, title: str, part: str) -> None:
        path = "/v1/situations/aleppo-east/digest.txt?since=2016-08-06&as_of=2016-08-09"
        answer = await anonymous.get(f"{path}&lang={language}")
        assert answer.text.splitlines()[1] == title
        assert part in answer.text
        # French has a space before a colon.
        assert (" \u2013 Ramouseh passage: " in answer.text) == (language == "es")
        accepted = await anonymous.get(path, headers={"Accept-Language": f"{language};q=0.9, en;q=0.2"})
        assert (accepted.text, accepted.headers["Content-Language"]) == (answer.text, language)
        # A text in one language is not cached for readers of another.
        assert "what changed" in (await anonymous.get(path)).text
        assert "Accept-Language" in accepted.headers["Vary"]


async def test_digest_since_a_revision_lists_what_was_recorded(client: httpx.AsyncClient, reference: Reference) -> None:
    first, wrong, gone = await post_all(
        client,
        report(value={"people": 1000}),
        report("supply_runout", {"supply": "water"}),
        report("route_closure", source="monitor"),
    )
    seen = await revision(client)
    assert await digest(client, seen) == []
    # Stated long before what is known, and recorded now.
    late = await post(client, **report(value={"people": 1500}, source="monitor", stated_at="2016-07-20"))
    body = report("supply_runout", {"supply": "water", "in_days_min": 20, "in_days_max": 20}, reason="a wrong number")
    right = await post(client, f"/v1/reports/{wrong['id']}/correction", **body)
    await post(client, f"/v1/reports/{gone['id']}/retraction", reason="withdrawn")
    found = await digest(client, seen)
    assert changes(found) == [
        ("new", "trapped", [late["id"]]),
        ("corrected", "water", [wrong["id"], right["id"]]),
        ("withdrawn", "north-road", [gone["id"]]),
        ("contested", "trapped", [late["id"], first["id"]]),
    ]
    assert [each["text"] for each in found][1:3] == [
        "Water: will run out between 11 Aug 2016 and 18 Aug 2016 was corrected to will run out on 17 Aug 2016 (Agency, 28 Jul 2016).",
        "north-road: closed (Monitor, 28 Jul 2016) was withdrawn.",
    ]
    assert [found[1][name]["runs_out_latest"] for name in ("old", "new")] == ["2016-08-18", "2016-08-17"]
    assert (found[2]["old"]["status"], found[2]["new"]) == ("closed", None)
    text = (await client.get(f"/v1/situations/oldtown/digest.txt?since={seen}&as_of=2016-12-31")).text
    assert text.splitlines()[1] == f"Old town: what was recorded since revision {seen}"
    everything = await digest(client, 0)
    assert {each["change"] for each in everything} == {"new", "corrected", "withdrawn", "contested"}
    now = await revision(client)
    assert await digest(client, now) == []
    await post(client, f"/v1/reports/{gone['id']}/reinstatement", reason="it was right")
    assert changes(await digest(client, now)) == [("new", "north-road", [gone["id"]])]
    # By the time of statements, a correction and its report are of one day.
    assert [each["change"] for each in await digest(client, "2016-07-27", as_of="2016-08-10")] == ["new", "new", "corrected", "contested"]
    assert await digest(client, now, known_at=first.get("recorded_at", "2016-01-01")) == []


async def test_digest_tells_overtaken_moved_and_silent(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await warn(client, "food", "2016-08-05", "2016-08-08")
    later = await warn(client, "food", "2016-08-12", "2016-08-20", stated_at="2016-08-03", source="monitor")
    await post(client, **report("route_closure", stated_at="2016-08-01"))
    opened = await post(
        client, **report("route_closure", {"status": "open"}, stated_at="2016-08-02", provenance={"method": "direct_observation"})
    )
    found = await digest(client, "2016-08-01", as_of="2016-08-10")
    assert changes(found) == [
        ("new", "food", [later["id"]]),
        ("new", "north-road", [opened["id"]]),
        ("contested", "food", [first["id"], later["id"]]),
        ("moved_later", "food", [first["id"], later["id"]]),
    ]
    silent = await digest(client, "2016-08-10", as_of="2016-09-10")
    assert [(each["change"], each["reports"], each["text"]) for each in silent] == [
        ("silent", [later["id"]], "Nothing sound was said for 38 days; the last was on Food.")
    ]
    assert await digest(client, "2016-09-10", as_of="2016-09-11") == []


@pytest.mark.parametrize(("before", "since"), [(None, "2016-07-01"), ("2016-03-01", "2016-07-01"), ("2016-08-01", "2016-08-15")])
async def test_digest_tells_silence_after_what_was_said_in_its_period(
    client: httpx.AsyncClient, reference: Reference, before: str | None, since: str
) -> None:
    """Also where the place's first statement is in the period, or the place was silent before."""
    if before is not None:
        await post(client, **report(stated_at=before))
    last = await post(client, **report(stated_at="2016-08-01", source="monitor"))
    silent = [each for each in await digest(client, since, as_of="2016-10-01") if each["change"] == "silent"]
    assert [each["reports"] for each in silent] == [[last["id"]]]
    assert "Nothing sound was said for 61 days" in silent[0]["text"]
    for period in ((since, "2016-08-31"), ("2016-09-01", "2016-10-01")):
        assert not [each for each in await digest(client, period[0], as_of=period[1]) if each["change"] == "silent"]


async def test_digest_overtaken_report_is_named(client: httpx.AsyncClient, reference: Reference) -> None:
    closed = await post(client, **report("route_closure", {"status": "restricted"}, source="monitor", stated_at="2016-08-01"))
    worse = await post(client, **report("route_closure", stated_at="2016-08-03"))
    found = await digest(client, "2016-08-02", as_of="2016-08-04")
    assert changes(found) == [("new", "north-road", [worse["id"]]), ("overtaken", "north-road", [closed["id"]])]
    assert (found[1]["old"]["status"], found[1]["new"]["status"]) == ("restricted", "closed")
    assert found[1]["text"] == ("north-road: restricted (Monitor, 1 Aug 2016) no longer counts. Now: closed.")


async def test_hidden_change_gives_no_item(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    said = await post(client, **report(value={"people": 1000}))
    seen = await revision(anonymous)
    hidden = await post(client, **report(value={"people": 20_000}, source="monitor", stated_at="2016-08-01", sensitivity="amber"))
    assert (await digest(anonymous, seen), await digest(anonymous, "2016-07-28", as_of="2016-08-10")) == ([], [])
    answer = await client.get("/v1/situations/oldtown/digest.txt?since=2016-07-28&as_of=2016-08-10")
    assert hidden["id"] in answer.text
    assert answer.headers["Lifeline-TLP"] == answer.text.splitlines()[0] == "TLP:AMBER"
    assert said["id"] not in (await anonymous.get("/v1/situations/oldtown/digest.txt?since=2016-07-28&as_of=2016-08-10")).text


async def test_digest_errors_name_what_is_right(client: httpx.AsyncClient, reference: Reference) -> None:
    path = "/v1/situations/oldtown/digest"
    for since, part in (
        ("x", "2016-07-28"),
        ("99", "such as"),
        ("20160728", "or a day such as 2016-07-28"),
        ("2017-01-01", "must not be after as_of"),
        ("28.7.2016", "2016-07-28"),
    ):
        answer = await client.get(path, params={"since": since, "as_of": "2016-12-31"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?since")
        assert part in answer.json()["errors"][0]["detail"]
    assert (await client.get(path)).status_code == 422
    assert (await client.get(path, params={"since": "2016-07-28", "format": "csv"})).status_code == 406
    assert (await client.get("/v1/situations/nowhere/digest?since=1")).status_code == 404
    answer = await client.get(f"{path}?since=2016-07-28")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = await client.get(f"{path}?since=2016-07-28", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    head = await client.head(f"{path}?since=2016-07-28")
    assert (head.status_code, head.headers["ETag"], head.content) == (200, answer.headers["ETag"], b"")


async def test_digest_tells_judgements(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    """They count from when they were recorded, so that they are between two revisions, or up to now."""
    said = await post(client, **report(value={"people": 500}))
    since, of_public = await revision(client), await revision(anonymous)
    body = {"likelihood": "likely", "confidence": "moderate", "reasons": "*", "sensitivity": "green"}
    path, now = f"/v1/indicators/{said['indicator']}/judgements", {"as_of": "2100-01-01"}
    first = await post(client, path, value={"concept": "trapped", "people": 700}, **body)
    (new,) = await digest(client, since, **now)
    assert (new["change"], new["reports"], new["judgement"], new["old"], new["new"]["people"]) == ("new", [], first["id"], None, 700)
    assert new["text"] == "Judgement of an analyst on Trapped, not a report: 700. Likelihood: likely. Moderate confidence."
    assert await digest(anonymous, of_public, **now) == []
    between = await revision(client)
    second = await post(
        client, f"/v1/judgements/{first['id']}/correction", value={"concept": "trapped", "people": 600}, reason="typed wrongly", **body
    )
    (corrected,) = await digest(client, between, **now)
    assert (corrected["change"], corrected["old"]["people"], corrected["new"]["people"]) == ("corrected", 700, 600)
    assert corrected["text"] == "Trapped: 700 was corrected to 600 (Judgement, test)."
    assert [each["change"] for each in await digest(client, since, **now)] == ["new"]
    text = await client.get("/v1/situations/oldtown/digest.txt", params={"since": between})
    assert text.headers["Lifeline-TLP"] == "TLP:GREEN"
    assert text.text.endswith(f"(Judgement, test). [{second['id']}]\n")
    last = await revision(client)
    await post(client, f"/v1/judgements/{second['id']}/retraction", reason="wrong")
    (withdrawn,) = await digest(client, last, **now)
    assert (withdrawn["change"], withdrawn["old"]["people"], withdrawn["new"]) == ("withdrawn", 600, None)
    assert withdrawn["text"] == "Trapped: 600 (Judgement, test) was withdrawn."
    assert (await client.get("/v1/situations/oldtown/digest", params={"since": last})).headers["Lifeline-TLP"] == "TLP:GREEN"
    assert await digest(client, since, **now) == []


async def test_digest_tells_an_outcome_by_what_it_moved(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await warn(client, "food", "2016-08-08", stated_at="2016-07-20")
    seen = await post(
        client, **report("supply_runout", {"supply": "food", "state": "resupplied"}, stated_at="2016-07-25", source="monitor")
    )
    since = await revision(client)
    await set_outcome(client, warning, "averted", seen)
    items = await digest(client, since)
    assert [(each["change"], each["reports"]) for each in items] == [("new", [])]
    assert items[0]["text"].endswith("Outcome of the warning: averted.")


async def test_digest_has_the_label_of_the_value_before(client: httpx.AsyncClient, reference: Reference) -> None:
    await post(client, **report(value={"people": 500}, stated_at="2016-07-20", sensitivity="amber"))
    await post(client, **report(value={"people": 400}, stated_at="2016-07-28"))
    answer = await client.get("/v1/situations/oldtown/digest.txt?since=2016-07-25&as_of=2016-07-28")
    assert "The assessment was: 500. It is now: 400." in answer.text
    assert answer.headers["Lifeline-TLP"] == "TLP:AMBER"


async def test_digest_says_when_it_did_not_look_at_all_reports(
    client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("digest", "digest_words"):
        monkeypatch.setattr(f"app.situations.{name}.MAX_REPORTS", 2)
    before = await revision(client)
    for at, source in enumerate(("agency", "envoy", "monitor")):
        for since in (before, "2016-07-01"):
            found = await client.get("/v1/situations/oldtown/digest", params={"since": since, "as_of": "2016-07-20", "lang": "en"})
            assert (found.json()["cut"], len(changes(found.json()["items"]))) == (False, min(at, 1))
        await post(client, **report(source=source, stated_at="2016-07-10"))
    for since in (before, "2016-07-01"):
        path = f"/v1/situations/oldtown/digest.txt?since={since}&as_of=2016-07-20"
        assert (await client.get(path.replace(".txt", ""))).json()["cut"] is True
        lines = (await client.get(path)).text.splitlines()
        assert lines[3] == "Only the last 2 statements of this time were looked at: ask for a shorter time."
        assert [line.count(", 10 Jul 2016") for line in lines[5:]] == [2]
