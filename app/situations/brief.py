"""A brief on a place: its indicators in sentences, each figure with the number of the report that says it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.assessment.judgements import Judgement
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.kinds.showing import code_clause, gettext_noop
from app.domain.times import day_of, end_of, rfc3339
from app.domain.tlp import LABELS
from app.domain.view import View
from app.indicators.past import PastAssessment
from app.situations.evidence import Evidence
from app.situations.urgency import MAX_QUIET_DAYS, Urgency
from app.situations.wording import OUTCOMES, Wording, growing_reason, tlp_text

_LEVELS = {"critical": gettext_noop("Critical"), "serious": gettext_noop("Serious"), "watch": gettext_noop("Watch")}
# Other statements in the paragraph of one indicator; the place's page has all.
MAX_OTHERS = 3


@dataclass(slots=True)
class Citations:
    """The reports that a brief cites, numbered from 1 as they appear."""

    numbers: dict[UUID, int] = field(default_factory=dict)

    def mark(self, report: UUID) -> str:
        """Return the mark of a report, with a space before it."""
        return f" [{self.numbers.setdefault(report, len(self.numbers) + 1)}]"


@dataclass(frozen=True, slots=True)
class Brief:
    """The material of a brief; `statements` has every report that assessments or reasons rest on."""

    place: Mapping[str, Any]
    evidence: Evidence
    statements: Mapping[UUID, Statement]
    urgency: Urgency
    view: View
    known_at: str | None
    words: Wording

    def render(self) -> tuple[str, int]:
        """Return the brief in the format of its words, and the highest level of what it shows and rests on."""
        citations, _ = Citations(), self.words.locale.gettext
        place = self.words.name("place", self.place["slug"], self.place["name"])
        title = _("%(place)s: situation on %(day)s") % {"place": place, "day": self.words.locale.point(rfc3339(self.view.at))}
        sections = [self._heading(title, 1), *self._level(citations)]
        if self.known_at is not None:
            sections.insert(1, _("As recorded by %(day)s.") % {"day": self.words.locale.point(self.known_at)})
        for kind in KINDS.values():
            own = self._in_order(kind)
            paragraphs = [make(kind, each, citations) for each in own for make in (self._sentences, self._judgement)]
            lines = [f"- {text}" for sentences in paragraphs if (text := " ".join(sentences))]
            if lines:
                sections += [self._heading(self.words.label(kind.name, kind.name), 2), "\n".join(lines)]
        judgements = {each.id: each for of in self.evidence.values() if (each := of.assessment.judgement) is not None}
        cited = [judgements.get(each) or self.statements[each] for each in citations.numbers]
        standing = (each.level for of in self.evidence.values() for each in of.assessment.standing)
        shown = max([0, *standing, *map(_level, cited)])
        if cited:
            lines = [f"{number}. {self._source(each)}" for number, each in enumerate(cited, 1)]
            sections += [self._heading(_("Sources"), 2), "\n".join(lines)]
            sections.append(_("Each figure is a claim of the source with that number. Nothing is added up or averaged."))
        return "\n\n".join([tlp_text(LABELS[shown]), *sections]) + "\n", shown

    def _heading(self, text: str, depth: int) -> str:
        return f"{'#' * depth} {text}" if self.words.markdown else text

    def _level(self, citations: Citations) -> Iterator[str]:
        """Yield the level of urgency with its reasons, those of one indicator together, and for how long the place has been silent."""
        _ = self.words.locale.gettext
        level = _(_LEVELS[self.urgency.level] if self.urgency.level else gettext_noop("Nothing known"))
        yield _("Level of urgency: %(level)s.") % {"level": level}
        lines = [f"- {text}" for text in self._reasons(self.urgency.because, citations)]
        aside = _("By an analyst's judgement, the level does not rest on this: %(said)s")
        lines += [f"- {aside % {'said': text}}" for text in self._reasons(self.urgency.set_aside, citations)]
        if lines:
            yield "\n".join(lines)
        if (days := self.urgency.silent_days) is not None and days > MAX_QUIET_DAYS:
            yield self.words.locale.plural(
                "Nothing sound was said for %(count)s day: this is what was last known.",
                "Nothing sound was said for %(count)s days: this is what was last known.",
                days,
            )

    def _reasons(self, because: Iterable[dict[str, Any]], citations: Citations) -> Iterator[str]:
        reasons: dict[str, list[dict[str, Any]]] = {}
        for each in because:
            reasons.setdefault(each["indicator"], []).append(each)
        for indicator, own in reasons.items():
            yield self._reason(self.evidence[UUID(indicator)], own, citations)

    def _reason(self, of: PastAssessment, reasons: Sequence[Mapping[str, Any]], citations: Citations) -> str:
        kind, subject = of.inputs.subject.kind, of.inputs.subject.subject
        labels, marks = [], []
        for each in reasons:
            labels.append(self._because(each, kind))
            judgement = of.assessment.judgement if each["judged"] else None
            behind = UUID(self.urgency.behind[each["reason"], each["indicator"]]) if judgement is None else judgement.id
            marks.append(citations.mark(behind))
        # A mark follows the last of the reasons that its report gives.
        ends = ["" if mark == after else mark for mark, after in zip(marks, [*marks[1:], ""], strict=True)]
        text = self.words.locale.comma.join(f"{label}{mark}" for label, mark in zip(labels, ends, strict=True))
        codes = {each["reason"] for each in reasons}
        # Of people, the subject is the reason itself; others are about the place.
        if subject in codes or codes <= KINDS[kind].place_reasons:
            return f"{text[:1].upper()}{text[1:]}."
        return self.words.locale.gettext("%(name)s: %(value)s") % {"name": self.words.subject(kind, subject), "value": text} + "."

    def _because(self, reason: Mapping[str, Any], kind: str) -> str:
        growing = growing_reason(reason, self.view.at.date(), self.words.locale)
        return growing or self.words.label(f"because_{reason['reason']}", kind)

    def _in_order(self, kind: Kind[Any]) -> list[PastAssessment]:
        """Return the indicators of a kind as situations order them, those without a value last."""
        own = [each for each in self.evidence.values() if each.inputs.subject.kind == kind.name]
        leading = [each for each in own if each.assessment.preferred is not None]
        slug = str(self.place["slug"])
        leading.sort(key=lambda each: kind.sort_key(kind.summary(each.assessment.value or {}, self.view.at), slug))
        return [*leading, *(each for each in own if each.assessment.preferred is None)]

    def _sentences(self, kind: Kind[Any], of: PastAssessment, citations: Citations) -> Iterator[str]:
        """Yield the paragraph of one indicator, nothing if nothing is said of it any more."""
        found, words, _ = of.assessment, self.words, self.words.locale.gettext
        subject = words.subject(kind.name, of.inputs.subject.subject)
        counted = ("contradicts", "supports") if found.agreement == "claimed" else ("contradicts",)
        others = [each for each, relation in found.relations if relation in counted]
        announced = [each for each, relation in found.relations if relation == "announced"]
        if found.preferred is None:
            if claims := [*others, *announced][:MAX_OTHERS]:
                said = words.locale.semicolon.join(self._claim(kind, each, citations) for each in claims)
                yield _("%(subject)s: only claimed or announced: %(said)s.") % {"subject": subject, "said": said}
            return
        value, preferred = found.value or {}, found.preferred
        clauses = [*kind.clauses(value), *kind.details(value)]
        text = words.said(kind.name, clauses, lambda path: "".join(map(citations.mark, found.behind(path)))) if clauses else ""
        pair = {"name": subject, "value": text or _("known") + citations.mark(preferred.id)}
        yield _("%(name)s: %(value)s") % pair + "."
        if kind.has_outcome and value["outcome"] in OUTCOMES:
            yield words.outcome(value["outcome"])
        if (due := kind.due_date(value)) is not None and due < self.view.at.date():
            yield _("The first of these days is past, and no outcome is recorded.")
        if agreement := words.agreement(found, kind.name):
            yield agreement
        # A figure of the range is not told once more; another state is, whatever else of that report is shown.
        told, state = set(found.basis.values()), kind.state(preferred.value)
        against = [each for each in others if each.id not in told or kind.state(each.value) != state][:MAX_OTHERS]
        for message, some in ((_("Against this: %(said)s."), against), (_("Only announced: %(said)s."), announced[:MAX_OTHERS])):
            if some:
                yield message % {"said": words.locale.semicolon.join(self._claim(kind, each, citations) for each in some)}
        yield words.age(max((self.view.at.date() - day_of(rfc3339(preferred.time))).days, 0))
        if found.stale_after is not None and found.stale_after < self.view.at:
            yield _("This is out of date.")
        if later := self._later(kind, of, citations):
            yield _("It is older than: %(subjects)s.") % {"subjects": words.locale.semicolon.join(later)}

    def _judgement(self, kind: Kind[Any], of: PastAssessment, citations: Citations) -> Iterator[str]:
        """Yield the paragraph of a judgement; likelihood and confidence are two things, so that no sentence has both (ICD 203)."""
        if (judgement := of.assessment.judgement) is None:
            return
        words, _ = self.words, self.words.locale.gettext
        mark, stated = citations.mark(judgement.id), judgement.stated
        judged = judgement.value.model_dump(mode="json")
        clauses = [*kind.clauses(judged), *kind.details(judged)]
        said = words.said(kind.name, clauses, lambda _: mark) if clauses else mark.strip()
        shown = {"subject": words.subject(kind.name, of.inputs.subject.subject), "said": said}
        yield _("Judgement of an analyst on %(subject)s, not a report: %(said)s.") % shown
        yield from words.how_sure(judgement)
        if of.assessment.lapsed:
            yield _("It has lapsed: a later sound report contradicts it.")
        if of.assessment.partial:
            yield _("Stricter statements count beside it, so that it lowers no level.")
        if judgement.is_unsupported_for(self.view.level):
            yield _("All reports that it relies on were withdrawn or corrected, so that it lowers no level.")
        if stated["valid_until"] is not None and end_of(stated["valid_until"]).date() < self.view.at.date():
            yield _("It was valid until %(day)s.") % {"day": words.locale.day(stated["valid_until"]) + mark}

    def _later(self, kind: Kind[Any], of: PastAssessment, citations: Citations) -> list[str]:
        """Return what happened in the place after an assessment was stated, of the kinds that outdate it."""
        found = []
        for each in self.evidence.values():
            other, preferred = KINDS[each.inputs.subject.kind], each.assessment.preferred
            if other.outdates != kind.situation_group or preferred is None or of.assessment.stated_at is None:
                continue
            day = other.happened_on(each.assessment.value or {})
            if day is not None and day > of.assessment.stated_at.date():
                found.append(self.words.subject(other.name, each.inputs.subject.subject) + citations.mark(preferred.id))
        return found

    def _claim(self, kind: Kind[Any], statement: Statement, citations: Citations) -> str:
        """Return what a report says beside the assessment: its state without figures, because these are not in the situation."""
        mark, value = citations.mark(statement.id), statement.value.model_dump(mode="json")
        clauses = kind.clauses(value)
        said = [each for each in clauses if not each.figures]
        state = kind.state(statement.value)
        if len(said) < len(clauses) and state is not None and not any((state,) in each.codes.values() for each in said):
            said = [code_clause(state), *said]
        return self.words.said(kind.name, said, lambda _: mark) if said else mark.strip()

    def _source(self, statement: Statement | Judgement) -> str:
        """Return the line of a report or judgement among the sources."""
        words = self.words
        tlp = [tlp_text(LABELS[level])] if (level := _level(statement)) else []
        if isinstance(statement, Judgement):
            shown = {"who": words.safe(statement.recorded_by), "day": words.locale.day(rfc3339(statement.recorded_at)), "id": statement.id}
            line = words.locale.gettext("Judgement %(id)s of %(who)s, %(day)s.") % shown
            return " ".join([line, words.locale.quote(words.safe(statement.stated["reasons"])), *tlp])
        parts = [words.source(statement, self.view.level) + "."]
        if statement.quote:
            parts.append(words.locale.quote(words.safe(statement.quote)))
        if statement.url:
            parts.append(words.link(statement.url))
        parts.append(words.locale.gettext("Report %(id)s.") % {"id": statement.id})
        return " ".join([*parts, *tlp])


def _level(cited: Statement | Judgement) -> int:
    """Return the lowest clearance that sees what is cited: of a judgement, with the reports that it relies on."""
    return cited.shown_from if isinstance(cited, Judgement) else cited.level


def reports_behind(evidence: Iterable[PastAssessment]) -> set[UUID]:
    """Return the reports that assessments rest on, of which some may be about other indicators, as evidence of outcomes is."""
    return {report for each in evidence for report in each.assessment.basis.values()}
