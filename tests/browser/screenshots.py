"""Screenshots of pages, for people who change them."""

from pathlib import Path

from playwright.sync_api import Page

from tests.support.fixtures import FULL

OUTPUT = Path(__file__).parent.parent.parent / "test-output"


def save_screenshot(page: Page, name: str, *, whole: bool = True) -> None:
    """Save a screenshot in test-output/ when TEST_FULL is 1."""
    if FULL:
        OUTPUT.mkdir(exist_ok=True)
        page.screenshot(path=OUTPUT / f"{name}.png", full_page=whole)
