"""The article of docs/reporting.md, and its seven statements as an operator types them into the forms of the desk."""

from typing import Any

ARTICLE = """Nearly 300,000 people are trapped in eastern Aleppo, the UN said on Friday.

The UN said on Friday that food in eastern Aleppo could run out in two to three weeks. The Castello Road to eastern Aleppo has been \
closed since early July, the UN said on Friday.

Fuel in eastern Aleppo is running low, OCHA said on Saturday. Medical supplies in eastern Aleppo could run out in 10 days, OCHA said on \
Saturday. Water in eastern Aleppo has run out, OCHA said on Saturday.

At least 250,000 people are besieged in eastern Aleppo, OCHA said on Saturday. Tens of thousands of people in eastern Aleppo are in need \
of aid, residents say."""

PUBLISHED = {"#f-provenance-via": "Regional News Site", "#f-provenance-published_at": "31 July 2016"}
UN, OCHA = ({"#f-source": name, "#f-stated_at": day} for name, day in (("UN", "Friday"), ("OCHA", "Saturday")))
# Kind, what is chosen and what is typed, and what is shown as the value that will be recorded.
STATEMENTS: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("People", {"#f-value-concept": "trapped", "#f-value-qualifier": "nearly"}, UN | {"#f-value-people": "300,000"}, "nearly 300,000"),
    ("Supplies", {"#f-value-supply": "food"}, UN | {"#f-value-runs_out": "in two to three weeks"}, "12 Aug 2016 \u2013 19 Aug 2016"),
    ("Routes", {"#f-value-status": "closed"}, UN | {"#f-value-route": "Castello Road", "#f-value-since": "early July"}, "10 Jul 2016"),
    ("Supplies", {"#f-value-supply": "fuel", "#f-value-state": "low"}, OCHA, "low"),
    ("Supplies", {"#f-value-supply": "medical"}, OCHA | {"#f-value-runs_out": "in 10 days"}, "9 Aug 2016"),
    ("Supplies", {"#f-value-supply": "water", "#f-value-state": "ran_out"}, OCHA, "ran out"),
    (
        "People",
        {"#f-value-concept": "besieged", "#f-value-qualifier": "at_least"},
        OCHA | {"#f-value-people": "250,000"},
        "at least 250,000",
    ),
]
RECORDS: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("places", {}, {"#f-name": "Eastern Aleppo", "#f-country": "SYR", "#f-timezone": "Asia/Damascus", "#f-centroid": "37.18, 36.21"}),
    ("sources", {"#f-type": "un", "#f-reliability": "B"}, {"#f-name": "UN"}),
    ("sources", {"#f-type": "un", "#f-reliability": "B"}, {"#f-name": "OCHA"}),
    ("sources", {"#f-type": "media", "#f-reliability": "C"}, {"#f-name": "Regional News Site"}),
    ("routes", {"#f-mode": "road"}, {"#f-name": "Castello Road"}),
]


def fill(page: Any, chosen: dict[str, str], typed: dict[str, str]) -> None:
    """Choose and type into a form, by the keyboard alone."""
    for field, value in chosen.items():
        page.select_option(field, value)
    for field, value in typed.items():
        page.fill(field, value)
