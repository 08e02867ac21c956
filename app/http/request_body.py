"""JSON bodies of requests: read within limits, validated by a model."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.types import Message, Receive

from app.http.problems import Model, Problem, invalid, invalid_field, pointer, validate_model
from app.http.responses import JSON
from app.http.state import app_state, request_state

# A body that is too large is read up to this multiple of the allowed size, then the connection is closed.
MAX_READ_BODIES = 5
# A body may take longer than its time limit if it keeps arriving this fast, as a large file over a slow link.
MIN_BYTES_PER_SECOND = 1024
MERGE_PATCH = "application/merge-patch+json"
NUL_MESSAGE = "must not contain a NUL character"
DUPLICATE_MESSAGE = "this name stands twice in its object; send it once"


def validated_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the JSON body and validates it; 422 names every wrong field."""

    async def read(request: Request) -> Model:
        valid, problems = validate_model(model, await json_body(request))
        if valid is None:
            raise invalid(problems)
        return valid

    return read


async def json_body(request: Request) -> Any:
    """Return the JSON body of a request.

    Raises 415 without a JSON content type, 413 over the size limit, 400 for invalid JSON, 422 for NUL characters.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        if request.method == "PATCH":
            raise Problem(415, f"Send the body as {MERGE_PATCH}.", headers={"Accept-Patch": f"{MERGE_PATCH}, {JSON}"})
        raise Problem(415, "Send the body as application/json.")
    reject_content_encoding(request)
    raw = await read_body(request, app_state(request).settings.max_body_bytes)
    request_state(request.scope)["raw_body"] = raw
    try:
        content = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"The body is not JSON: {error}.", kind="json") from None
    if (path := find_duplicate(raw)) is not None:
        raise invalid_field(pointer(path), DUPLICATE_MESSAGE)
    # The endpoint checks the items of a list one by one, because one wrong item does not spoil the others.
    if b"\\u0000" in raw and not isinstance(content, list) and (path := find_nul(content)) is not None:
        raise invalid_field(pointer(path), NUL_MESSAGE)
    return content


def limit_body_time(receive: Receive, seconds: float) -> Receive:
    """Return a `receive` that raises 408 unless the body arrives within the seconds, plus one for each MIN_BYTES_PER_SECOND of it."""
    deadline = asyncio.get_running_loop().time() + seconds
    complete = False

    async def receive_in_time() -> Message:
        nonlocal deadline, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Problem(408, "The body did not arrive in time.", headers={"Connection": "close"}) from None
        deadline += len(message.get("body", b"")) / MIN_BYTES_PER_SECOND
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


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


def find_duplicate(raw: bytes) -> tuple[str | int, ...] | None:
    """Return the path to a name that stands twice in one object of a valid JSON text; None without one.

    The parser of bodies keeps the last value without a word.
    """
    repeating: list[RepeatingObject] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            found = RepeatingObject(found)
            found.repeated = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
            repeating.append(found)
        return found

    content = json.loads(raw, object_pairs_hook=build)
    return path_to_repeated(content) if repeating else None


class RepeatingObject(dict[str, Any]):
    """A JSON object, with the name that it repeats, if any."""

    repeated: str | None = None

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a value, and note a name that has one."""
        if name in self:
            self.repeated = name
        super().__setitem__(name, value)


def path_to_repeated(node: Any, path: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Return the path to the first name that stands twice in its object; None without one."""
    if isinstance(node, RepeatingObject) and node.repeated is not None:
        return (*path, node.repeated)
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return next((found for name, child in children if (found := path_to_repeated(child, (*path, name))) is not None), None)


def find_nul(node: Any, path: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Return the path to the first string or object with a NUL character, which PostgreSQL cannot store; None without one."""
    if (isinstance(node, str) and "\0" in node) or (isinstance(node, dict) and any("\0" in name for name in node)):
        return path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return next((found for name, child in children if (found := find_nul(child, (*path, name))) is not None), None)
