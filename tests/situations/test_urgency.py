"""Tests for the urgency of situations."""

from typing import Any

import pytest

from app.situations.urgency import urgency
from tests.situations.documents import route, situation, supply, trapped


@pytest.mark.parametrize(
    ("level", "document"),
    [
        ("critical", situation(people=[trapped()], supplies=[supply(7)])),
        ("critical", situation(routes=[route("closed")], supplies=[supply(None, state="ran_out")])),
        ("critical", situation(people=[trapped()], supplies=[supply(-3, -1)])),
        ("serious", situation(people=[trapped()], supplies=[supply(8)])),
        ("serious", situation(supplies=[supply(2)])),
        ("serious", situation(routes=[route("closed"), route("closed")])),
        ("watch", situation(routes=[route("closed"), route("restricted")])),
        ("watch", situation(supplies=[supply(2, outcome="averted")])),
        ("watch", situation(people=[trapped(concept="at_risk")])),
        ("quiet", situation(people=[trapped(stale=True)], supplies=[supply(1, stale=True)])),
        ("quiet", situation()),
    ],
)
def test_urgency_has_the_level_of_the_risks(level: str, document: dict[str, Any]) -> None:
    assert urgency(document).level == level


def test_urgency_sorts_by_level_days_people_and_name() -> None:
    worst_first = [
        situation("Short and held", [trapped()], [supply(5)]),
        situation("Sooner", supplies=[supply(1)]),
        situation("Later", supplies=[supply(3)]),
        situation("Held, many", [trapped(people=900)]),
        situation("Held, few", [trapped()]),
        situation("Held, few, too", [trapped()]),
    ]
    mixed = worst_first[3:] + worst_first[:3]
    assert sorted(mixed, key=urgency) == worst_first
