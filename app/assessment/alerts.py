"""Which reports may be acted on as alerts, and which earlier ones each of them ends, as of when readers first see them. Pure."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from app.assessment.inputs import AssessmentInputs
from app.assessment.statement import Statement
from app.assessment.terms import is_party, is_sound, origin_of
from app.domain.kinds import KINDS
from app.domain.kinds.base import Contradiction
from app.domain.kinds.combining import StatedValue
from app.domain.tlp import MAX_LEVEL

# Of one request, for one indicator and clearance, the last ones: each takes two assessments.
MAX_CHECKED_REPORTS = 50


def alert_rows(inputs: AssessmentInputs, recorded: Collection[UUID], shown_below: int | None = None) -> list[dict[str, Any]]:
    """Return the rows to store for reports on one indicator that were just recorded: those that call for an alert, or cancel one.

    For a report that a lower label just showed to the clearances from that label to `shown_below`, return what it is for these alone.
    """
    kind = KINDS[inputs.subject.kind]

    def calls(each: Statement) -> bool:
        return kind.alert(each.value, each.recorded_at.date()) is not None

    checked: dict[UUID, tuple[bool, list[UUID]]] = {}
    cancelling = {each.id for each in inputs.statements if each.id in recorded and kind.cancels_alerts(each.value)}
    alerting = {each.id for each in inputs.statements if calls(each)} if cancelling else set()
    # Without an alert, nothing is to cancel.
    new = [each for each in inputs.statements if each.id in recorded and (calls(each) or (alerting and each.id in cancelling))]
    new.sort(key=lambda each: each.global_seq)
    rows: dict[UUID, dict[str, Any]] = {
        each.id: {"report_id": each.id, "cancels": each.id in cancelling, "confirmed": 0, "ended": {}} for each in new
    }
    changing = inputs.changing_levels() if new else set()
    end = MAX_LEVEL + 1 if shown_below is None else shown_below
    for level in range(min((each.level for each in new), default=end), end):
        if not checked or level in changing:
            seen = [each for each in new if each.level <= level][-MAX_CHECKED_REPORTS:]
            checked = {each.id: _check(inputs, level, each, each.global_seq if shown_below is None else None) for each in seen}
        for report, (confirmed, ended) in checked.items():
            row = rows[report]
            gone = [each for each in ended if not row["cancels"] or each in alerting]
            row["confirmed"] |= int(confirmed and (bool(gone) or not row["cancels"])) << level
            row["ended"] |= {str(each): row["ended"].get(str(each), 0) | 1 << level for each in gone}
    return [each for each in rows.values() if each["confirmed"] or not each["cancels"]]


def _check(inputs: AssessmentInputs, level: int, report: Statement, through: int | None) -> tuple[bool, list[UUID]]:
    """Tell for a clearance whether a report can be acted on, and which reports that it contradicts stood until it came."""
    kind = KINDS[inputs.subject.kind]
    said = [each for each in inputs.statements if through is None or each.global_seq <= through]
    by_id = {each.id: each for each in said if each.level <= level}
    found = inputs.assess(level, statements=said)
    if report not in found.standing:
        return False, []

    def compared_with(other: Statement) -> Contradiction | None:
        if not kind.facets(report.value) & kind.facets(other.value):
            return None
        return kind.compare(StatedValue(report.value, report.local_day), StatedValue(other.value, other.local_day))

    def sound(each: Statement) -> bool:
        return is_sound(each, is_party(each, origin_of(each, by_id)))

    confirmed = sound(report)
    if kind.claims_relief(report.value):
        # A state that an outcome left is no report, but shows in the assessed value.
        same = not kind.has_outcome or (found.value or {}).get(kind.status_field or "") == kind.state(report.value)
        confirmed = confirmed and same and not any(sound(each) and compared_with(each) == "better" for each in found.standing)
    listed = [*(each for each, _ in found.relations), *(each for each, _ in found.left_out)]
    gone = [each for each in listed if each not in found.standing and compared_with(each) is not None]
    before = inputs.assess(level, statements=[each for each in said if each is not report]).standing if gone else ()
    return confirmed, [each.id for each in gone if each in before]
