"""Logs of errors: their location, and nothing of what they quote."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import httpx

from app.domain.tlp import Label
from app.telemetry.logging import stdlib_formatter
from tests.support.factories import report
from tests.support.processes import serve
from tests.support.servers import execute_sql, new_key

REJECT_REPORTS = {
    "sqlite": ["CREATE TRIGGER refuse BEFORE INSERT ON report BEGIN SELECT RAISE(ABORT, 'refused'); END"],
    "postgresql": ["ALTER TABLE report ADD CONSTRAINT refuse CHECK (length(quote) = 0)"],
}


def test_unhandled_error_logs_its_location_without_values(seeded_database_url: str, engine: str, tmp_path: Path) -> None:
    key = asyncio.run(new_key(seeded_database_url, clearance=Label.RED))
    execute_sql(seeded_database_url, *REJECT_REPORTS[engine])
    body = report(sensitivity="red", provenance={"quote": "a restricted quote"})
    with serve(tmp_path, database_url=seeded_database_url) as server:
        answer = httpx.post(f"{server.url}/v1/reports", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert answer.status_code == 500, answer.text
    output = server.output.read_text()
    # Every line is JSON, those of uvicorn too.
    lines = [json.loads(line) for line in output.splitlines()]
    (error,) = [line for line in lines if line["event"] == "unhandled_error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "app/reports" in error["exception"]
    assert "IntegrityError" in error["exception"]
    assert "uvicorn.error" in {line.get("logger") for line in lines}
    for restricted in (key, "restricted quote"):
        assert restricted not in output


def test_error_of_a_library_logs_one_line_without_its_message() -> None:
    # Joined, because the traceback contains the source line.
    secret = " ".join(("nobody", "may", "see"))
    try:
        try:
            raise ExceptionGroup(secret, [KeyError(secret)])
        except ExceptionGroup as group:
            raise ValueError(secret) from group
    except ValueError:
        record = logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "it broke in %s\nand on", ("here",), sys.exc_info())
    (text,) = stdlib_formatter().format(record).splitlines()
    line = json.loads(text)
    assert (line["event"], line["level"], line["logger"]) == ("it broke in here\nand on", "error", "uvicorn.error")
    assert line["timestamp"].endswith("Z")
    for type_ in ("ExceptionGroup", "KeyError", "ValueError", Path(__file__).name):
        assert type_ in line["exception"]
    assert secret not in text
