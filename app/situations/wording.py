"""Sentences about indicators in the language of a reader, with names and free text made safe for the format. Pure."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.assessment.envelope import Assessment
from app.assessment.judgements import Judgement
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.kinds.showing import Clause, gettext_noop
from app.domain.times import day_of, rfc3339
from app.domain.tlp import Label
from app.http.localization import Localization

_AGREEMENT = {
    "single": gettext_noop("One source."),
    "consistent": gettext_noop("Sources agree."),
    "contested": gettext_noop("Sources contradict each other."),
    "unconfirmed": gettext_noop("Only parties to the conflict say so."),
    "claimed": gettext_noop("This is only claimed."),
}
# Where sources do not contradict each other, but the others do not say what leads: of a state, and of figures.
_NOT_CONFIRMED = (
    gettext_noop("Only one source says this; the others do not contradict it."),
    gettext_noop("These are counts of different days."),
)
OUTCOMES = {
    "materialised": gettext_noop("came true"),
    "averted": gettext_noop("averted"),
    "overtaken": gettext_noop("overtaken by events"),
    "unknown": gettext_noop("outcome cannot be known"),
}
_LIKELIHOOD = {
    "almost_no_chance": gettext_noop("almost no chance"),
    "very_unlikely": gettext_noop("very unlikely"),
    "unlikely": gettext_noop("unlikely"),
    "roughly_even": gettext_noop("roughly even chance"),
    "likely": gettext_noop("likely"),
    "very_likely": gettext_noop("very likely"),
    "almost_certain": gettext_noop("almost certain"),
}
_CONFIDENCE = {
    "low": gettext_noop("low confidence"),
    "moderate": gettext_noop("moderate confidence"),
    "high": gettext_noop("high confidence"),
}
# Within words of Persian and Indian scripts.
_JOINERS = "\u200c\u200d"
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~&])")

# Return the mark of the citation of a report, by the path of a figure; of the preferred one without a path.
Cite = Callable[[str], str]


def growing_reason(reason: Mapping[str, Any], as_of: date, locale: Localization) -> str:
    """Return the words for a reason that says for how long it has been so, as for how long no aid came; empty for any other."""
    if reason["reason"] != "no_delivery" or reason["judged"]:
        return ""
    return locale.plural(
        "no aid was delivered for %(count)s day, since %(day)s",
        "no aid was delivered for %(count)s days, since %(day)s",
        (as_of - day_of(reason["since"])).days,
        day=locale.day(reason["since"]),
    )


def tlp_text(label: Label) -> str:
    """Return a label as people write it, such as `TLP:AMBER+STRICT`."""
    return f"TLP:{label.upper().replace('_', '+')}"


@dataclass(frozen=True, slots=True)
class Wording:
    """Words of one language for one format; `names` has the names of records in that language, by type and slug."""

    locale: Localization
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    markdown: bool = False

    def safe(self, text: str) -> str:
        """Return free text on one line, without control characters and without what the format takes as markup."""
        shown = " ".join("".join(" " if unicodedata.category(each) in ("Cc", "Zl", "Zp") else each for each in text).split())
        shown = "".join(each for each in shown if unicodedata.category(each) != "Cf" or each in _JOINERS)
        return _MARKUP.sub(r"\\\1", shown) if self.markdown else shown

    def link(self, url: str) -> str:
        """Return an address that no character ends early."""
        encoded = "".join(each if each.isprintable() and each not in " <>\\" else f"%{ord(each):02X}" for each in url)
        return f"<{encoded}>"

    def label(self, code: str, kind: str) -> str:
        """Return the label of a code, as its kind has it, else as another kind does; a code without a label loses its underscores."""
        bare = code.removeprefix("because_")
        for name in (code, bare):
            for each in (KINDS[kind], *KINDS.values()):
                if name in each.code_labels:
                    return self.locale.gettext(each.code_labels[name])
        return self.safe(bare.replace("_", " "))

    def name(self, type_: str, slug: str, name: str | None = None) -> str:
        """Return the name of a record in the language, safe and apart from the direction of the text around it."""
        return self.locale.embed(self.safe(self.names.get((type_, slug), name or slug)))

    def subject(self, kind: str, subject: str) -> str:
        """Return the name of the route that a subject is, otherwise the labels of its codes, the others in brackets."""
        if (type_ := KINDS[kind].references.get(KINDS[kind].filter_field)) is not None:
            return self.name(type_, subject)
        first, *others = (
            self.locale.gettext("since %(first)s") % {"first": self.locale.day(each)} if _DAY.fullmatch(each) else self.label(each, kind)
            for each in subject.split(".")
        )
        return f"{first} ({self.locale.comma.join(others)})" if others else first

    def figure(self, figure: Any) -> str:
        """Return a number or a day."""
        return self.locale.number(figure) if isinstance(figure, int) else self.locale.day(figure)

    def said(self, kind: str, clauses: Sequence[Clause], cite: Cite = lambda _: "") -> str:
        """Return clauses as a part of a sentence, each figure followed by its citation, or all by one where it is the same."""
        marks = [[cite(path) for path, _ in each.figures.values()] or [cite(each.path)] for each in clauses]
        if len({mark for own in marks for mark in own}) == 1:
            return self.locale.comma.join(self._clause(kind, each) for each in clauses) + marks[0][0]
        shown = []
        for each, own in zip(clauses, marks, strict=True):
            one = len(set(own)) == 1
            shown.append(self._clause(kind, each) + own[0] if one else self._clause(kind, each, own))
        return self.locale.comma.join(shown)

    def _clause(self, kind: str, clause: Clause, marks: Sequence[str] = ()) -> str:
        values = {name: self.figure(value) for name, (_, value) in clause.figures.items()}
        values = {name: each + mark for (name, each), mark in zip(values.items(), marks or [""] * len(values), strict=True)}
        values |= {name: self.locale.comma.join(self.label(code, kind) for code in codes) for name, codes in clause.codes.items()}
        values |= {name: self.locale.quote(self.safe(text)) for name, text in clause.words.items()}
        text = self.locale.gettext(clause.message) % values
        name = self.label(clause.about, kind)
        pair = {"name": name[:1].lower() + name[1:] if clause.about.startswith("field_") else name, "value": text}
        return self.locale.gettext("%(name)s: %(value)s") % pair if clause.about else text

    def value(self, kind: str, value: Mapping[str, Any] | None, *, details: bool = False) -> str:
        """Return what a value says, with details if wanted; empty if it says nothing."""
        clauses = [] if value is None else [*KINDS[kind].clauses(value), *(KINDS[kind].details(value) if details else [])]
        return self.said(kind, clauses) if clauses else ""

    def agreement(self, found: Assessment, kind: str) -> str:
        """Return a sentence on how the sources agree; empty without any."""
        if found.agreement == "consistent" and not found.confirmed:
            return self.locale.gettext(_NOT_CONFIRMED[KINDS[kind].status_field is None])
        return self.locale.gettext(_AGREEMENT[found.agreement]) if found.agreement else ""

    def outcome(self, outcome: str) -> str:
        """Return a sentence on the outcome of a warning."""
        return self.locale.gettext("Outcome of the warning: %(outcome)s.") % {"outcome": self.locale.gettext(OUTCOMES[outcome])}

    def how_sure(self, judgement: Judgement) -> list[str]:
        """Return how likely a judgement is, and how good its basis: two things, so that no sentence has both (ICD 203)."""
        _ = self.locale.gettext
        likelihood, confidence = _LIKELIHOOD[judgement.stated["likelihood"]], _CONFIDENCE[judgement.stated["confidence"]]
        sure = _(confidence)
        return [_("Likelihood: %(likelihood)s.") % {"likelihood": _(likelihood)}, f"{sure[:1].upper()}{sure[1:]}."]

    def age(self, days: int) -> str:
        """Return how long ago something was said."""
        return (
            self.locale.plural("Said %(count)s day ago.", "Said %(count)s days ago.", days) if days else self.locale.gettext("Said today.")
        )

    def source(self, statement: Statement, level: int) -> str:
        """Return who said something, when, and by which outlets it is known."""
        slug, name = statement.source.names.visible_at(level)
        parts = [self.name("source", slug, name), self.locale.day(rfc3339(statement.stated_at))]
        if statement.source.party_to_conflict:
            parts.insert(1, self.locale.gettext("party to the conflict"))
        if statement.via:
            outlets = (self.name("source", *each.visible_at(level)) for each in statement.via)
            parts.append(self.locale.gettext("via %(outlets)s") % {"outlets": self.locale.comma.join(outlets)})
        return self.locale.comma.join(parts)
