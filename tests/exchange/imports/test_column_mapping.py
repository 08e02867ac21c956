"""Columns are mapped to fields by HXL hashtags and headers."""

import json
from pathlib import Path

import httpx

from tests.exchange.imports.conftest import Run
from tests.exchange.imports.files import CELLS, CSV, HEADERS, csv_bytes, send, write_csv
from tests.support.factories import Reference
from tests.support.fixtures import mostly_sqlite, sqlite_only
from tests.support.servers import query_rows


@mostly_sqlite
def test_columns_are_mapped_by_hxl_hashtags(run: Run, tmp_path: Path, seeded_database: str) -> None:
    path = write_csv(
        tmp_path / "hxl.csv",
        [
            ["Situation report", "", "", "", "", "", ""],
            ["Where", "Who", "What", "When", "Counted", "From", "To"],
            [
                "#adm1 +code +v_pcode",
                "#meta+source+code",
                "#indicator+type",
                "#date+reported",
                "#indicator+definition",
                "#affected+min+trapped",
                "#affected+max+trapped",
            ],
            ["SY02", "agency", "trapped_population", "2016-07-25", "trapped", "250000", "275000"],
        ],
        ";",
    )
    checked = run("import", str(path))
    assert checked.exit_code == 0, checked.output
    assert "1 rows: 1 would be recorded" in checked.stdout
    assert query_rows(seeded_database, "SELECT count(*) FROM report") == [(0,)]
    assert "1 rows: 1 recorded, 0 recorded already, 0 rejected." in run("import", str(path), "--write").stdout
    ((value,),) = query_rows(seeded_database, "SELECT value FROM report")
    stated = json.loads(value) if isinstance(value, str) else value
    assert (stated["people_low"], stated["people_high"]) == (250000, 275000)


@sqlite_only
async def test_unknown_column_is_named_and_not_read(client: httpx.AsyncClient, reference: Reference) -> None:
    """A table is not a full export because it has a column `record`."""
    result = (await send(client, csv_bytes(["record", *HEADERS, "people_high"], ["17", *CELLS, "5"]), CSV)).json()
    assert (result["holds"], result["created"], result["unread_columns"]) == ("statements", 1, ["record"])
