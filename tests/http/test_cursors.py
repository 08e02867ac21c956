"""Cursors: a round trip for each type of key, and a 422 for those that a list did not give out."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from app.http.cursors import MALFORMED, Cursor, cursor_revision
from app.http.problems import Problem

IDENTIFIER = UUID("01900000-0000-7000-8004-000000000002")
REPORTS = Cursor("reports", UUID)
CODECS: list[tuple[Cursor[Any], Any]] = [
    (REPORTS, IDENTIFIER),
    (Cursor("alerts", int), 7),
    (Cursor("warnings", tuple[date, UUID]), (date(2016, 8, 11), IDENTIFIER)),
]


def rejection(codec: Cursor[Any], cursor: str) -> str:
    with pytest.raises(Problem) as raised:
        codec.decode(cursor, "?after")
    (error,) = raised.value.errors
    assert (raised.value.status, error.pointer) == (422, "?after")
    return error.detail


@pytest.mark.parametrize(("codec", "key"), CODECS)
def test_decode_returns_the_encoded_key(codec: Cursor[Any], key: Any) -> None:
    cursor = codec.encode(key, 12)
    assert codec.decode(cursor) == key
    assert cursor_revision(cursor) == 12


def test_none_is_no_cursor() -> None:
    assert REPORTS.encode(None, 12) is None
    assert REPORTS.decode(None) is None


@pytest.mark.parametrize(("codec", "key"), CODECS[1:])
def test_decode_rejects_the_cursor_of_another_list(codec: Cursor[Any], key: Any) -> None:
    assert rejection(REPORTS, codec.encode(key, 12)) == "this cursor belongs to another list; start without one"


@pytest.mark.parametrize("cursor", ["", "x", "null", "é", "A" * 3, "../x", "A" * 13])
def test_decode_rejects_text_that_is_not_a_cursor(cursor: str) -> None:
    assert rejection(REPORTS, cursor) == MALFORMED
    assert cursor_revision(cursor) == 0


@pytest.mark.parametrize("change", [lambda text: text[:-4], lambda text: text + "AAAA"], ids=["shorter", "longer"])
def test_decode_rejects_a_key_of_another_length(change: Any) -> None:
    assert rejection(REPORTS, change(REPORTS.encode(IDENTIFIER, 12))) == MALFORMED


def test_decode_rejects_a_day_that_does_not_exist() -> None:
    days = Cursor("days", int)
    warnings = Cursor("days", tuple[date, UUID])
    raw = days.encode(0, 0)
    assert rejection(warnings, raw + "A" * 22) == MALFORMED
