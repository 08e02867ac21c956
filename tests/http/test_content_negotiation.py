"""The formats that an `Accept` header takes (RFC 9110, 12.5.1)."""

import pytest

from app.http.content_negotiation import Format, parse_accept


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        ("application/json, text/plain, */*", "json"),
        ("text/csv", "csv"),
        ("Text/CSV; charset=utf-8", "csv"),
        ("text/csv;q=0.5, application/geo+json", "geojson"),
        ("text/csv, application/geo+json", "geojson"),
        ("application/*;q=0.2, text/*;q=0.1", "json"),
        ("application/ndjson", "ndjson"),
        ("application/x-ndjson", "ndjson"),
        ("application/json;q=0, */*", "geojson"),
        ("*/*;q=0.1, text/csv;q=0.1001", "csv"),
        # Of errors, not of what is asked for.
        ("application/problem+json", "json"),
        ("application/problem+json, text/csv", "csv"),
        ("application/problem+json;q=0.9, image/png", "json"),
    ],
)
def test_parse_accept_prefers_weight_then_order(accept: str, best: str) -> None:
    assert parse_accept(accept.encode())[0] == best


@pytest.mark.parametrize("accept", ["application/pdf", "text/csv;q=0", "*/*;q=0", "text/csv;q=much", "csv"])
def test_parse_accept_without_an_offered_type_is_empty(accept: str) -> None:
    assert parse_accept(accept.encode()) == ()


def test_parse_accept_applies_the_most_specific_range() -> None:
    assert Format.CSV not in parse_accept(b"text/csv;q=0, */*;q=1")
