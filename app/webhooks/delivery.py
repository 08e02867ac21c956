"""One delivery attempt: sign, connect to a checked address, post, and return the result."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from uuid import UUID

import httpx
import structlog
from standardwebhooks import Webhook as Signer

from app import __version__
from app.domain.times import utc_now
from app.settings import Settings
from app.webhooks.backoff import parse_retry_after
from app.webhooks.events import MEDIA_TYPE
from app.webhooks.ssrf_guard import ForbiddenTarget, parse_url, resolve

# Only the status matters, but a body of this length is read to its end, so that the connection can be reused.
MAX_RESPONSE_BYTES = 4096

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of an attempt; `error` describes the failure, None after a success."""

    status_code: int | None
    error: str | None
    retry_after: timedelta | None = None


class NotDelivered(Exception):
    """The reason why there is no complete response."""


_ssl_context = cache(ssl.create_default_context)


def new_client() -> httpx.AsyncClient:
    """Make a client for one webhook: two hosts at one address must not share connections, and a proxy would resolve the host again."""
    return httpx.AsyncClient(verify=_ssl_context(), trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113 - `deliver` has one


async def deliver(client: httpx.AsyncClient, url: str, delivery: UUID, body: str, secret: str, settings: Settings) -> DeliveryResult:
    """Post a body; `webhook_timeout_seconds` limits everything from name resolution to the end of the response."""
    try:
        response, _ = await post(client, url, _headers(delivery, body, secret), body.encode(), settings)
    except NotDelivered as failure:
        return DeliveryResult(None, str(failure))
    except Exception as error:
        log.error("webhook_attempt_failed", error=type(error).__name__, delivery=str(delivery), exc_info=error)
        return DeliveryResult(None, "the response could not be read")
    if response.is_success:
        return DeliveryResult(response.status_code, None)
    retry_after = parse_retry_after(response.headers.get("retry-after"), utc_now()) if response.status_code in (429, 503) else None
    return DeliveryResult(response.status_code, f"the receiver answered {response.status_code}", retry_after)


async def post(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], body: bytes, settings: Settings
) -> tuple[httpx.Response, bytes]:
    """Post a body to a checked address of a URL; return the response, and up to MAX_RESPONSE_BYTES of its body. Raise NotDelivered."""
    seconds, allow_private = settings.webhook_timeout_seconds, settings.webhook_allow_private
    try:
        async with asyncio.timeout(seconds):
            target = parse_url(url, allow_private=allow_private)
            addresses = await resolve(target, allow_private=allow_private)
            headers = {"Host": target.netloc.decode("ascii"), "User-Agent": f"Lifeline/{__version__}", **headers}
            # The connection goes to a checked address, but the certificate must be valid for the host.
            extensions = {"sni_hostname": target.raw_host.decode("ascii"), "timeout": {"connect": seconds / len(addresses)}}
            *others, last = [
                client.build_request("POST", target.copy_with(host=address), headers=headers, content=body, extensions=extensions)
                for address in addresses
            ]
            for request in others:
                with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await _send_request(client, request)
            return await _send_request(client, last)
    except TimeoutError:
        raise NotDelivered(f"no complete response within {seconds:g} seconds") from None
    except ForbiddenTarget as forbidden:
        raise NotDelivered(f"not connected: the URL {forbidden}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        raise NotDelivered(_describe_error(error)) from None


def _describe_error(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate is not valid for this host"
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return "no connection"
    return "the connection broke before the response was complete"


def _headers(delivery: UUID, body: str, secret: str) -> dict[str, str]:
    now = utc_now()
    return {
        "Content-Type": MEDIA_TYPE,
        "webhook-id": str(delivery),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(str(delivery), now, body),
    }


async def _send_request(client: httpx.AsyncClient, request: httpx.Request) -> tuple[httpx.Response, bytes]:
    response = await client.send(request, stream=True)
    async with contextlib.aclosing(response):
        return response, await anext(response.aiter_raw(MAX_RESPONSE_BYTES), b"")
