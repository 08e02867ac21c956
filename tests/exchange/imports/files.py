"""Files for tests of imports, and how they are sent."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

CSV = "text/csv"
NDJSON = "application/x-ndjson"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# The headers and cells of a statement without its figures.
HEADERS = ["kind", "place", "source", "stated_at", "concept"]
CELLS = ["trapped_population", "oldtown", "agency", "2016-07-28", "trapped"]


async def send(client: httpx.AsyncClient, content: bytes, media_type: str, **query: Any) -> httpx.Response:
    """Post a file to `/v1/imports`."""
    return await client.post("/v1/imports", params=query, content=content, headers={"Content-Type": media_type})


def csv_bytes(*rows: Sequence[str]) -> bytes:
    """Return rows of cells without commas as CSV."""
    return "\r\n".join(",".join(row) for row in rows).encode()


def write_csv(path: Path, rows: Sequence[Sequence[Any]], delimiter: str = ",") -> Path:
    """Write rows as a spreadsheet program does: UTF-8 with a byte order mark."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path
