"""The page of one statement: who entered it, what it says, and what can be done with it."""

from typing import Any

from fastapi import Response

from app.access.principal import Scope
from app.board.code_labels import label_for
from app.board.desk.lookup import Names
from app.board.desk.session import Desk, errors_of
from app.board.desk.statements import report_words
from app.board.desk.values import INCOMPLETE_OUTCOME
from app.board.value_text import credit_text
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.times import utc_now
from app.http.problems import not_found
from app.reports.schemas import WarningOutcome


async def report_page(desk: Desk, report_id: str, done: str = "") -> Response:
    """Show a statement; with a form, withdraw it, undo that, or record the outcome of a warning."""
    report = await desk.api.get(f"/v1/reports/{report_id}", as_of=None)
    names, do, problems = await desk.names(), desk.text("do"), []
    kind, locale = KINDS[report["kind"]], desk.locale
    if do in ("retraction", "reinstatement", "outcome"):
        reason = {"reason": desk.text("reason")}
        if do == "outcome" and not all(desk.text(name) for name in ("outcome", "report", "reason")):
            status, answer = 422, {"title": INCOMPLETE_OUTCOME}
        elif do == "outcome":
            sent = {"outcome": desk.text("outcome"), "report": desk.text("report")} | reason
            status, answer = await desk.send("POST", f"/v1/indicators/{report['indicator']}/outcome", sent)
        else:
            status, answer = await desk.send("POST", f"/v1/reports/{report_id}/{do}", reason)
        if status in (200, 201):
            return desk.redirect(f"/desk/reports/{report_id}", done=do)
        errors, others = errors_of(answer, (), locale)
        problems = [*errors.values(), *others]
    elif do:
        raise not_found("action")
    is_own = desk.caller.organisation == report["recorded_by"] or desk.may(Scope.CURATE)
    warns = kind.has_outcome and kind.warns(kind.value_model.model_validate(report["value"]))
    evidence, outcome = [], ""
    if warns:
        evidence = await _evidence(desk, names, report, kind)
        indicator = await desk.api.get(f"/v1/indicators/{report['indicator']}", as_of=None)
        outcome = (indicator["value"] or {}).get("outcome") or ""
    is_closed = outcome not in ("", "pending")
    shown_for = await _warnings(desk, names, report) if done in ("recorded", "existing") and not warns else []
    source = (await desk.api.records_by_slug("sources", [report["source"]])).get(report["source"])
    return await desk.page(
        "report.html",
        422 if problems else 200,
        words=report_words(report, names, locale),
        report=report,
        source=source,
        done=done,
        problems=problems,
        is_own=is_own,
        warns=warns,
        outcome=outcome if is_closed else "",
        # `pending` takes a recorded outcome back.
        outcomes=[
            (each, label_for(f"outcome_{each}", locale)) for each in WarningOutcome.__value__.__args__ if each != "pending" or is_closed
        ],
        evidence=evidence,
        shown_for=shown_for,
    )


async def _evidence(desk: Desk, names: Names, report: Any, kind: Kind[Any]) -> list[tuple[str, str]]:
    """Return the statements on the same subject that may show the outcome of a warning and do not only warn, newest first."""
    listed = await desk.api.get_all("/v1/reports", place=report["place"], status="standing", as_of=None)
    subject = report["value"][kind.filter_field]
    about = [
        each
        for each in listed
        if each["kind"] in kind.evidence_kinds
        or (
            each["kind"] == kind.name
            and each["value"][kind.filter_field] == subject
            and not kind.warns(kind.value_model.model_validate(each["value"]))
        )
    ]
    shown = [report_words(each, names, desk.locale) for each in reversed(about)]
    return [(each["report"]["id"], credit_text(each["text"], each["source"], each["report"]["stated_at"], desk.locale)) for each in shown]


async def _warnings(desk: Desk, names: Names, report: Any) -> list[tuple[str, str]]:
    """Return the standing warnings whose outcome a statement may show, newest first."""
    listed = await desk.api.get_all("/v1/reports", place=report["place"], status="standing", as_of=None)
    found = []
    for each in reversed(listed):
        kind = KINDS[each["kind"]]
        is_evidence = each["indicator"] == report["indicator"] or report["kind"] in kind.evidence_kinds
        if is_evidence and kind.has_outcome and kind.warns(kind.value_model.model_validate(each["value"])):
            found.append((each["id"], report_words(each, names, desk.locale)["text"]))
    return found


async def today_page(desk: Desk) -> Response:
    """Show what the organisation of the key entered today, newest first."""
    listed = await desk.api.get_all("/v1/reports", updated_since=utc_now().date().isoformat(), as_of=None)
    own = [each for each in listed if desk.caller.organisation in (each["recorded_by"], each["drafted_by"])]
    names = await desk.names()
    return await desk.page("today.html", entries=[report_words(each, names, desk.locale) for each in reversed(own)])
