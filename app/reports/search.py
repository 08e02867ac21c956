"""Search in quotes, titles and the words of values."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlmodel import col

from app.domain.folding import fold
from app.reference.search import contains_words
from app.reports.models import Report, ReportText


def text_rows(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Return the rows that searches read of reports; none for a report without words."""
    folded = ((each.global_seq, fold(" ".join(_words(each)))) for each in reports)
    return [{"global_seq": global_seq, "text": text} for global_seq, text in folded if text]


def _words(report: Report) -> Iterable[str]:
    codes = (text for value in report.value.values() for text in (value if isinstance(value, list) else [value]))
    return filter(None, (report.quote, report.title, *(text for text in codes if isinstance(text, str))))


def has_words(query: str) -> ColumnElement[bool]:
    """Return the condition for reports that have the words of a query."""
    return col(Report.global_seq).in_(select(col(ReportText.global_seq)).where(*contains_words(ReportText.text, query)))
