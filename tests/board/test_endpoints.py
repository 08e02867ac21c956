"""Tests for the board's pages over HTTP: content, clearance, caching, content policy and sign-in."""

import asyncio
import gzip
import re

import httpx
import pytest

from app.access.keys import list_keys, revoke_key
from app.domain.tlp import Label
from app.main import Application
from app.settings import Settings
from app.storage.database import Database
from tests.assessment.stories import people, road, say
from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import MakeClient, MakeKey, sqlite_only
from tests.support.servers import client_for, wait_until_following

PAGES = ("/", "/places/oldtown", "/embed/oldtown", "/sign-in")
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def filled(client: httpx.AsyncClient, reference: Reference) -> httpx.AsyncClient:
    """Return a client of a service with a report of each kind."""
    value = {"supply": "food", "in_days_min": 10, "in_days_max": 20, "relative_text": "two weeks <or so>"}
    sent = [report(), report("supply_runout", value), report("route_closure"), report(source="envoy", value={"people": 250000})]
    assert (await client.post("/v1/reports", params={"atomic": True}, json=sent)).status_code < 300
    return client


@pytest.fixture
async def reader(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_key: MakeKey) -> httpx.AsyncClient:
    """Return a browser that is signed in with a key of clearance `amber`."""
    key = await make_key(clearance=Label.AMBER, organisation="readers")
    signed_in = await anonymous.post("/sign-in", data={"key": key}, headers=SAME_SITE)
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
    assert key not in str(signed_in.headers.raw)
    return anonymous


async def test_board_shows_values_sources_and_contradictions(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/", params={"as_of": "2016-08-01"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for text in ("Old town", "250,000\u2013300,000", "contested", "6\u201316 days left", "north-road", "closed", "Agency", "28 Jul 2016"):
        assert text in answer.text, text
    (indicator,) = (await anonymous.get("/v1/trapped-populations")).json()["items"]
    assert f"/places/oldtown?as_of=2016-08-01#i-{indicator['id']}" in answer.text


async def test_place_shows_every_statement_with_its_basis(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    text = (await anonymous.get("/places/oldtown")).text
    grades = ("reliability&nbsp;B (usually reliable)", "credibility&nbsp;6 (cannot be judged)")
    for each in (*grades, "Envoy", "contradicts", "two weeks &lt;or so&gt;", '<svg class="plot"'):
        assert each in text, each


async def test_board_prints_level_reasons_and_silence_as_served(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    """Compare the pages with the situation: the board ranks nothing by itself, and never hides what is old."""
    silent = {"2016-07-29": ("Serious", "1 day"), "2016-08-10": ("Critical", "13 days"), "2016-09-30": ("Critical", "64 days")}
    for as_of, (level, days) in silent.items():
        served = (await anonymous.get("/v1/situations/oldtown", params={"as_of": as_of})).json()
        for path in ("/", "/places/oldtown", "/embed/oldtown"):
            text = (await anonymous.get(path, params={"as_of": as_of})).text
            assert f'class="level level-{served["level"]}"' in text
            for each in (
                f"</svg> {level}</span>",
                f"nothing sound heard for {days}",
                f"last said 28 Jul 2016, {days} ago",
                "People are trapped",
            ):
                assert each in text, (path, as_of, each)
            for past in ("Food: may have run out, outcome not known", "was due 7 Aug 2016"):
                assert (past in text) == (as_of != "2016-07-29")
            assert ("days left" in text) == (as_of == "2016-07-29")
    dormant = (await anonymous.get("/", params={"as_of": "2018-01-01"})).text
    assert "last known: critical" in dormant
    assert 'class="level level-dormant"' in dormant
    assert re.search(r'<a href="(/places/[a-z-]+\?as_of=2016-[0-9-]+)">Go to', dormant) is not None
    assert "Go to" not in (await anonymous.get("/", params={"as_of": "2016-10-01"})).text


@sqlite_only
async def test_board_says_that_nothing_sound_was_ever_heard(client: httpx.AsyncClient, reference: Reference) -> None:
    """A party alone has spoken: it warns of one place, and claims relief of another."""
    await say(client, "army", "2016-08-01", people(100))
    await say(client, "army", "2016-08-01", road("open"), place="country")
    for path in ("/places/oldtown", "/places/country", "/"):
        for as_of, age in (("2016-08-01", "of today"), ("2016-08-02", "1 day old"), ("2016-08-20", "19 days old")):
            text = (await client.get(path, params={"as_of": as_of})).text
            assert f"no statement is sound, the newest is {age}" in text
            assert "nothing sound heard" not in text
    await say(client, "agency", "2016-08-01", people(100))
    text = (await client.get("/places/oldtown", params={"as_of": "2016-08-20"})).text
    assert "nothing sound heard for 19 days" in text
    assert "no statement is sound" not in text
    french = (await client.get("/places/country", params={"as_of": "2016-08-20", "lang": "fr"})).text
    assert "la plus r\u00e9cente date d\u2019il y a 19 jours" in french


async def test_parent_shows_the_worst_level_inside(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    text = (await anonymous.get("/places/country", params={"as_of": "2016-07-29"})).text
    assert "worst level inside: serious" in text
    assert "Nothing known" in text
    assert "people are trapped" not in text.casefold().partition("<details")[0]


async def test_each_end_of_a_range_is_credited_to_its_report(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    await filled.post("/v1/reports", json=report("supply_runout", {"in_days_min": 5, "in_days_max": 8}, source="monitor"))
    board, place = [(await anonymous.get(path, params={"as_of": "2016-08-01"})).text for path in ("/", "/places/oldtown")]
    for text in (board, place):
        assert "2 Aug 2016: Monitor, 28 Jul 2016" in text
    assert "300,000: Agency, 28 Jul 2016" in board
    assert "250,000: Envoy, 28 Jul 2016" in place
    # The preferred report has the source line.
    assert "250,000: Envoy" not in board


async def test_claims_and_announcements_are_no_states(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    sent = [
        report("route_closure", {"route": "south-road", "status": "open"}, place="country", source="army"),
        report(
            "supply_runout",
            {"supply": "water", "state": "resupplied", "in_days_min": None, "in_days_max": None},
            place="country",
            source="army",
        ),
        report("route_closure", {"route": "north-road", "status": "open", "assertion": "announced"}, place="country"),
    ]
    await post_all(filled, *sent)
    board, place = [(await anonymous.get(path, params={"as_of": "2016-08-01"})).text for path in ("/", "/places/country")]
    for text in (board, place):
        assert "only claimed</strong>" in text
        assert "only announced</strong>" in text
    for each in ("only claimed: open", "only claimed: resupplied", "only announced: open (announced)", "claim that nothing supports"):
        assert each in place, each
    assert "status-open" not in place.partition('class="legend"')[0]


async def test_warning_without_a_date_and_unsaid_users_are_shown(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    soon = {"supply": "water", "imminence": "hours", "in_days_min": None, "in_days_max": None}
    await post_all(filled, report("supply_runout", soon), report("route_closure", {"route": "south-road", "status": "restricted"}))
    text = (await anonymous.get("/", params={"as_of": "2016-08-01"})).text
    for each in ("will run out: within hours", "Water: runs out within hours or days", "who can pass is not said"):
        assert each in text, each


async def test_relations_are_in_words_in_every_language(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    first = report("supply_runout", {"supply": "fuel", "in_days_min": 20, "in_days_max": 30})
    relayed = first | {"stated_at": "2016-07-29", "provenance": {"via": ["outlet"], "directness": "paraphrased"}}
    later = report("supply_runout", {"supply": "fuel", "in_days_min": 1, "in_days_max": 2}, source="envoy", stated_at="2016-08-02")
    announced = report("route_closure", {"status": "open", "assertion": "announced"}, source="envoy")
    await post_all(filled, first, relayed, later, announced)
    for language, words in {
        "en": ("repeats another statement", "overtaken by later statements", "only announced", "via Outlet (paraphrased)"),
        "fr": ("répète une autre déclaration", "dépassée par des déclarations ultérieures", "seulement annoncé", "paraphrasé"),
        "es": ("repite otra declaración", "superada por declaraciones posteriores", "solo anunciado", "parafraseado"),
        "ar": ("يكرر تصريحًا آخر", "تجاوزته تصريحات لاحقة", "معلن فقط", "بالمعنى"),
    }.items():
        text = (await anonymous.get("/places/oldtown", params={"lang": language})).text
        assert [each for each in words if each not in text] == [], language


async def test_board_before_the_first_statement_says_so(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    assert "No statements on any place up to this date." in (await anonymous.get("/", params={"as_of": "2016-07-27"})).text
    assert "No statements on this place up to this date." in (await anonymous.get("/places/oldtown", params={"as_of": "2016-07-27"})).text


async def test_retracted_statement_is_shown_as_left_out(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    (closure,) = (await filled.get("/v1/reports", params={"kind": "route_closure"})).json()["items"]
    await filled.post(f"/v1/reports/{closure['id']}/retraction", json={"reason": "entered twice"})
    text = (await anonymous.get("/places/oldtown")).text
    assert "no current statement" in text
    assert "retracted" in text


async def test_step_of_the_slider_redirects_to_its_day(anonymous: httpx.AsyncClient) -> None:
    slider = {"start": "2016-07-27", "days": "20"}
    moved = await anonymous.get("/", params={**slider, "step": "5", "q": "old"})
    assert (moved.status_code, moved.headers["location"]) == (303, "/?q=old&as_of=2016-08-01")
    now = await anonymous.get("/places/oldtown", params={**slider, "step": "20"})
    assert (now.status_code, now.headers["location"]) == (303, "/places/oldtown")


async def test_invalid_address_is_answered_with_a_problem_page(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for path, status, text in (
        ("/?as_of=yesterday", 422, "as_of"),
        ("/?colour=red", 422, "colour: unknown query parameter"),
        ("/places/nowhere", 404, "This page does not exist"),
        ("/embed/nowhere", 404, "This page does not exist"),
        ("/assets/0/board.css", 404, "This page does not exist"),
        ("/?as_of=hier&lang=fr", 422, "pas valable"),
    ):
        answer = await anonymous.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert text in answer.text, path
        assert ("frame-ancestors *" in answer.headers["content-security-policy"]) == path.startswith("/embed/"), path


@pytest.mark.parametrize("path", PAGES)
async def test_page_has_nothing_inline_and_nothing_of_other_sites(
    filled: httpx.AsyncClient, anonymous: httpx.AsyncClient, path: str
) -> None:
    answer = await anonymous.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers.get_list("referrer-policy") == ["same-origin"]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert ("frame-ancestors *" in policy) == path.startswith("/embed/")
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]+src=)|javascript:", answer.text)
    linked = re.findall(r"(?:href|src|action)=\"([^\"]*)\"", answer.text)
    assert [each for each in linked if not each.startswith(("/", "#", "?"))] == []


async def test_first_load_is_smaller_than_300_kilobytes(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    page = await anonymous.get("/")
    assets = set(re.findall(r"\"(/assets/[^\"]+)\"", page.text))
    assert len(assets) == 3
    total = len(gzip.compress(page.content))
    for path in assets:
        asset = await anonymous.get(path)
        assert "immutable" in asset.headers["cache-control"]
        total += len(gzip.compress(asset.content))
    assert total < 300_000


async def test_page_is_cached_until_the_next_report(
    filled: httpx.AsyncClient, anonymous: httpx.AsyncClient, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await anonymous.get("/")
    tag = first.headers["etag"]
    cache = app.state.response_cache
    application = cache._app

    async def unreachable(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(cache, "_app", unreachable)
    assert (await anonymous.get("/")).content == first.content
    assert (await anonymous.get("/", headers={"If-None-Match": tag})).status_code == 304
    monkeypatch.setattr(cache, "_app", application)
    await filled.post("/v1/reports", json=report("supply_runout", {"supply": "water", "state": "low"}))
    assert "Water" in (await anonymous.get("/", headers={"If-None-Match": tag})).text


async def test_signed_in_reader_sees_what_the_key_allows(
    reader: httpx.AsyncClient, filled: httpx.AsyncClient, make_client: MakeClient, app: Application
) -> None:
    await filled.post("/v1/reports", json=report("supply_runout", {"supply": "water", "state": "low"}, sensitivity="amber"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lifeline.test") as stranger:
        for _ in range(2):
            for path in ("/", "/places/oldtown"):
                seen = await reader.get(path)
                assert "Water" in seen.text
                assert "TLP:AMBER" in seen.text
                assert "private" in seen.headers["cache-control"]
                hidden = await stranger.get(path)
                assert "Water" not in hidden.text
                assert "TLP:AMBER" not in hidden.text
    assert "Water" not in (await reader.get("/embed/oldtown")).text


async def test_cookie_has_no_effect_under_v1(reader: httpx.AsyncClient, filled: httpx.AsyncClient) -> None:
    await filled.post("/v1/reports", json=report(source="monitor", sensitivity="amber"))
    assert len((await reader.get("/v1/reports")).json()["items"]) == 4
    assert (await reader.post("/v1/reports", json=report())).status_code == 401


async def test_cookie_is_for_this_site_and_hidden_from_scripts(filled: httpx.AsyncClient, app: Application, make_key: MakeKey) -> None:
    key = await make_key()
    for scheme, name, secure in (("http", "lifeline", False), ("https", "__Host-lifeline", True)):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"{scheme}://lifeline.test") as browser:
            cookie = (await browser.post("/sign-in", data={"key": key})).headers["set-cookie"]
            assert cookie.startswith(f"{name}=")
            for attribute in ("HttpOnly", "SameSite=strict", "Path=/"):
                assert attribute in cookie
            assert ("Secure" in cookie) == secure
            assert "Domain" not in cookie
            assert key not in cookie
            assert "TLP:GREEN" in (await browser.get("/")).text
            out = await browser.post("/sign-out")
            assert out.status_code == 303
            assert "TLP:GREEN" not in (await browser.get("/")).text


async def test_signed_out_cookie_is_ended_in_every_process(
    reader: httpx.AsyncClient, app: Application, settings: Settings, database: Database
) -> None:
    async def text(browser: httpx.AsyncClient, cookie: str) -> str:
        return (await browser.get("/", headers={"Cookie": f"lifeline={cookie}"})).text

    async with client_for(settings) as elsewhere:
        assert isinstance(elsewhere._transport, httpx.ASGITransport)
        # Processes of one service have one secret.
        elsewhere._transport.app.state.sessions._fernet = app.state.sessions._fernet  # type: ignore[attr-defined]
        await wait_until_following(elsewhere._transport.app.state.database)  # type: ignore[attr-defined]
        stolen = reader.cookies["lifeline"]
        respelt = f"{stolen[:9]}!{stolen[9:]}"
        for cookie in (stolen, respelt):
            assert "TLP:AMBER" in await text(elsewhere, cookie)
        stream = asyncio.create_task(elsewhere.get("/stream", headers={"Cookie": f"lifeline={stolen}"}))
        assert (await reader.post("/sign-out", headers=SAME_SITE)).status_code == 303
        for browser in (reader, elsewhere):
            async with asyncio.timeout(5):
                # On PostgreSQL another process is told a moment later.
                while "TLP:AMBER" in await text(browser, stolen):
                    pass
            assert "TLP:AMBER" not in await text(browser, respelt)
        assert (await asyncio.wait_for(stream, 10)).status_code == 200
        # To end it again writes nothing, nor does a cookie without a session.
        version = database.commit_notifier.version()
        for cookie in (respelt, "forged"):
            await elsewhere.post("/sign-out", headers=SAME_SITE | {"Cookie": f"lifeline={cookie}"})
        assert database.commit_notifier.version() == version


async def test_sign_out_after_the_key_was_revoked_ends_the_cookie(reader: httpx.AsyncClient, database: Database) -> None:
    stolen = {"Cookie": f"lifeline={reader.cookies['lifeline']}"}
    async with database.write() as session:
        (key,) = [key for key in await list_keys(session) if key.organisation == "readers"]
        await revoke_key(session, key.id)
    assert (await reader.get("/", headers=stolen)).status_code == 303
    assert (await reader.post("/sign-out", headers=SAME_SITE | stolen)).status_code == 303
    assert (await reader.get("/", headers=stolen)).status_code == 200
    assert "TLP:AMBER" not in (await reader.get("/", headers=stolen)).text


async def test_revoked_key_redirects_to_sign_in(reader: httpx.AsyncClient, database: Database) -> None:
    assert "TLP:AMBER" in (await reader.get("/")).text
    async with database.write() as session:
        (key,) = [key for key in await list_keys(session) if key.organisation == "readers"]
        await revoke_key(session, key.id)
    ended = await reader.get("/")
    assert (ended.status_code, ended.headers["location"]) == (303, "/sign-in?ended=true")
    assert 'lifeline=""' in ended.headers["set-cookie"]
    assert "expired or was revoked" in (await reader.get(ended.headers["location"])).text
    assert "TLP:AMBER" not in (await reader.get("/")).text


async def test_wrong_key_is_reported_and_sets_no_cookie(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for key in ("ll_unknown", "", "two words", "x" * 3000, "\u0645\u0641\u062a\u0627\u062d"):
        answer = await anonymous.post("/sign-in", data={"key": key})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert "unknown, expired or revoked" in answer.text
        assert not key or key not in answer.text
    assert (await anonymous.post("/sign-in", content=b"key=" + b"x" * 3_000_000)).status_code == 413


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://elsewhere.test"}, {"Origin": "null"}],
)
async def test_form_of_another_site_is_rejected(anonymous: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    answer = await anonymous.post(path, data={"key": "ll_x"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "another site" in answer.text


async def test_cached_page_is_not_shared_between_languages(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert 'lang="en" dir="ltr"' in (await anonymous.get("/")).text
        assert 'lang="fr"' in (await anonymous.get("/", headers={"Accept-Language": "de, fr-CA;q=0.8, en;q=0.3"})).text
    chosen = await anonymous.get("/", params={"lang": "ar"})
    assert 'lang="ar" dir="rtl"' in chosen.text
    assert "lifeline_language=ar" in chosen.headers["set-cookie"]
    assert 'lang="ar"' in (await anonymous.get("/places/oldtown", headers={"Accept-Language": "es"})).text
    assert 'lang="en"' in (await anonymous.get("/embed/oldtown")).text
