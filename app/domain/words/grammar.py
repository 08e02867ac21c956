"""The grammar, as `grammar.toml` states it."""

import re
import tomllib
from importlib.resources import files
from typing import Any

_RULES: dict[str, Any] = tomllib.loads((files("app.domain.words") / "grammar.toml").read_text("utf-8"))
SUPPLIES: dict[str, list[str]] = _RULES["supplies"]
USUAL_WORDS = frozenset(_RULES["usual_words"])


def _filled(pattern: str) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda match: _filled(_RULES["fragments"][match[1]]), pattern.replace("\\\n", ""))


def compiled(table: str, name: str, suffix: str = "") -> "tuple[re.Pattern[str], ...]":
    """Return the pattern or the patterns of a name in a table, with their fragments."""
    found = _RULES[table][name]
    return tuple(re.compile(_filled(each) + suffix) for each in ([found] if isinstance(found, str) else found))


KINDS = ("trapped_population", "supply_runout", "route_closure")
STATES = ("will_run_out", "low", "ran_out", "resupplied")
CONCEPTS = ("trapped", "besieged", "encircled", "hard_to_reach", "in_need", "at_risk", "remaining")
TRIGGERS = {kind: compiled(kind, "trigger")[0] for kind in KINDS}
ATTRIBUTIONS = compiled("attribution", "patterns")
FIGURES = compiled("trapped_population", "patterns")
(BESIDE_FIGURE,) = compiled("trapped_population", "beside")
# Statements of supplies and routes; each pattern is a whole sentence.
SUPPLY_STATES = tuple((state, pattern) for state in STATES for pattern in compiled("supply_runout", state, r"\.?$"))
CONDITIONS = compiled("supply_runout", "conditions")
ROUTE_STATES = compiled("route_closure", "patterns", r"\.?$")
TO_PLACE, LAST_ROUTE, STATE_WORDS = (compiled("route_closure", name)[0] for name in ("to_place", "last_route", "state_words"))
BEFORE_PLACE, AFTER_PLACE = (compiled("another_place", name)[0] for name in ("before", "after"))
WHEN = re.compile(_filled("{month_name}|{weekday_name}"))
OTHER_NOUN, OPENER = (compiled("another_there", name)[0] for name in ("nouns", "openers"))
DOUBTS, MODAL_DOUBTS, FIGURE_DOUBTS = (
    {reason: compiled(table, reason)[0] for reason in _RULES[table]} for table in ("doubts", "modal_doubts", "figure_doubts")
)
DENIED, TAKEN_BACK, MEANT, CHALLENGED, STOOD_BY, SCORNED, OLD = (
    compiled("answers", name)[0] for name in ("denied", "taken_back", "meant", "challenged", "stood_by", "scorned", "old")
)
ENDED = {name: compiled("ended", name)[0] for name in (*KINDS, "resupplied", "open")}
NOT_ENDED, SPOKEN_OF, OTHER_DAY, SAID_OF = (compiled("ended", name)[0] for name in ("not_ended", "spoken_of", "other_day", "said_of"))
FILLER = re.compile(r" (?:still|now|currently|also|already|completely|fully)(?= )|(?<![a-z])(?:only|just) (?=[NT])")
