"""People in need from an endpoint in the style of HDX HAPI: totals of units with a code, page by page."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from app.exchange.imports.hapi import HapiPage, statement
from tests.support.fixtures import mostly_sqlite
from tests.support.servers import invoke, query_rows

ROW: dict[str, Any] = {
    "resource_hdx_id": "a-resource",
    "location_code": "SYR",
    "admin1_code": "SY02",
    "admin2_code": None,
    "admin_level": 1,
    "sector_code": "Intersectoral",
    "category": "",
    "population_status": "INN",
    "population": 1200,
    "reference_period_start": "2016-01-01T00:00:00",
    "reference_period_end": "2016-12-31T23:59:59",
}
OTHERS = [
    {"population_status": "TGT"},
    {"sector_code": "Health"},
    {"category": "Children"},
    {"gender": "f"},
    {"population": None},
    {"admin_level": 2, "admin2_code": None},
]
ROWS = [ROW, *(ROW | other for other in OTHERS), ROW | {"admin1_code": "SY99", "population": 5}]


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Serve an endpoint of three pages, each smaller than is asked for; the first response with the second page is cut off."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            assert query["location_code"] == ["SYR", "TLS"]
            limit, offset = int(query["limit"][0]), int(query["offset"][0])
            # It sends fewer rows than are asked for.
            body = json.dumps({"data": ROWS[offset : offset + min(limit, 3)]}).encode()
            requested.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:10] if len(requested) == 2 else body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api/v2/affected-people/humanitarian-needs?location_code=SYR&location_code=TLS"
    server.shutdown()
    thread.join()
    server.server_close()


@mostly_sqlite
def test_pull_hapi_records_totals_with_their_provenance(endpoint: str, seeded_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.BASE_DELAY_SECONDS", 0.0)

    def pull(*more: str) -> Any:
        return invoke("pull", "hapi", endpoint, "--source", "agency", *more, database_url=seeded_database)

    checked = pull()
    # One unit is not a known place, so nothing is written; the other rows are not totals.
    assert checked.exit_code == 1
    assert "there is no place 'pcode:SY99'" in checked.stdout
    assert "2 rows: 1 would be recorded, 0 recorded already, 1 rejected." in checked.stdout
    assert "6 rows skipped" in checked.stdout
    assert "Nothing was written: correct the rejected rows, or add --only-good" in pull("--write").stdout
    monkeypatch.setattr("tests.exchange.imports.test_hapi.ROWS", ROWS[:-1])
    assert "1 rows: 1 recorded" in pull("--write").stdout
    assert "1 rows: 0 recorded, 1 recorded already" in pull("--write").stdout
    ((value, url, title, stated),) = query_rows(seeded_database, "SELECT value, url, title, stated_text FROM report")
    stated_value = json.loads(value) if isinstance(value, str) else value
    assert (stated_value["concept"], stated_value["people"], stated) == ("in_need", 1200, "2016-01-01")
    assert (url, title) == (endpoint.partition("?")[0], "HDX HAPI, humanitarian-needs, resource a-resource")


def test_place_is_the_unit_of_the_level_of_the_row() -> None:
    def place(**more: Any) -> Any:
        report = statement(ROW | more, "agency", "http://example.org")
        return report and report["place"]

    assert place() == "pcode:SY02"
    assert place(admin_level=0) == "iso3:SYR"
    assert place(admin_level=2, admin2_code="SY0200") == "pcode:SY0200"
    assert place(admin_level=None, admin1_code="SY02") == "pcode:SY02"
    assert place(admin_level=None, admin1_code=None, provider_admin1_name="Somewhere") is None


def test_pull_from_other_endpoints_fails_with_one_line(sqlite_template: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.BASE_DELAY_SECONDS", 0.0)
    for path, words in (
        ("humanitarian-needs", "cannot be read as HDX HAPI"),
        ("humanitarian-needs?limit=5", "All pages are read: leave limit and offset out of the address."),
        ("idps", "Only the theme humanitarian-needs of HDX HAPI is read"),
    ):
        url = f"http://127.0.0.1:1/api/v2/affected-people/{path}{'&' if '?' in path else '?'}location_code=SYR"
        refused = invoke("pull", "hapi", url, "--source", "agency", database_url=f"sqlite:///{sqlite_template}")
        assert refused.exit_code == 1
        assert words in refused.stderr
    with pytest.raises(ValidationError):
        HapiPage.model_validate({"data": ["no row"]})
