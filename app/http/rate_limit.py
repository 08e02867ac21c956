"""How often one key or one address may ask, counted over all workers of this machine.

A fixed window: so many requests in each minute of the clock. The counts lie in memory that the workers share, each worker in a column
of its own, so that nothing is locked and nothing is lost; a worker that dies leaves its column to the next. Two who share a slot
share a limit; with 65,536 slots and a hash that is keyed anew at each start nobody can aim at another's. Instances of a service on
several machines count each for themselves.
"""

import fcntl
import hashlib
import ipaddress
import mmap
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from app.http.problems import MEDIA_TYPE, Problem
from app.settings import Rate

SLOTS = 65_536
MAX_CACHED_ENTRIES = 50_000
# Set by `lifeline serve` for its workers: the file that they share, the number of columns in it, and the key of the hash.
SHARED_COUNTERS_VARIABLE = "LIFELINE_SHARED_COUNTERS"

Headers = list[tuple[bytes, bytes]]


class SharedWindowCounters:
    """Counts of events by who caused them, in windows of the clock."""

    def __init__(self, memory: memoryview, columns: int, column: int, key: bytes) -> None:
        self._memory = memory
        self._columns = columns
        self._column = column
        self._key = key
        self._slots: dict[bytes, int] = {}

    @classmethod
    def for_this_process(cls) -> "SharedWindowCounters":
        """The counters shared with the other workers of `lifeline serve`; without any, those of this process alone."""
        shared = os.environ.get(SHARED_COUNTERS_VARIABLE)
        if shared is None:
            return cls(memoryview(mmap.mmap(-1, SLOTS * 8)).cast("I"), 1, 0, secrets.token_bytes(16))
        path, columns, key = shared.rsplit(":", 2)
        # The descriptor stays open for as long as the process lives: closing it would give the column up.
        descriptor = os.open(path, os.O_RDWR)
        memory = memoryview(mmap.mmap(descriptor, 0)).cast("I")
        for column in range(int(columns)):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, column)
            except OSError:
                continue
            return cls(memory, int(columns), column, bytes.fromhex(key))
        raise RuntimeError("there are more workers than columns")

    def _at(self, who: bytes) -> int:
        at = self._slots.get(who)
        if at is None:
            if len(self._slots) >= MAX_CACHED_ENTRIES:
                self._slots.clear()
            slot = int.from_bytes(hashlib.blake2b(who, digest_size=4, key=self._key).digest(), "big") % SLOTS
            at = self._slots[who] = slot * self._columns * 2
        return at

    def add(self, who: bytes, window: int) -> int:
        """Count one more; answers how many there are in this window."""
        memory, own = self._memory, self._at(who) + 2 * self._column
        if memory[own] != window:
            memory[own + 1] = 0
            memory[own] = window
        memory[own + 1] += 1
        return memory[own + 1] if self._columns == 1 else self.count(who, window)

    def count(self, who: bytes, window: int) -> int:
        """How many there are in this window."""
        at = self._at(who)
        return sum(self._memory[each + 1] for each in range(at, at + 2 * self._columns, 2) if self._memory[each] == window)


@contextmanager
def share_counters(workers: int) -> Iterator[None]:
    """Let the workers that this process starts in the block count together."""
    if workers == 1:
        yield
        return
    # A worker that is started anew may come before the one that it replaces is gone.
    columns = 2 * workers
    with tempfile.NamedTemporaryFile(prefix="lifeline-", suffix=".counters") as file:
        Path(file.name).chmod(0o600)
        file.truncate(SLOTS * columns * 8)
        os.environ[SHARED_COUNTERS_VARIABLE] = f"{file.name}:{columns}:{secrets.token_hex(16)}"
        try:
            yield
        finally:
            del os.environ[SHARED_COUNTERS_VARIABLE]


@dataclass(frozen=True, slots=True)
class RateLimitDecision:
    """One request counted: whether it may go on, and the headers that tell the client where it stands."""

    allowed: bool
    seconds: int
    headers: Headers

    def refusal(self, path: str) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer to a request that may not go on."""
        problem = Problem(429, f"Too many requests; there is room again in {self.seconds} seconds.", kind="rate-limit")
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"cache-control", b"no-store"),
            (b"retry-after", str(self.seconds).encode()),
            *self.headers,
        ]
        return problem.status, headers, orjson.dumps(problem.body(path))


class RateLimiter:
    """The limits of one process on requests, and on keys that turn out wrong."""

    def __init__(self, keyed: Rate | None, anonymous: Rate | None, failures: Rate | None) -> None:
        self._keyed = keyed
        self._anonymous = anonymous
        self._failures = failures
        self._counters = SharedWindowCounters.for_this_process()
        # The keys that turned out valid here, by what stands in `Authorization`.
        self._good: dict[bytes, bytes] = {}
        self._addresses: dict[str, bytes] = {}

    @property
    def disabled(self) -> bool:
        """Whether requests are not limited at all."""
        return self._keyed is None and self._anonymous is None

    def hit(self, key: bytes | None, address: str) -> RateLimitDecision | None:
        """Count a request of a key known to be valid, else of an address; None where that is not limited."""
        rate = self._anonymous if key is None else self._keyed
        if rate is None:
            return None
        now = int(time.time())
        window, passed = divmod(now, rate.seconds)
        count = self._counters.add(b"a" + self._network(address) if key is None else b"k" + key, window)
        left = rate.seconds - passed
        told = f'"default";r={max(rate.count - count, 0)};t={left}'.encode()
        return RateLimitDecision(count <= rate.count, left, [(b"ratelimit", told), (b"ratelimit-policy", rate.policy)])

    def known_key(self, authorization: bytes) -> bytes | None:
        """Whose key this is, of one that was valid here; None for any other."""
        return self._good.get(authorization)

    def lockout_seconds(self, address: str, authorization: bytes) -> int | None:
        """Seconds that an address which sent too many wrong keys has to wait before another that was never valid here is looked at."""
        rate = self._failures
        if rate is None:
            return None
        window, passed = divmod(int(time.time()), rate.seconds)
        if self._counters.count(b"f" + self._network(address), window) < rate.count or authorization in self._good:
            return None
        return rate.seconds - passed

    def record_failure(self, address: str, authorization: bytes) -> None:
        """Count a key that was not valid."""
        self._good.pop(authorization, None)
        if self._failures is not None:
            self._counters.add(b"f" + self._network(address), int(time.time()) // self._failures.seconds)

    def record_success(self, authorization: bytes, key_id: bytes) -> None:
        """Remember that a key was valid: it is counted for itself, and a guesser at the same address does not shut its holder out."""
        if len(self._good) >= MAX_CACHED_ENTRIES:
            self._good.clear()
        self._good[authorization] = key_id

    def _network(self, address: str) -> bytes:
        found = self._addresses.get(address)
        if found is None:
            if len(self._addresses) >= MAX_CACHED_ENTRIES:
                self._addresses.clear()
            found = self._addresses[address] = _network(address)
        return found


def _network(address: str) -> bytes:
    """Whom an address stands for: an IPv4 address for itself, an IPv6 one for its /64, which one customer has all of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode()
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.ipv4_mapped.packed if parsed.ipv4_mapped is not None else parsed.packed[:8]
    return parsed.packed
