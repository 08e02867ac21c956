"""Pictures of pages, to be looked at by whoever changes them."""

from pathlib import Path

from playwright.sync_api import Page

from tests.support.fixtures import FULL

OUTPUT = Path(__file__).parent.parent.parent / "test-output"


def photograph(page: Page, name: str, *, whole: bool = True) -> None:
    """A picture of the page under test-output/, to be looked at: with LIFELINE_TEST_FULL=1, since nobody looks at each run's."""
    if FULL:
        OUTPUT.mkdir(exist_ok=True)
        page.screenshot(path=OUTPUT / f"{name}.png", full_page=whole)
