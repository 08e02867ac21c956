"""Tests of briefs: sentences with numbered citations, in which no figure is without the report that says it."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from app.access.principal import Scope
from app.domain.kinds import KINDS
from app.domain.tlp import Label
from tests.situations.helpers import set_outcome, warn
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import FULL, MakeClient, mostly_sqlite

pytestmark = mostly_sqlite

# Shrinking a failure takes a minute.
PHASES = tuple(Phase) if FULL else (Phase.generate,)
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_TOKEN = re.compile(r"(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2}) (?P<year>\d{4})|\[(?P<mark>\d+)\]|(?P<number>\d[\d,]*)")


async def brief(client: httpx.AsyncClient, place: str = "oldtown", **params: str) -> str:
    """Return the brief on a place as plain text."""
    answer = await client.get(f"/v1/situations/{place}/brief.txt", params={"as_of": "2016-08-20"} | params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Lifeline-TLP"] == answer.text.splitlines()[0]
    return answer.text


def iso(match: re.Match[str]) -> str:
    return f"{match['year']}-{MONTHS.index(match['month']) + 1:02}-{int(match['day']):02}"


def cited_figures(text: str) -> Iterator[tuple[Any, str]]:
    """Yield each number and day of the sentences of a brief, with the identifier of the report whose mark comes next."""
    body, _, sources = text.partition("\n\nSources\n\n")
    reports = {int(number): id_ for number, id_ in re.findall(r"^(\d+)\. .* Report ([0-9a-f-]{36})\.", sources, re.MULTILINE)}
    for line in body.splitlines():
        if not line.startswith("- "):
            continue
        pending: list[Any] = []
        for match in _TOKEN.finditer(re.sub(r"Said [\d,]+ days? ago\.|delivered for [\d,]+ days?", "", line)):
            if match["mark"]:
                yield from ((figure, reports[int(match["mark"])]) for figure in pending)
                pending = []
            else:
                pending.append(iso(match) if match["year"] else int(match["number"].replace(",", "")))
        assert not pending, line


def said_by(report: dict[str, Any]) -> set[Any]:
    """Return every number and day that a report says, with its own day and the ends that its qualifier gives."""
    value, kind = report["value"], report["kind"]
    model = KINDS[kind].value_model.model_validate({name: each for name, each in value.items() if each is not None})
    ends = [each.isoformat() if hasattr(each, "isoformat") else each for each in getattr(model, "range", lambda: ())()]
    return {each for each in (*value.values(), *ends, report["stated_at"][:10]) if isinstance(each, (int, str))}


def figures_in(node: Any) -> set[Any]:
    """Return every number and text in a document."""
    if isinstance(node, dict):
        return set().union(*map(figures_in, node.values()))
    if isinstance(node, list):
        return set().union(*map(figures_in, node)) if node else set()
    return {node}


async def assert_cited(client: httpx.AsyncClient, place: str, as_of: str) -> int:
    """Check that each figure of a brief is in the situation, and said by the report that is cited for it; return their number."""
    text = await brief(client, place, as_of=as_of)
    situation = figures_in((await client.get(f"/v1/situations/{place}", params={"as_of": as_of})).json())
    situation |= {each[:10] for each in situation if isinstance(each, str)}
    reports = {each["id"]: each for each in (await client.get(f"/v1/reports?place={place}&limit=1000")).json()["items"]}
    found = list(cited_figures(text))
    for figure, id_ in found:
        assert figure in situation, (figure, text)
        assert figure in said_by(reports[id_]), (figure, reports[id_], text)
    return len(found)


KIND_VALUES = st.one_of(
    st.tuples(
        st.just("trapped_population"),
        st.fixed_dictionaries(
            {"concept": st.sampled_from(["trapped", "remaining", "at_risk"]), "people": st.integers(0, 4000)},
            optional={"qualifier": st.sampled_from(["about", "nearly", "up_to", "more_than", "exact"])},
        ),
    ),
    st.tuples(
        st.just("supply_runout"),
        st.fixed_dictionaries(
            {"supply": st.sampled_from(["food", "water"]), "state": st.sampled_from(["will_run_out", "low", "resupplied"])},
            optional={"in_days_min": st.integers(0, 9), "in_days_max": st.integers(9, 30)},
        ),
    ),
    st.tuples(
        st.just("route_closure"),
        st.fixed_dictionaries(
            {"route": st.sampled_from(["north-road", "south-road"]), "status": st.sampled_from(["open", "restricted", "closed"])},
            optional={
                "since": st.sampled_from(["2016-06", "2016-06-20", "2016-05-30"]),
                "direction": st.sampled_from(["in", "out"]),
                "assertion": st.just("announced"),
                "passable_by": st.sampled_from([[], ["civilian"]]),
                "last_route": st.booleans(),
            },
        ),
    ),
    st.tuples(
        st.just("aid_delivery"),
        st.fixed_dictionaries(
            {"operation": st.just("convoy"), "stage": st.sampled_from(["planned", "denied", "attacked", "delivered", "partly_delivered"])},
            optional={
                "on_earliest": st.sampled_from(["2016-06-20", "2016-06-28"]),
                "planned_for": st.integers(1, 9000),
                "removed": st.just(["medical"]),
            },
        ),
    ),
    st.tuples(
        st.just("population_movement"),
        st.fixed_dictionaries(
            {"movement": st.just("evacuated"), "people": st.integers(1, 4000)},
            optional={"since": st.just("2016-06-10"), "until": st.sampled_from(["2016-06-20", "2016-06-28"])},
        ),
    ),
    st.tuples(
        st.just("service_status"),
        st.fixed_dictionaries(
            {"service": st.sampled_from(["hospital", "water"]), "state": st.sampled_from(["partly_working", "out_of_service"])},
            optional={"working": st.integers(0, 3), "known": st.integers(3, 9)},
        ),
    ),
)
STATEMENTS = st.tuples(
    KIND_VALUES,
    st.sampled_from(["agency", "envoy", "monitor", "army", "unknown"]),
    st.integers(1, 28),
    st.sampled_from(["clear", "green", "amber"]),
)


async def test_every_figure_of_a_brief_is_cited(make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    loop = asyncio.get_running_loop()
    client = await make_client(Scope.READ, Scope.REPORT, Scope.CURATE, clearance=Label.AMBER)
    numbers, counted = itertools.count(), []

    async def check(statements: list[Any]) -> None:
        place = f"place-{next(numbers)}"
        await post(client, "/v1/places", slug=place, name=place.title())
        bodies = [
            {"kind": kind, "value": value, "source": source, "place": place, "stated_at": f"2016-07-{day:02}", "sensitivity": label}
            for (kind, value), source, day, label in statements
        ]
        # A combination that does not fit, such as a resupply with days, is refused.
        recorded = (await client.post("/v1/reports", json=bodies)).json()["items"]
        hidden = [
            each["id"] for each, body in zip(recorded, bodies, strict=True) if each["status"] == 201 and body["sensitivity"] != "clear"
        ]
        counted.extend([await assert_cited(reader, place, "2016-07-29") for reader in (client, anonymous)])
        text = await brief(anonymous, place, as_of="2016-07-29")
        assert text.startswith("TLP:CLEAR\n")
        assert not [each for each in hidden if each in text]

    @settings(max_examples=60 if FULL else 6, deadline=None, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(st.lists(STATEMENTS, min_size=8, max_size=16))
    def all_cited(statements: list[Any]) -> None:
        asyncio.run_coroutine_threadsafe(check(statements), loop).result()

    await asyncio.to_thread(all_cited)
    assert sum(counted) > 10


HOSTILE = (
    "Ramouseh](http://evil.example) <script>alert(1)</script>\n\n## Sources\n\n1. Forged. [9] \u202e**bold** `code` | & ~x~ #tag ![i](x)"
)


async def test_hostile_text_is_no_markup_and_forges_no_line(client: httpx.AsyncClient, reference: Reference) -> None:
    provenance = {"quote": HOSTILE, "url": "https://example.org/a_(b)?q=<x>&r=*a*[1]", "via": ["outlet"]}
    answer = await client.post("/v1/reports", json=report(provenance=provenance))
    if answer.status_code == 422:
        provenance["url"] = "https://example.org/a_(b)?q=x&r=*a*[1]"
        answer = await client.post("/v1/reports", json=report(provenance=provenance))
    assert answer.status_code == 201, answer.text
    await post(client, "/v1/places", slug="evil", name="[x](http://evil.example) # <b>")
    await post(client, **report(place="evil"))
    for place in ("oldtown", "evil"):
        text = (await client.get(f"/v1/situations/{place}/brief?as_of=2016-08-01")).text
        tokens = MarkdownIt("commonmark").parse(text)
        inline = [child for each in tokens for child in each.children or []]
        assert {each.type for each in inline} <= {"text", "link_open", "link_close", "softbreak"}
        links = [each.attrs["href"] for each in inline if each.type == "link_open"]
        assert [str(each).partition("?")[0] for each in links] == (["https://example.org/a_(b)"] if place == "oldtown" else [])
        assert [each.tag for each in tokens if each.type == "heading_open"] == ["h1", "h2", "h2"]
    plain = await brief(client, as_of="2016-08-01")
    assert plain.count("Sources\n") == 1
    assert "\u202e" not in plain
    assert len(plain.splitlines()) == len(text.splitlines())


async def test_brief_shows_no_more_than_its_reader_sees(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    clear = await post(client, **report(value={"people": 1000}))
    before = await brief(anonymous)
    hidden = await post(client, **report(value={"people": 2000}, source="monitor", sensitivity="amber"))
    assert await brief(anonymous) == before
    assert before.startswith("TLP:CLEAR\n")
    text = await brief(client)
    assert text.startswith("TLP:AMBER\n")
    assert "claims between 1,000 [1] and 2,000 [2], preferred figure: 1,000 [1]. Sources contradict each other. Said 23 days ago." in text
    assert f"2. Monitor, 28 Jul 2016. Report {hidden['id']}. TLP:AMBER\n" in text
    assert f"Report {clear['id']}.\n" in text
    # As it was recorded before, and as it was said before.
    assert "2,000" not in await brief(client, known_at=clear["recorded_at"])
    assert "Nothing known" in await brief(client, as_of="2016-07-20")


async def test_brief_tells_outcomes_claims_and_silence(client: httpx.AsyncClient, reference: Reference) -> None:
    food, water = await warn(client, "food", "2016-08-05"), await warn(client, "water", "2016-08-05")
    evidence = await warn(client, "food", "2016-08-04", stated_at="2016-08-04", source="monitor", value={"state": "ran_out"})
    await set_outcome(client, food, "materialised", evidence)
    await post_all(
        client,
        report("route_closure", {"status": "open"}, source="army"),
        report("route_closure", {"status": "open", "route": "south-road", "assertion": "announced"}, source="army"),
    )
    text = await brief(client, as_of="2016-10-01")
    assert water["id"] in text
    lines = text.splitlines()
    for line in (
        "Nothing sound was said for 58 days: this is what was last known.",
        "- Water: will run out on 5 Aug 2016 [2]. The first of these days is past, and no outcome is recorded. One source. "
        "Said 65 days ago. This is out of date.",
        "- north-road: only claimed or announced: open [3].",
        "- south-road: only claimed or announced: open [4].",
        "3. Army, party to the conflict, 28 Jul 2016. Report",
    ):
        assert any(each.startswith(line) for each in lines), (line, text)
    assert "- Food: ran out [1]. Outcome of the warning: came true." in text


async def test_brief_tells_causes_what_was_taken_off_and_where_people_went(client: httpx.AsyncClient, reference: Reference) -> None:
    stage = {"operation": "convoy-1", "stage": "partly_delivered", "removed": ["medical"], "cause": "interference"}
    whole = {"operation": "convoy-2", "stage": "delivered", "removed": []}
    await post_all(
        client,
        *(report("aid_delivery", stated_at="2016-08-10") | {"value": value} for value in (stage, whole)),
        report("population_movement", {"destination": "rural *Idleb*"}, stated_at="2016-08-10"),
        report("service_status", {"reason": "no fuel"}, stated_at="2016-08-10"),
    )
    text = await brief(client)
    for part in (
        ", taken off: Medical supplies, cause: interference [",
        ", taken off: nothing at all [",
        ", region: \u201crural *Idleb*\u201d [",
        ", reason: \u201cno fuel\u201d [",
    ):
        assert part in text
    assert "r\u00e9gion : \u00ab rural *Idleb* \u00bb [" in " ".join((await brief(client, lang="fr")).split())


def _said(kind: str, source: str, day: str, **value: Any) -> dict[str, Any]:
    return report(kind, source=source, stated_at=day) | {"value": value}


AID = {"operation": "convoy"}
FLED = {"movement": "fled", "since": "2016-08-01"}
CLOSED = {"route": "north-road", "status": "closed"}
ALONE = "Only one source says this; the others do not contradict it."
DAYS = "These are counts of different days."


@pytest.mark.parametrize(
    ("reports", "text"),
    [
        ([("aid_delivery", "agency", AID | {"stage": "planned"}), ("aid_delivery", "monitor", AID | {"stage": "attacked"})], ALONE),
        (
            [("aid_delivery", "agency", AID | {"stage": "attacked"}), ("aid_delivery", "monitor", AID | {"stage": "attacked"})],
            "Sources agree.",
        ),
        ([("population_movement", "agency", FLED | {"people": 100}), ("population_movement", "monitor", FLED | {"people": 90000})], DAYS),
        (
            [("population_movement", "agency", FLED | {"people": 100}), ("population_movement", "monitor", FLED | {"people": 100})],
            "Sources agree.",
        ),
        (
            [
                ("supply_runout", "agency", {"supply": "food", "in_days_min": 20}),
                ("supply_runout", "monitor", {"supply": "food", "state": "low"}),
            ],
            ALONE,
        ),
        ([("route_closure", "agency", CLOSED | {"direction": "in"}), ("route_closure", "monitor", CLOSED | {"direction": "out"})], ALONE),
        ([("route_closure", "agency", CLOSED | {"direction": "in"}), ("route_closure", "monitor", CLOSED)], "Sources agree."),
    ],
)
async def test_sources_agree_only_where_another_says_what_leads(
    client: httpx.AsyncClient, reference: Reference, reports: list[tuple[str, str, dict[str, Any]]], text: str
) -> None:
    """The agreement is `consistent` in each case; the words say whether a second source confirms."""
    for day, (kind, source, value) in enumerate(reports, 1):
        said = await post(client, **_said(kind, source, f"2016-08-0{day}", **value))
    assert (await client.get(f"/v1/indicators/{said['indicator']}")).json()["agreement"] == "consistent"
    assert f". {text} Said " in await brief(client), await brief(client)
    digest = await client.get("/v1/situations/oldtown/digest.txt", params={"since": "2016-08-01", "as_of": "2016-08-20"})
    assert text in digest.text


async def test_brief_says_a_state_against_the_assessment_once(client: httpx.AsyncClient, reference: Reference) -> None:
    days = {"on_earliest": "2016-08-02", "on_latest": "2016-08-02"}
    await post(client, **_said("aid_delivery", "agency", "2016-08-02", **AID, stage="attacked"))
    await post(
        client, **_said("aid_delivery", "monitor", "2016-08-02", **AID, **days, stage="delivered", planned_for=500, supplies=["food"])
    )
    await post(client, **_said("service_status", "agency", "2016-08-02", service="hospital", state="out_of_service"))
    await post(client, **_said("service_status", "monitor", "2016-08-02", service="hospital", state="working", working=2, known=2))
    text = await brief(client)
    assert "Against this: delivered, with: Food [" in text, text
    assert "Against this: working [" in text, text


@pytest.mark.parametrize(
    ("way_in", "way_out", "said", "credited"),
    [
        ({"status": "closed"}, {"status": "open"}, "in: closed [1], out: open [2]. Only one source says this", ["un", "icrc"]),
        (
            {"status": "closed", "cause": "hostilities"},
            {"status": "closed", "since": "2016-08-15", "cause": "mines_uxo"},
            "in: closed [1], out: closed since 15 Aug 2016 [2], cause: mines and unexploded ordnance [2].",
            ["un", "icrc"],
        ),
        ({"status": "closed"}, {"status": "closed"}, "north-road: closed [1] [2]. Only one source says this", ["un", "icrc"]),
        (
            {"status": "open"},
            {"status": "restricted", "passable_by": ["medical"]},
            "in: open [1], out: restricted [2], passable by: medical teams [2].",
            ["un", "icrc"],
        ),
    ],
)
async def test_brief_credits_each_direction_to_its_source(
    client: httpx.AsyncClient,
    reference: Reference,
    way_in: dict[str, Any],
    way_out: dict[str, Any],
    said: str,
    credited: list[str],
) -> None:
    for source, way, value in (("un", "in", way_in), ("icrc", "out", way_out)):
        await reference.add("sources", slug=source, name=source, type="un", reliability="A")
        body = report("route_closure", {"route": "north-road", "direction": way} | value, source=source, stated_at="2016-08-20")
        each = await post(client, **body)
    text = await brief(client)
    assert said in text
    assert [line.partition(". ")[2].partition(",")[0] for line in text.partition("Sources\n\n")[2].splitlines()[:2]] == credited
    if way_in["status"] == way_out["status"]:
        assert "north-road: no way in [1], no way out [2]." in text
    basis = (await client.get(f"/v1/indicators/{each['indicator']}")).json()["assessment"]["basis"]
    assert basis["directions.out.status"] == each["id"] != basis["directions.in.status"]


async def test_conditions_are_told_with_the_figure_wherever_people_read(client: httpx.AsyncClient, reference: Reference) -> None:
    condition = "if no convoy gets in"
    await warn(client, "food", "2016-08-30", stated_at="2016-08-20", value={"conditional_on": condition})
    await post(client, **report(value={"people": 7000, "includes_combatants": "yes"}, stated_at="2016-08-20"))
    situation = (await client.get("/v1/situations/oldtown", params={"as_of": "2016-08-20"})).json()
    assert (situation["supplies"][0]["conditional_on"], situation["trapped"][0]["includes_combatants"]) == (condition, "yes")
    text, said = await brief(client), f"Food: will run out on 30 Aug 2016, on condition: \u201c{condition}\u201d [2]"
    assert said in text, text
    assert "Trapped: 7,000, combatants included [1]" in text, text
    digest = await client.get("/v1/situations/oldtown/digest.txt", params={"since": "2016-08-01", "as_of": "2016-08-20"})
    assert f"Assessed: {said[6:-4]}." in digest.text
    page = (await client.get("/places/oldtown", params={"as_of": "2016-08-20"})).text
    assert page.count(f"On condition: \u201c{condition}\u201d") >= 2
    assert "combatants included" in page


async def test_titles_name_the_time_that_the_client_asked_for(client: httpx.AsyncClient, reference: Reference) -> None:
    """A day stands for its end; a time of a day is named, because others of that day show something else."""
    for known_at, name in (("2026-07-28T02:45:03+01:00", "28 Jul 2026, 01:45:03 UTC"), ("2026-07-28", "28 Jul 2026")):
        assert f"\n\nAs recorded by {name}.\n" in await brief(client, known_at=known_at)
    for as_of, name in (("2016-07-28T12:00:00Z", "28 Jul 2016, 12:00:00 UTC"), ("2016-07-28", "28 Jul 2016")):
        assert f"\n\nOld town: situation on {name}\n" in await brief(client, as_of=as_of)
        digest = await client.get("/v1/situations/oldtown/digest.txt", params={"since": "2016-07-01", "as_of": as_of})
        assert f"\nOld town: what changed from 1 Jul 2016 to {name}\n" in digest.text


async def test_brief_says_since_when_no_aid_came(client: httpx.AsyncClient, reference: Reference) -> None:
    await post(client, **_said("aid_delivery", "agency", "2016-07-12", **AID, stage="delivered", on_latest="2016-07-10"))
    await post(client, **_said("aid_delivery", "monitor", "2016-07-10", operation="other", stage="planned"))
    for as_of, days in (("2016-09-08", 60), ("2016-12-20", 163)):
        text = await brief(client, as_of=as_of)
        assert f"\n- No aid was delivered for {days} days, since 10 Jul 2016 [1].\n" in text, text
        assert "\n1. Agency, 12 Jul 2016. Report" in text
        assert await assert_cited(client, "oldtown", as_of)


async def test_brief_has_judgements_in_paragraphs_of_their_own(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """Likelihood and confidence are in two sentences (ICD 203)."""
    said = await post(client, **report(value={"people": 1000}, sensitivity="clear"))
    body = {"value": {"concept": "trapped", "people": 700}, "likelihood": "likely", "confidence": "moderate", "reasons": "Empty *streets*."}
    judgement = await post(client, f"/v1/indicators/{said['indicator']}/judgements", **body, sensitivity="green")
    # A judgement counts from when it was recorded.
    assert judgement["id"] not in await brief(client)
    text = await brief(client, as_of="2100-01-01")
    assert "- People are trapped [1].\n" in text
    assert (
        "- Trapped: 1,000 [2]. One source. Said 30,472 days ago. This is out of date.\n"
        "- Judgement of an analyst on Trapped, not a report: 700 [1]. Likelihood: likely. Moderate confidence.\n"
    ) in text, text
    assert f"\n1. Judgement {judgement['id']} of test, " in text
    assert "Empty \\*streets\\*." in (await client.get("/v1/situations/oldtown/brief?as_of=2100-01-01")).text
    assert text.startswith("TLP:GREEN\n")
    assert judgement["id"] not in await brief(anonymous, as_of="2100-01-01")


async def test_brief_errors_and_formats(client: httpx.AsyncClient, reference: Reference) -> None:
    path = "/v1/situations/oldtown/brief"
    assert (await client.get("/v1/situations/nowhere/brief")).status_code == 404
    assert (await client.get(path, params={"format": "json"})).status_code == 406
    assert (await client.get(f"{path}.csv")).status_code == 404
    assert (await client.get(path, params={"as_of": "x"})).status_code == 422
    answers = [
        await client.get(path, headers={"Accept": "text/plain"}),
        await client.get(path, params={"format": "txt"}),
        await client.get(f"{path}.txt"),
    ]
    assert {each.text for each in answers} == {answers[0].text}
    assert {each.headers["Content-Type"] for each in answers} == {"text/plain; charset=utf-8"}
    markdown = await client.get(path)
    assert markdown.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert markdown.headers["Cache-Control"] == "private, no-cache"
    assert (await client.get(path, headers={"If-None-Match": markdown.headers["ETag"]})).status_code == 304
    head = await client.head(path)
    assert (head.headers["ETag"], head.content) == (markdown.headers["ETag"], b"")


class TestAleppo:
    """The demo, as a reader without a key sees it."""

    @pytest.fixture
    def database_url(self, demo_database: str) -> str:
        return demo_database

    async def test_brief_of_9_august_word_for_word(self, anonymous: httpx.AsyncClient) -> None:
        text = (await anonymous.get("/v1/situations/aleppo-east/brief?as_of=2016-08-09")).text
        assert text.partition("## Sources")[0] == (
            "TLP:CLEAR\n\n"
            "# Eastern Aleppo: situation on 9 Aug 2016\n\n"
            "Level of urgency: Critical.\n\n"
            "- People are trapped [1].\n"
            "- Basic supplies: runs out soon [2].\n"
            "- Food: runs out soon [3].\n"
            "- Castello Road: no way in, no way out [4], no other way in is left [5].\n"
            "- Ramouseh passage: no way in, no way out [6].\n\n"
            "## People\n\n"
            "- Trapped: claims between 250,000 [7] and 300,000 [1], preferred figure: 300,000 [1]. Sources contradict each other. "
            "Said 9 days ago.\n"
            "- At risk: claims between 200,000 and 300,000 [8]. One source. Said 15 days ago.\n\n"
            "## Supplies\n\n"
            "- Basic supplies: will run out between 11 Aug 2016 and 18 Aug 2016 [2]. One source. Said 12 days ago.\n"
            "- Food: will run out between 11 Aug 2016 and 20 Aug 2016 [3]. "
            "Only one source says this; the others do not contradict it. Said 15 days ago.\n"
            "- Medical supplies: low [9]. One source. Said 9 days ago.\n\n"
            "## Routes\n\n"
            "- Castello Road: closed since 7 Jul 2016 [4], no other way in is left [5], cause: hostilities [4]. Sources agree. "
            "Said 15 days ago.\n"
            "- Ramouseh passage: restricted, passable by no one, cause: hostilities [6]. Sources contradict each other. "
            "Against this: closed [10]; open [11]. "
            "Said 1 day ago.\n\n"
        )
        assert "\n1. United Nations, 31 Jul 2016, via A regional news site. Report 01900000-0000-7000-8004-000000000007.\n" in text
        for as_of in ("2016-07-26", "2016-08-01", "2016-08-09", "2016-10-09"):
            assert await assert_cited(anonymous, "aleppo-east", as_of) >= 6

    @pytest.mark.parametrize(
        ("language", "part"),
        [
            (
                "fr",
                "épuisement prévu entre le 11 août 2016 et le 20 août 2016 [3]. "
                "Une seule source le dit ; les autres ne la contredisent pas. Dit il y a 15 jours.",
            ),
            (
                "es",
                "Alimentos: se agotará entre el 11 ago 2016 y el 20 ago 2016 [3]. "
                "Solo una fuente lo dice; las demás no la contradicen. Dicho hace 15 días.",
            ),
            ("ar", "ينفد بين 11 أغسطس 2016 و20 أغسطس 2016 [3]. مصدر واحد فقط يقول ذلك، ولا تناقضه المصادر الأخرى. قيل قبل 15 يومًا."),
        ],
    )
    async def test_brief_speaks_four_languages(self, anonymous: httpx.AsyncClient, language: str, part: str) -> None:
        text = (await anonymous.get(f"/v1/situations/aleppo-east/brief?as_of=2016-08-09&lang={language}")).text
        assert part in text, text


async def test_brief_has_the_label_that_hides_a_judgement(client: httpx.AsyncClient, reference: Reference) -> None:
    """The label of a report that it relies on was raised, and the report does not stand any more."""
    said = await post(client, **report(value={"people": 500}))
    await post(client, **report(value={"people": 400}, source="monitor"))
    body = {"value": {"concept": "trapped", "people": 700}, "likelihood": "likely", "confidence": "moderate", "reasons": "x"}
    await post(client, f"/v1/indicators/{said['indicator']}/judgements", **body, reports=[said["id"]], sensitivity="clear")
    await post(client, f"/v1/reports/{said['id']}/label", sensitivity="amber", reason="a source is at risk")
    await post(client, f"/v1/reports/{said['id']}/retraction", reason="wrong")
    answer = await client.get("/v1/situations/oldtown/brief", params={"as_of": "2100-01-01"})
    assert "700 [" in answer.text
    assert "TLP:AMBER" in answer.text.partition("Judgement 0")[2]
    assert answer.headers["Lifeline-TLP"] == "TLP:AMBER"
