"""The public API, asked within this process: the board shows nothing that another dashboard could not have with the same key."""

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx
import orjson
from fastapi import Request

from app.http.problems import Problem
from app.http.state import app_state

Document = dict[str, Any]
Parameters = Mapping[str, str | int | None]

# So many at a time, so that one page does not take every connection to the database.
AT_ONCE = 4


class PublicApi:
    """Asks `/v1` as the reader of a request, with that reader's key, or with a key that is given, or with none where it is empty."""

    def __init__(self, request: Request, as_of: str | None = None, *, key: str | None = None) -> None:
        headers = {"Accept-Encoding": "identity"}
        authorization = request.headers.get("authorization") if key is None else f"Bearer {key}" if key else None
        if authorization:
            headers["Authorization"] = authorization
        client = request.client or ("127.0.0.1", 0)
        # Below whatever counts requests: the page was counted.
        transport = httpx.ASGITransport(app_state(request).response_cache, raise_app_exceptions=False, client=(client[0], client[1]))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://within", headers=headers)
        self._as_of = as_of
        self._free = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.aclose()

    async def get(self, path: str, parameters: Parameters = MappingProxyType({}), *, timeless: bool = False) -> Document:
        """One answer, as of the page's time unless it is timeless or names its own; the API's problem as an error."""
        asked = dict(parameters) if timeless else {"as_of": self._as_of, **parameters}
        given = {name: value for name, value in asked.items() if value is not None}
        async with self._free:
            answer = await self._client.get(path, params=given)
        document: Document = orjson.loads(answer.content)
        if answer.status_code != 200:
            raise Problem(answer.status_code, document.get("detail") or document["title"])
        return document

    async def get_all(self, path: str, parameters: Parameters = MappingProxyType({})) -> tuple[list[Document], int]:
        """Every item of a list, page after page, and the revision that it was read at."""
        items: list[Document] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, {**parameters, "limit": 1000, "cursor": cursor})
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items, page["revision"]

    async def named(self, collection: str, slugs: Iterable[str]) -> dict[str, Document]:
        """The records of a collection of reference data by their slugs, but for those that the reader may not see."""
        wanted = sorted(set(slugs))
        found = await asyncio.gather(*(self._record(f"/v1/{collection}/{slug}") for slug in wanted))
        return {slug: record for slug, record in zip(wanted, found, strict=True) if record is not None}

    async def _record(self, path: str) -> Document | None:
        try:
            return await self.get(path, timeless=True)
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
