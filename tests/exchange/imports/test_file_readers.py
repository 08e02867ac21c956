"""Files as programs write them, and files that cannot be read."""

import json
from pathlib import Path

import httpx
import pytest

from tests.exchange.imports.files import CELLS, CSV, HEADERS, NDJSON, send
from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only
from tests.support.servers import invoke


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"colour,size\r\nred,1\r\n", "No column is known"),
        ("a.csv", "place,quote\r\noldtown,caf\u00e9\r\n".encode("cp1252"), "UTF-8"),
        ("a.csv", "place,quote\r\noldtown,said".encode("utf-16-le"), "not text in UTF-8"),
        ("a.csv", b'place,quote\r\noldtown,"never closed', "not CSV"),
        ("a.xlsx", b"no workbook", "not a workbook"),
        ("a.json", b"no json", "not JSON"),
        ("a.json", b'[{"kind": ', "cannot be read as JSON: parse error: premature EOF."),
        ("a.json", b'{"items": [{"people_high": 123456789012345678901}]}', "integer overflow"),
        # ijson keeps the path of each level: without a limit these would take gigabytes.
        ("a.json", b"[" * 100_000, "more than 64 deep"),
        ("a.json", b'{"items": [' + b'{"a":' * 100_000, "more than 64 deep"),
        ("a.pdf", b"%PDF", "The format of a.pdf is unknown: the name has to end in one of .csv"),
    ],
)
def test_import_of_unreadable_file_says_why(sqlite_template: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused = invoke("import", str(path), database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.output


@sqlite_only
@pytest.mark.parametrize(
    ("delimiter", "encoding", "before"),
    [
        (",", "utf-16", ""),
        (";", "utf-8", "sep=;\r\n"),
        ("\t", "utf-8-sig", ""),
        (";", "utf-8", ""),
        ("|", "utf-8", ""),
        (";", "utf-8", "Report, of July, 2016, final, version, 2\r\n"),
    ],
)
async def test_csv_of_spreadsheet_programs_is_read(
    client: httpx.AsyncClient, reference: Reference, delimiter: str, encoding: str, before: str
) -> None:
    lines = [delimiter.join([*HEADERS, "people_high", "quote"]), delimiter.join([*CELLS, "7", '"à côté, de; ça"'])]
    result = (await send(client, (before + "\r\n".join(lines) + "\r\n").encode(encoding), CSV)).json()
    assert result["problems"] == []
    assert result["shown"][0]["provenance"]["quote"] == "à côté, de; ça"


@sqlite_only
async def test_byte_order_mark_before_json_is_skipped(client: httpx.AsyncClient, reference: Reference) -> None:
    one = json.dumps(report()).encode()
    for content, media_type in ((b"[" + one + b"]", "application/json"), (one + b"\r\n", NDJSON)):
        result = (await send(client, b"\xef\xbb\xbf" + content, media_type)).json()
        assert (result["created"], result["problems"]) == (1, [])


@sqlite_only
async def test_escape_of_half_a_character_is_refused(client: httpx.AsyncClient, reference: Reference) -> None:
    """Of which ijson makes a question mark, or nothing; a pair is one character, also where two chunks meet."""
    texts = {"\ud800": 0, "a\udc00b": 0, "\\\ud800": 0, "x" * 65_300 + "\U0001f600" * 40: 1, "\\ud800": 1}
    for at, (text, created) in enumerate(texts.items()):
        body = json.dumps([report(stated_at=f"2016-07-0{at + 1}", provenance={"quote": text[-60:]})])
        response = await send(client, (" " * max(0, len(text) - 60) + body).encode(), "application/json")
        assert (response.status_code, response.json().get("created", 0)) == (200 if created else 422, created), response.text
        assert created or "half a character" in response.text


@sqlite_only
async def test_invalid_lines_of_ndjson_are_problems_of_their_rows(client: httpx.AsyncClient, reference: Reference) -> None:
    result = (await send(client, b"\n".join([json.dumps(report()).encode(), b"{", b"", b"7"]), NDJSON)).json()
    assert (result["created"], [(each["row"], each["detail"].partition(":")[0]) for each in result["problems"]]) == (
        1,
        [(2, "this line is not JSON"), (4, "must be a JSON object")],
    )
