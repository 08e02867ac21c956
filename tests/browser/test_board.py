"""Tests for the situation board with the demo data, in a real Chromium that reaches only the service."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.http.localization import LANGUAGES
from tests.browser.screenshots import save_screenshot
from tests.support.browser import Relay, needs_chromium, visit
from tests.support.fixtures import FULL
from tests.support.processes import Server

pytestmark = [needs_chromium, pytest.mark.starts_early]

EAST = "#p-aleppo-east"
OTHERS = (
    "/?wall=1&as_of=2016-08-09",
    "/places/aleppo-east?as_of=2016-08-12",
    "/embed/aleppo-east?as_of=2016-08-12",
    "/?q=food&as_of=2016-08-12",
)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture
def page(browser: Browser, demo: Server) -> Iterator[Page]:
    """Open a page of a new visitor, on a screen of 1440 x 900 pixels."""
    with visit(browser, demo.url, refused=("/sign-in",), viewport={"width": 1440, "height": 900}) as page:
        yield page


def wait_for_live(page: Page) -> None:
    """Wait until the page is connected to the stream."""
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def report_low(demo: Server, supply: str, **fields: Any) -> None:
    """Report as a second client that a supply of eastern Aleppo is low today."""
    body = {
        "kind": "supply_runout",
        "place": "aleppo-east",
        "source": "un",
        "stated_at": datetime.now(UTC).date().isoformat(),
        "value": {"supply": supply, "state": "low"},
        "sensitivity": "clear",
    }
    answer = httpx.post(f"{demo.url}/v1/reports", json=body | fields, headers={"Authorization": f"Bearer {demo.key}"})
    assert answer.status_code == 201, answer.text


TRAPPED = "People are trapped \u2013 last said 31 Jul 2016, "
CASTELLO = "Castello Road: no way in, no way out \u2013 last said 25 Jul 2016, "
LAST_ROUTE = "Castello Road: no other way in is left \u2013 last said 31 Jul 2016, "


@pytest.mark.parametrize(
    ("as_of", "level", "shown"),
    [
        (
            "2016-07-26",
            "Serious",
            ["Trapped 250,000\u2013275,000", "Food 16\u201325 days left", "Castello Road closed", "since 7 Jul 2016"],
        ),
        (
            "2016-07-30",
            "Serious",
            [
                "People are trapped \u2013 last said 25 Jul 2016, 5 days ago",
                "Basic supplies 12\u201319 days left",
                "11 Aug 2016 \u2013 18 Aug 2016",
            ],
        ),
        (
            "2016-08-01",
            "Serious",
            [
                TRAPPED + "1 day ago",
                CASTELLO + "7 days ago",
                LAST_ROUTE + "1 day ago",
                "Trapped 250,000\u2013300,000",
                "250,000: UN relief chief and OCHA, 25 Jul 2016",
                "contested",
            ],
        ),
        (
            "2016-08-05",
            "Critical",
            ["Food: runs out soon \u2013 last said 25 Jul 2016, 11 days ago", TRAPPED + "5 days ago", "Food 6\u201315 days left"],
        ),
        (
            "2016-08-09",
            "Critical",
            [
                "Food 2\u201311 days left",
                "Ramouseh passage: no way in, no way out",
                "Ramouseh passage restricted",
                "passable by: no one",
                "contested",
            ],
        ),
        (
            "2016-10-01",
            "Critical",
            [
                "nothing sound heard for 54 days",
                "last said 8 Aug 2016, 54 days ago",
                TRAPPED + "62 days ago",
                "Food: may have run out, outcome not known",
            ],
        ),
    ],
)
def test_board_shows_aleppo_at_each_date(page: Page, as_of: str, level: str, shown: list[str]) -> None:
    page.goto(f"/?as_of={as_of}")
    wait_for_live(page)
    card = page.locator(EAST)
    expect(card.locator(".level").first).to_contain_text(level)
    for text in shown:
        expect(card).to_contain_text(text)
    expect(card.locator("svg.map")).to_be_visible()
    save_screenshot(page, f"board-{as_of}")


def test_route_states_differ_by_icon_and_by_line(page: Page) -> None:
    page.goto("/?as_of=2016-08-09")
    card = page.locator(EAST)
    icons = card.locator(".routes .icon use, svg.map use.icon").evaluate_all("all => all.map((each) => each.getAttribute('href'))")
    assert {"#icon-closed", "#icon-restricted", "#icon-contested"} <= set(icons)
    dashes = card.locator("svg.map path.route").evaluate_all("all => all.map((each) => getComputedStyle(each).strokeDasharray)")
    assert len(set(dashes)) == 2


def test_item_opens_its_statements_in_a_dialog(page: Page) -> None:
    page.goto("/?as_of=2016-08-01")
    wait_for_live(page)
    link = page.locator(EAST).get_by_role("link", name=re.compile("^Trapped"))
    link.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("United Nations")
    contradicting = dialog.get_by_role("row", name=re.compile("contradicts"))
    expect(contradicting).to_contain_text("250,000\u2013275,000")
    expect(contradicting).to_contain_text("UN relief chief and OCHA")
    expect(contradicting).to_contain_text("25 Jul 2016")
    expect(contradicting).to_contain_text("expert estimate, credibility 2")
    save_screenshot(page, "statements", whole=False)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(link).to_be_focused()


def test_board_works_without_javascript(browser: Browser, demo: Server) -> None:
    with visit(browser, demo.url, java_script_enabled=False) as page:
        page.goto("/?as_of=2016-08-01")
        page.locator(EAST).get_by_role("link", name=re.compile("^Trapped")).click()
        section = page.locator("section.indicator:target")
        expect(section).to_contain_text("contradicts")
        expect(section.locator("svg.plot circle.point").first).to_be_visible()
        page.locator("#as_of").fill("2016-08-09")
        page.get_by_role("button", name="Go", exact=True).click()
        expect(page.locator("main")).to_contain_text("restricted")
        slider = page.locator("#step")
        slider.press("Home")
        page.get_by_role("button", name="Show this day").click()
        expect(page.locator("#as-of-day")).to_have_text("24 Jul 2016")
        save_screenshot(page, "place-without-javascript")


def test_report_of_another_client_appears_without_reload(page: Page, demo: Server) -> None:
    page.goto("/")
    wait_for_live(page)
    page.evaluate("window.notReloaded = true")
    page.locator(EAST).get_by_role("link", name=re.compile("^Castello")).focus()
    report_low(demo, "hygiene")
    expect(page.locator(EAST)).to_contain_text("Hygiene")
    assert page.evaluate("window.notReloaded")
    assert "Castello" in page.evaluate("document.activeElement.textContent")
    expect(page.locator(".changed").first).to_be_attached()
    expect(page.locator("#live .announcement")).to_contain_text("Updated")


def test_board_keeps_its_content_while_the_connection_is_lost(browser: Browser, demo: Server) -> None:
    wire = Relay(demo.url)
    try:
        with visit(browser, wire.url, viewport={"width": 1440, "height": 900}) as page:
            page.goto("/")
            wait_for_live(page)
            wire.cut()
            live = page.locator("#live")
            expect(live).to_have_attribute("data-state", "lost")
            expect(live).to_contain_text("Connection lost, retrying")
            expect(live).to_contain_text("loaded")
            save_screenshot(page, "connection-lost", whole=False)
            # Nothing loads now: the board stays, and no other day appears over its values.
            page.locator(EAST).get_by_role("link", name=re.compile("^Castello")).click()
            page.locator("#step").press("Home")
            expect(page.locator("#as-of-day")).to_have_text("now")
            expect(page.locator("#step")).to_have_value(page.locator("#step").get_attribute("max") or "")
            report_low(demo, "fuel")
            expect(page.locator(EAST)).not_to_contain_text("Fuel")
            wire.mend()
            wait_for_live(page)
            expect(page.locator(EAST)).to_contain_text("Fuel")
    finally:
        wire.close()


def test_slider_moves_and_replays_the_days(page: Page) -> None:
    page.goto("/?as_of=2016-08-07")
    wait_for_live(page)
    slider = page.locator("#step")
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("as_of=2016-08-08"))
    expect(page.locator(EAST)).to_contain_text("Ramouseh passage restricted")
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuetext", "8 Aug 2016")
    expect(page.locator("#live .announcement")).to_have_text("As of 8 Aug 2016")
    slider.press("Home")
    expect(page).to_have_url(re.compile("as_of=2016-07-24"))
    expect(page.locator("main")).to_contain_text("No statements on any place up to this date.")
    page.get_by_role("button", name="Replay").click()
    expect(page).to_have_url(re.compile("as_of=2016-07-26"))
    expect(page.locator(EAST)).to_contain_text("250,000\u2013275,000")
    expect(page.locator("#live .announcement")).to_have_text("")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#live .announcement")).to_have_text(re.compile("As of 2[678] Jul 2016"))
    page.go_back()
    expect(page).to_have_url(re.compile("as_of=2016-07-24"))


def test_sign_in_shows_what_the_key_allows_until_sign_out(page: Page, demo: Server) -> None:
    report_low(demo, "electricity", sensitivity="amber")
    page.goto("/")
    expect(page.locator(EAST)).not_to_contain_text("Electricity")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Key", exact=True).fill("ll_not-a-key-that-anybody-was-given-here")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    page.get_by_label("Key", exact=True).fill(demo.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(EAST)).to_contain_text("Electricity")
    expect(page.locator("header.top")).to_contain_text("TLP:AMBER")
    assert page.url == f"{demo.url}/"
    assert demo.key not in page.content()
    (cookie,) = [each for each in page.context.cookies() if each["name"] == "lifeline"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert demo.key not in cookie["value"]
    assert page.evaluate("document.cookie") == ""
    wait_for_live(page)
    report_low(demo, "shelter", sensitivity="amber")
    expect(page.locator(EAST)).to_contain_text("Shelter")
    save_screenshot(page, "signed-in")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    expect(page.locator(EAST)).not_to_contain_text("Electricity")


def test_phone_of_360_pixels_never_scrolls_sideways(browser: Browser, demo: Server) -> None:
    with visit(browser, demo.url, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        for path in ("/sign-in", "/?as_of=2016-08-09", "/places/aleppo-east?as_of=2016-08-09", "/?as_of=2016-08-09&lang=ar"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
            if "as_of" in path:
                save_screenshot(page, f"phone{re.sub('[^a-z]+', '-', path)}")


def test_printed_board_has_no_controls(page: Page) -> None:
    page.goto("/?as_of=2016-08-09")
    page.emulate_media(media="print")
    for control in ("#step", ".tools", "#live"):
        expect(page.locator(control)).to_be_hidden()
    expect(page.locator(EAST)).to_contain_text("250,000\u2013300,000")
    expect(page.locator("#as-of-day")).to_be_visible()
    page.set_viewport_size({"width": 760, "height": 1000})
    save_screenshot(page, "paper")


def test_every_printed_page_has_the_label(page: Page) -> None:
    """Chromium draws what is fixed on every page; the label is beside the text and covers none of it."""
    page.goto("/places/aleppo-east?as_of=2016-08-12")
    page.set_viewport_size({"width": 760, "height": 1000})
    page.emulate_media(media="print")
    label = page.locator(".print-tlp")
    expect(label).to_have_text("TLP:CLEAR")
    assert label.evaluate("(each) => getComputedStyle(each).position") == "fixed"
    box, main = label.bounding_box(), page.locator("main").bounding_box()
    assert box
    assert main
    assert box["x"] >= main["x"] + main["width"]
    expect(page.locator(".evidence-of table").first).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ar"])
def test_wall_fits_a_screen_in_type_for_three_metres(browser: Browser, demo: Server, language: str) -> None:
    today = datetime.now(UTC).date().isoformat()
    with httpx.Client(base_url=demo.url, headers={"Authorization": f"Bearer {demo.key}"}) as client:
        for at in range(8):
            place = {"slug": f"wall-{at}", "name": f"A place with a long name {at}", "country": "SYR"}
            assert client.post("/v1/places", json=place).status_code in (201, 409)
            people = {"kind": "trapped_population", "place": place["slug"], "source": "un", "stated_at": today, "sensitivity": "clear"}
            supply = people | {"kind": "supply_runout", "value": {"supply": "medical", "in_days_min": 2, "in_days_max": 4 + at}}
            people |= {"value": {"concept": "besieged", "people_low": 100_000 + at, "people_high": 200_000}}
            assert client.post("/v1/reports", json=[people, supply]).status_code == 207
    with visit(browser, demo.url, viewport={"width": 1920, "height": 1080}) as page:
        page.goto(f"/?wall=1&lang={language}")
        wait_for_live(page)
        rows = page.locator(".wall-table tbody tr")
        expect(rows).to_have_count(8)
        assert page.evaluate("[document.documentElement.scrollHeight, document.documentElement.scrollWidth]") == [1080, 1920]
        # On a screen of 55 inches a letter of 24 pixels is 15 mm high, 1 in 200 of three metres.
        sizes = page.locator(".wall-table tbody :is(th a, .value, .label, .age b)").evaluate_all(
            "all => all.map((each) => parseFloat(getComputedStyle(each).fontSize))"
        )
        assert min(sizes) >= 24
        save_screenshot(page, f"wall-{language}", whole=False)


def test_wall_turns_its_page_with_and_without_javascript(browser: Browser, demo: Server) -> None:
    for java_script in (True, False):
        with visit(browser, demo.url, java_script_enabled=java_script, viewport={"width": 1920, "height": 1080}) as page:
            # Seconds become milliseconds on the way, so that the test does not wait.
            page.route(re.compile("wall=1$"), lambda route: route.fulfill(body=hurried(route.fetch().text()), content_type="text/html"))
            page.goto("/?wall=1")
            expect(page).to_have_url(re.compile("wall=1&page="))
            expect(page.locator(".wall-table tbody tr").first).to_be_visible()


def hurried(text: str) -> str:
    """Return a wall's page that turns at once."""
    return re.sub(r'content="20;', 'content="0;', text).replace('data-turn="20"', 'data-turn="0.1"')


def test_arabic_board_runs_from_right_to_left(page: Page) -> None:
    page.goto("/?as_of=2016-08-09&lang=ar")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator(EAST)).to_contain_text("عالقون")
    side, places = (page.locator(each).bounding_box() for each in (".side", ".places"))
    assert side
    assert places
    assert side["x"] > places["x"]
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("lang", "ar")
    save_screenshot(page, "arabic")


@pytest.fixture(scope="module")
def audited(browser: Browser, demo: Server) -> Iterator[Page]:
    """Open one page for all checks by axe."""
    with visit(browser, demo.url, refused=("/places/nowhere",), viewport={"width": 1280, "height": 900}) as page:
        yield page


@pytest.mark.parametrize(
    "path",
    [
        "/?as_of=2016-08-09&lang=en",
        "/?lang=ar",
        "/places/aleppo-east?as_of=2016-08-12&lang=en",
        "/sign-in",
        "/embed/aleppo-east?as_of=2016-08-12",
        "/places/nowhere",
        "/?q=food&as_of=2016-08-12&lang=en",
        "/?wall=1&as_of=2016-08-09&lang=en",
        "/places/aleppo-east?as_of=2016-08-12&lang=ar",
        # The others have the same structure.
        *(f"{path}&lang={language}" for language in LANGUAGES for path in OTHERS if FULL),
        "/guide",
        "/guide/deployment?lang=ar",
    ],
)
def test_axe_finds_no_violation(audited: Page, path: str) -> None:
    """Check each page in light colours, and the contrast of dark colours on the pages that have all of them."""
    audited.emulate_media(color_scheme="light")
    audited.goto(path)
    # Folded parts are checked, too.
    audited.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert violations(audited, {"type": "tag", "values": TAGS}) == []
    if "lang=en" in path:
        audited.emulate_media(color_scheme="dark")
        save_screenshot(audited, f"dark{re.sub('[^a-z]+', '-', path)}")
        assert violations(audited, {"type": "rule", "values": ["color-contrast"]}) == []


def violations(page: Page, rules: dict[str, Any]) -> list[Any]:
    """Return what axe finds, and where."""
    found = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]})
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found.response["violations"]]


def test_place_items_lead_to_their_statements(page: Page) -> None:
    page.goto("/places/aleppo-east?as_of=2016-08-12")
    for item in ("^Trapped", "^Medical supplies", "^Ramouseh"):
        page.locator(".place").get_by_role("link", name=re.compile(item)).click()
        expect(page.locator("section.indicator:target h2")).to_contain_text(re.compile(item.strip("^")))
        expect(page.locator("section.indicator:target tbody tr").first).to_be_visible()
    assert page.get_by_role("dialog").count() == 0


def test_keyboard_reaches_the_content_first(page: Page) -> None:
    page.goto("/?as_of=2016-08-09")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_guide_opens_from_the_board_without_outside_requests(page: Page) -> None:
    page.goto("/?as_of=2016-08-09")
    page.get_by_role("contentinfo").get_by_role("link", name="Guide").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("article").get_by_role("link", name="Deployment").first.click()
    expect(page).to_have_url(re.compile("/guide/deployment$"))
    save_screenshot(page, "guide")
    page.get_by_role("link", name="Guide").first.click()
    expect(page).to_have_url(re.compile("/guide$"))


def test_guide_opens_from_the_api_documentation(page: Page) -> None:
    page.goto("/docs")
    link = page.locator(".info").get_by_role("link", name="guide")
    expect(link).to_be_visible()
    assert link.evaluate("(link) => link.href") == page.url.replace("/docs", "/guide")
