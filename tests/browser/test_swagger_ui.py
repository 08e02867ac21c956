"""Tests for Swagger UI in a real Chromium that reaches only the service."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support.browser import needs_chromium, visit
from tests.support.fixtures import FULL
from tests.support.processes import Server

pytestmark = [needs_chromium, pytest.mark.starts_early]


# Where a test uses some operations, the page gets no others: each of them costs time at every change of the page.
USED = frozenset({"get_indicator", "create_reports", "get_report", "create_import", "create_webhook", "confirm_label_proposal"})


def show_only_used(route: Route) -> None:
    """Answer /openapi.json with the operations that tests use, and everything else of the document."""
    answer = route.fetch()
    document = answer.json()
    for path, operations in list(document["paths"].items()):
        kept = {method: each for method, each in operations.items() if each["operationId"] in USED}
        document["paths"][path] = kept
        if not kept:
            del document["paths"][path]
    route.fulfill(response=answer, body=json.dumps(document))


@pytest.fixture(scope="module")
def page(browser: Browser, demo: Server) -> Iterator[Page]:
    """Open /docs once for the tests that use its operations."""
    with visit(browser, demo.url) as page:
        page.route("**/openapi.json", show_only_used)
        page.goto("/docs")
        page.locator(".opblock").first.wait_for()
        yield page


def authorize(page: Page, key: str | None) -> None:
    """Press Authorize and paste a key; without a key, log out."""
    page.locator(".auth-wrapper > button.authorize").click()
    # The form of the key; HTTP Basic has one of its own.
    form = page.locator(".dialog-ux .auth-container", has_text="Key (http, Bearer)")
    form.get_by_role("button", name="Close").wait_for()
    if (logout := form.locator("button", has_text="Logout")).count():
        logout.click()
    if key is not None:
        form.locator("input").fill(key)
        form.locator("button.authorize").click()
    form.get_by_role("button", name="Close").click()


def operation(page: Page, name: str) -> Locator:
    """Open the block of an operation."""
    block = page.locator(f"[id$='-{name}']")
    if not block.locator("button.execute").count():
        block.locator(".opblock-summary").click()
    block.locator("button.execute").wait_for()
    return block


def execute(block: Locator) -> tuple[int, str]:
    """Press Execute; return the status of the response and the body that the page shows."""
    with block.page.expect_response(lambda answer: "/v1/" in answer.url) as received:
        block.locator("button.execute").click()
    status = received.value.status
    shown = block.locator(".live-responses-table tbody .response", has_text=str(status)).first
    return status, shown.locator(".highlight-code").first.inner_text()


def test_swagger_ui_lists_all_operations_in_order(browser: Browser, demo: Server) -> None:
    with visit(browser, demo.url) as page:
        page.goto("/docs")
        page.locator(".opblock").first.wait_for()
        assert page.title() == "Lifeline - Swagger UI"
        tags = [text.split("\n")[0] for text in page.locator(".opblock-tag").all_inner_texts()]
        assert tags[:2] == ["Situations", "Indicators"]
        assert tags[-1] == "Health"
        assert page.locator(".opblock").count() > 30


def test_examples_run_without_a_key(page: Page) -> None:
    authorize(page, None)
    status, body = execute(operation(page, "get_indicator"))
    assert status == 200
    assert "Eastern Aleppo" in body
    assert '"people": 300000' in body


def test_report_is_posted_read_back_and_refused_when_wrong(page: Page, demo: Server) -> None:
    authorize(page, None)
    reporting = operation(page, "create_reports")
    assert execute(reporting)[0] == 401
    authorize(page, demo.key)
    status, body = execute(reporting)
    assert status == 201
    identifier = body.split('"id": "')[1].split('"')[0]
    reading = operation(page, "get_report")
    reading.locator("tr[data-param-name=id] input").fill(identifier)
    status, body = execute(reading)
    assert status == 200
    assert identifier in body
    assert '"status": "standing"' in body

    sent = reporting.locator("textarea.body-param__text")
    sent.fill(sent.input_value().replace("300000", "-5"))
    status, problem = execute(reporting)
    assert status == 422
    assert "/value/people" in problem
    assert "urn:lifeline:problem:invalid" in problem


def test_spreadsheets_are_chosen_as_files(page: Page) -> None:
    block = page.locator(".opblock", has_text="/v1/imports").first
    block.locator(".opblock-summary").click()
    block.locator("button.execute").wait_for()
    for media_type in ("application/vnd.oasis.opendocument.spreadsheet", "text/csv"):
        block.locator(".opblock-section-request-body select").first.select_option(label=media_type)
        expect(block.locator("input[type=file]")).to_have_count(1)


def test_key_is_kept_in_the_browser_only_where_asked(browser: Browser, demo: Server) -> None:
    with visit(browser, demo.url) as page:
        page.route("**/openapi.json", show_only_used)
        for path, kept in (("/docs?keep_key=true", 1), ("/docs", 0)):
            page.goto(path)
            page.locator(".opblock").first.wait_for()
            assert page.locator(".auth-wrapper > button.authorize.locked").count() == 0
            authorize(page, demo.key)
            expect(page.locator(".auth-wrapper > button.authorize.locked")).to_have_count(1)
            page.reload()
            page.locator(".opblock").first.wait_for()
            expect(page.locator(".auth-wrapper > button.authorize.locked")).to_have_count(kept)
            assert (demo.key in page.evaluate("JSON.stringify(localStorage)")) == bool(kept)


@pytest.mark.skipif(not FULL, reason="every example runs by HTTP, too: set TEST_FULL")
def test_examples_of_webhooks_and_labels_run_unedited(page: Page, demo: Server) -> None:
    authorize(page, demo.key)
    for name, status, shown in (
        ("create_webhook", 201, '"url": "https://receiver.invalid/lifeline"'),
        ("confirm_label_proposal", 201, '"before": "green"'),
    ):
        answered, body = execute(operation(page, name))
        assert answered == status, name
        assert shown in body, name
