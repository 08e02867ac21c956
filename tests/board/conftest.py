"""The board touches no database: it asks the public API, which is tested on both engines. One engine is enough here."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.conftest import FULL

OUTPUT = Path(__file__).parent.parent.parent / "test-output"


@pytest.fixture
def engine() -> str:
    """The quicker one."""
    return "sqlite"


def photograph(page: Page, name: str, *, whole: bool = True) -> None:
    """A picture of the page under test-output/, to be looked at: with LIFELINE_TEST_FULL=1, since nobody looks at each run's."""
    if FULL:
        OUTPUT.mkdir(exist_ok=True)
        page.screenshot(path=OUTPUT / f"{name}.png", full_page=whole)
