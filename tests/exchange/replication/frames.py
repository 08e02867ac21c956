"""The frames of a bundle, as a carrier sees them."""

from app.exchange.replication.bundles import MAGIC


def frames(content: bytes) -> list[bytes]:
    """Return the frames of a bundle without their lengths."""
    found, at = [], len(MAGIC)
    while at < len(content):
        count = int.from_bytes(content[at : at + 4], "big")
        found.append(content[at + 4 : at + 4 + count])
        at += 4 + count
    return found


def bundle_of(parts: list[bytes]) -> bytes:
    """Return a bundle of frames."""
    return MAGIC + b"".join(len(each).to_bytes(4, "big") + each for each in parts)
