"""The humanitarian needs of an HDX HAPI style endpoint as statements.

HAPI (HDX Humanitarian API, OCHA Centre for Humanitarian Data) serves pages of `{"data": [...]}`, asked for with `limit` and
`offset`. One theme says what Lifeline counts: `affected-people/humanitarian-needs`. Of its rows those are taken that say how many
people are in need in all: `population_status` INN, all sectors together, no part of the population. They become
`trapped_population` statements of the concept `in_need`, stated on the first day of the reference period, which stands under
`observed_from` and `observed_to`. Displaced people (`idps`), operational presence and the rest count something else, and are not taken.

The place is told by P-code (`pcode:SY0200`), a country by ISO 3166-1 (`iso3:SYR`). Rows whose unit has no code are passed over.
"""

from collections.abc import AsyncIterator, Mapping
from typing import IO, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import orjson

from app.client import AsyncLifeline
from app.client.calls import get

THEME = "humanitarian-needs"
PAGE = 1000
IN_NEED = "INN"
ALL_SECTORS = frozenset({"intersectoral", "all", "*"})
# What a column of a part of the population holds in the row of the whole.
_WHOLE = frozenset({"", "all", "total"})
_PARTS = ("category", "gender", "age_range", "disabled_marker", "population_group")


class HapiClient(AsyncLifeline):
    """Reads such an endpoint, with the same patience as for a Lifeline."""

    def __init__(self, url: str, **more: Any) -> None:
        super().__init__(url, **more)
        parts = urlsplit(url)
        self.address = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        self._query = dict(parse_qsl(parts.query))

    async def rows(self) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Every row, page by page; a page that is not full is the last."""
        offset = 0
        while True:
            asked = self._query | {"output_format": "json", "limit": PAGE, "offset": offset}
            rows = await self._execute(get(_data, self.address, **asked))
            yield rows
            if len(rows) < PAGE:
                return
            offset += len(rows)


def _data(answer: Any) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = answer["data"]
    if not all(isinstance(each, dict) for each in rows):
        raise TypeError("rows are objects")
    return rows


async def write_statements(client: HapiClient, source: str, file: IO[bytes]) -> tuple[int, int]:
    """Write the statements as NDJSON; answers how many there are, and how many rows say something else."""
    taken = passed = 0
    async for rows in client.rows():
        for row in rows:
            body = statement(row, source, client.address)
            if body is None:
                passed += 1
            else:
                taken += 1
                file.write(orjson.dumps(body) + b"\n")
    return taken, passed


def statement(row: Mapping[str, Any], source: str, url: str) -> dict[str, Any] | None:
    """The statement of a row; None where it says something else than how many are in need in all."""
    place = _place(row)
    whole = all(str(row.get(name) or "").strip().lower() in _WHOLE for name in _PARTS)
    sector = str(row.get("sector_name") or row.get("sector_code") or "").lower()
    if place is None or not whole or sector not in ALL_SECTORS or row.get("population_status") != IN_NEED or row.get("population") is None:
        return None
    start, end = (str(row[f"reference_period_{name}"])[:10] if row.get(f"reference_period_{name}") else None for name in ("start", "end"))
    title = f"HDX HAPI, {THEME}" + (f", resource {row['resource_hdx_id']}" if row.get("resource_hdx_id") else "")
    return {
        "kind": "trapped_population",
        "place": place,
        "source": source,
        "stated_at": start,
        "value": {"concept": "in_need", "people": row["population"]},
        "provenance": {"url": url, "title": title},
        "observed_from": start,
        "observed_to": end,
        "sensitivity": "clear",
    }


def _place(row: Mapping[str, Any]) -> str | None:
    level = row.get("admin_level")
    if level is None:
        level = next((each for each in (2, 1) if row.get(f"admin{each}_code") or row.get(f"provider_admin{each}_name")), 0)
    code = row.get(f"admin{level}_code") if level else row.get("location_code")
    return f"{'pcode' if level else 'iso3'}:{code}" if code else None
