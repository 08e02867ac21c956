"""Tests for the guide: pages, links and files of docs/ under /guide."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.board import guide

ROOT = guide.DOCS.parent
FILES = {
    "README.md": "# Guide\n\n[Polling](polling.md), [Records](decisions/)\n",
    "polling.md": "# Polling & copies\n\n## Pages, and `cursors`\n\n## Pages, and cursors\n\n[method](decisions/method.md#why)\n",
    "decisions/method.md": """# Method

[back](../polling.md) [code](../../app/main.py) [RFC](https://www.rfc-editor.org/rfc/rfc9110) [here](#why)
![Board](../images/board.png)
""",
    "deployment.md": """# Deployment

[file](deployment/compose.yaml)

```sh
A=<key> && B
```

| a | b |
| --- | ---: |
| 1 | 2 |
""",
    "deployment/compose.yaml": "services: {}\n",
    "images/board.png": "\x89PNG",
}


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve FILES instead of the documentation."""
    files = {name: text.encode("latin-1") for name, text in FILES.items()}
    monkeypatch.setattr(guide, "load_files", lambda: files)
    return


def render(name: str, root: str = "") -> str:
    """Render one of FILES."""
    return guide.render_markdown(name, {path: text.encode("latin-1") for path, text in FILES.items()}, root)[1]


def test_page_links_to_pages_and_files_of_the_guide() -> None:
    assert '<a href="/guide/decisions/method#why">' in render("polling.md")
    assert '<a href="/guide/deployment/compose.yaml">' in render("deployment.md")
    page = render("decisions/method.md", "/lifeline")
    assert '<a href="/lifeline/guide/polling">back</a>' in page
    assert '<img src="/lifeline/guide/images/board.png" alt="Board"' in page
    assert '<a href="https://www.rfc-editor.org/rfc/rfc9110">' in page
    assert '<a href="#why">' in page


def test_link_outside_the_documentation_becomes_text() -> None:
    assert "<a>code</a>" in render("decisions/method.md")


def test_headings_have_the_fragments_of_github() -> None:
    assert re.findall(r'id="([^"]*)"', render("polling.md")) == ["polling--copies", "pages-and-cursors", "pages-and-cursors-1"]


def test_code_is_escaped_and_nothing_has_an_inline_style() -> None:
    page = render("deployment.md")
    assert "A=&lt;key&gt; &amp;&amp; B" in page
    assert "style" not in page


@pytest.mark.usefixtures("docs")
async def test_page_is_html_in_the_layout_of_the_board(anonymous: httpx.AsyncClient) -> None:
    for path, title in (("/guide", "Guide"), ("/guide/polling", "Polling &amp; copies"), ("/guide/decisions/method", "Method")):
        response = await anonymous.get(path, params={"lang": "fr"})
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
        assert f"<title>{title} - Lifeline</title>" in response.text
        assert "unsafe" not in response.headers["content-security-policy"]
        assert 'lang="fr"' in response.text
        again = await anonymous.get(path, params={"lang": "fr"}, headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.usefixtures("docs")
async def test_markdown_path_redirects_to_its_page(anonymous: httpx.AsyncClient) -> None:
    for path, location in (("polling.md", "/guide/polling"), ("README.md", "/guide"), ("decisions/method.md", "/guide/decisions/method")):
        response = await anonymous.get(f"/guide/{path}")
        assert (response.status_code, response.headers["location"]) == (308, location)


@pytest.mark.usefixtures("docs")
async def test_other_files_are_text_or_images(anonymous: httpx.AsyncClient) -> None:
    text, image = [await anonymous.get(f"/guide/{path}") for path in ("deployment/compose.yaml", "images/board.png")]
    assert (text.text, text.headers["content-type"]) == ("services: {}\n", "text/plain; charset=utf-8")
    assert image.headers["content-type"] == "image/png"
    assert text.headers["x-content-type-options"] == "nosniff"
    assert text.headers["etag"]


@pytest.mark.usefixtures("docs")
@pytest.mark.parametrize(
    "path",
    ["nothing", "", "decisions", "../README", "%2e%2e/pyproject.toml", "..%2fSECURITY.md", "/etc/passwd", "images/../../pyproject.toml"],
)
async def test_unknown_path_is_a_problem_page(anonymous: httpx.AsyncClient, path: str) -> None:
    response = await anonymous.get(f"/guide/{path}")
    assert response.status_code == 404
    assert "[project]" not in response.text


async def test_every_link_of_the_documentation_leads_somewhere(anonymous: httpx.AsyncClient) -> None:
    """Follow the links of all pages, from the first one, and check their fragments."""
    pages: dict[str, str] = {}
    found = {"/guide"}
    while found - pages.keys():
        path = min(found - pages.keys())
        response = await anonymous.get(path)
        assert response.status_code == 200, path
        pages[path] = response.text if "html" in response.headers["content-type"] else ""
        article = pages[path].partition("<article")[2]
        links = re.findall(r'(?:href|src)="([^"]*)"', article)
        found |= {each.partition("#")[0] or path for each in links if each.startswith(("/guide", "#"))}
    for path, text in pages.items():
        for target, fragment in re.findall(r'href="(/guide[^"#]*|)#([^"]+)"', text.partition("<article")[2]):
            assert f'id="{fragment}"' in pages[target or path], (path, target, fragment)
    written = {guide.file_url(name, "") for name in guide.load_files() if name.endswith(".md")}
    assert written <= pages.keys(), "pages that no page links to"


def test_wheel_and_image_hold_the_documentation(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name.removeprefix("app/docs/") for name in zipfile.ZipFile(wheel).namelist() if name.startswith("app/docs/")}
    assert names == set(guide.load_files())
    copied, kept = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    for folder in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]:
        assert f"COPY {folder} {folder}\n" in copied
        assert f"!{folder}" in kept
