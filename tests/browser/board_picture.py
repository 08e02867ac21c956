"""Write docs/images/board.png, the picture of the board in README.md: `uv run python -m tests.browser.board_picture`.

It shows the demo data as of 5 August 2016, and needs Chromium.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.support.browser import chromium, visit
from tests.support.processes import ROOT, serve

PICTURE = ROOT / "docs" / "images" / "board.png"
MAX_PICTURE_BYTES = 250_000


def main() -> None:
    """Start a server with the demo data, and take the picture."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        database_url = f"sqlite:///{name}/demo.db"
        with (
            serve(Path(name), "--demo", code=ROOT, database_url=database_url) as server,
            visit(browser, server.url, viewport={"width": 1280, "height": 800}) as page,
        ):
            page.goto("/?as_of=2016-08-05")
            expect(page.locator("#live")).to_have_attribute("data-state", "live")
            PICTURE.parent.mkdir(exist_ok=True)
            page.screenshot(path=PICTURE, full_page=True)
    size = PICTURE.stat().st_size
    assert size <= MAX_PICTURE_BYTES, f"{PICTURE} has {size} bytes, at most {MAX_PICTURE_BYTES} are allowed"


if __name__ == "__main__":
    main()
