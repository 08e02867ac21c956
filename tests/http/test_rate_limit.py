"""Rate limits: a limit for each key and each address, a lockout for wrong keys, and cached responses count too."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.access.principal import Scope
from app.domain.rates import Rate
from app.http.rate_limit import RateLimiter
from app.settings import Settings
from tests.support.servers import client_for, new_key, wait_if_window_ends_within


def limited(url: str, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """Return a client without a key, for a service with these limits."""
    return client_for(Settings(database_url=url, database_pool_size=2, **settings))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_key_and_address_have_separate_limits(database_url: str) -> None:
    wait_if_window_ends_within(5)
    one, other = [await new_key(database_url, Scope.READ) for _ in range(2)]
    async with limited(database_url, rate_limit="5/minute", rate_limit_anonymous="4/minute") as client:
        # The first request of a key counts for the address, because the key is not known to be valid yet.
        # With HTTP Basic, each user name is the same caller.
        answers = [
            await client.get("/v1/places", **({"auth": (f"user {number}", one)} if number % 2 else {"headers": bearer(one)}))
            for number in range(7)
        ]
        assert [each.status_code for each in answers] == [200] * 6 + [429]
        assert answers[1].headers["ratelimit-policy"] == '"default";q=5;w=60'
        assert answers[1].headers["ratelimit"].startswith('"default";r=4;t=')
        refused = answers[-1]
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["type"] == "urn:lifeline:problem:rate-limit"
        assert [(await client.get("/v1/places", headers=bearer(other))).status_code for _ in range(3)] == [200] * 3
        # Writes count like reads, and a wrong key counts for the address.
        statuses = [(await client.post("/v1/places", json={}, headers=bearer("ll_wrong"))).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert (await client.get("/v1/places")).status_code == 429
        assert [(await client.get("/health/ready")).status_code for _ in range(3)] == [200] * 3


async def test_limits_that_are_off_send_no_headers(database_url: str) -> None:
    async with limited(database_url, rate_limit="off", rate_limit_anonymous="off") as client:
        assert "ratelimit" not in (await client.get("/v1/places")).headers


@pytest.mark.parametrize("rate", ["0/minute", "5/fortnight", "5", "-1/minute", "5/minute "])
def test_malformed_rate_is_rejected(rate: str) -> None:
    with pytest.raises(ValidationError):
        Settings(rate_limit=rate)  # type: ignore[arg-type]


async def test_wrong_keys_lock_an_address_out_but_not_known_keys(database_url: str) -> None:
    wait_if_window_ends_within(5)
    known, unknown = [await new_key(database_url, Scope.READ) for _ in range(2)]
    async with limited(database_url, rate_limit_failures="3/minute") as client:
        assert (await client.get("/v1/me", headers=bearer(known))).status_code == 200
        guesses = [await client.get("/v1/me", headers=bearer(f"ll_{each}")) for each in range(5)]
        assert [each.status_code for each in guesses] == [401] * 3 + [429] * 2
        assert int(guesses[-1].headers["retry-after"]) >= 1
        # A right guess gets the same 429; a key that was valid before, and a request without one, are not locked out.
        assert (await client.get("/v1/me", headers=bearer(unknown))).status_code == 429
        assert (await client.get("/v1/me", headers=bearer(known))).status_code == 200
        assert (await client.get("/v1/me")).status_code == 200


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    limiter = RateLimiter(None, Rate(2, 3600), None)

    def is_allowed(address: str) -> bool:
        scope: dict[str, Any] = {"headers": [], "client": (address, 1)}
        decision = limiter.charge(scope, limiter.caller_of(scope), 1)
        assert decision is not None
        return decision.allowed

    assert [is_allowed(each) for each in ("2001:db8::1", "2001:db8::2", "2001:db8::ffff")] == [True, True, False]
    assert all(is_allowed(each) for each in ("2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1", "unknown"))


async def test_cached_responses_count(database_url: str, new_database: Callable[[], str]) -> None:
    wait_if_window_ends_within(5)
    async with limited(database_url, rate_limit_anonymous="3/minute") as client:
        first = await client.get("/v1/places")
        headers = {"If-None-Match": first.headers["etag"]}
        assert [(await client.get("/v1/places", headers=headers)).status_code for _ in range(3)] == [304, 304, 429]
