"""Partners: whose logs this service witnesses, and who cosign its own checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.ledger.models import Cosignature, Partner
from app.ledger.notes import SIGNATURE, VerifierKey
from app.storage.direct import execute_direct
from app.storage.public_changes import COUNT_PUBLIC_CHANGE
from app.storage.types import table_of


def log_keys(vkey: str) -> dict[str, VerifierKey]:
    """Return the keys of a log by origin: of a Lifeline, which signs the tree of each clearance with one key, those of all of them."""
    key = VerifierKey.parse(vkey)
    base, _, label = key.name.rpartition("/")
    names = [f"{base}/{each}" for each in LABELS] if base and label in {each.value for each in LABELS} else [key.name]
    return {name: VerifierKey(name, SIGNATURE, key.public) for name in names}


async def read_partners(connection: AsyncConnection) -> Sequence[RowMapping]:
    """Return the rows of all partners by name."""
    return (await connection.execute(select(table_of(Partner)).order_by(col(Partner.name)))).mappings().all()


async def read_log_keys(connection: AsyncConnection) -> dict[str, VerifierKey]:
    """Return the keys of the logs of all partners by origin."""
    return {origin: key for partner in await read_partners(connection) for origin, key in log_keys(partner["log_vkey"]).items()}


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint as this service signed it, the lines of the partners that cosigned it, by name, and the time of the last of these."""

    checkpoint: str
    size: int
    lines: dict[str, str]
    at: datetime

    @property
    def note(self) -> bytes:
        """The checkpoint with all signatures."""
        return (self.checkpoint + "".join(self.lines.values())).encode()


_COSIGNATURES = select(table_of(Cosignature)).where(col(Cosignature.clearance) == bindparam("level")).order_by(col(Cosignature.partner))


async def read_cosigned(connection: AsyncConnection, level: int, origin: str) -> list[Cosigned]:
    """Return the checkpoints of the tree of a clearance that partners have cosigned last, the one with the most partners first."""
    found: dict[str, Cosigned] = {}
    for row in (await execute_direct(connection, _COSIGNATURES, {"level": level})).mappings():
        if row["checkpoint"].startswith(f"{origin}\n"):
            before = found.get(row["checkpoint"])
            lines, at = (before.lines, max(before.at, row["cosigned_at"])) if before else ({}, row["cosigned_at"])
            found[row["checkpoint"]] = Cosigned(row["checkpoint"], row["size"], {**lines, row["partner"]: row["line"]}, at)
    return sorted(found.values(), key=lambda each: (-len(each.lines), -each.size))


async def store_cosignature(session: AsyncSession, cosignature: Cosignature, public_level: int) -> None:
    """Store a cosignature in the place of the partner's last one on the same tree."""
    await session.merge(cosignature)
    if cosignature.clearance <= public_level:
        await session.execute(COUNT_PUBLIC_CHANGE)


async def read_public_proof(connection: AsyncConnection, level: int, origin: str) -> dict[str, int | str | None]:
    """Return how many partners have cosigned a tree together, and when the last of them did."""
    best = next(iter(await read_cosigned(connection, level, origin)), None)
    return {"partners": len(best.lines) if best else 0, "proved_at": rfc3339(best.at) if best else None}
