"""In-process client of the public API: the board shows nothing that another dashboard could not show with the same key."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
import orjson
from fastapi import Request

from app.http.problems import Problem
from app.http.state import app_state

Document = dict[str, Any]

# Paths of records that have or show names.
_WITH_NAMES = ("/v1/places", "/v1/sources", "/v1/routes", "/v1/indicators", "/v1/situations")
# A page must not take every connection to the database.
MAX_CONCURRENT_REQUESTS = 4


class InProcessApiClient:
    """Calls `/v1` as of the page's time, None for now, in its language, with the key of the page's request, another, or none if empty."""

    def __init__(self, request: Request, as_of: str | None = None, *, key: str | None = None, lang: str | None = None) -> None:
        headers = {"Accept-Encoding": "identity"}
        authorization = request.headers.get("authorization") if key is None else f"Bearer {key}" if key else None
        if authorization:
            headers["Authorization"] = authorization
        client = request.client or ("127.0.0.1", 0)
        # Below the rate limit, which has counted the page already. This transport has no connection to close.
        transport = httpx.ASGITransport(app_state(request).response_cache, raise_app_exceptions=False, client=(client[0], client[1]))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://in-process", headers=headers)
        self.as_of, self._lang = as_of, lang
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def get(self, path: str, **parameters: str | int | None) -> Document:
        """Return a document, as of now with `as_of=None`; parameters that are None are left out. Raise its problem."""
        named = {"lang": self._lang} if path.startswith(_WITH_NAMES) else {}
        sent = {name: value for name, value in {"as_of": self.as_of, **named, **parameters}.items() if value is not None}
        async with self._slots:
            response = await self._client.get(path, params=sent)
        document: Document = orjson.loads(response.content)
        if response.status_code != 200:
            raise Problem(response.status_code, document.get("detail") or document["title"])
        return document

    async def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a request, and return its response, whatever its status."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self._slots:
            return await self._client.request(method, path, content=b"" if body is None else orjson.dumps(body), headers=sent)

    async def get_all(self, path: str, **parameters: str | None) -> list[Document]:
        """Return the items of all pages of a list."""
        page = await self.get(path, limit=1000, **parameters)
        items: list[Document] = page["items"]
        while page["next"] is not None:
            page = await self.get(path, limit=1000, cursor=page["next"], **parameters)
            items += page["items"]
        return items

    async def records_by_slug(self, collection: str, slugs: Iterable[str]) -> dict[str, Document]:
        """Return the records of a reference collection by slug, without those that the reader may not see."""
        wanted = sorted(set(slugs))
        found = await asyncio.gather(*(self._record(f"/v1/{collection}/{slug}") for slug in wanted))
        return {slug: record for slug, record in zip(wanted, found, strict=True) if record is not None}

    async def _record(self, path: str) -> Document | None:
        try:
            return await self.get(path, as_of=None)
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
