"""Values of reports and assessments as text, read by the fields that the plot of their kind names."""

import re
from collections.abc import Mapping
from typing import Any

from app.board.code_labels import label_for
from app.domain.kinds import KINDS
from app.domain.kinds.showing import QUALIFIED, DatePlot, RangePlot, StatePlot
from app.http.localization import Localization

Document = Mapping[str, Any]
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def value_text(value: Document, kind: str, locale: Localization) -> str:
    """Return a value of a kind as text; field by field where its kind declares no plot."""
    plot = KINDS[kind].plot
    if isinstance(plot, RangePlot):
        text, until = _range_text(value, plot, locale), value.get(plot.until)
        return locale.gettext("%(number)s by %(date)s") % {"number": text, "date": locale.day(until)} if until else text
    if isinstance(plot, DatePlot):
        text = date_range_text(value.get(plot.earliest), value.get(plot.latest), locale) or _undated_text(value, plot, kind, locale)
        text = f"{text} ({locale.quote(quote)})" if (quote := value.get(plot.quote)) else text
        return locale.comma.join(filter(None, (text, condition_text(value, kind, locale))))
    if isinstance(plot, StatePlot):
        return _state_text(value, plot, kind, locale)
    shown = {name: each for name, each in value.items() if each not in (None, [], "")}
    return locale.comma.join(f"{label_for(name, locale, kind)}: {label_for(str(each), locale, kind)}" for name, each in shown.items())


def _range_text(value: Document, plot: RangePlot, locale: Localization) -> str:
    low, best, high, qualifier = (value.get(name) for name in (plot.low, plot.best, plot.high, plot.qualifier))
    if low is not None and high is not None and low != high:
        return f"{locale.number(low)}\u2013{locale.number(high)}"
    if best is not None and (low, high) != (None, None) and best not in (low, high):
        # A range with an open end, and the figure inside it.
        ends = _range_text({plot.low: low, plot.high: high}, plot, locale)
        return f"{ends} ({_range_text({plot.best: best, plot.qualifier: qualifier}, plot, locale)})"
    number = next((each for each in (best, high, low) if each is not None), None)
    if number is None:
        return "\u2013"
    if best is None and qualifier not in QUALIFIED:
        qualifier = "at_least" if high is None else "up_to" if low is None else None
    if qualifier in QUALIFIED:
        return locale.gettext(QUALIFIED[qualifier]) % {"number": locale.number(number)}
    return locale.number(number)


def condition_text(value: Document, kind: str, locale: Localization) -> str:
    """Return on what condition something is said; empty if on none."""
    plot = KINDS[kind].plot
    if not isinstance(plot, DatePlot) or not (condition := value.get(plot.condition)):
        return ""
    return pair_text(label_for(f"field_{plot.condition}", locale, kind), locale.quote(condition), locale)


def date_range_text(first: str | None, last: str | None, locale: Localization) -> str:
    """Return one date or two; empty without a date."""
    return " \u2013 ".join(dict.fromkeys(locale.day(each) for each in (first, last) if each))


def _undated_text(value: Document, plot: DatePlot, kind: str, locale: Localization) -> str:
    state, imminence = (label_for(code, locale, kind) if (code := value.get(name)) else "" for name in (plot.state, plot.imminence))
    return pair_text(state, imminence, locale) if state and imminence else state or "\u2013"


def days_left_text(first: int, last: int, due: str, locale: Localization) -> str:
    """Return for how many days something lasts, or since when it is past."""
    if first < 0:
        return locale.gettext("was due %(date)s") % {"date": locale.day(due)}
    if first == last:
        return locale.plural("%(count)s day left", "%(count)s days left", last)
    return locale.plural("%(first)s\u2013%(count)s day left", "%(first)s\u2013%(count)s days left", last, first=locale.number(first))


def credited_figures(indicator: Document, locale: Localization) -> dict[str, str]:
    """Return the figures and days of an assessed value that situations show, by the report that each comes from (`assessment.basis`)."""
    found: dict[str, list[str]] = {}
    shown, plot, basis = KINDS[indicator["kind"]].summary_fields, KINDS[indicator["kind"]].plot, indicator["assessment"]["basis"]
    parts = {path: path.split(".")[1] for path in basis if isinstance(plot, StatePlot) and path.endswith(f".{plot.state}")}
    for path, report in basis.items():
        if shown and path.partition(".")[0] not in shown:
            continue
        figure: Any = indicator["value"]
        for name in path.split("."):
            figure = figure[name]
        if path in parts and len({basis[each] for each in parts}) > 1:
            part, state = (label_for(each, locale, indicator["kind"]) for each in (parts[path], figure))
            found.setdefault(report, []).append(pair_text(part, state, locale))
        if type(figure) is int or _DAY.fullmatch(str(figure)):
            found.setdefault(report, []).append(locale.number(figure) if type(figure) is int else locale.day(figure))
    return {report: locale.comma.join(dict.fromkeys(figures)) for report, figures in found.items()}


def credit_text(figures: str, source: str, stated_at: str, locale: Localization) -> str:
    """Return who said some figures, and when."""
    return pair_text(figures, f"{locale.embed(source)}{locale.comma}{locale.day(stated_at)}", locale)


def _state_text(value: Document, plot: StatePlot, kind: str, locale: Localization) -> str:
    if value.get(plot.part) in plot.parts:
        return pair_text(label_for(value[plot.part], locale, kind), _state_text({**value, plot.part: None}, plot, kind, locale), locale)
    states = {part: value.get(name) for part, name in plot.parts.items()}
    if len(set(states.values())) > 1:
        return locale.comma.join(
            pair_text(label_for(part, locale, kind), label_for(state or "unknown", locale, kind), locale) for part, state in states.items()
        )
    if (state := value.get(plot.state)) is None:
        return label_for(plot.missing, locale, kind)
    text, qualifier = label_for(state, locale, kind), value.get(plot.qualifier)
    some, known = (value.get(name) for name in plot.counts or ("", ""))
    if some or (some is not None and known):
        numbers = {"number": locale.number(some), "all": locale.number(known or 0)}
        text = pair_text(text, numbers["number"] if known is None else locale.gettext("%(number)s of %(all)s") % numbers, locale)
    first, last = (value.get(name) for name in plot.days or ("", ""))
    if days := date_range_text(first, last, locale):
        text = f"{text} ({days})"
    if qualifier is None or qualifier == KINDS[kind].value_model.model_fields[plot.qualifier].default:
        return text
    return f"{text} ({label_for(qualifier, locale, kind)})"


def field_text(value: Any, kind: str, locale: Localization) -> str:
    """Return the value of a field: numbers and days as the language writes them, codes by their labels."""
    if isinstance(value, list):
        return locale.comma.join(label_for(each, locale, kind) for each in value)
    if isinstance(value, int):
        return locale.number(value)
    return locale.day(value) if _DAY.fullmatch(value) else label_for(value, locale, kind)


def pair_text(name: str, value: str, locale: Localization) -> str:
    """Join a name and its value, as the language punctuates them."""
    return locale.gettext("%(name)s: %(value)s") % {"name": name, "value": value}


def subject_text(subject: str, kind: str, routes: Mapping[str, Document], locale: Localization) -> str:
    """Return the name of the route that a subject is, otherwise the labels of its codes, the second in brackets."""
    if KINDS[kind].references.get(KINDS[kind].filter_field) == "route" and subject in routes:
        return str(routes[subject]["name"])
    first, *details = (
        locale.gettext("since %(first)s") % {"first": locale.day(each)} if _DAY.fullmatch(each) else label_for(each, locale, kind)
        for each in subject.split(".")
    )
    return f"{first} ({locale.comma.join(details)})" if details else first


def since_text(item: Document, locale: Localization) -> str:
    """Return since when a route has its status; empty if not known."""
    first, last = item["since_earliest"], item["since_latest"]
    if first and last and first != last:
        return locale.gettext("since between %(first)s and %(last)s") % {"first": locale.day(first), "last": locale.day(last)}
    return locale.gettext("since %(first)s") % {"first": locale.day(first or last)} if first or last else ""


def passable_text(item: Document, kind: str, locale: Localization) -> str:
    """Return who can pass a route; empty if it is closed."""
    if item["status"] == "closed":
        return ""
    if item["passable_by"] is None:
        return locale.gettext("who can pass is not said")
    users = locale.comma.join(label_for(each, locale, kind) for each in item["passable_by"])
    return locale.gettext("passable by: %(users)s") % {"users": users or locale.gettext("no one")}
