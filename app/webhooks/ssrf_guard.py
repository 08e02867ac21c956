"""Where a webhook may point: never into the network that Lifeline itself stands in, unless a setting allows it."""

import asyncio
import ipaddress
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import httpx

LONGEST_URL = 2000
# Prefixes in which an IPv4 address is wrapped: IPv4-mapped, NAT64 (RFC 6052), 6to4; by how many bits it is shifted.
_WRAPPERS = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
# All that is given out of IPv6, and what is set apart in it and in IPv4: not every Python tells all of these.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NEVER = tuple(ipaddress.ip_network(each) for each in ("192.0.0.0/24", "192.88.99.0/24", "2001::/32", "3fff::/20"))


class Refused(Exception):
    """A target that is not to be connected to; the message may be told to whoever registered it."""


class Unknown(Refused):
    """A target whose host no name server knows at this moment."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is out in the internet: not private, loopback, link-local, shared, multicast or reserved, nor wraps such."""
    for network, shift in _WRAPPERS:
        if isinstance(address, IPv6Address) and address in network:
            return is_public(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    if any(address in network for network in _NEVER) or (isinstance(address, IPv6Address) and address not in _UNICAST):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_loopback or address.is_unspecified)


def parse_url(url: str, *, allow_private: bool) -> httpx.URL:
    """The URL of a target; Refused for anything but https with a host and without credentials or fragment.

    What this parser finds is what is resolved, checked and connected to: there is no second parser to disagree with it.
    """
    if len(url) > LONGEST_URL or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise Refused(f"must be a URL of at most {LONGEST_URL:,} characters without spaces")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise Refused("is not a URL") from None
    if parsed.scheme != "https" and not (allow_private and parsed.scheme == "http"):
        raise Refused("must begin with https://")
    if not parsed.raw_host or parsed.userinfo or parsed.fragment or (parsed.port is not None and not 0 < parsed.port < 65536):
        raise Refused("must have a host and, if any, a valid port, and neither a user, a password nor a fragment")
    return parsed


async def resolve(url: httpx.URL, *, allow_private: bool) -> list[str]:
    """The addresses of a target, to be connected to as they are; Refused when one is not public, Unknown when there is none."""
    if not allow_private and f".{url.host}".rstrip(".").endswith(".localhost"):
        raise Refused("must lead to public addresses only")
    host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise Refused("has a host that is no name and no address") from None
    except OSError:
        raise Unknown("has a host that no name server knows") from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    # One private address among public ones is refused too: which of them is used is not for the name's owner to play with.
    if not addresses or not (allow_private or all(is_public(ipaddress.ip_address(each)) for each in addresses)):
        raise Refused("must lead to public addresses only")
    return addresses


async def check_target(url: str, *, allow_private: bool, seconds: float) -> httpx.URL:
    """The URL of a target that may be registered; Refused with what is wrong with it.

    A name that is not known now, or not within so many seconds, may be known when the link is back: every attempt looks again.
    """
    parsed = parse_url(url, allow_private=allow_private)
    with suppress(Unknown, TimeoutError):
        async with asyncio.timeout(seconds):
            await resolve(parsed, allow_private=allow_private)
    return parsed
