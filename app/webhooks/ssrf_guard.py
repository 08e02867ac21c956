"""Protection against server-side request forgery: webhooks must not reach private networks, unless a setting allows it."""

import asyncio
import ipaddress
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import httpx

MAX_URL_CHARACTERS = 2000
# IPv6 prefixes that embed an IPv4 address (IPv4-mapped, NAT64 of RFC 6052, 6to4), each with the shift of the address in bits.
_IPV4_IN_IPV6 = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
# Not every Python version knows all of these ranges.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_RESERVED = tuple(ipaddress.ip_network(each) for each in ("192.0.0.0/24", "192.88.99.0/24", "2001::/32", "3fff::/20"))


class ForbiddenTarget(Exception):
    """A URL that must not be connected to; the message is safe to show to the client."""


class UnresolvedTarget(ForbiddenTarget):
    """A URL whose host does not resolve now."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address, or the IPv4 address that it embeds, is a public unicast address."""
    for network, shift in _IPV4_IN_IPV6:
        if isinstance(address, IPv6Address) and address in network:
            return is_public(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    if any(address in network for network in _RESERVED) or (isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_loopback or address.is_unspecified)


def parse_url(url: str, *, allow_private: bool) -> httpx.URL:
    """Parse a URL; raise ForbiddenTarget unless it is https with a host and without credentials and fragment.

    The result is what is resolved, checked and connected to; a second parser could disagree with the first.
    """
    if len(url) > MAX_URL_CHARACTERS or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise ForbiddenTarget(f"must be a URL of at most {MAX_URL_CHARACTERS:,} characters, without spaces")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise ForbiddenTarget("is not a URL") from None
    if parsed.scheme != "https" and not (allow_private and parsed.scheme == "http"):
        raise ForbiddenTarget("must begin with https://")
    if not parsed.raw_host or parsed.userinfo or parsed.fragment or (parsed.port is not None and not 0 < parsed.port < 65536):
        raise ForbiddenTarget("must have a host and a valid port, if any, and no user, password or fragment")
    return parsed


async def resolve(url: httpx.URL, *, allow_private: bool) -> list[str]:
    """Resolve the host of a URL to addresses; raise ForbiddenTarget if one is not public, UnresolvedTarget if it has none."""
    if not allow_private and f".{url.host}".rstrip(".").endswith(".localhost"):
        raise ForbiddenTarget("must resolve to public addresses only")
    host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise ForbiddenTarget("must have a valid host name or address") from None
    except OSError:
        raise UnresolvedTarget("has a host that does not resolve") from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    # All must be public; otherwise the owner of the name could let a later connection use the private one.
    if not addresses or not (allow_private or all(is_public(ipaddress.ip_address(each)) for each in addresses)):
        raise ForbiddenTarget("must resolve to public addresses only")
    return addresses


async def check_target(url: str, *, allow_private: bool, seconds: float) -> httpx.URL:
    """Check a URL to register; raise ForbiddenTarget if it must not be connected to.

    A host that does not resolve within `seconds` is accepted, because the link may be down; every attempt resolves it again.
    """
    parsed = parse_url(url, allow_private=allow_private)
    with suppress(UnresolvedTarget, TimeoutError):
        async with asyncio.timeout(seconds):
            await resolve(parsed, allow_private=allow_private)
    return parsed
