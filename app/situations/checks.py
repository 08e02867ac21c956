"""Plausibility checks of a situation (docs/analysts.md): they flag figures to look at, and change none. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from app.assessment.envelope import Assessment, assess
from app.assessment.statement import Statement
from app.assessment.terms import in_order_of_time, is_party, is_sound, origin_of
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.kinds.showing import RangePlot
from app.domain.times import start_of
from app.situations.wording import Wording

Document = Mapping[str, Any]
Check = dict[str, Any]

MIN_FACTOR = 10
# Reports that say nothing of their own, or nothing any more.
_IGNORED = frozenset({"superseded", "retracted", "relayed", "announced", "claimed"})
_STANDING = frozenset({"preferred", "supports", "contradicts"})


@dataclass(frozen=True, slots=True)
class Said:
    """The statements on one indicator that a reader may see, and their assessment."""

    document: Document
    kind: Kind[Any]
    statements: Sequence[Statement]
    assessment: Assessment

    def own(self) -> list[Statement]:
        """Return the reports that say something of their own, oldest first."""
        ignored = {each.id for each, relation in (*self.assessment.relations, *self.assessment.left_out) if relation in _IGNORED}
        return in_order_of_time(each for each in self.statements if each.id not in ignored)

    def standing(self) -> set[Any]:
        """Return the identifiers of the reports that stand and count."""
        return {each.id for each, relation in self.assessment.relations if relation in _STANDING}


def is_checked(kind: Kind[Any], *, reports: int = 2) -> bool:
    """Tell whether checks read the reports of a kind on one indicator, which has that many: a single one is evidence at most."""
    is_compared = isinstance(kind.plot, RangePlot) or kind.has_outcome
    return (reports > 1 and is_compared) or any(kind.name in each.evidence_kinds for each in KINDS.values())


def build_said(document: Document, statements: Sequence[Statement], horizon: timedelta, level: int) -> Said:
    """Return the statements on an indicator with their assessment for a clearance."""
    kind = KINDS[document["kind"]]
    return Said(document, kind, statements, assess(kind, statements, level=level, horizon=horizon))


def counted_figures(documents: Iterable[Document]) -> list[dict[str, Any]]:
    """Return the figures of people among documents: what `pair_families` and the checks of families read."""
    found = []
    for each in documents:
        if each["provenance"] is not None and KINDS[each["kind"]].counts_stock:
            assessment = {name: each["assessment"][name] for name in ("basis", "preferred")}
            found.append({name: each[name] for name in ("id", "kind", "subject", "place", "value")} | {"assessment": assessment})
    return found


def pair_families(own: Iterable[Document], below: Iterable[Document], above: Iterable[Document]) -> list[tuple[Document, Document]]:
    """Return the figures of a place beside those of the places below and above it, as pairs of child and parent on one subject."""
    by_subject = {(each["kind"], each["subject"]): each for each in own}
    if not by_subject:
        return []
    pairs = [(each, parent) for each in below if (parent := by_subject.get((each["kind"], each["subject"]))) is not None]
    pairs += [(child, each) for each in above if (child := by_subject.get((each["kind"], each["subject"]))) is not None]
    return sorted(pairs, key=lambda pair: (pair[0]["id"], pair[1]["id"]))


def build_checks(
    documents: Sequence[Document],
    families: Iterable[tuple[Document, Document]],
    said: Sequence[Said],
    at: datetime,
    words: Wording,
) -> list[Check]:
    """Return the checks that flag something; `documents` are of one place, `families` pairs of child and parent on one subject."""
    checks = [each for each in (_child_above_parent(*pair, words) for pair in families) if each]
    checks += _contradicting_concepts([each for each in documents if each["provenance"] is not None], at, words)
    checks += [each for own in said if isinstance(own.kind.plot, RangePlot) for each in _tenfold(own, own.kind.plot, words)]
    for own in said:
        if (pair := moved_later(own, said)) is not None:
            old, new = (words.value(own.kind.name, value_of(each)) for each in pair)
            text = words.locale.gettext("%(subject)s: first %(old)s, then %(new)s; no delivery is known in between.")
            subject = words.subject(own.kind.name, own.document["subject"])
            checks.append(_check("moved_later", [own.document], pair, text % {"subject": subject, "old": old, "new": new}))
    return checks


def _check(name: str, documents: Iterable[Document], reports: Iterable[Any], detail: str) -> Check:
    ids = [each if isinstance(each, str) else str(each.id) for each in reports]
    return {"check": name, "indicators": [each["id"] for each in documents], "reports": list(dict.fromkeys(ids)), "detail": detail}


def value_of(statement: Statement) -> dict[str, Any]:
    """Return the value of a report as JSON."""
    return statement.value.model_dump(mode="json")


def _preferred(value: Mapping[str, Any], plot: RangePlot) -> tuple[str, int | None]:
    """Return the figure of a value and its field: the preferred one, else the highest, else the lowest."""
    return next(((name, value[name]) for name in (plot.best, plot.high, plot.low) if value.get(name) is not None), ("", None))


def _above(one: Document, other: Document) -> tuple[int, int, list[str]] | None:
    """Return the figure of an assessment that exceeds the highest claim of another, that claim, and their reports; None if it does not."""
    plot = KINDS[one["kind"]].plot
    assert isinstance(plot, RangePlot), "what counts people has a plot of a range"
    path, figure = _preferred(one["value"], plot)
    bound = other["value"][plot.high]
    if figure is None or bound is None or figure <= bound:
        return None
    basis, bases = one["assessment"], other["assessment"]
    return figure, bound, [basis["basis"].get(path, basis["preferred"]), bases["basis"].get(plot.high, bases["preferred"])]


def _child_above_parent(child: Document, parent: Document, words: Wording) -> Check | None:
    if (found := _above(child, parent)) is None:
        return None
    figure, bound, reports = found
    text = words.locale.gettext("%(subject)s in %(child)s: %(figure)s, more than %(bound)s, the highest claim for %(parent)s.")
    named = {
        name: words.name("place", each["place"]["slug"], each["place"]["name"]) for name, each in (("child", child), ("parent", parent))
    }
    said = {"subject": words.subject(child["kind"], child["subject"]), "figure": words.figure(figure), "bound": words.figure(bound)}
    return _check("child_above_parent", (child, parent), reports, text % (named | said))


def _is_stale(document: Document, at: datetime) -> bool:
    return document["stale_after"] is not None and start_of(document["stale_after"]) < at


def _contradicting_concepts(documents: Sequence[Document], at: datetime, words: Wording) -> Iterable[Check]:
    by_subject = {(each["kind"], each["place"]["slug"], each["subject"]): each for each in documents}
    for one in documents:
        for (part, whole), reason in KINDS[one["kind"]].part_of.items():
            other = by_subject.get((one["kind"], one["place"]["slug"], whole))
            # A figure that is out of date may be of before people left.
            if part != one["subject"] or other is None or _is_stale(one, at) or (found := _above(one, other)) is None:
                continue
            text = words.locale.gettext("%(part)s: %(figure)s (%(day)s), more than %(whole)s: %(bound)s (%(other_day)s); but %(reason)s.")
            figure, bound, reports = found
            shown = {
                "part": words.subject(one["kind"], part),
                "figure": words.figure(figure),
                "day": words.locale.day(one["stated_at"]),
                "whole": words.subject(one["kind"], whole),
                "bound": words.figure(bound),
                "other_day": words.locale.day(other["stated_at"]),
                "reason": words.locale.gettext(reason),
            }
            yield _check("contradicting_concepts", (one, other), reports, text % shown)


def _tenfold(said: Said, plot: RangePlot, words: Wording) -> Iterable[Check]:
    """Flag reports that stand whose figure is ten times that of the report before, or a tenth of it, as after a wrong number of zeros."""
    standing, own = said.standing(), said.own()
    for last, each in pairwise(own):
        (_, before), (_, figure) = _preferred(value_of(last), plot), _preferred(value_of(each), plot)
        if each.id not in standing or not before or not figure or max(before, figure) < MIN_FACTOR * min(before, figure):
            continue
        rises = figure > before
        text = (
            words.locale.gettext("%(subject)s: %(new)s after %(old)s, at least ten times as many.")
            if rises
            else words.locale.gettext("%(subject)s: %(new)s after %(old)s, at most a tenth of it.")
        )
        subject = words.subject(said.kind.name, said.document["subject"])
        shown = {"subject": subject, "new": words.figure(figure), "old": words.figure(before)}
        yield _check("tenfold", [said.document], (last, each), text % shown)


def moved_later(said: Said, of_place: Sequence[Said]) -> tuple[Statement, Statement] | None:
    """Return the newest warning that stands and the one before it, if it moved the event later though no sound relief came between.

    Relief is what claims it: a report on the indicator itself, or of the kinds that are evidence of its outcomes.
    """
    kind, standing = said.kind, said.standing()
    dated = [(each, days) for each in said.own() if (days := _days(kind, each)) is not None]
    if len(dated) < 2 or dated[-1][0].id not in standing:
        return None
    (earlier, before), (later, after) = dated[-2:]
    if not (before[0] < after[0] and before[1] < after[1]) or _relieved(said, of_place, earlier, later):
        return None
    return earlier, later


def _days(kind: Kind[Any], statement: Statement) -> tuple[date, date] | None:
    if (first_last := kind.forecast_range(statement.value)) is None:
        return None
    first, last = first_last
    found = first or last
    return None if found is None else (found, last or found)


def _relieved(said: Said, of_place: Sequence[Said], earlier: Statement, later: Statement) -> bool:
    own_place, subject = said.document["place"]["slug"], getattr(later.value, said.kind.filter_field)
    for each in of_place:
        if each is not said and not (each.document["place"]["slug"] == own_place and each.kind.name in said.kind.evidence_kinds):
            continue
        by_id = {one.id: one for one in each.statements}
        for one in each.own():
            counts = is_sound(one, is_party(one, origin_of(one, by_id))) and (each is said or each.kind.is_about(one.value, subject))
            if counts and each.kind.claims_relief(one.value) and earlier.local_day <= one.local_day <= later.local_day:
                return True
    return False
