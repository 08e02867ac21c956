"""The page of one statement: who entered it, what it says, and what can be done with it."""

from collections.abc import Iterable
from typing import Any

from fastapi import Response

from app.access.principal import Scope
from app.board.code_labels import label_for
from app.board.desk.session import MAX_SHOWN, Desk, errors_of
from app.board.desk.statements import report_words
from app.board.desk.values import INCOMPLETE_OUTCOME, WRITE_WHY
from app.board.value_text import credit_text
from app.domain.kinds import KINDS
from app.domain.times import DATE_LENGTH, utc_now
from app.http.problems import not_found
from app.reports.schemas import WarningOutcome


async def report_page(desk: Desk, report_id: str, done: str = "") -> Response:
    """Show a statement; with a form, withdraw it, undo that, or record the outcome of a warning."""
    report = await desk.api.get(f"/v1/reports/{report_id}", as_of=None)
    do, problems, locale = desk.text("do"), [], desk.locale
    if do in ("retraction", "reinstatement", "outcome"):
        reason = {"reason": desk.text("reason")}
        if do == "outcome" and not all(desk.text(name) for name in ("outcome", "report", "reason")):
            status, answer = 422, {"title": INCOMPLETE_OUTCOME}
        elif not reason["reason"].strip():
            status, answer = 422, {"title": WRITE_WHY}
        elif do == "outcome":
            sent = {"outcome": desk.text("outcome"), "report": desk.text("report")} | reason
            status, answer = await desk.send("POST", f"/v1/indicators/{report['indicator']}/outcome", sent)
        else:
            status, answer = await desk.send("POST", f"/v1/reports/{report_id}/{do}", reason)
        if status in (200, 201):
            return desk.redirect(f"/desk/reports/{report_id}", done=do)
        errors, others = errors_of(answer, (), locale)
        problems = [*errors.values(), *others]
    elif do not in ("", "resume"):
        raise not_found("action")
    is_own = desk.caller.organisation == report["recorded_by"] or desk.may(Scope.CURATE)
    warns = _warns(report)
    evidence, shown_for, outcome = [], [], ""
    if warns:
        evidence = [each for each in await _related(desk, report, KINDS[report["kind"]].evidence_kinds) if _may_show(each, report)]
        indicator = await desk.api.get(f"/v1/indicators/{report['indicator']}", as_of=None)
        outcome = (indicator["value"] or {}).get("outcome") or ""
    elif done in ("recorded", "existing"):
        listed = await _related(desk, report, [each.name for each in KINDS.values() if report["kind"] in each.evidence_kinds])
        shown_for = [each for each in listed if _warns(each) and _may_show(report, each)]
    is_closed = outcome not in ("", "pending")
    names = await desk.names({"items": [report, *evidence, *shown_for]})
    said = [report_words(each, names, locale) for each in evidence]
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
        evidence=[(each["report"]["id"], credit_text(each["text"], each["source"], each["report"]["stated_at"], locale)) for each in said],
        shown_for=[(each["id"], report_words(each, names, locale)["text"]) for each in shown_for],
    )


def _may_show(report: Any, warning: Any) -> bool:
    """Tell whether a statement at the place of a warning, not before it, shows its outcome: by its kind, or as more than a warning."""
    kind, own_kind = KINDS[warning["kind"]], KINDS[report["kind"]]
    value = own_kind.value_model.model_validate(report["value"])
    is_other_kind = own_kind.name in kind.evidence_kinds and own_kind.is_about(value, warning["value"][kind.filter_field])
    is_fact = report["indicator"] == warning["indicator"] and not _warns(report)
    return (is_other_kind or is_fact) and report["stated_at"][:DATE_LENGTH] >= warning["stated_at"][:DATE_LENGTH]


def _warns(report: Any) -> bool:
    kind = KINDS[report["kind"]]
    return kind.has_outcome and kind.warns(kind.value_model.model_validate(report["value"]))


async def _related(desk: Desk, report: Any, kinds: Iterable[str]) -> list[Any]:
    """Return the standing statements on the indicator of a statement, and those of some kinds on its place, newest first."""
    queries = [{"indicator": report["indicator"]}, *({"place": report["place"], "kind": each} for each in kinds)]
    found = [each for query in queries for each in await desk.api.get_all("/v1/reports", status="standing", as_of=None, **query)]
    return sorted(found, key=lambda each: each["seq"], reverse=True)


async def today_page(desk: Desk) -> Response:
    """Show what the organisation of the key entered today, newest first."""
    listed = await desk.api.get_all("/v1/reports", updated_since=utc_now().date().isoformat(), as_of=None)
    own = [each for each in listed if desk.caller.organisation in (each["recorded_by"], each["drafted_by"])]
    shown = own[: -MAX_SHOWN - 1 : -1]
    names = await desk.names({"items": shown})
    entries = [report_words(each, names, desk.locale) for each in shown]
    return await desk.page("today.html", entries=entries, is_cut=len(own) > len(shown))
