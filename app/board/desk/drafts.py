"""An article read into drafts, and the drafts that wait for a decision."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import Response

from app.board.api_messages import translate
from app.board.desk.fields import model_fields
from app.board.desk.lookup import Names
from app.board.desk.session import MAX_SHOWN, Desk, errors_of
from app.board.desk.statements import report_words
from app.board.desk.values import read_form
from app.domain.kinds import KINDS
from app.domain.kinds.showing import gettext_noop
from app.domain.times import day_of
from app.drafts.schemas import ArticleIn
from app.http.representations import matches_etag, tag_of
from app.reports.schemas import REPORT_MODELS

CHANGED = gettext_noop("The draft has changed since it was shown: look at it again. Nothing was recorded.")
READ_AGAIN = gettext_noop("The text, or what it refers to, has changed since it was read: read it again. Nothing was kept.")
NONE_TICKED = gettext_noop("Nothing was ticked, and nothing was kept.")
NO_REASON = gettext_noop("Write why the draft is rejected. Nothing was recorded.")


async def article_page(desk: Desk) -> Response:
    """Show the form of an article; with one, the statements that it makes, and save those that are ticked as drafts."""
    names = await desk.names()
    fields = model_fields(ArticleIn, "", desk.locale, skip=("language",))
    problems: list[str] = []
    shown: dict[str, Any] = {"fields": fields, "names": names, "pieces": [], "proposals": [], "unclear": None, "fault": ""}
    do = desk.text("do")
    if do in ("", "resume") and not desk.text("read"):
        return await desk.page("article.html", **shown)
    # Offsets are of the text as the API gets it: browsers send line ends as CR LF.
    text = desk.text("text").replace("\r\n", "\n")
    desk.form["text"] = [text]
    filled = read_form(fields, desk.form, names, desk.locale)
    status, reading = (422, {}) if filled.errors else await desk.send("POST", "/v1/drafts/from-text", filled.body)
    if status != 200:
        errors, problems = errors_of(reading, fields, desk.locale) if reading else (filled.errors, [])
        return await desk.page("article.html", 422, **shown | {"errors": errors, "problems": problems, "choices": filled.choices})
    read = tag_of(orjson.dumps([filled.body, reading]))
    found = set(range(len(reading["drafts"])))
    ticked = found & {int(at) for at in desk.form.get("pick", []) if at.isdecimal() and len(at) < 6}
    if do == "save":
        if desk.text("read") != read:
            return await desk.page("article.html", 422, **shown | {"fault": desk.locale.gettext(READ_AGAIN)})
        if not ticked:
            shown["fault"] = desk.locale.gettext(NONE_TICKED)
        else:
            done, problems = await _keep(desk, [(at, each["report"]) for at, each in enumerate(reading["drafts"]) if at in ticked])
            if not problems:
                return desk.redirect("/desk/drafts", done=done)
    else:
        # Another reading is kept by requests of its own.
        desk.form.pop("once", None)
        ticked = ticked if desk.text("read") == read else found
    names = await desk.names(reading)
    proposals = [shown_draft(each["report"], names, desk) for each in reading["drafts"]]
    reading["unclear"] = [each | {"reason": translate(each["reason"], desk.locale)} for each in reading["unclear"]]
    unclear = [(text[slice(*each["span"])], each["reason"]) for each in reading["unclear"]]
    shown |= {"pieces": pieces(text, reading), "proposals": proposals, "unclear": unclear, "problems": problems}
    return await desk.page("article.html", 422 if shown["fault"] or problems else 200, **shown, read=read, ticked=ticked)


async def _keep(desk: Desk, reports: list[tuple[int, dict[str, Any]]]) -> tuple[str, list[str]]:
    """Add drafts of reports, without those that wait already; return the message of what was done, and what went wrong."""
    waiting = await desk.api.get_all("/v1/drafts", status="proposed", as_of=None)
    known = [_stated(each["report"]) for each in waiting]
    added, problems = set[str](), list[str]()
    for at, report in reports:
        stated = _stated(report)
        if stated in known:
            continue
        known.append(stated)
        status, answer = await desk.send("POST", "/v1/drafts", report, part=str(at))
        if status == 201:
            added.add(answer["id"])
        else:
            problems += errors_of(answer, (), desk.locale)[1]
    # A form that is sent again gets its first answers, though a draft of them may have been decided on since.
    found = [await desk.api.send("GET", f"/v1/drafts/{each}") for each in added]
    if any(each.status_code == 200 and orjson.loads(each.content)["status"] != "proposed" for each in found):
        return "saved_decided", problems
    return "saved" if len(added) == len(reports) else "saved_new" if added else "saved_before", problems


def _stated(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with each default written out, and without its label, which a draft gets."""
    return REPORT_MODELS[report["kind"]].model_validate(report).model_dump(mode="json", exclude={"sensitivity"})


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
    """Show the drafts that wait; confirm or reject one, as it was shown."""
    decision, draft_id, faults = desk.text("do"), desk.text("draft"), dict[str, str]()
    if decision in ("confirmation", "rejection"):
        fault = await _decide(desk, decision, f"/v1/drafts/{quote(draft_id, safe='')}")
        if not fault:
            return desk.redirect("/desk/drafts", done=decision)
        faults[draft_id] = fault
        # The same decision on what the page shows next is another request.
        desk.form.pop("once", None)
    page = await desk.api.get("/v1/drafts", status="proposed", limit=MAX_SHOWN, as_of=None)
    waiting, is_cut = page["items"], page["next"] is not None
    names = await desk.names({"items": waiting})
    shown = []
    for each in waiting:
        own = {"draft": each, "etag": f'"{tag_of(orjson.dumps(each))}"', "fault": faults.pop(each["id"], "")}
        shown.append(shown_draft(each["report"], names, desk) | own)
    status, problems = 422 if decision else 200, list(faults.values())
    return await desk.page("drafts.html", status, drafts=shown, problems=problems, done=done, is_cut=is_cut)


async def _decide(desk: Desk, decision: str, path: str) -> str:
    """Confirm or reject a draft; return why that is not possible, empty when it is done."""
    etag, reason = desk.text("etag").encode("ascii", "ignore").decode(), desk.text("reason")
    if decision == "confirmation":
        status, answer = await desk.send("POST", f"{path}/{decision}", **{"If-Match": etag})
    elif not reason:
        return str(desk.locale.gettext(NO_REASON))
    else:
        found = await desk.api.send("GET", path)
        if found.status_code == 200 and not matches_etag(etag, found.content):
            return str(desk.locale.gettext(CHANGED))
        status, answer = await desk.send("POST", f"{path}/{decision}", {"reason": reason})
    if status == 412:
        return str(desk.locale.gettext(CHANGED))
    return "" if status in (200, 201) else "; ".join(errors_of(answer, (), desk.locale)[1])
