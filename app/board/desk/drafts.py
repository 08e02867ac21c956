"""An article read into drafts, and the drafts that wait for a decision."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from fastapi import Response

from app.board.desk.fields import model_fields
from app.board.desk.lookup import Names
from app.board.desk.session import Desk, errors_of
from app.board.desk.statements import report_words
from app.board.desk.values import read_form
from app.domain.kinds import KINDS
from app.domain.times import day_of
from app.drafts.schemas import ArticleIn


async def article_page(desk: Desk) -> Response:
    """Show the form of an article; with one, the statements that it makes, and save those that are ticked as drafts."""
    names = await desk.names()
    fields = model_fields(ArticleIn, "", desk.locale, skip=("language",))
    problems: list[str] = []
    shown: dict[str, Any] = {"fields": fields, "names": names, "pieces": [], "proposals": [], "unclear": None}
    do = desk.text("do")
    if not do:
        return await desk.page("article.html", **shown)
    # Offsets are of the text as the API gets it: browsers send line ends as CR LF.
    text = desk.text("text").replace("\r\n", "\n")
    desk.form["text"] = [text]
    filled = read_form(fields, desk.form, names, desk.locale)
    status, reading = (422, {}) if filled.errors else await desk.send("POST", "/v1/drafts/from-text", filled.body)
    if status != 200:
        errors, problems = errors_of(reading, fields) if reading else (filled.errors, [])
        return await desk.page("article.html", 422, **shown | {"errors": errors, "problems": problems, "choices": filled.choices})
    if do == "save":
        for at in desk.form.get("pick", []):
            if at.isdecimal() and int(at) < len(reading["drafts"]):
                status, answer = await desk.send("POST", "/v1/drafts", reading["drafts"][int(at)]["report"], part=at)
                if status != 201:
                    problems += errors_of(answer, ())[1]
        if not problems:
            return desk.redirect("/desk/drafts", done="saved")
    proposals = [shown_draft(each["report"], names, desk) for each in reading["drafts"]]
    unclear = [(text[slice(*each["span"])], each["reason"]) for each in reading["unclear"]]
    shown |= {"pieces": pieces(text, reading), "proposals": proposals, "unclear": unclear, "problems": problems}
    return await desk.page("article.html", **shown)


def pieces(text: str, reading: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return an article in parts: the text, `word` for the words behind a field, `read` or `unclear`, and what it is about."""
    marks = []
    for at, each in enumerate(reading["drafts"]):
        whole = each["spans"]["/kind"]
        for pointer, span in each["spans"].items():
            kind = "read" if pointer == "/provenance/quote" else "word"
            # A field that rests on the whole statement would mark all of it.
            if span != whole:
                marks.append((*span, kind, str(at + 1)))
    marks += [(*each["span"], "unclear", each["reason"]) for each in reading["unclear"]]
    marks = [each for each in marks if each[0] < each[1]]
    cuts = sorted({0, len(text), *(each[0] for each in marks), *(each[1] for each in marks)})
    starting: dict[int, list[Any]] = {}
    for mark in marks:
        starting.setdefault(mark[0], []).append(mark)
    found, open_ = [], list[Any]()
    for start, end in pairwise(cuts):
        open_ = [each for each in open_ if each[1] > start] + starting.get(start, [])
        over = {each[2]: each[3] for each in reversed(open_)}
        kind = next((each for each in ("unclear", "word", "read") if each in over), "")
        found.append((text[start:end], kind, over.get(kind, "")))
    return found


def shown_draft(report: Mapping[str, Any], names: Names, desk: Desk) -> dict[str, Any]:
    """Return a proposed report in words, its relative times resolved as they would be recorded."""
    kind = KINDS[report["kind"]]
    value = kind.value_model.model_validate(report["value"])
    try:
        resolved = kind.resolve(value, day_of(report["stated_at"])).model_dump(mode="json")
    except ValueError:
        resolved = dict(report["value"])
    return report_words({**report, "value": resolved}, names, desk.locale)


async def drafts_page(desk: Desk, done: str = "") -> Response:
    """Show the drafts that wait; confirm or reject one."""
    action, _, draft_id = desk.text("do").partition(":")
    problems: list[str] = []
    if action in ("confirmation", "rejection"):
        body = {"reason": desk.text(f"reason-{draft_id}")} if action == "rejection" else None
        status, answer = await desk.send("POST", f"/v1/drafts/{draft_id}/{action}", body)
        if status in (200, 201):
            return desk.redirect("/desk/drafts", done=action)
        problems = errors_of(answer, ())[1]
    names = await desk.names()
    waiting = await desk.api.get_all("/v1/drafts", status="proposed", as_of=None)
    shown = [shown_draft(each["report"], names, desk) | {"draft": each} for each in waiting]
    return await desk.page("drafts.html", 422 if problems else 200, drafts=shown, problems=problems, done=done)
