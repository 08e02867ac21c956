"""Rates of requests, as in settings and headers."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True)
class Rate:
    """A number of requests in a window of seconds."""

    count: int
    seconds: int

    def __str__(self) -> str:
        """Return the form of the setting, such as `6000/minute`."""
        return f"{self.count}/{next(unit for unit, seconds in _UNITS.items() if seconds == self.seconds)}"

    @cached_property
    def policy(self) -> bytes:
        """Return the value of the `RateLimit-Policy` header (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"default";q={self.count};w={self.seconds}'.encode()


def parse_rate(value: Any) -> Any:
    """Parse a rate such as `6000/minute`, or `off`, which is None; return a value that is no text unchanged."""
    if not isinstance(value, str):
        return value
    if value == "off":
        return None
    found = _RATE.fullmatch(value)
    if found is None:
        raise ValueError("must be a number per second, minute, hour or day, such as 6000/minute, or off")
    return Rate(int(found[1]), _UNITS[found[2]])
