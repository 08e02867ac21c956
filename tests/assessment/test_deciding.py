"""Tests of the reports that decide an assessment."""

from typing import Any

from app.assessment.deciding import MAX_DECIDING_REPORTS, deciding_reports
from tests.support.assessing import assessment_of, statement


def test_deciding_set_is_the_smallest_and_newest() -> None:
    def people(source: str, day: int) -> Any:
        return statement("trapped_population", {"concept": "trapped", "people": 300}, source, day=day)

    said = [people(name, day) for day, name in enumerate("abc")]

    def decide(statements: list[Any]) -> list[Any]:
        def without(left: Any) -> Any:
            return assessment_of("trapped_population", *(each for each in statements if each.id not in left))

        return deciding_reports(without(()), (), len(statements), without)

    assert decide(said[:1]) == said[:1]
    assert decide(said[:2]) == [said[1]]
    # The value stays without any one of three; without two of them it is `single`.
    assert decide(said) == [said[2], said[1]]
    many = [people(f"source-{at}", at) for at in range(MAX_DECIDING_REPORTS + 2)]
    assert decide(many) == []
