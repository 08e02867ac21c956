"""One attempt: sign, connect to the checked address, post, and say what came of it."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

import httpx
import structlog
from standardwebhooks import Webhook as Signer

from app import __version__
from app.domain.times import utc_now
from app.webhooks.backoff import parse_retry_after
from app.webhooks.events import MEDIA_TYPE
from app.webhooks.ssrf_guard import Refused, parse_url, resolve

# An answer's status is what counts; its body is only read so far as to use the connection again.
MOST_BODY_BYTES = 4096

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. `error` says in words what failed; None when it was delivered."""

    status_code: int | None
    error: str | None
    retry_after: timedelta | None = None

    @property
    def gone(self) -> bool:
        """Whether the receiver says that it wants no more, ever (Standard Webhooks: 410)."""
        return self.status_code == 410


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def new_client() -> httpx.AsyncClient:
    """A client for one webhook: connections are by address, so two names at one address must not share one.

    No proxy of the environment, which would resolve the name again, and no redirects.
    """
    return httpx.AsyncClient(verify=_tls(), trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113 - the whole attempt has one


def signed_headers(delivery: UUID, body: str, secret: str, now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks: identifier, time of this attempt in seconds since the epoch, signature."""
    return {
        "webhook-id": str(delivery),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(str(delivery), now, body),
    }


async def attempt(
    client: httpx.AsyncClient, url: str, delivery: UUID, body: str, secret: str, *, seconds: float, allow_private: bool
) -> Outcome:
    """Post a body, within so many seconds for everything from the name server to the end of the answer."""
    try:
        async with asyncio.timeout(seconds):
            target = parse_url(url, allow_private=allow_private)
            addresses = await resolve(target, allow_private=allow_private)
            return await _post(client, target, addresses, signed_headers(delivery, body, secret, utc_now()), body, seconds)
    except TimeoutError:
        return Outcome(None, f"no whole answer within {seconds:g} seconds")
    except Refused as refused:
        return Outcome(None, f"not connected: the URL {refused}")
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        return Outcome(None, _words(error))
    except Exception as error:
        log.error("webhook_attempt_failed", error=type(error).__name__, delivery=str(delivery), exc_info=error)
        return Outcome(None, "the answer could not be read")


def _words(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate is not valid for this host"
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return "no connection"
    return "the connection broke before the answer was whole"


async def _post(
    client: httpx.AsyncClient, target: httpx.URL, addresses: list[str], signed: dict[str, str], body: str, seconds: float
) -> Outcome:
    headers = {
        "Host": target.netloc.decode("ascii"),
        "Content-Type": MEDIA_TYPE,
        "User-Agent": f"Lifeline/{__version__}",
        **signed,
    }
    extensions = {
        # The certificate is checked against the name, while the connection goes to the address that was checked.
        "sni_hostname": target.raw_host.decode("ascii"),
        "timeout": {"connect": seconds / len(addresses)},
    }
    for address in addresses:
        request = client.build_request("POST", target.copy_with(host=address), headers=headers, content=body, extensions=extensions)
        try:
            return await _ask(client, request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if address == addresses[-1]:
                raise
    raise AssertionError


async def _ask(client: httpx.AsyncClient, request: httpx.Request) -> Outcome:
    answer = await client.send(request, stream=True)
    try:
        size = 0
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            if size > MOST_BODY_BYTES:
                break
    finally:
        await answer.aclose()
    if answer.is_success:
        return Outcome(answer.status_code, None)
    held = parse_retry_after(answer.headers.get("retry-after"), utc_now()) if answer.status_code in (429, 503) else None
    return Outcome(answer.status_code, f"the receiver answered {answer.status_code}", held)
