"""`POST /v1/imports`: scopes, limits, formats, and files that stop arriving."""

import io
import json
from typing import Any

import httpx
import pytest
import xlsxwriter

from app.access.principal import Scope
from app.exchange.imports.results import ImportOut
from app.exchange.imports.statements import StatementImport
from app.settings import Settings
from tests.exchange.imports.files import CSV, NDJSON, XLSX, csv_bytes, send
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.servers import execute_sql_async

JSON = "application/json"


@mostly_sqlite
async def test_import_requires_scope_and_known_format(make_client: MakeClient, client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    body = json.dumps([report(stated_at="2016-07-01")]).encode()
    reporter = await make_client(Scope.REPORT)
    curator = await make_client(Scope.CURATE)
    assert (await send(curator, body, JSON)).status_code == 403
    assert (await send(reporter, body, JSON, dry_run="false")).json()["created"] == 1
    export = b'{"record":"export","version":1,"clearance":"red","seq":0,"hash":"' + b"0" * 64 + b'"}\n'
    assert (await send(reporter, export, NDJSON)).status_code == 403
    result = (await send(client, export, NDJSON, dry_run="false")).json()
    assert (result["holds"], result["rows"], result["created"]) == ("export", 1, 0)
    assert (await send(client, body, "text/plain")).status_code == 415
    assert (await send(client, b"a,b\r\n1,2\r\n", CSV)).status_code == 422


@sqlite_only
async def test_full_export_in_a_table_is_refused_in_one_sentence(client: httpx.AsyncClient) -> None:
    rows = [["record", "version", "clearance"], ["#meta+record", "#meta+version", "#meta+tlp"], ["export", "1", "red"]]
    workbook = io.BytesIO()
    with xlsxwriter.Workbook(workbook) as book:
        sheet = book.add_worksheet("export")
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    for content, media_type in ((csv_bytes(*rows), CSV), (workbook.getvalue(), XLSX)):
        refused = await send(client, content, media_type)
        assert refused.status_code == 422
        assert [each["detail"] for each in refused.json()["errors"]] == [
            "A full export can be imported as NDJSON only: write it with `lifeline export FILE.ndjson`."
        ]


@sqlite_only
async def test_import_replays_idempotency_key_and_limits_size(app: Any, client: httpx.AsyncClient, reference: Reference) -> None:
    body = json.dumps([report(stated_at="2016-07-01")]).encode()
    headers = {"Content-Type": JSON, "Idempotency-Key": "one"}
    first = await client.post("/v1/imports?dry_run=false", content=body, headers=headers)
    second = await client.post("/v1/imports?dry_run=false", content=body, headers=headers)
    assert (first.json()["created"], second.json()["created"], second.headers["Idempotency-Replayed"]) == (1, 1, "true")
    other = await client.post("/v1/imports?dry_run=false", content=body + b" ", headers=headers)
    assert other.status_code == 422
    app.state.settings = app.state.settings.model_copy(update={"max_import_bytes": 10})
    assert (await send(client, body, JSON)).status_code == 413
    packed = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    assert (await client.post("/v1/imports", content=b"", headers=packed)).status_code == 415


async def test_import_by_key_revoked_during_dry_run_writes_nothing(
    make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = await make_client(Scope.REPORT, organisation="leaving")
    dry_run = StatementImport.dry_run

    async def dry_run_and_revoke(self: StatementImport) -> ImportOut:
        result = await dry_run(self)
        await execute_sql_async(settings.database_url, "UPDATE api_key SET revoked_at = CURRENT_TIMESTAMP WHERE organisation = 'leaving'")
        return result

    monkeypatch.setattr(StatementImport, "dry_run", dry_run_and_revoke)
    response = await reporter.post("/v1/imports?dry_run=false", json=[report(sensitivity="clear")])
    assert (response.status_code, response.json()["type"]) == (401, "urn:lifeline:problem:key")
    assert (await anonymous.get("/v1/reports")).json()["items"] == []
