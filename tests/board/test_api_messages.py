"""Tests that a form says in each language what the API says is wrong."""

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.access.principal import Scope
from app.board.api_messages import English, translate
from app.domain.words import grammar
from app.http.localization import LANGUAGES, localization_for
from app.http.problems import PATTERNS
from app.reference.queries import UNKNOWN_PLACE, UNKNOWN_ROUTE, UNKNOWN_SOURCE
from tests.board.test_desk import SAME_SITE, sign_in, token_of
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeKey

ROOT = Path(__file__).parent.parent.parent / "app"
# Modules whose errors a form, or an article, can cause.
MODULES = (
    *sorted(ROOT.glob("domain/kinds/*.py")),
    *sorted(ROOT.glob("domain/words/*.py")),
    *(ROOT / each for each in ("domain/times.py", "reports/schemas.py", "reports/validation.py", "reports/amendments.py")),
    *(ROOT / each for each in ("reports/service.py", "reports/amendment_endpoints.py", "reports/reference_endpoints.py")),
    *(ROOT / each for each in ("drafts/article.py", "drafts/service.py", "reference/schemas.py", "reference/service.py")),
    *(ROOT / each for each in ("reference/updates.py", "judgements/schemas.py", "judgements/service.py")),
)
RAISING = {"field_error": 1, "ValueError": 0, "Problem": 1, "FieldProblem": 9, "invalid_field": 1, "NotClear": 0, "Unclear": 1}
# Messages about what no form sends: patches of fields that forms leave out, grades, and policies.
OTHERS = {"must be a JSON object with the fields to change", "The source already has the grade x."}
_PUBLISHER = ": send the slug of the source that published the text, such as regional-news-site"
# Messages that are put together of several texts, which the next table has.
OTHERS |= {"this report was corrected: send x", f"x{_PUBLISHER}"}
PUT_TOGETHER = {f"this report was corrected: send {each}" for each in ("one that stands", "its correction, x")}
PUT_TOGETHER |= {f"{each}{_PUBLISHER}" for each in ("no such source", "no such source, perhaps x (X)", "several sources: x, y")}


def sample_of(node: ast.AST) -> str | None:
    """Return an example of a message in the code; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        inner = ["" if "what_to_write" in ast.unparse(each) else "x" for each in node.values]
        return "".join(str(each.value) if isinstance(each, ast.Constant) else x for each, x in zip(node.values, inner, strict=True))
    return None


def messages_in(tree: ast.Module) -> Iterator[str]:
    """Yield the messages of errors that are raised or returned in a module."""
    constants = {
        target.id: each.value
        for each in tree.body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name) and sample_of(each.value)
    }
    for node in ast.walk(tree):
        found: list[ast.AST] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISING:
            found = [*node.args[RAISING[node.func.id] :][:1], *(each.value for each in node.keywords if each.arg == "detail")]
        elif isinstance(node, ast.Assign) and any(isinstance(each, ast.Name) and each.id == "detail" for each in node.targets):
            found = [node.value]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in ("_unfit_evidence", "time_error", "code_taken"):
            found = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None]
        for each in found:
            branches = [each.body, each.orelse] if isinstance(each, ast.IfExp) else [each]
            resolved = (constants.get(branch.id, branch) if isinstance(branch, ast.Name) else branch for branch in branches)
            yield from filter(None, map(sample_of, resolved))


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_every_message_that_a_form_can_cause_is_translated(language: str) -> None:
    """Read the code of the modules, so that a new message without a translation fails."""
    locale = localization_for(language)
    messages = {each for path in MODULES for each in messages_in(ast.parse(path.read_text()))} - OTHERS
    messages |= PUT_TOGETHER | {UNKNOWN_PLACE, UNKNOWN_SOURCE, UNKNOWN_ROUTE, *PATTERNS.values()}
    messages |= {*grammar.DOUBTS, *grammar.MODAL_DOUBTS, *grammar.FIGURE_DOUBTS}
    assert len(messages) > 100
    assert sorted(each for each in messages if isinstance(translate(each, locale), English) and " " in each) == []


def test_nested_message_keeps_its_values_and_an_unknown_one_its_words() -> None:
    french = localization_for("fr")
    said = translate("must be a date such as 2016-07-28: write 2016-06-05 or 2016-05-06, whichever is meant", french)
    assert said == "doit être une date, par exemple 2016-07-28 : écrivez 2016-06-05 ou 2016-05-06, selon ce qui est voulu"
    assert translate("in_days_min must not exceed in_days_max", french, {"in_days_min": "Le plus tôt", "in_days_max": "Le plus tard"}) == (
        "“Le plus tôt” ne doit pas dépasser “Le plus tard”"
    )
    unknown = translate("nobody has heard of this: write 5", french)
    assert isinstance(unknown, English)
    assert not isinstance(translate("nobody has heard of this", localization_for("en")), English)


BASE = {"place": "Old town", "source": "Agency", "stated_at": "2016-07-28", "do": "send"}
WRONG: list[tuple[str, dict[str, str]]] = [
    ("supply_runout", {"value.supply": "food", "value.runs_out": "2016-07-01"}),
    ("supply_runout", {"value.supply": "food", "value.state": "ran_out", "value.runs_out": "2016-08-20"}),
    ("supply_runout", {"value.supply": "food", "value.runs_out": "2016-08-20 to 2016-08-10", "provenance.url": "nowhere"}),
    ("supply_runout", {"value.supply": "food", "provenance.language": "!", "observed_to": "2016-07-29", "value.scope": "?"}),
    ("supply_runout", {"value.supply": "food", "stated_at": "1850-01-01", "provenance.title": "x" * 600}),
    ("trapped_population", {"value.concept": "trapped"}),
    ("trapped_population", {"value.concept": "trapped", "value.people_low": "9", "value.people_high": "5"}),
    ("trapped_population", {"value.concept": "trapped", "value.people": "9", "value.people_high": "5"}),
    ("trapped_population", {"value.concept": "trapped", "value.people": "99999999999"}),
    ("route_closure", {"value.route": "north-road", "value.status": "closed", "value.passable_by": "civilian"}),
    ("route_closure", {"value.route": "north-road", "value.status": "closed", "value.since": "2016-08-20"}),
    ("aid_delivery", {"value.operation": "A b", "value.stage": "delivered", "value.on": "2016-08-20"}),
    ("aid_delivery", {"value.operation": "a", "value.stage": "delivered", "value.on": "2016-08-20"}),
    ("aid_delivery", {"value.operation": "a", "value.stage": "requested", "value.removed": "food"}),
    ("population_movement", {"value.movement": "fled", "value.since": "2016-08-20", "value.people": "5"}),
    ("population_movement", {"value.movement": "fled", "value.since": "2016-07-20", "value.until": "2016-07-10", "value.people": "5"}),
    ("service_status", {"value.service": "water", "value.state": "working", "value.working": "0"}),
    ("service_status", {"value.service": "water", "value.state": "out_of_service", "value.working": "2"}),
    ("service_status", {"value.service": "water", "value.state": "partly_working", "value.working": "0"}),
    ("service_status", {"value.service": "water", "value.state": "working", "value.working": "2", "value.known": "8"}),
    ("service_status", {"value.service": "water", "value.state": "partly_working", "value.working": "9", "value.known": "8"}),
]
RECORDS: list[tuple[str, dict[str, str]]] = [
    ("places", {"name": "Camp", "slug": "A b", "country": "syria", "timezone": "Damascus"}),
    ("places", {"name": "Camp", "names": "Arabic!: x", "codes": "p code: x y", "centroid": "500, 600"}),
    ("places", {"name": "Old town", "slug": "oldtown"}),
    ("places", {"name": "x" * 300, "valid_from": "2016-08-01", "valid_to": "2016-07-01"}),
    ("sources", {"name": "Agency", "slug": "agency"}),
    ("routes", {"name": "", "slug": "north-road"}),
]


@pytest.mark.parametrize("language", list(LANGUAGES))
async def test_wrong_forms_are_answered_in_the_language_of_the_page(
    anonymous: httpx.AsyncClient, client: httpx.AsyncClient, reference: Reference, make_key: MakeKey, language: str
) -> None:
    desk = await sign_in(anonymous, make_key, Scope.READ, Scope.REPORT, Scope.CURATE)
    standing, warning = await post(client, **report()), await post(client, **report("supply_runout"))
    await client.post(f"/v1/reports/{standing['id']}/retraction", json={"reason": "withdrawn"})
    forms: list[tuple[str, dict[str, str]]] = [(f"statements/{kind}", BASE | fields) for kind, fields in WRONG]
    forms += [(f"new/{collection}", fields | {"do": "save"}) for collection, fields in RECORDS]
    forms += [(f"reports/{warning['id']}", {"do": "retraction", "reason": ""}), (f"reports/{standing['id']}/correction", {})]
    forms += [(f"reports/{warning['id']}", {"do": "outcome", "outcome": "averted", "report": standing["id"], "reason": "x"})]
    forms += [(f"reports/{standing['id']}", {"do": "retraction", "reason": "again"}), ("drafts", {"do": "rejection", "draft": "x"})]
    forms += [("article", {"do": "read", "text": "Five left. It may be 300.000.", "publisher": "Agency", "published_at": "2999-01-01"})]
    token, english = await token_of(desk), []
    for path, fields in forms:
        answer = await desk.post(f"/desk/{path}?lang={language}", content=urlencode({"token": token, **fields}), headers=SAME_SITE)
        assert answer.status_code in (409, 422), (path, fields, answer.status_code)
        problems = shown_problems(answer.text)
        assert problems, (path, fields)
        english += [(path, each) for each in problems if 'lang="en"' in each or (language != "en" and looks_english(each))]
    assert english == []


def shown_problems(page: str) -> list[str]:
    """Return the HTML of what a page says is wrong."""
    found = re.findall(r'<p class="error".*?</p>|<div class="summary" role="alert".*?</div>|<ul><li>.*?</ul>', page, re.DOTALL)
    return [html.unescape(each) for each in found]


def looks_english(text: Any) -> bool:
    """Tell whether a text has words that are of English alone."""
    return re.search(r"\b(the|must|send|than|such|this|with|which|that)\b", re.sub(r"<[^>]*>", " ", text)) is not None
