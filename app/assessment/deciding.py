"""The reports on which an assessment depends. Pure."""

from collections.abc import Callable, Sequence
from itertools import combinations, islice

from app.assessment.envelope import Assessment
from app.assessment.statement import Statement
from app.assessment.terms import in_order_of_time

# Reports that are taken out together at most, and reports read at most in all trials of one search.
MAX_DECIDING_REPORTS = 3
MAX_REPORTS_READ = 5_000
MIN_TRIALS = 5


def deciding_reports(
    assessment: Assessment, statements: Sequence[Statement], assess_again: Callable[[Sequence[Statement]], Assessment]
) -> list[Statement]:
    """Return a smallest set of standing reports without which the preferred value or the agreement would be another.

    Of several sets the one with the newest reports. Sets are tried in order of size, newest first, up to MAX_DECIDING_REPORTS reports
    and MAX_REPORTS_READ reports read; empty if none of these changes anything.
    """
    candidates = in_order_of_time(assessment.standing)[::-1]
    trials = max(MIN_TRIALS, MAX_REPORTS_READ // max(1, len(statements)))
    sets = (some for size in range(1, MAX_DECIDING_REPORTS + 1) for some in combinations(candidates, size))
    for some in islice(sets, trials):
        left = {each.id for each in some}
        again = assess_again([each for each in statements if each.id not in left])
        if again.agreement != assessment.agreement or _led_by(again) != _led_by(assessment):
            return list(some)
    return []


def _led_by(assessment: Assessment) -> object:
    return None if assessment.preferred is None else assessment.preferred.value
