"""JSON bodies of requests: read within limits, validated by a model."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from app.http.problems import Problem, field_problems, invalid, invalid_field, pointer
from app.http.responses import JSON
from app.http.state import app_state, request_state

# A body that is too large is read up to this multiple of the allowed size, then the connection is closed.
MAX_READ_BODIES = 5
NUL_MESSAGE = "must not contain a NUL character"

Model = TypeVar("Model", bound=BaseModel)


def validated_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the JSON body and validates it; 422 names every wrong field."""

    async def read(request: Request) -> Model:
        try:
            return model.model_validate(await json_body(request))
        except ValidationError as error:
            raise invalid(field_problems(error)) from None

    return read


async def json_body(request: Request) -> Any:
    """Return the JSON body of a request.

    Raises 415 without a JSON content type, 413 over the size limit, 408 over the time limit, 400 for invalid JSON, 422 for NUL characters.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise Problem(415, "Send the body as application/json.")
    reject_content_encoding(request)
    settings = app_state(request).settings
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            raw = await read_body(request, settings.max_body_bytes)
    except TimeoutError:
        raise Problem(408, "The body did not arrive in time.", headers={"Connection": "close"}) from None
    request_state(request.scope)["raw_body"] = raw
    try:
        content = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"The body is not JSON: {error}.", kind="json") from None
    # The endpoint checks the items of a list one by one, because one wrong item does not spoil the others.
    if b"\\u0000" in raw and not isinstance(content, list) and (path := find_nul(content)) is not None:
        raise invalid_field(pointer(path), NUL_MESSAGE)
    return content


def reject_content_encoding(request: Request) -> None:
    """Reject a compressed body (415); a body that is never decompressed cannot be a decompression bomb."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem(415, "Send the body without Content-Encoding.", headers={"Accept-Encoding": "identity"})


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body of a request as it was sent; raise 413 over the limit."""
    raw, received = bytearray(), 0
    async for chunk in request.stream():
        received += len(chunk)
        if received <= max_bytes:
            raw += chunk
        # Reads on for a while: a connection that is closed with unread bytes is reset, and the client never sees the response.
        elif received > MAX_READ_BODIES * max_bytes:
            break
    if received > max_bytes:
        raise Problem(413, f"The body must not exceed {max_bytes} bytes.", headers={"Connection": "close"})
    return bytes(raw)


def find_nul(node: Any, path: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Return the path to the first string or object with a NUL character, which PostgreSQL cannot store; None without one."""
    if (isinstance(node, str) and "\0" in node) or (isinstance(node, dict) and any("\0" in name for name in node)):
        return path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return next((found for name, child in children if (found := find_nul(child, (*path, name))) is not None), None)
