"""Tests of what a place's page shows since its reader last looked, which a cookie remembers, and of its brief."""

import re

import httpx

from app.domain.tlp import Label
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import MakeKey, mostly_sqlite

pytestmark = mostly_sqlite

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


def news(page: httpx.Response) -> list[str] | None:
    """Return the changes that a page lists; None without such a list."""
    assert page.status_code == 200
    section = re.search(r'<section class="news" aria-labelledby="news".*?</section>', page.text, re.DOTALL)
    return None if section is None else re.findall(r"<li><b>(.*?)</b>", section[0])


async def test_page_lists_what_is_new_since_the_last_look(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, make_key: MakeKey
) -> None:
    await post(client, **report(value={"people": 1000}))
    first = await anonymous.get("/places/oldtown")
    assert news(first) is None, "a first look has nothing to compare with"
    cookie = first.headers["Set-Cookie"]
    assert re.fullmatch(r"lifeline_seen=clear\.\d+\.\d+; HttpOnly; Max-Age=7776000; Path=/places/oldtown; SameSite=lax", cookie)
    assert news(await anonymous.get("/places/oldtown")) == []
    await post(client, **report(value={"people": 20_000}, source="monitor", sensitivity="amber"))
    assert news(await anonymous.get("/places/oldtown")) == [], "what the reader may not see is no news"
    await post(client, **report(value={"people": 3000}, source="envoy"))
    page = await anonymous.get("/places/oldtown")
    assert news(page) == ["New", "Newly contested"]
    assert "Trapped: 3,000 (Envoy, 28 Jul 2016). The assessment was: 1,000. It is now: claims between 1,000 and 3,000" in page.text
    # The list stays until something else changes, also in another language; an earlier day has none.
    assert news(await anonymous.get("/places/oldtown?lang=fr")) == ["Nouveau", "Nouvelle contradiction"]
    assert news(await anonymous.get("/places/oldtown?as_of=2016-08-01")) is None
    await post(client, **report("route_closure"))
    assert len(news(await anonymous.get("/places/oldtown?lang=en")) or []) == 1
    assert news(await anonymous.get("/places/country")) is None, "each place has a cookie of its own"
    # Revisions of one clearance say nothing about those of another.
    key = await make_key(clearance=Label.AMBER)
    await anonymous.post("/sign-in", data={"key": key}, headers=SAME_SITE)
    assert news(await anonymous.get("/places/oldtown")) is None
    assert news(await anonymous.get("/places/oldtown")) == []


async def test_altered_cookie_is_a_first_look(anonymous: httpx.AsyncClient, reference: Reference) -> None:
    for value in ("clear.0.999999999999999", "clear.5", "x" * 5000, "clear.1.1%0d%0aX: y"):
        anonymous.cookies.clear()
        page = await anonymous.get("/places/oldtown", headers={"Cookie": f"lifeline_seen={value}"})
        assert news(page) is None
        assert re.match(r"lifeline_seen=clear\.(\d+)\.\1;", page.headers["Set-Cookie"]), value
    anonymous.cookies.clear()
    assert news(await anonymous.get("/places/oldtown?seen=clear.0.0")) is None


async def test_page_links_the_brief(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    await post(client, **report())
    assert 'href="/places/oldtown/brief?as_of=2016-08-01"' in (await anonymous.get("/places/oldtown?as_of=2016-08-01")).text
    answer = await anonymous.get("/places/oldtown/brief?lang=es&as_of=2016-08-01")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == (await anonymous.get("/v1/situations/oldtown/brief.txt?lang=es&as_of=2016-08-01")).text
    assert (await anonymous.get("/places/nowhere/brief")).status_code == 404


async def test_page_shows_what_to_check(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference) -> None:
    await post_all(client, report(value={"people": 30}), report(value={"people": 300}, source="monitor", stated_at="2016-08-01"))
    for lang, text in (("en", "Trapped: 300 after 30, at least ten times as many."), ("es", "300 después de 30, al menos diez veces más.")):
        assert text in (await anonymous.get(f"/places/oldtown?as_of=2016-08-02&lang={lang}")).text
