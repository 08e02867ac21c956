"""The guide: the documentation in docs/ as pages of the board under `/guide`, without any other service."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from app.board.rendering import LocalizationDep, PageRoute, render_page, root_path
from app.http.problems import not_found
from app.http.state import request_state

APP = Path(__file__).parent.parent
# The wheel has the documentation inside the package.
DOCS = APP / "docs" if (APP / "docs").is_dir() else APP.parent / "docs"
INDEX = "README.md"
IMAGES = {".png": "image/png", ".svg": "image/svg+xml"}

router = APIRouter(prefix="/guide", route_class=PageRoute, include_in_schema=False)


@lru_cache
def load_files() -> Mapping[str, bytes]:
    """Read the documentation, by paths relative to docs/; a request looks a path up here, and never opens a file."""
    return {path.relative_to(DOCS).as_posix(): path.read_bytes() for path in DOCS.rglob("*") if path.is_file()}


@router.get("")
async def show_guide(request: Request, locale: LocalizationDep) -> Response:
    """Show the first page of the guide."""
    return await show_guide_page(request, locale, INDEX.removesuffix(".md"))


@router.get("/{path:path}")
async def show_guide_page(request: Request, locale: LocalizationDep, path: str) -> Response:
    """Show a page of the guide, or return one of its other files."""
    files, root, name = load_files(), root_path(request), f"{path}.md"
    if name in files:
        title, body = render_markdown(name, files, root)
        return render_page(request, "guide.html", locale, title=title, body=body, is_index=name == INDEX)
    if path not in files:
        raise not_found("page")
    if path.endswith(".md"):
        return RedirectResponse(file_url(path, root), 308)
    request_state(request.scope)["cacheable"] = True
    media_type = IMAGES.get(Path(path).suffix, "text/plain")
    return Response(files[path], headers={"Cache-Control": "public, no-cache"}, media_type=media_type)


def render_markdown(name: str, files: Mapping[str, bytes], root: str) -> tuple[str, str]:
    """Return the title and the HTML of a page. Headings have the fragments that GitHub gives them."""
    markdown = MarkdownIt("commonmark").enable("table")
    # Keyboards scroll what has a tabindex.
    markdown.add_render_rule("fence", lambda _, tokens, at, *__: f'<pre tabindex="0"><code>{escapeHtml(tokens[at].content)}</code></pre>\n')
    markdown.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0"><table>\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = markdown.parse(files[name].decode())
    titles = []
    seen: Counter[str] = Counter()
    for at, token in enumerate(tokens):
        # The content policy refuses inline styles, which align columns.
        token.attrs.pop("style", None)
        if token.type == "heading_open":
            titles.append(tokens[at + 1].content)
            fragment = re.sub(r"[^\w\- ]", "", titles[-1].lower()).replace(" ", "-")
            token.attrSet("id", f"{fragment}-{seen[fragment]}" if seen[fragment] else fragment)
            seen[fragment] += 1
        for child in token.children or ():
            _rewrite_link(child, name, files, root)
    return next(iter(titles), name), str(markdown.renderer.render(tokens, markdown.options, {}))


def _rewrite_link(token: Token, name: str, files: Mapping[str, bytes], root: str) -> None:
    attribute = {"link_open": "href", "image": "src"}.get(token.type, "")
    url = urlsplit(str(token.attrGet(attribute) or ""))
    if url.scheme or not url.path:
        return
    target = normpath(join(dirname(name), url.path))
    if target in files:
        token.attrSet(attribute, file_url(target, root) + (url.fragment and f"#{url.fragment}"))
    else:
        # The service has no files of the repository outside docs/.
        token.attrs.pop(attribute)


def file_url(name: str, root: str) -> str:
    """Return the URL of a file of the documentation."""
    return f"{root}/guide" if name == INDEX else f"{root}/guide/{name.removesuffix('.md')}"
