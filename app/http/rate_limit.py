"""Rate limits for keys and addresses, counted over all workers of one machine.

Fixed windows of the clock. The counters are in memory that the workers share, and each worker writes its own column, so no lock is needed
and no count is lost; the column of a dead worker goes to its successor. Callers whose hashes fall into one slot share a limit; the hash
has a new key at each start, so that an attacker cannot aim at a slot. Several machines count separately.
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
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from starlette.types import Scope

from app.domain.rates import Rate
from app.http.problems import Problem, RawHeaders, log
from app.http.state import request_state

SLOTS = 65_536
MAX_CACHED_ENTRIES = 50_000
# Begins the name of a caller that is a key; others are addresses.
KEY = b"k"
# Set by `lifeline serve` for its workers: file of the counters, number of columns, key of the hash.
SHARED_COUNTERS_VARIABLE = "LIFELINE_SHARED_COUNTERS"


class SharedWindowCounters:
    """Counts of events by caller and window; each slot has a window and a count in every column."""

    def __init__(self, memory: memoryview, columns: int, column: int, key: bytes) -> None:
        self._memory = memory
        self._columns = columns
        self._column = column
        self._key = key
        self._offset = lru_cache(maxsize=MAX_CACHED_ENTRIES)(self._find_offset)

    @classmethod
    def for_this_process(cls) -> "SharedWindowCounters":
        """Return the counters that `lifeline serve` shares among its workers; without it, counters of this process alone."""
        shared = os.environ.get(SHARED_COUNTERS_VARIABLE)
        if shared is None:
            return cls._of_this_process_alone()
        path, columns, key = shared.rsplit(":", 2)
        # Never closed, because closing the descriptor releases the lock on the column.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            memory = memoryview(mmap.mmap(descriptor, 0)).cast("I")
            for column in range(int(columns)):
                with suppress(OSError):
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, column)
                    return cls(memory, int(columns), column, bytes.fromhex(key))
        # Without the file, or with more workers than columns: a worker that did not start would end the service.
        log.warning("rate_limit_not_shared")
        return cls._of_this_process_alone()

    @classmethod
    def _of_this_process_alone(cls) -> "SharedWindowCounters":
        return cls(memoryview(mmap.mmap(-1, SLOTS * 8)).cast("I"), 1, 0, secrets.token_bytes(16))

    def add(self, caller: bytes, window: int, amount: int = 1) -> int:
        """Count events and return how many there are in this window."""
        memory, own = self._memory, self._offset(caller) + 2 * self._column
        if memory[own] != window:
            memory[own + 1] = 0
            memory[own] = window
        memory[own + 1] += amount
        return memory[own + 1] if self._columns == 1 else self.count(caller, window)

    def count(self, caller: bytes, window: int) -> int:
        """Return how many events there are in this window."""
        start = self._offset(caller)
        return sum(self._memory[at + 1] for at in range(start, start + 2 * self._columns, 2) if self._memory[at] == window)

    def _find_offset(self, caller: bytes) -> int:
        slot = int.from_bytes(hashlib.blake2b(caller, digest_size=4, key=self._key).digest(), "big") % SLOTS
        return slot * self._columns * 2


@contextmanager
def share_counters(workers: int) -> Iterator[None]:
    """Share counters among the workers that this process starts inside the block."""
    if workers == 1:
        yield
        return
    # A new worker may start before the one that it replaces has ended.
    columns = 2 * workers
    with tempfile.NamedTemporaryFile(prefix="lifeline-", suffix=".counters", delete=False) as file:
        file.truncate(SLOTS * columns * 8)
        # On Linux the descriptor of this process has a path of its own, which is there when a cleaner of temporary files deleted the file.
        descriptor = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        path = descriptor if descriptor.exists() else file.name
        os.environ[SHARED_COUNTERS_VARIABLE] = f"{path}:{columns}:{secrets.token_hex(16)}"
        try:
            yield
        finally:
            del os.environ[SHARED_COUNTERS_VARIABLE]
            Path(file.name).unlink(missing_ok=True)


class RateLimitDecision(NamedTuple):
    """Whether a request may go on, the requests left, and the seconds until the next window of a rate."""

    allowed: bool
    left: int
    seconds: int
    rate: Rate

    def headers(self, status: int) -> RawHeaders:
        """Return the `RateLimit` headers for a response."""
        state = (b"ratelimit", b'"default";r=%d;t=%d' % (max(self.left, 0), self.seconds))
        # A 304 stays small: the client has the policy from the response that it holds.
        return [state] if status == 304 else [state, (b"ratelimit-policy", self.rate.policy)]

    def problem(self) -> Problem:
        """Return the 429 for a request that may not go on."""
        seconds = str(self.seconds)
        return Problem(429, f"Too many requests; try again in {seconds} seconds.", kind="rate-limit", headers={"Retry-After": seconds})


class RateLimiter:
    """The limits of one process on requests and on invalid keys; None is no limit."""

    def __init__(self, keyed: Rate | None, anonymous: Rate | None, failures: Rate | None) -> None:
        self._keyed = keyed
        self._anonymous = anonymous
        self._failures = failures
        self._counters = SharedWindowCounters.for_this_process()
        # Identifiers of the keys that were valid in this process, by their `Authorization`.
        self._known_keys: dict[bytes, bytes] = {}

    def caller_of(self, scope: Scope) -> bytes:
        """Return whose limits a request uses: a key's that was valid in this process, else an address's. An invented key is no caller."""
        for name, value in scope["headers"]:
            if name == b"authorization" and (key := self._known_keys.get(value)) is not None:
                return bytes(KEY + key)
        client = scope.get("client")
        return b"a" + _network(client[0] if client else "")

    def charge(self, scope: Scope, caller: bytes, cost: int, *, counted: int = 0, refuse: bool = True) -> RateLimitDecision | None:
        """Count the cost of a request, of which `counted` is counted already; nothing if it is refused for it. None: not limited.

        `refuse` False: the work is done already.
        """
        rate = self._rate_of(caller)
        if rate is None:
            return None
        window, passed = divmod(int(time.time()), rate.seconds)
        # A limit below the cost still allows one such request in a window.
        rest = min(cost, rate.count) - counted
        # Counted first, so that two workers do not both allow the last one.
        left = rate.count - self._counters.add(caller, window, rest)
        if not (allowed := left >= 0 or not refuse):
            left = rate.count - self._counters.add(caller, window, -rest)
        request_state(scope)["rate_limit"] = decision = RateLimitDecision(allowed, left, rate.seconds - passed, rate)
        return decision

    def _rate_of(self, caller: bytes) -> Rate | None:
        return self._keyed if caller.startswith(KEY) else self._anonymous

    def lockout_seconds(self, address: str, authorization: bytes) -> int | None:
        """Return the seconds until an address that sent too many invalid keys may try another; None where it may now."""
        rate = self._failures
        if rate is None:
            return None
        window, passed = divmod(int(time.time()), rate.seconds)
        if self._counters.count(b"f" + _network(address), window) < rate.count or authorization in self._known_keys:
            return None
        return rate.seconds - passed

    def record_failure(self, address: str, authorization: bytes) -> None:
        """Count an invalid key against its address."""
        self._known_keys.pop(authorization, None)
        if self._failures is not None:
            self._counters.add(b"f" + _network(address), int(time.time()) // self._failures.seconds)

    def record_success(self, authorization: bytes, key_id: bytes) -> None:
        """Remember a valid key, which then has a limit of its own and is exempt from the lockout of its address."""
        if len(self._known_keys) >= MAX_CACHED_ENTRIES:
            self._known_keys.clear()
        self._known_keys[authorization] = key_id


@lru_cache(maxsize=MAX_CACHED_ENTRIES)
def _network(address: str) -> bytes:
    """Return the network that is limited as one: an IPv4 address itself, the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode()
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.ipv4_mapped.packed if parsed.ipv4_mapped is not None else parsed.packed[:8]
    return parsed.packed
