"""Write the pictures of the desk in docs/reporting.md: `uv run python -m tests.browser.desk_pictures`.

They show the article of that page on the demo data, and need Chromium.
"""

import tempfile
from pathlib import Path

from tests.browser.article import ARTICLE, PUBLISHED, STATEMENTS, fill
from tests.browser.board_picture import MAX_PICTURE_BYTES
from tests.browser.test_desk import sign_in
from tests.support.browser import chromium, visit
from tests.support.processes import ROOT, serve

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    """Start a server with the demo data, read the article, preview a statement, and take the pictures."""
    with (
        tempfile.TemporaryDirectory() as name,
        chromium() as browser,
        serve(Path(name), "--demo", code=ROOT, database_url=f"sqlite:///{name}/demo.db") as server,
        visit(browser, server.url, refused=("/desk/",), viewport={"width": 1100, "height": 800}) as page,
    ):
        assert server.key is not None
        sign_in(page, server.key)
        page.goto("/desk/article")
        page.fill("#f-text", ARTICLE)
        fill(page, {}, {"#f-publisher": "Regional news site", "#f-published_at": "31 July 2016"})
        page.get_by_role("button", name="Read", exact=True).click()
        page.get_by_role("button", name="Add a source", exact=True).click()
        fill(page, {"#f-type": "un", "#f-reliability": "B"}, {"#f-name": "OCHA"})
        page.get_by_role("button", name="Save", exact=True).click()
        page.screenshot(path=IMAGES / "desk-article.png", clip={"x": 0, "y": 90, "width": 1100, "height": 900}, full_page=True)
        _, chosen, typed, _ = STATEMENTS[4]
        page.goto("/desk/statements/supply_runout")
        fill(page, chosen, {"#f-place": "Eastern Aleppo"} | typed | PUBLISHED | {"#f-provenance-via": "Regional news site"})
        page.get_by_role("button", name="Preview", exact=True).last.click()
        page.locator("#preview").screenshot(path=IMAGES / "desk-preview.png")
    for picture in IMAGES.glob("desk-*.png"):
        size = picture.stat().st_size
        assert size <= MAX_PICTURE_BYTES, f"{picture} has {size} bytes, at most {MAX_PICTURE_BYTES} are allowed"


if __name__ == "__main__":
    main()
