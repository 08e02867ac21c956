"""The commands of the documentation do what the pages say, against a real server; links lead somewhere; everything is described."""

import importlib.util
import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.settings import Settings
from tests.docs.pages import DOCS, ROOT, blocks, name_of, paths, same_output, steps
from tests.docs.shell import CHECKS, HERE, Shell, check_lifeline
from tests.support.processes import Server, serve

PAGES = paths()
WITH_COMMANDS = [each for each in PAGES if steps(each)]
# A newcomer begins with nothing; all other pages speak of the demo data.
EMPTY = {"docs/tutorial.md"}
OPENAPI = json.loads((ROOT / "openapi" / "v1.json").read_text(encoding="utf-8"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:app|tests|docs|alembic|openapi)/[\w./-]+\.\w+)`")
_COMMAND = re.compile(r"`((?:lifeline|make|python|uv) [^`]+)`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_of_page_print_shown_output(page: Path, tmp_path: Path, sqlite_template_with_demo: Path) -> None:
    commands = steps(page)
    database = tmp_path / "lifeline.db"
    url = f"sqlite:///{database}"
    is_empty = name_of(page) in EMPTY
    if not is_empty:
        shutil.copy(sqlite_template_with_demo, database)
    with ExitStack() as stack:
        shell = Shell(tmp_path, HERE, url)
        if any("curl" in each.command for each in commands):
            server = stack.enter_context(serve(tmp_path, *([] if is_empty else ["--demo"]), database_url=url))
            shell = Shell(tmp_path, server.url, url, **({} if is_empty else {"KEY": server.key}))
        for step in commands:
            where = f"{name_of(page)}:{step.line}\n$ {step.command}\n"
            if step.expected is None:
                code, printed = shell.run(step.command.replace("curl ", "curl --fail-with-body "))
                assert code == 0, f"{where}{printed}"
                continue
            _, printed = shell.run(step.command)
            if step.expected.strip():
                assert same_output(step.expected, printed), f"{where}is shown to print:\n{step.expected}\nprints:\n{printed}"


@pytest.mark.parametrize("page", [each for each in PAGES if any(b.language == "json" and b.info for b in blocks(each))], ids=name_of)
def test_json_of_page_fits_openapi_document(page: Path) -> None:
    for each in blocks(page):
        if each.language == "json" and each.info.startswith(("GET ", "POST ")):
            method, path = each.info.split()[:2]
            operation = OPENAPI["paths"][path][method.lower()]
            holder = operation["requestBody"] if method == "POST" else operation["responses"]["200"]
            schema = {**holder["content"]["application/json"]["schema"], "components": OPENAPI["components"]}
            errors = [error.message for error in Draft202012Validator(schema).iter_errors(json.loads(each.text))]
            assert errors == [], f"{name_of(page)}:{each.line}"


def test_every_json_block_is_json() -> None:
    for page in PAGES:
        for each in blocks(page):
            if each.language == "json":
                try:
                    json.loads(each.text)
                except ValueError as error:
                    pytest.fail(f"{name_of(page)}:{each.line}: {error}")


def test_every_language_of_a_block_is_checked() -> None:
    checked = {"sh", "console", "json", "python", "text", "js", "ts", "r", "html", "yaml", "nginx", "ini", "mermaid"}
    assert {each.language for page in PAGES for each in blocks(page)} <= checked


def test_every_relative_link_leads_to_a_file_and_heading() -> None:
    broken = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in _LINK.findall(text):
            if target.startswith(("http://", "https://", "mailto:")):
                continue
            file, _, anchor = target.partition("#")
            path = (page.parent / file).resolve() if file else page
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                broken.append(f"{name_of(page)}: {target}")
    assert broken == []


def test_every_file_named_on_a_page_exists() -> None:
    named = {(name_of(page), file) for page in PAGES for file in _FILE.findall(page.read_text(encoding="utf-8"))}
    assert sorted((page, file) for page, file in named if not (ROOT / file).exists() and "your_" not in file) == []


def test_every_page_is_linked_from_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in _LINK.findall(index) if not target.startswith("http")}
    assert [name_of(page) for page in DOCS.rglob("*.md") if page not in linked and page != DOCS / "README.md"] == []


def test_every_endpoint_is_described_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    assert [path for path in OPENAPI["paths"] if not re.search(rf"{re.escape(path)}(?![\w/{{])", text)] == []


def test_every_setting_is_described_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"LIFELINE_([A-Z0-9_]+)\b", text))
    settings = {name.upper() for name in Settings.model_fields}
    # A key for `lifeline pull` is no setting of the service.
    assert named - settings == {"UPSTREAM_KEY"}
    assert settings - named == set()


def test_every_command_named_in_prose_exists() -> None:
    for page in PAGES:
        for command in _COMMAND.findall(page.read_text(encoding="utf-8")):
            program, *words = command.split()
            if program == "lifeline" and name_of(page) != "CHANGELOG.md":
                check_lifeline(words, complete=False)
            elif program in ("make", "uv"):
                CHECKS[program](words)
            elif words[:1] == ["-m"]:
                assert importlib.util.find_spec(words[1]), f"{name_of(page)}: {command}"


def test_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_glossary_has_at_most_60_words() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert 20 <= len(words) <= 60
    assert words == sorted(words, key=str.casefold)


def test_embedded_card_of_page_is_served(demo: Server) -> None:
    (html,) = [each.text for each in blocks(DOCS / "dashboards.md") if each.language == "html"]
    (source,) = re.findall(r'src="https://lifeline.example(.*?)"', html)
    answer = httpx.get(demo.url + source)
    assert (answer.status_code, "frame-ancestors *" in answer.headers["content-security-policy"]) == (200, True)


def _anchors(path: Path) -> set[str]:
    headings = _HEADING.findall(path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-") for each in headings}
