"""In-process client of the public API: the board shows nothing that another dashboard could not show with the same key."""

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import httpx
import orjson
from fastapi import Request

from app.http.problems import Problem
from app.http.state import app_state

Document = dict[str, Any]
Parameters = Mapping[str, str | int | None]

# A page must not take every connection to the database.
MAX_CONCURRENT_REQUESTS = 4
# Parameters of a request for the latest state, whatever the time of the page.
LATEST: Parameters = MappingProxyType({"as_of": None})


class InProcessApiClient:
    """Calls `/v1` with the key of a page's request, with another key, or with none where the key is empty."""

    def __init__(self, request: Request, as_of: str | None = None, *, key: str | None = None) -> None:
        headers = {"Accept-Encoding": "identity"}
        authorization = request.headers.get("authorization") if key is None else f"Bearer {key}" if key else None
        if authorization:
            headers["Authorization"] = authorization
        client = request.client or ("127.0.0.1", 0)
        # Below the rate limit, which has counted the page already. This transport has no connection to close.
        transport = httpx.ASGITransport(app_state(request).response_cache, raise_app_exceptions=False, client=(client[0], client[1]))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://in-process", headers=headers)
        self._as_of = as_of
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def get(self, path: str, parameters: Parameters = MappingProxyType({})) -> Document:
        """Return a document as of the page's time, unless the parameters have `as_of`, without those that are None; raise its problem."""
        sent = {name: value for name, value in {"as_of": self._as_of, **parameters}.items() if value is not None}
        async with self._slots:
            response = await self._client.get(path, params=sent)
        document: Document = orjson.loads(response.content)
        if response.status_code != 200:
            raise Problem(response.status_code, document.get("detail") or document["title"])
        return document

    async def get_all(self, path: str, parameters: Parameters = MappingProxyType({})) -> list[Document]:
        """Return the items of all pages of a list."""
        items: list[Document] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, {**parameters, "limit": 1000, "cursor": cursor})
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items

    async def records_by_slug(self, collection: str, slugs: Iterable[str]) -> dict[str, Document]:
        """Return the records of a reference collection by slug, without those that the reader may not see."""
        wanted = sorted(set(slugs))
        found = await asyncio.gather(*(self._record(f"/v1/{collection}/{slug}") for slug in wanted))
        return {slug: record for slug, record in zip(wanted, found, strict=True) if record is not None}

    async def _record(self, path: str) -> Document | None:
        try:
            return await self.get(path, LATEST)
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
