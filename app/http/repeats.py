"""Answer a request that comes again with the same bytes, as from a client that polls, without reading it again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.http.problems import RawHeaders

# Longer ones are read each time.
MAX_REPEATED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Repeat:
    """The answer to a request, but for the headers that differ each time.

    `again` counts one more request, and returns these headers for its answer; None where the request has to be read again.
    """

    status: int
    headers: RawHeaders
    body: bytes
    again: Callable[[], RawHeaders | None]

    def answer(self, default_headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """Return the bytes of one more answer, as Uvicorn would send it with its default headers."""
        if (again := self.again()) is None:
            return None
        lines = [STATUS_LINE[self.status]]
        for headers in (default_headers, self.headers, again):
            for name, value in headers:
                lines += name, b": ", value, b"\r\n"
        return b"".join((*lines, b"\r\n", self.body))
