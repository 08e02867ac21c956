"""Reads humanitarian needs from an endpoint in the style of HDX HAPI (Humanitarian API, OCHA Centre for Humanitarian Data) as statements.

HAPI serves pages of `{"data": [...]}` by `limit` and `offset`. Of its themes only `affected-people/humanitarian-needs` has figures that
Lifeline records, in rows with `population_status` INN for all sectors and the whole population. Each becomes a `trapped_population`
statement of the concept `in_need`, stated on the first day of its reference period. Its place is a P-code (`pcode:SY0200`), or for a
country an ISO 3166-1 code (`iso3:SYR`). Other rows, and rows without a code, are skipped.
"""

from collections.abc import AsyncIterator, Mapping
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import orjson

from app.client import AsyncLifeline, Record
from app.client.calls import Call

THEME = "humanitarian-needs"
PAGE_ROWS = 1000
IN_NEED = "INN"
ALL_SECTORS = frozenset({"intersectoral", "all", "*"})
# Columns that name a part of the population, and their values in rows of the whole population.
_PART_COLUMNS = ("category", "gender", "age_range", "disabled_marker", "population_group")
_WHOLE = frozenset({"", "all", "total"})


def is_theme(url: str) -> bool:
    """Tell whether an address is one of the theme that is read."""
    return urlsplit(url).path.rstrip("/").endswith(f"/{THEME}")


class HapiPage(Record):
    """A page of rows."""

    data: list[dict[str, Any]]


class HapiClient(AsyncLifeline):
    """Reads an endpoint with the retries of the client for Lifeline."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        parts = urlsplit(url)
        self.address = parts._replace(query="", fragment="").geturl()
        # A parameter may be repeated, such as one country after another.
        self._query = parse_qs(parts.query, keep_blank_values=True)

    async def rows(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield every row, up to the first page without new ones: a server may send fewer at once than are asked for."""
        offset, before = 0, list[dict[str, Any]]()
        while True:
            params = {**self._query, "output_format": "json", "limit": PAGE_ROWS, "offset": offset}
            page = await self._execute(Call(HapiPage, self.address, params))
            # A server that knows no offset sends the same page again.
            if page.data == before:
                return
            for row in page.data:
                yield row
            offset, before = offset + len(page.data), page.data


async def write_statements(client: HapiClient, source: str, file: IO[bytes]) -> int:
    """Write the statements as NDJSON, and return the number of rows that were skipped."""
    skipped = 0
    async for row in client.rows():
        report = statement(row, source, client.address)
        if report is None:
            skipped += 1
        else:
            file.write(orjson.dumps(report, option=orjson.OPT_APPEND_NEWLINE))
    return skipped


def statement(row: Mapping[str, Any], source: str, url: str) -> dict[str, Any] | None:
    """Return the statement of a row; None for a row that is to be skipped."""
    place, people = _place(row), row.get("population")
    is_whole = all(str(row.get(name) or "").strip().lower() in _WHOLE for name in _PART_COLUMNS)
    sector = str(row.get("sector_name") or row.get("sector_code") or "").lower()
    if place is None or people is None or not is_whole or sector not in ALL_SECTORS or row.get("population_status") != IN_NEED:
        return None
    start = str(row["reference_period_start"])[:10] if row.get("reference_period_start") else None
    title = f"HDX HAPI, {THEME}" + (f", resource {row['resource_hdx_id']}" if row.get("resource_hdx_id") else "")
    return {
        "kind": "trapped_population",
        "place": place,
        "source": source,
        "stated_at": start,
        "value": {"concept": "in_need", "people": people},
        "provenance": {"url": url, "title": title},
        "sensitivity": "clear",
    }


def _place(row: Mapping[str, Any]) -> str | None:
    level = row.get("admin_level")
    if level is None:
        level = next((each for each in (2, 1) if row.get(f"admin{each}_code") or row.get(f"provider_admin{each}_name")), 0)
    code = row.get(f"admin{level}_code") if level else row.get("location_code")
    return f"{'pcode' if level else 'iso3'}:{code}" if code else None
