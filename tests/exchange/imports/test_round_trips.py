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
from tests.support.fixtures import FULL, sqlite_only

SUFFIXES = {"csv": CSV, "xlsx": XLSX, "ods": ODS}
LISTS = ("reports", "indicators", "situations", "warnings", "places", "sources", "routes", "changes")


async def require_recorded(client: httpx.AsyncClient, content: bytes, media_type: str) -> None:
    """Import reports that were saved elsewhere: all that stand are recognised."""
    result = (await send(client, content, media_type)).json()
    assert (result["created"], result["existing"], result["refused"]) == (0, 8, 2), result["problems"]
    assert {each["detail"].split(":")[0] for each in result["problems"]} == {"is not standing where it comes from"}


async def exported(client: httpx.AsyncClient, name: str, format_: str, **query: str) -> bytes:
    """Return a list in a format."""
    return (await client.get(f"/v1/{name}", params={"format": format_, "limit": 1000, **query})).content


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
        saved = io.BytesIO()
        frame.to_excel(saved, index=False)
        await require_recorded(client, saved.getvalue(), XLSX)


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
