"""Search in folded text: every word of a query must occur in it, as a word or inside one."""

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlmodel import col

from app.domain.folding import fold
from app.reference.bodies import Filter
from app.reference.models import RecordText, ReferenceModel
from app.reference.rows import search_text, visible_record


def contains_words(column: Any, query: str) -> list[ColumnElement[bool]]:
    """Return the conditions that a column of folded text has the words of a query; a folded word has no wildcard of LIKE."""
    # The longest first, because it fits the fewest rows.
    return [col(column).like(f"%{word}%") for word in sorted(set(fold(query).split()), key=len, reverse=True)]


def name_filter(model: ReferenceModel, query: str, level: int) -> Filter:
    """Return the filter for records whose names, slug or codes, as a clearance sees them, have the words of a query."""
    seen = (col(RecordText.min_clearance) <= level, col(RecordText.max_clearance) >= level)
    found = select(col(RecordText.record_id)).where(*contains_words(RecordText.text, query), *seen)
    words = fold(query).split()

    def fits(record: dict[str, Any]) -> bool:
        text = search_text(visible_record(str(model.__tablename__), record, level))
        return all(word in text for word in words)

    return Filter(col(model.id).in_(found), fits)
