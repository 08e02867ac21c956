"""The page on which an analyst judges an indicator: the judgement that stands, and the form of the next."""

from typing import Any

from fastapi import Response

from app.access.principal import Scope
from app.board.desk.fields import FormField, field_label, model_fields
from app.board.desk.session import Desk, errors_of
from app.board.desk.statements import is_above
from app.board.desk.values import MISSING, form_of, read_form
from app.board.value_text import credit_text, subject_text, value_text
from app.domain.kinds import KINDS
from app.domain.kinds.showing import gettext_noop
from app.http.problems import Problem
from app.judgements.schemas import JudgementIn

NO_CURATE = gettext_noop("Judging takes a key with the scope curate.")


async def judgement_page(desk: Desk, indicator_id: str, done: str = "") -> Response:
    """Show the form; with what it says, record a judgement, correct the one that stands, or withdraw it."""
    if not desk.may(Scope.CURATE):
        raise Problem(403, NO_CURATE, kind="scope")
    path, do, locale = f"/desk/indicators/{indicator_id}/judgement", desk.text("do"), desk.locale
    indicator = await desk.api.get(f"/v1/indicators/{indicator_id}", as_of=None)
    standing, names = indicator["judgement"], await desk.names(indicator)
    fields = _fields(desk, indicator)
    errors: dict[str, str] = {}
    problems: list[str] = []
    if not do:
        desk.form = form_of(fields, standing or {"value": _subject(indicator)}, names, locale)
    elif do != "resume":
        filled = read_form(fields, desk.form, names, locale)
        errors, body = filled.errors, {"value": {}, **filled.body}
        target = f"/v1/indicators/{indicator_id}/judgements"
        if do == "retraction":
            errors, body = {}, {"reason": desk.text("reason")}
        if do in ("correction", "retraction"):
            target = f"/v1/judgements/{desk.text('judgement')}/{do}"
            body["reason"] = desk.text("reason")
            errors |= {} if body["reason"] else {"reason": locale.gettext(MISSING)}
        if not errors:
            status, answer = await desk.send("POST", target, body, part=do)
            if status == 201:
                at_hand = do if do in ("correction", "retraction") else "recorded"
                return desk.redirect(path, done="recorded_above" if is_above(desk, answer) else at_hand)
            errors, problems = errors_of(answer, fields, locale)
    return await desk.page(
        "judgement.html",
        422 if errors or problems else 200,
        path=path,
        indicator=indicator,
        title=subject_text(indicator["subject"], indicator["kind"], {}, locale),
        judgement=standing,
        judgement_text=value_text(standing["value"], indicator["kind"], locale) if standing else "",
        fields=fields,
        names=names,
        errors=errors,
        problems=problems,
        done=done,
    )


def _subject(indicator: Any) -> dict[str, Any]:
    """Return the fields of a value that every report on the indicator shares."""
    kind, first = KINDS[indicator["kind"]], [*indicator["reports"], *indicator["left_out"]][0]
    return {name: first["value"][name] for name in (kind.filter_field, *kind.subject_fields) if name in first["value"]}


def _fields(desk: Desk, indicator: Any) -> list[FormField]:
    kind, locale = indicator["kind"], desk.locale
    said = [
        (each["id"], credit_text(value_text(each["value"], kind, locale), each["source"]["name"], each["stated_at"], locale))
        for each in indicator["reports"]
    ]
    fields = [
        *model_fields(KINDS[kind].value_model, "value.", locale, KINDS[kind]),
        *model_fields(JudgementIn, "", locale, skip=("value", "reports")),
        FormField("reports", "codes", field_label("reports", locale), options=said),
    ]
    return [*fields, FormField("reason", "text", locale.gettext("Why it is corrected or withdrawn"))] if indicator["judgement"] else fields
