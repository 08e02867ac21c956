"""The form of a statement: entered, corrected, or a draft; looked at before it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import Response

from app.board.code_labels import label_for
from app.board.desk.fields import FormField, codes_of, report_fields
from app.board.desk.lookup import Names
from app.board.desk.session import Desk, errors_of
from app.board.desk.values import Filled, form_of, read_form
from app.board.value_text import field_text, pair_text, subject_text, value_text
from app.domain.kinds import KINDS
from app.domain.kinds.showing import StatePlot
from app.domain.times import DATE_LENGTH, end_of_today, is_after
from app.domain.tlp import Label
from app.http.problems import Problem, not_found
from app.http.representations import tag_of
from app.situations.wording import growing_reason

# Fields that several statements out of one document share.
SHARED = ("place", "source", "stated_at")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a statement goes: `path` is the page's own, `corrects` the report or `draft` the draft that the form changes."""

    path: str
    kind: str
    corrects: Mapping[str, Any] | None = None
    draft: Mapping[str, Any] | None = None
    etag: str = ""

    @property
    def record(self) -> Mapping[str, Any]:
        """The report without changes; empty for a new one."""
        return self.corrects or (self.draft or {}).get("report") or {}


def new_target(kind: str) -> Target:
    """Return the target of a new statement; raise 404 for an unknown kind."""
    if kind not in KINDS:
        raise not_found("kind")
    return Target(f"/desk/statements/{kind}", kind)


async def statement_page(desk: Desk, target: Target, same: str = "", done: str = "") -> Response:
    """Show the form, filled in with what a statement has in common with the `same` one; with what it says, look at it or send it."""
    shared = await _shared(desk, same) if same and not desk.text("do") else {}
    fields, names = report_fields(target.kind, desk.locale), await desk.names(target.record, shared)
    if target.corrects is not None:
        label = desk.locale.gettext("Why it is corrected")
        fields = [*fields, FormField("reason", "long", label, required=True)]
    do = desk.text("do")
    if not do:
        desk.form = form_of(fields, target.record, names, desk.locale)
        if same:
            whole = form_of(fields, shared, names, desk.locale)
            desk.form = {name: text for name, text in whole.items() if name != "provenance.quote"}
        return await _form_page(desk, target, fields, names, done=done)
    if do == "resume":
        return await _form_page(desk, target, fields, names)
    if do.startswith("pick:"):
        name, _, slug = do.removeprefix("pick:").partition("=")
        of = next((each for each in fields if each.name == name), None)
        if of is not None:
            desk.form[name] = [_replace_name(desk.text(name), of, names, slug)]
    filled = read_form(fields, desk.form, names, desk.locale)
    body = _body(target, filled)
    if target.corrects is not None and target.corrects["status"] != "standing":
        # It leads to the correction that the form made when it was sent before.
        status, answer = await desk.send("POST", f"/v1/reports/{target.corrects['id']}/correction", body)
        if status not in (200, 201) and desk.sent_before is None:
            raise Problem(409, f"The report is already {target.corrects['status']}.")
        return await _form_page(desk, target, fields, names, status=422) if status == 422 else _recorded(desk, answer, status)
    path = "/v1/drafts/preview" + (f"?corrects={target.corrects['id']}" if target.corrects else "")
    status, preview = await desk.send("POST", path, {name: each for name, each in body.items() if name != "reason"})
    problems: list[str] = []
    if status == 422:
        errors, problems = errors_of(preview, fields, desk.locale)
        filled.errors = {**{name: text for name, text in errors.items() if name not in filled.errors}, **filled.errors}
        # Beside errors at fields, an error without a field mostly follows from them.
        problems = [] if filled.errors else problems
        filled.errors = {name: filled.errors[name] for name in [each.name for each in fields] if name in filled.errors}
    elif status != 200:
        problems = errors_of(preview, fields, desk.locale)[1]
    if filled.errors or problems:
        return await _form_page(desk, target, fields, names, filled, problems=problems, status=422)
    seen = tag_of(orjson.dumps([body, preview["report"]]))
    is_changed = do in ("send", "next", "draft") and desk.text("seen") != seen
    if do in ("send", "next", "draft") and not is_changed:
        return await _send(desk, target, fields, names, filled, body)
    shown = shown_preview(preview, names, desk) | {"seen": seen, "is_changed": is_changed}
    return await _form_page(desk, target, fields, names, filled, preview=shown, status=422 if is_changed else 200)


def _replace_name(text: str, of: FormField, names: Names, slug: str) -> str:
    """Put a record in the place of the name in a list that may mean several, or that is unknown."""
    label = names.label(of.collection, slug)
    if not of.many:
        return label
    listed = [name.strip() for name in text.split(",")]
    unclear = next((at for at, name in enumerate(listed) if len(names.find(of.collection, name)) != 1), len(listed) - 1)
    return ", ".join(label if at == unclear else name for at, name in enumerate(listed))


def _body(target: Target, filled: Filled) -> dict[str, Any]:
    body = {"kind": target.kind, "value": {}, **filled.body}
    relays = (target.record.get("provenance") or {}).get("relays")
    if relays:
        body["provenance"] = {**body.get("provenance", {}), "relays": relays}
    return body


async def _send(desk: Desk, target: Target, fields: list[FormField], names: Names, filled: Filled, body: dict[str, Any]) -> Response:
    if target.corrects is not None:
        status, done = await desk.send("POST", f"/v1/reports/{target.corrects['id']}/correction", body)
    elif target.draft is not None:
        patch = _patch(target.draft["report"], body)
        status, done = await desk.send("PATCH", f"/v1/drafts/{target.draft['id']}", patch, **{"If-Match": target.etag})
    else:
        status, done = await desk.send("POST", "/v1/drafts" if desk.text("do") == "draft" else "/v1/reports", body)
    if status not in (200, 201):
        errors, problems = errors_of(done, fields, desk.locale)
        filled.errors |= errors
        return await _form_page(desk, target, fields, names, filled, problems=problems, status=422)
    if target.draft is not None or desk.text("do") == "draft":
        return desk.redirect("/desk", done="draft_above") if is_above(desk, done["report"]) else desk.redirect("/desk/drafts")
    return _recorded(desk, done, status)


def _recorded(desk: Desk, report: Mapping[str, Any], status: int) -> Response:
    """Lead to the page of a report that was recorded, or, if its label is above the clearance, say so."""
    if is_above(desk, report):
        return desk.redirect("/desk", done="recorded_above")
    done = "existing" if status == 200 else "recorded"
    if desk.text("do") == "next":
        return desk.redirect(f"/desk/statements/{report['kind']}", same=report["id"], done=done)
    return desk.redirect(f"/desk/reports/{report['id']}", done=done)


def is_above(desk: Desk, report: Mapping[str, Any]) -> bool:
    """Tell whether a report has a label above the clearance of the key."""
    return Label(report["sensitivity"]).level > desk.caller.level


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Merge Patch that makes one report of another."""
    gone = {name: None for name, value in old.items() if name not in new and value is not None}
    kept = {
        name: _patch(old[name], value) if isinstance(value, dict) and isinstance(old.get(name), dict) else value
        for name, value in new.items()
    }
    return gone | kept


async def _shared(desk: Desk, same: str) -> dict[str, Any]:
    """Return what a statement has in common with another one of its document."""
    report = await desk.api.get(f"/v1/reports/{quote(same, safe='')}", as_of=None)
    return {name: report[name] for name in (*SHARED, "provenance", "sensitivity")}


async def _form_page(
    desk: Desk,
    target: Target,
    fields: list[FormField],
    names: Names,
    filled: Filled | None = None,
    *,
    preview: Any = None,
    problems: list[str] | None = None,
    status: int = 200,
    done: str = "",
) -> Response:
    fields = [replace(each, more=each.more and desk.text(each.name) in ("", each.default)) for each in fields]
    context = {"errors": filled.errors, "choices": filled.choices} if filled else {}
    return await desk.page(
        "statement.html", status, target=target, fields=fields, names=names, preview=preview, problems=problems or [], done=done, **context
    )


def shown_preview(preview: Mapping[str, Any], names: Names, desk: Desk) -> dict[str, Any]:
    """Return what a preview says, in words."""
    locale, report = desk.locale, preview["report"]
    published = report["provenance"]["published_at"]
    kind, before, after, situation = report["kind"], preview["indicator_before"], preview["indicator"], preview["situation"]
    because = [
        growing_reason(each, end_of_today().date(), locale) or label_for(f"because_{each['reason']}", locale)
        for each in situation["because"]
    ]
    routes = {slug: {"name": names.name("routes", slug)} for _, slug in names.listed("routes")}
    return {
        **report_words(report, names, locale),
        "existing": preview["existing"],
        "is_above": is_above(desk, report),
        "is_early": published is not None and is_after(report["stated_at"], published, "UTC"),
        "subject": after and subject_text(after["subject"], kind, routes, locale),
        "before": _assessed(before, kind, locale),
        "after": _assessed(after, kind, locale),
        "level_before": preview["situation_before"]["level"] or "nothing_known",
        "level": situation["level"] or "nothing_known",
        "because": list(dict.fromkeys(because)),
    }


def _assessed(indicator: Mapping[str, Any] | None, kind: str, locale: Any) -> str:
    if indicator is None or indicator["value"] is None:
        return str(locale.gettext("No statements"))
    agreement = indicator["agreement"]
    return value_text(indicator["value"], kind, locale) + (f" ({label_for(agreement, locale)})" if agreement else "")


def report_words(report: Mapping[str, Any], names: Names, locale: Any) -> dict[str, Any]:
    """Return a report in words: what it says, each day resolved, and its label with what that means."""
    kind, value = report["kind"], report["value"]
    model = KINDS[kind].value_model
    # Days from the statement are shown as the days that they are.
    counted = {each.members.get(role) for each in report_fields(kind, locale) for role in ("days_min", "days_max")}
    shown = {
        name: each
        for name, each in value.items()
        if name not in counted
        # Of one day, its first and last are not shown beside it.
        if not name.endswith(("_earliest", "_latest")) or each != value.get(name.rpartition("_")[0])
        if each not in (None, [], "") and name in model.model_fields and each != model.model_fields[name].default
    }
    provenance, about = report.get("provenance") or {}, KINDS[kind].filter_field
    return {
        "report": report,
        "text": pair_text(_shown(about, value[about], names, kind, locale), value_text(_for_text(kind, value), kind, locale), locale),
        "value": [(name, _shown(name, each, names, kind, locale)) for name, each in shown.items()],
        "place": names.name("places", report["place"]),
        "source": names.name("sources", report["source"]),
        "via": [names.name("sources", slug) for slug in provenance.get("via") or ()],
    }


def _for_text(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value with the fields that the plot of its kind reads from assessments."""
    plot = KINDS[kind].plot
    parts = dict.fromkeys(plot.parts.values(), value.get(plot.state)) if isinstance(plot, StatePlot) else {}
    return parts | dict(value)


def _shown(name: str, value: Any, names: Names, kind: str, locale: Any) -> str:
    if isinstance(value, bool):
        return label_for("yes" if value else "no", locale)
    if isinstance(value, int | list):
        return field_text(value, kind, locale)
    if KINDS[kind].references.get(name):
        return names.name(f"{KINDS[kind].references[name]}s", value)
    if len(value) == DATE_LENGTH and value[4:5] == value[7:8] == "-":
        return str(locale.day(value))
    return label_for(value, locale, kind) if codes_of(KINDS[kind].value_model, name) else value
