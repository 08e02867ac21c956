"""Changes of a place in words, as the API and digests show them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.assessment.judgements import Judgement
from app.assessment.statement import Statement
from app.domain.kinds.showing import gettext_noop
from app.situations.checks import value_of
from app.situations.digest import HEADINGS, MAX_REPORTS, Item
from app.situations.wording import OUTCOMES, Wording

_NOTES = {
    "relayed": gettext_noop("repeats another statement"),
    "announced": gettext_noop("only announced"),
    "replaced_by_later": gettext_noop("replaced by a later statement"),
    "past_horizon": gettext_noop("too old compared with the newest statement"),
    "overtaken": gettext_noop("overtaken by later statements"),
}
MAX_STATEMENTS_PER_ITEM = 5


def render_item(item: Item, words: Wording) -> dict[str, Any]:
    """Return a change as the API shows it, with its text."""
    subject = item.of.inputs.subject
    return {
        "change": item.change,
        "indicator": str(subject.id),
        "kind": subject.kind,
        "subject": subject.subject,
        "place": subject.place.slug,
        "reports": [str(each.id) for each in item.reports],
        "judgement": item.judgement and str(item.judgement.id),
        "old": item.old,
        "new": item.new,
        "agreement": item.of.assessment.agreement,
        "text": item_text(item, words),
    }


def item_text(item: Item, words: Wording) -> str:
    """Return a change in words: what it is about, what was said, and what that makes of the assessment."""
    kind, _ = item.of.inputs.subject.kind, words.locale.gettext
    said = [_said(each, item, words) for each in item.reports[:MAX_STATEMENTS_PER_ITEM]]
    if (more := len(item.reports) - len(said)) > 0:
        said.append(words.locale.plural("and %(count)s other statement", "and %(count)s other statements", more))
    shown = {
        "subject": words.subject(kind, item.of.inputs.subject.subject),
        "said": words.locale.semicolon.join(said),
        "old": words.value(kind, item.old, details=item.judgement is not None),
        "new": words.value(kind, item.new, details=item.judgement is not None),
        "first": said[0] if said else "",
        "source": words.source(item.reports[-1], item.of.level) if item.reports else "",
    }
    if item.judgement is not None:
        return _judged(item, item.judgement, shown, words)
    if item.change == "silent":
        return words.locale.plural(
            "Nothing sound was said for %(count)s day; the last was on %(subject)s.",
            "Nothing sound was said for %(count)s days; the last was on %(subject)s.",
            item.gone_silent_days,
            subject=shown["subject"],
        )
    if item.change == "new":
        # In no f-string, from which no message is extracted.
        text = f"{shown['said']}. {_reading(item, shown, words)}" if said else _moved(item, shown, words)
        return _("%(name)s: %(value)s") % {"name": shown["subject"], "value": text}
    return {
        "corrected": _("%(subject)s: %(old)s was corrected to %(new)s (%(source)s).")
        if item.new
        else _("%(subject)s: %(first)s was corrected, and is about something else now."),
        "withdrawn": _("%(subject)s: %(first)s was withdrawn."),
        "overtaken": _("%(subject)s: %(first)s no longer counts. Now: %(new)s."),
        "contested": _("%(subject)s: %(said)s. Sources contradict each other now."),
        "moved_later": _("%(subject)s: first %(old)s, then %(new)s; no delivery is known in between."),
    }[item.change] % shown


def _judged(item: Item, judgement: Judgement, shown: Mapping[str, str], words: Wording) -> str:
    """Return the words for a judgement; likelihood and confidence are in two sentences."""
    _ = words.locale.gettext
    whose = words.locale.comma.join([_("Judgement"), words.safe(judgement.recorded_by)])
    if item.change == "new":
        text = _("Judgement of an analyst on %(subject)s, not a report: %(said)s.") % {**shown, "said": shown["new"]}
        return " ".join([text, *words.how_sure(judgement)])
    first = _("%(value)s (%(source)s)") % {"value": shown["old"], "source": whose}
    message = "%(subject)s: %(first)s was withdrawn."
    if item.change == "corrected":
        message = "%(subject)s: %(old)s was corrected to %(new)s (%(source)s)."
    return _(message) % {**shown, "first": first, "source": whose}


def _moved(item: Item, shown: Mapping[str, str], words: Wording) -> str:
    """Return how an assessment moved without a report on it: by its outcome, if it has another now."""
    outcome = (item.new or {}).get("outcome")
    if outcome in OUTCOMES and (item.old or {}).get("outcome") != outcome:
        return f"{shown['new']}. {words.outcome(outcome)}"
    return _reading(item, shown, words)


def _reading(item: Item, shown: Mapping[str, str], words: Wording) -> str:
    """Return how new statements moved the assessment."""
    _, agreement = words.locale.gettext, item.of.assessment.agreement
    if agreement is None or agreement == "claimed":
        return _("The assessment has no value: this is only claimed or announced.")
    if shown["old"] == shown["new"]:
        text = _("The assessment stays: %(new)s.") % shown
    elif shown["old"]:
        text = _("The assessment was: %(old)s. It is now: %(new)s.") % shown
    else:
        text = _("Assessed: %(new)s.") % shown
    return text if agreement == item.was else f"{text} {words.agreement(item.of.assessment, item.of.inputs.subject.kind)}"


def _said(statement: Statement, item: Item, words: Wording) -> str:
    """Return what was said, by which source, and why it does not count if it does not."""
    kind, assessment = item.of.inputs.subject.kind, item.of.assessment
    source = words.source(statement, item.of.level)
    relation = next((each for said, each in (*assessment.relations, *assessment.left_out) if said.id == statement.id), "")
    if item.change == "new" and relation in _NOTES:
        source = f"{source}{words.locale.comma}{words.locale.gettext(_NOTES[relation])}"
    return words.locale.gettext("%(value)s (%(source)s)") % {"value": words.value(kind, value_of(statement)), "source": source}


def digest_text(heading: str, items: Sequence[Item], words: Wording, *, cut: bool) -> str:
    """Return a digest as plain text: a heading, then the changes, one a line; it says if it is `cut`."""
    lines = [heading, ""]
    if cut:
        text = words.locale.gettext("Only the last %(count)s statements of this time were looked at: ask for a shorter time.")
        lines += [text % {"count": words.figure(MAX_REPORTS)}, ""]
    for each in items:
        made_by = [str(said.id) for said in each.reports] + ([str(each.judgement.id)] if each.judgement is not None else [])
        ids = words.locale.comma.join(made_by)
        text = f"- {words.locale.gettext(HEADINGS[each.change])} \u2013 {item_text(each, words)}"
        lines.append(f"{text} [{ids}]" if ids else text)
    if not items:
        lines.append(words.locale.gettext("Nothing changed."))
    return "\n".join(lines) + "\n"
