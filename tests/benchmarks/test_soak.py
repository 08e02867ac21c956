"""Verdicts of the soak: each claim holds on good figures and fails on its own fault alone."""

import math
from typing import Any

import pytest

from tests.benchmarks.open_load import BASE
from tests.benchmarks.soak import Span, joined, judge

CLAIMS = {"memory", "5xx", "p99", "streams", "sheds", "health", "recovers"}


def window(*, seconds: float = 0.01, shed: int = 0, mib: int = 200, **more: Any) -> Span:
    """Return a window of five seconds with a hundred answers of a duration and some rejected requests."""
    span = Span(resident=[mib * 2**20], health=[0.01, 0.01])
    statuses = {"200": 100} | ({"503": shed} if shed else {}) | more.get("statuses", {})
    told = {"seconds": 5.0, "events": 10, "shed_untold": 0, "other": "", "statuses": {"page": statuses}}
    waits = {"page": {str(round(math.log(seconds, BASE))): 100}}
    span.add(told | {"waits": waits} | {name: value for name, value in more.items() if name != "statuses"})
    return span


def test_span_wait_returns_quantile_of_histogram() -> None:
    found = joined([window(seconds=0.01)] * 98 + [window(seconds=2.0)] * 2)
    assert found.wait(0.5) == pytest.approx(0.01, rel=0.02)
    assert found.wait(0.98) == pytest.approx(0.01, rel=0.02)
    assert found.wait(0.99) == pytest.approx(2.0, rel=0.02)
    assert (found.answered(), found.failed(), found.seconds) == (10_000, 0, 500)


@pytest.mark.parametrize(
    ("parts", "fallen"),
    [
        ({}, set()),
        ({"soak": [window(mib=200)] * 6 + [window(mib=220)] * 3}, {"memory"}),
        ({"soak": [window()] * 8 + [window(statuses={"500": 1})]}, {"5xx"}),
        ({"soak": [window()] * 8 + [window(statuses={"timeout": 1})]}, {"5xx"}),
        ({"soak": [window()] * 6 + [window(seconds=0.1)] * 3}, {"p99"}),
        ({"soak": [window()] * 8 + [window(streams_lost=1)]}, {"streams"}),
        ({"overload": [window()] * 6}, {"sheds"}),
        ({"overload": [window(shed=50, shed_untold=1)] * 6}, {"sheds"}),
        ({"overload": [window(shed=50, statuses={"500": 1})] * 6}, {"sheds"}),
        ({"overload": [window(shed=50)] * 5 + [Span(5.0, resident=[1], health=[0.01], unhealthy=1)]}, {"health"}),
        ({"after": [window(seconds=5.0)] * 2 + [window(seconds=1.0)] * 4}, {"recovers"}),
        ({"after": [window()] * 5 + [window(shed=1)]}, {"recovers"}),
        ({"alive": False}, {"recovers"}),
    ],
)
def test_judge_single_fault_fails_only_its_claim(parts: dict[str, Any], fallen: set[str]) -> None:
    seen: dict[str, Any] = {"soak": [window()] * 9, "overload": [window(shed=50)] * 6, "after": [window(seconds=3.0)] + [window()] * 5}
    seen |= {"alive": True} | parts
    verdicts = judge(seen["soak"], seen["overload"], seen["after"], alive=seen["alive"])
    assert {claim for each in verdicts for claim in CLAIMS if not each.holds and claim in each.claim} == fallen
    assert sum(not each.holds for each in verdicts) == len(fallen)
