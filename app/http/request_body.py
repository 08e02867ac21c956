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

# How many times the largest body is passed over of one that is larger.
MAX_DISCARDED_BODIES = 4
NUL_MESSAGE = "a NUL character cannot be kept"

Model = TypeVar("Model", bound=BaseModel)


async def json_body(request: Request) -> Any:
    """The JSON body of a request.

    415 without a JSON content type, 413 over the size limit, 400 for what is no JSON, 422 for text that no database keeps.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise Problem(415, "Send the body as application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # What is never inflated cannot be a bomb.
        raise Problem(415, "Send the body as it is, without Content-Encoding.", headers={"Accept-Encoding": "identity"})
    settings = app_state(request).settings
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            raw = await _read(request, settings.max_body_bytes)
    except TimeoutError:
        raise Problem(408, "The body did not arrive in time.", headers={"Connection": "close"}) from None
    request_state(request.scope)["raw_body"] = raw
    try:
        content = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"The body is not JSON: {error}.", kind="json") from None
    # The items of a list are each looked at on their own: one that is wrong does not spoil the others.
    if b"\\u0000" in raw and not isinstance(content, list) and (path := find_nul(content)) is not None:
        raise invalid_field(pointer(path), NUL_MESSAGE)
    return content


def validated_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the JSON body and validates it; 422 names every wrong field."""

    async def read(request: Request) -> Model:
        try:
            return model.model_validate(await json_body(request))
        except ValidationError as error:
            raise invalid(field_problems(error)) from None

    return read


async def _read(request: Request, most: int) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most:
            await _discard(request, MAX_DISCARDED_BODIES * most)
            raise Problem(413, f"The body may have {most} bytes at the most.", headers={"Connection": "close"})
    return bytes(raw)


async def _discard(request: Request, most: int) -> None:
    # A connection that is closed with bytes unread is reset, and the client never sees the answer.
    async for chunk in request.stream():
        most -= len(chunk)
        if most < 0:
            return


def find_nul(node: Any) -> list[str | int] | None:
    """The path to the first string or name with a NUL character."""
    waiting: list[tuple[list[str | int], Any]] = [([], node)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return path
        if isinstance(value, dict):
            if any("\0" in name for name in value):
                return path
            waiting.extend(([*path, name], each) for name, each in value.items())
        elif isinstance(value, list):
            waiting.extend(([*path, at], each) for at, each in enumerate(value))
    return None
