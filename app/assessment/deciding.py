"""The reports on which an assessment depends. Pure."""

from collections.abc import Callable, Iterable, Set
from itertools import combinations, islice
from uuid import UUID

from app.assessment.envelope import Assessment
from app.assessment.statement import Statement
from app.assessment.terms import in_order_of_time

# Reports that are taken out together at most, and reports read at most in all trials of one search.
MAX_DECIDING_REPORTS = 3
MAX_REPORTS_READ = 5_000
MIN_TRIALS = 5


def deciding_reports(
    assessment: Assessment, evidence: Iterable[Statement], number: int, assess_without: Callable[[Set[UUID]], Assessment]
) -> list[Statement]:
    """Return a smallest set of reports without which the preferred value or the agreement would be another.

    They are among the reports that stand and the `evidence` of outcomes. `number` is how many reports each trial reads.
    Of several sets the one with the newest reports. Sets are tried in order of size, newest first, up to MAX_DECIDING_REPORTS reports
    and MAX_REPORTS_READ reports read; empty if none of these changes anything.
    """
    candidates = in_order_of_time({each.id: each for each in (*evidence, *assessment.standing)}.values())[::-1]
    trials = max(MIN_TRIALS, MAX_REPORTS_READ // max(1, number))
    sets = (some for size in range(1, MAX_DECIDING_REPORTS + 1) for some in combinations(candidates, size))
    for some in islice(sets, trials):
        again = assess_without({each.id for each in some})
        if again.agreement != assessment.agreement or _led_by(again) != _led_by(assessment):
            return list(some)
    return []


def _led_by(assessment: Assessment) -> object:
    return None if assessment.preferred is None else assessment.preferred.value
