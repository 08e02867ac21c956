"""`/v1/ledger/head` for every clearance."""

from typing import Any

import httpx

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeClient


async def _get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(path)).json()
    # Keys of the service have tests of their own.
    return {name: value for name, value in found.items() if name not in ("origin", "vkey", "cosigner_vkey", "partners", "proved_at")}


async def _post(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/reports", json=body)
    assert response.status_code == 201, response.text
    recorded: dict[str, Any] = response.json()
    return recorded


async def test_ledger_head_is_that_of_the_clearance(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """Seq, hash and time are those of the last entry that the clearance sees; before the first, seq is 0 and the hash 64 zeros."""
    readers = {label: await make_client(Scope.READ, clearance=label) for label in Label}
    for label, reader in readers.items():
        seeded = await _get(reader, "/v1/ledger/head")
        assert (seeded["clearance"], seeded["seq"]) == (label, SEEDED)
    recorded = {label: await _post(client, report(sensitivity=label, value={"people": label.level})) for label in reversed(Label)}
    hashes = set()
    for label, reader in readers.items():
        head = await _get(reader, "/v1/ledger/head")
        last = (await _get(reader, "/v1/changes"))["items"][-1]
        assert [head[name] for name in ("clearance", "seq", "hash", "recorded_at")] == [
            *(label, SEEDED + label.level + 1, last["hash"], recorded[Label.CLEAR]["recorded_at"]),
        ]
        assert head["seq"] == last["seq"]
        hashes.add(head["hash"])
    assert len(hashes) == 5
    assert await _get(anonymous, "/v1/ledger/head") == await _get(readers[Label.CLEAR], "/v1/ledger/head")
    await _post(client, report(sensitivity="red", source="envoy"))
    assert await _get(anonymous, "/v1/ledger/head") == await _get(readers[Label.CLEAR], "/v1/ledger/head")
    assert (await _get(readers[Label.RED], "/v1/ledger/head"))["seq"] == SEEDED + 6
