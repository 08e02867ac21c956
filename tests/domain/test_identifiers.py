"""Tests of identifiers: nothing can be inferred from the distance of two, nor from their order within a millisecond."""

import ast
import os
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import httpx
import pytest

import app
from app.access.principal import Principal
from app.domain.identifiers import uuid7, uuid7_text
from app.reference.schemas import PlaceIn
from app.reference.service import add_places
from app.storage.database import Database
from tests.support.factories import Reference, post_all, report

DRAWN = 20_000


def _random_bits(identifier: UUID) -> int:
    return (identifier.int >> 64 & 0xFFF) << 62 | identifier.int & (1 << 62) - 1


@pytest.mark.parametrize("draw", [uuid7, lambda: UUID(uuid7_text())], ids=["uuid", "text"])
def test_uuid7_drawn_in_one_millisecond_has_uniform_gaps(monkeypatch: pytest.MonkeyPatch, draw: Callable[[], UUID]) -> None:
    monkeypatch.setattr("app.domain.identifiers.time_ns", lambda: 1_700_000_000_000_000_000)
    drawn = [draw() for _ in range(DRAWN)]
    assert {each.int >> 80 for each in drawn} == {1_700_000_000_000}
    assert {(each.version, each.variant) for each in drawn} == {(7, "specified in RFC 4122")}
    bits = [_random_bits(each) for each in drawn]
    assert len(set(bits)) == DRAWN
    # Each of the 74 bits is set in half of them; seven standard deviations are allowed.
    assert all(abs(sum(each >> bit & 1 for each in bits) - DRAWN / 2) < 7 * (DRAWN / 4) ** 0.5 for bit in range(74))
    # The gap of two is uniform on the ring of 74 bits, also where other identifiers were drawn in between.
    for between in (1, 2, 260):
        gaps = Counter((later - earlier) % (1 << 74) >> 70 for earlier, later in zip(bits, bits[between:], strict=False))
        expected = (DRAWN - between) / 16
        assert sum((gaps[each] - expected) ** 2 / expected for each in range(16)) < 80  # chi-squared, 15 degrees of freedom


def test_uuid7_with_later_than_starts_a_later_millisecond() -> None:
    ahead = UUID(int=(1 << 47) << 80)
    assert uuid7(later_than=ahead).int >> 80 == (1 << 47) + 1
    assert uuid7(later_than=UUID(int=1)).int >> 80 > 1_700_000_000_000
    assert uuid7(later_than=UUID(int=(1 << 128) - 1)).version == 7


async def test_reports_of_one_list_get_identifiers_in_no_order(reference: Reference, client: httpx.AsyncClient) -> None:
    items = await post_all(client, *(report(value={"people": number}) for number in range(200)))
    drawn = [UUID(each["id"]) for each in items]
    neighbours = [(_random_bits(one), _random_bits(other)) for one, other in pairwise(drawn)]
    assert 60 < sum(one > other for one, other in neighbours) < 140


async def test_places_of_one_transaction_are_listed_as_they_were_created(
    reference: Reference, database: Database, client: httpx.AsyncClient
) -> None:
    slugs = [f"z{number}" for number in range(99, 69, -1)]
    async with database.write() as session:
        await add_places(session, Principal(0), [(PlaceIn(slug=each, name=each), None) for each in slugs])
    assert [each["slug"] for each in (await client.get("/v1/places")).json()["items"]] == ["country", "oldtown", *slugs]


def test_no_module_draws_identifiers_from_a_library() -> None:
    for path in Path(app.__file__).parent.rglob("*.py"):
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("uuid", "uuid_utils", "uuid6")
            for alias in node.names
        }
        # A lease never leaves the database; `uuid5` is a hash.
        assert imported <= {"UUID", "uuid4", "uuid5", "NAMESPACE_URL"}, path


def test_identifiers_of_a_forked_process_are_its_own() -> None:
    uuid7_text()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, uuid7_text().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode()[14:] != uuid7_text()[14:]
    os.close(reader)
    os.close(writer)
