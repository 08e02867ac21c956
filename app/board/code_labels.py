"""The words for what the API serves as codes. A code that is not here is shown as it is, so that a new kind needs nothing."""

from collections.abc import Mapping
from typing import Any

from app.board.localization import Tongue


def _n(message: str) -> str:
    """Mark a message for the catalogues."""
    return message


WORDS = {
    # concepts
    "trapped": _n("Trapped"),
    "besieged": _n("Besieged"),
    "hard_to_reach": _n("Hard to reach"),
    "encircled": _n("Encircled"),
    "at_risk": _n("At risk"),
    "in_need": _n("In need"),
    "remaining": _n("Remaining"),
    # supplies and their scope
    "basic": _n("Basic supplies"),
    "food": _n("Food"),
    "medical": _n("Medical supplies"),
    "water": _n("Water"),
    "fuel": _n("Fuel"),
    "electricity": _n("Electricity"),
    "shelter": _n("Shelter"),
    "hygiene": _n("Hygiene"),
    "all_stock": _n("all stock"),
    "agency_stock": _n("agency stock"),
    "market": _n("market"),
    "facility": _n("facility"),
    "will_run_out": _n("will run out"),
    "low": _n("low"),
    "ran_out": _n("ran out"),
    "resupplied": _n("resupplied"),
    "materialised": _n("came true"),
    "averted": _n("averted"),
    "overtaken": _n("overtaken by events"),
    "pending": _n("outcome not known yet"),
    # routes
    "open": _n("open"),
    "restricted": _n("restricted"),
    "closed": _n("closed"),
    "civilian": _n("civilians"),
    "humanitarian": _n("aid"),
    "commercial": _n("trade"),
    "observed": _n("observed"),
    "agreed": _n("agreed"),
    "announced": _n("announced"),
    # agreement
    "single": _n("one source"),
    "consistent": _n("sources agree"),
    "contested": _n("contested"),
    "unconfirmed": _n("parties to the conflict only"),
    # relation to the reading
    "preferred": _n("preferred"),
    "supports": _n("supports"),
    "contradicts": _n("contradicts"),
    "superseded": _n("corrected since"),
    "retracted": _n("withdrawn"),
    "replaced_by_later": _n("the source spoke again"),
    "past_horizon": _n("too old beside the newest"),
    # basis
    "headcount": _n("headcount"),
    "registration": _n("registration"),
    "key_informant": _n("key informant"),
    "direct_observation": _n("direct observation"),
    "remote_sensing": _n("remote sensing"),
    "modelled": _n("modelled"),
    "expert_estimate": _n("expert estimate"),
    "media_monitoring": _n("media monitoring"),
    "unknown": _n("not stated"),
    # types of source
    "un": _n("United Nations"),
    "government": _n("government"),
    "armed_actor": _n("armed actor"),
    "ngo": _n("NGO"),
    "monitor": _n("monitor"),
    "media": _n("media"),
    "local_council": _n("local council"),
    "witness": _n("witness"),
    # kinds
    "trapped_population": _n("People"),
    "supply_runout": _n("Supplies"),
    "route_closure": _n("Routes"),
    # urgency
    "critical": _n("Critical"),
    "serious": _n("Serious"),
    "watch": _n("Watch"),
    "quiet": _n("No recent statement"),
}
# Qualifiers stand with their number.
QUALIFIED = {
    "about": _n("about %(number)s"),
    "nearly": _n("nearly %(number)s"),
    "up_to": _n("up to %(number)s"),
    "more_than": _n("more than %(number)s"),
    "at_least": _n("at least %(number)s"),
}


def word(tongue: Tongue, code: str | None) -> str:
    """A code in words."""
    if code is None:
        return ""
    return tongue.gettext(WORDS[code]) if code in WORDS else code.replace("_", " ")


def people(tongue: Tongue, value: Mapping[str, Any]) -> str:
    """Persons as one figure: a range where there is one, else the number with its qualifier."""
    low, high, point = (value.get(name) for name in ("people_low", "people_high", "people"))
    if isinstance(low, int) and isinstance(high, int) and low != high:
        return f"{tongue.number(low)}\u2013{tongue.number(high)}"
    number = next((each for each in (point, high, low) if isinstance(each, int)), None)
    if number is None:
        return "\u2013"
    qualifier = str(value.get("qualifier") or "")
    if not isinstance(point, int) and qualifier not in QUALIFIED:
        qualifier = "at_least" if high is None else "up_to" if low is None else ""
    if qualifier in QUALIFIED:
        return tongue.gettext(QUALIFIED[qualifier]) % {"number": tongue.number(number)}
    return tongue.number(number)
