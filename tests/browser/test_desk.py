"""Tests for the desk: an article entered, corrected and closed by forms alone, in a real Chromium, with and without JavaScript."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.article import ARTICLE, OCHA, PUBLISHED, RECORDS, STATEMENTS, fill
from tests.browser.screenshots import save_screenshot
from tests.support.browser import needs_chromium, visit
from tests.support.fixtures import FULL
from tests.support.processes import Server, serve
from tests.support.servers import invoke

pytestmark = [needs_chromium, pytest.mark.starts_early]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Clicks:
    """A page with its clicks counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def press(self, name: str, role: Any = "button") -> None:
        """Click what has a name."""
        self.count += 1
        self.page.get_by_role("main").get_by_role(role, name=name, exact=True).last.click()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """Return a server on an empty database, and its only key."""
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    scopes = [part for scope in ("read", "report", "curate") for part in ("--scope", scope)]
    create = ("key", "create", "--name", "duty", "--org", "desk", "--clearance", "amber", *scopes)
    # In a thread, because the event loop of the browser holds this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(invoke, "migrate", database_url=url).result()
        key = thread.submit(invoke, *create, database_url=url).result().output.split()[-1]
    with serve(tmp_path, database_url=url, session_secret="x" * 32, rate_limit="off") as server:
        yield server, key


def sign_in(page: Page, key: str, path: str = "/sign-in") -> None:
    """Sign in with a key; a form takes several requests, so a busy machine gets more time."""
    page.set_default_timeout(60_000)
    page.goto(path)
    page.fill("#key", key)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def test_article_is_entered_by_forms_in_under_40_clicks(browser: Browser, empty: tuple[Server, str]) -> None:
    """Without JavaScript: place, sources, route, seven statements, a correction, a withdrawal, its undoing and an outcome."""
    server, key = empty
    with visit(browser, server.url, refused=("/desk/",), viewport={"width": 1280, "height": 900}, java_script_enabled=False) as page:
        clicks = Clicks(page)
        # The desk asks for the key, and comes next.
        sign_in(page, key, "/desk")
        clicks.count += 1
        enter_records(page, clicks)
        last = ""
        for at, (kind, chosen, typed, shown) in enumerate(STATEMENTS):
            if kind != last:
                clicks.press(kind, "link")
            fill(page, chosen, typed | ({"#f-place": "Eastern Aleppo"} | PUBLISHED if at == 0 else {}))
            clicks.press("Preview")
            preview = page.locator("#preview")
            expect(preview).to_contain_text(shown)
            if at == 1:
                expect(preview).to_contain_text("Serious")
                save_screenshot(page, "desk-preview")
            is_next_alike = at + 1 < len(STATEMENTS) and STATEMENTS[at + 1][0] == kind
            clicks.press("Send, and enter another" if is_next_alike else "Send")
            expect(page.get_by_role("status")).to_have_text("Recorded.")
            last = kind if is_next_alike else ""
        # The last statement was misheard: it is corrected, withdrawn, and stands again.
        clicks.press("Correct", "link")
        fill(page, {}, {"#f-value-people": "275,000", "#f-reason": "misheard"})
        clicks.press("Preview")
        expect(page.locator("#preview")).to_contain_text("at least 275,000")
        clicks.press("Send")
        for button, status, done in (
            ("Withdraw", "withdrawn", "Withdrawn"),
            ("Undo the withdrawal", "stands", "The withdrawal was undone"),
        ):
            page.get_by_label("Reason").first.fill("the outlet took it back")
            clicks.press(button)
            expect(page.get_by_role("heading", level=1)).to_contain_text(status)
            expect(page.get_by_role("status")).to_have_text(done)
        save_screenshot(page, "desk-report")
        # A convoy got in since: the evidence for the outcome is an eighth statement.
        page.get_by_role("banner").get_by_role("link", name="Desk").click()
        clicks.count += 1
        clicks.press("Supplies", "link")
        fill(page, {"#f-value-supply": "food", "#f-value-state": "resupplied"}, OCHA | PUBLISHED | {"#f-place": "Eastern Aleppo"})
        clicks.press("Preview")
        clicks.press("Send")
        # Its page leads to the warning whose outcome it may show.
        page.get_by_role("link", name=re.compile("Food: 12 Aug 2016")).click()
        clicks.count += 1
        page.select_option("#outcome", "averted")
        page.select_option("#shown", index=1)
        page.fill("#because", "a convoy got in")
        clicks.press("Record the outcome")
        expect(page.get_by_role("main")).to_contain_text("averted")
        assert clicks.count < 40


def enter_records(page: Page, clicks: Clicks) -> None:
    """Enter what the article names."""
    shown = ""
    for collection, chosen, typed in RECORDS:
        if collection != shown:
            clicks.press(f"Add a {collection.removesuffix('s')}", "link")
        shown = collection
        fill(page, chosen, typed)
        clicks.press("Save")
        expect(page.get_by_role("status")).to_contain_text("Saved")


def test_article_is_pasted_read_and_confirmed_with_what_it_names_added_on_the_way(browser: Browser, empty: tuple[Server, str]) -> None:
    server, key = empty
    with visit(browser, server.url, refused=("/desk/",), viewport={"width": 1280, "height": 900}) as page:
        sign_in(page, key)
        page.goto("/desk/article")
        page.fill("#f-text", ARTICLE)
        fill(page, {}, {"#f-publisher": "Regional News Site", "#f-published_at": "31 July 2016", "#f-url": "https://news.example.org/1"})
        press = Clicks(page).press
        press("Read")
        press("Add new (Publisher)")
        fill(page, *RECORDS[3][1:])
        press("Save")
        for (_, chosen, typed), button in zip((RECORDS[0], RECORDS[1], RECORDS[2], RECORDS[4]), ADD, strict=True):
            press(button)
            fill(page, chosen, typed)
            press("Save")
        expect(page.get_by_role("heading", name="7 statements were found")).to_be_visible()
        assert page.locator("mark.word").count() >= 14
        expect(page.locator("mark.unclear").first).to_contain_text("Tens of thousands")
        save_screenshot(page, "desk-article")
        press("Keep what is ticked as drafts")
        expect(page.get_by_role("button", name="Confirm")).to_have_count(7)
        save_screenshot(page, "desk-drafts")
        # The first is corrected before it is confirmed, the last is rejected.
        page.get_by_role("link", name="Correct").first.click()
        page.fill("#f-value-people", "290,000")
        press("Preview")
        press("Save the draft")
        expect(page.get_by_role("main")).to_contain_text("nearly 290,000")
        for left in range(6, 0, -1):
            page.get_by_role("button", name="Confirm").first.click()
            expect(page.get_by_role("button", name="Confirm")).to_have_count(left)
        page.get_by_label("Reason").fill("said twice")
        press("Reject")
        expect(page.get_by_role("main")).to_contain_text("No draft waits.")
        page.goto("/desk/today")
        expect(page.get_by_role("main")).to_contain_text("nearly 290,000")
        expect(page.get_by_role("row")).to_have_count(7)


ADD = ("Add a place", "Add a source", "Add a source", "Add a route")


@pytest.fixture(scope="module")
def desk(browser: Browser, demo: Server) -> Iterator[Page]:
    """Return a page signed in to the demo, for all audits."""
    assert demo.key is not None
    with visit(browser, demo.url, refused=("/desk/",), viewport={"width": 1280, "height": 900}) as page:
        sign_in(page, demo.key)
        yield page


# French and Spanish have the structure of English.
@pytest.mark.parametrize("language", ["en", "ar", *(("fr", "es") if FULL else ())])
def test_axe_finds_nothing_on_the_pages_of_the_desk(desk: Page, language: str) -> None:
    page = desk
    paths = ["", "/statements/supply_runout", "/article", "/drafts", "/today", "/records/sources"]
    paths += ["/records/places/aleppo-east", "/new/routes"]
    page.goto("/places/aleppo-east")
    report = page.locator("a[href*='/desk/reports/']").first.get_attribute("href")
    judge = page.locator("a[href*='/judgement']").first.get_attribute("href")
    assert report is not None
    assert judge is not None
    for path in [*(f"/desk{each}" for each in paths), report, f"{report}/correction", judge]:
        page.goto(f"{path}?lang={language}")
        assert violations(page) == [], path
        # Nothing is wider than a phone, or than a wall.
        for width, height in ((1920, 1080), (390, 800)):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        save_screenshot(page, f"desk-{language}-phone{re.sub('[^a-z]+', '-', path.partition('reports')[0])}")
        page.set_viewport_size({"width": 1280, "height": 900})
    # The form with what is wrong in it, and with a preview.
    page.goto(f"{report}/correction?lang={language}")
    page.locator("#f-source").fill("Nobody")
    page.locator("button[value=preview]").last.click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def violations(page: Page) -> list[Any]:
    """Return what axe finds, and where."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]})
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found.response["violations"]]


def test_names_of_a_large_list_follow_what_is_typed(desk: Page) -> None:
    """Empty the list that the page has, as one of a large gazetteer lacks the name."""
    desk.goto("/desk/statements/supply_runout?lang=en")
    desk.evaluate("const list = document.getElementById('list-places'); list.replaceChildren(); list.dataset.more = '/desk/records/places'")
    desk.locator("#f-place").press_sequentially("easte")
    expect(desk.locator("#list-places option").first).to_have_attribute("value", re.compile("Eastern Aleppo"))


def test_typed_text_outlives_back_language_and_session_but_not_sign_out(browser: Browser, demo: Server) -> None:
    assert demo.key is not None
    typed = {"#f-place": "Eastern Aleppo", "#f-source": "UN", "#f-stated_at": "28 July 2016", "#f-value-people": "300,000"}

    def expect_typed(page: Page, shown: dict[str, str]) -> None:
        for field, text in shown.items():
            expect(page.locator(field)).to_have_value(text)

    with visit(browser, demo.url, refused=("/desk/",), viewport={"width": 1280, "height": 900}) as page:
        sign_in(page, demo.key, "/desk/statements/trapped_population")
        press = Clicks(page).press
        fill(page, {"#f-value-concept": "trapped"}, typed | {"#f-provenance-quote": "nearly 300,000"})
        typed |= {"#f-value-concept": "trapped", "#f-provenance-quote": "nearly 300,000"}
        press("Preview")
        expect(page.locator("#preview")).to_be_visible()
        page.go_back()
        expect_typed(page, typed)
        press("Preview")
        page.get_by_role("button", name="Fran\u00e7ais").click()
        expect(page.locator("#preview")).to_contain_text("juil. 2016")
        page.get_by_role("button", name="English").click()
        expect(page.locator("#preview")).to_contain_text("Jul 2016")
        expect_typed(page, typed)
        press("Change something below", "link")
        press("Keep as a draft")
        expect(page.get_by_role("heading", level=1)).to_have_text("Drafts")
        page.go_back()
        expect_typed(page, typed)
        # Enter shows the preview, not the first language.
        page.press("#f-value-people", "Enter")
        expect(page.locator("#preview")).to_contain_text("Jul 2016")
        page.context.clear_cookies()
        press("Preview")
        page.fill("#key", demo.key)
        press("Sign in")
        expect(page.get_by_role("alert")).to_contain_text("You signed in again")
        expect_typed(page, typed)
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/")
        page.go_back()
        expect(page.locator("#key")).to_be_visible()
        page.fill("#key", demo.key)
        press("Sign in")
        expect_typed(page, dict.fromkeys(typed, ""))
