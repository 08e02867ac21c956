"""Files that other programs save after reading an export are taken back: libhxl, pandas and LibreOffice."""

import asyncio
import importlib
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import hxl
import pytest

from tests.exchange.imports.files import CSV, ODS, XLSX, send
from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import FULL, sqlite_only

SUFFIXES = {"csv": CSV, "xlsx": XLSX, "ods": ODS}
KINDS_LISTS = ("trapped-populations", "supply-runouts", "route-closures", "aid-deliveries", "population-movements", "service-statuses")
LISTS = ("reports", "indicators", "situations", "warnings", "places", "sources", "routes", "changes")
# Every field of the kinds that people, supplies and routes are not.
VALUES: dict[str, dict[str, Any]] = {
    "aid_delivery": {
        "operation": "convoy-7",
        "stage": "partly_delivered",
        "on_earliest": "2016-07-20",
        "on_latest": "2016-07-21",
        "planned_for": 80000,
        "supplies": ["food", "medical"],
        "removed": ["fuel"],
        "route": "north-road",
        "cause": "hostilities",
    },
    "population_movement": {
        "movement": "evacuated",
        "since": "2016-07-15",
        "until": "2016-07-16",
        "people": 9500,
        "people_low": 9000,
        "people_high": 10000,
        "destination": "Idleb, by bus; +more",
    },
    "service_status": {"service": "hospital", "state": "partly_working", "working": 6, "known": 9, "reason": '=no "fuel"\nleft'},
}


async def require_recorded(client: httpx.AsyncClient, content: bytes, media_type: str) -> None:
    """Import reports that were saved elsewhere: all that stand are recognised."""
    result = (await send(client, content, media_type)).json()
    assert (result["created"], result["existing"], result["refused"]) == (0, 8, 2), result["problems"]
    assert {each["detail"].split(":")[0] for each in result["problems"]} == {"is not standing where it comes from"}


async def exported(client: httpx.AsyncClient, name: str, format_: str, **query: str) -> bytes:
    """Return a list in a format."""
    return (await client.get(f"/v1/{name}", params={"format": format_, "limit": 1000, **query})).content


def as_workbook(frame: Any) -> bytes:
    """Return a table as pandas writes it; its own way makes formulas of texts that begin with `=`."""
    saved = io.BytesIO()
    frame.to_excel(saved, index=False, engine="xlsxwriter", engine_kwargs={"options": {"strings_to_formulas": False}})
    return saved.getvalue()


@pytest.fixture(scope="module")
def pd() -> Any:
    """Return pandas, which takes a second to import, and every test process imports this file."""
    return importlib.import_module("pandas")


@sqlite_only
async def test_every_export_is_read_by_libhxl_and_pandas(client: httpx.AsyncClient, filled: dict[str, Any], pd: Any) -> None:
    for name in LISTS:
        content, rows = await exported(client, name, "csv"), (await client.get(f"/v1/{name}", params={"limit": 1000})).json()["items"]
        with hxl.data(io.BytesIO(content)) as source:
            assert len(list(source)) == len(rows), name
        assert len(pd.read_csv(io.BytesIO(content), skiprows=[1])) == len(rows), name
        assert len(pd.read_excel(io.BytesIO(await exported(client, name, "xlsx")), skiprows=[1])) == len(rows), name


@sqlite_only
async def test_reports_that_libhxl_saves_are_taken_back(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    with hxl.data(io.BytesIO(await exported(client, "reports", "csv"))) as source:
        await require_recorded(client, "".join(source.gen_csv(True)).encode(), CSV)


@sqlite_only
async def test_reports_that_pandas_saves_are_taken_back(client: httpx.AsyncClient, filled: dict[str, Any], pd: Any) -> None:
    table, workbook = await exported(client, "reports", "csv"), await exported(client, "reports", "xlsx")
    for frame in (pd.read_csv(io.BytesIO(table)), pd.read_excel(io.BytesIO(workbook), skiprows=[1])):
        await require_recorded(client, frame.to_csv().encode(), CSV)
        await require_recorded(client, as_workbook(frame), XLSX)


@sqlite_only
async def test_new_statements_from_exported_rows_have_every_value(client: httpx.AsyncClient, reference: Reference, pd: Any) -> None:
    """Use the export as a form: rows without identifiers, said by another source."""
    bodies = [report(kind, value, provenance={"method": "headcount", "credibility": 2}) for kind, value in VALUES.items()]
    await post_all(client, *bodies)
    for name in KINDS_LISTS[3:]:
        with hxl.data(io.BytesIO(await exported(client, name, "csv"))) as source:
            assert len(list(source)) == 1, name
    table = pd.read_csv(io.BytesIO(await exported(client, "reports", "csv")), skiprows=[1])
    workbook = pd.read_excel(io.BytesIO(await exported(client, "reports", "xlsx")), skiprows=[1])
    for frame, source in ((table, "monitor"), (workbook, "envoy")):
        # The service adds these: the identifier, and all from `recorded_at` on.
        rows = frame.drop(columns="id").loc[:, :"sensitivity"].assign(source=source)
        result = (await send(client, as_workbook(rows), XLSX, dry_run=False)).json()
        assert (result["created"], result["refused"]) == (len(VALUES), 0), result["problems"]
        items = (await client.get("/v1/reports", params={"source": source})).json()["items"]
        assert {each["kind"]: {key: value for key, value in each["value"].items() if value is not None} for each in items} == VALUES


@sqlite_only
@pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice: apt-get install libreoffice-calc-nogui")
async def test_reports_that_libreoffice_saves_are_taken_back(client: httpx.AsyncClient, filled: dict[str, Any], tmp_path: Path) -> None:
    files = {tmp_path / f"{each}.{each}": await exported(client, "reports", each) for each in ("csv", "xlsx")}
    for path, content in files.items():
        path.write_bytes(content)
    # The cheapest one that shows types, and all of them when there is time.
    for suffix in ("csv", "xlsx", "ods") if FULL else ("ods",):
        folder = tmp_path / suffix
        profile = f"-env:UserInstallation=file://{tmp_path}/profile"
        command = ["soffice", profile, "--headless", "--convert-to", suffix, "--outdir", str(folder), *map(str, files)]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        for path in folder.iterdir():
            await require_recorded(client, path.read_bytes(), SUFFIXES[suffix])
