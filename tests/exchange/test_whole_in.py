"""A full export taken into an empty Lifeline gives the same readings, in every format that carries all; what is altered is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.access.dependencies import Caller
from app.db import Database
from app.exchange.files_in import format_of
from app.exchange.whole import export_file
from app.exchange.whole_in import Restored, WholeFile, is_whole
from app.labels import TOP, Label
from app.settings import Settings
from tests.exchange.readings import problems_of, readings_of


def teller(organisation: str) -> Caller:
    return Caller(level=TOP, organisation=organisation, scopes=frozenset({"report", "curate"}))


async def take_in(path: Path, url: str, *, dry: bool = False) -> Restored:
    settings = Settings(database_url=url)
    database = Database(settings)
    try:
        with path.open("rb") as file:
            assert is_whole(file, format_of(path))
            whole = WholeFile(file, format_of(path), database, teller, settings)
            looked = await whole.look()
            return looked if dry or looked.problem_count else await whole.write()
    finally:
        await database.close()


async def test_the_same_readings_in_every_format(
    database: Database, database_url: str, filled: dict[str, Any], tmp_path: Path, new_empty_database: Callable[[], str]
) -> None:
    expected = await readings_of(database_url)
    assert len(expected) > 5
    for ending in ("ndjson", "csv", "xlsx"):
        path = tmp_path / f"out.{ending}"
        await export_file(database, path, Label.RED, lambda _: None)
        second = new_empty_database()
        looked = await take_in(path, second, dry=True)
        assert (looked.problems, looked.written) == ([], False)
        assert await readings_of(second) == []
        done = await take_in(path, second)
        assert done.problems == []
        assert done.written
        assert looked.added == done.added
        assert await readings_of(second) == expected
        assert await problems_of(second) == []
        again = await take_in(path, second)
        assert (again.added, again.existing) == ({}, sum(done.added.values()))
        assert await readings_of(second) == expected
