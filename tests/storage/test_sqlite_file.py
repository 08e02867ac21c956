"""The SQLite file: private whatever the umask, created on purpose only, and not replaced under a running service."""

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.storage.migrations import migrate
from tests.faults.responses import post_people, uncached_path
from tests.support.servers import client_for, invoke, new_key, settings_on
from tests.support.unprivileged import NOBODY, as_nobody, public_folder

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture(params=[0o000, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run with a umask that hides nothing, and one that would lock the owner out."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of each file in a folder."""
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in sorted(folder.iterdir())}


async def test_files_of_a_served_database_are_private(umask: None, tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "data"
    url = f"sqlite:///{folder}/lifeline.db"
    await asyncio.to_thread(migrate, Settings(database_url=url))
    async with client_for(settings_on(url), await new_key(url)) as client:
        assert (await client.post("/v1/places", json={"slug": "here", "name": "Here"})).status_code == 201
        assert (await client.get("/v1/reports")).status_code == 200
        found = modes(folder)
    assert {"lifeline.db", "lifeline.db-wal", "lifeline.db-shm", "lifeline.audit.db", "lifeline.audit.db-wal"} <= set(found)
    assert set(found.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_files_that_commands_write_are_private(umask: None, demo_database: str, tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "written"
    folder.mkdir()
    folder.chmod(0o755)
    assert invoke("backup", str(folder / "backup"), database_url=demo_database).exit_code == 0
    restored = f"sqlite:///{folder}/restored.db"
    assert invoke("restore", str(folder / "backup"), database_url=restored).exit_code == 0
    for command in (("export", str(folder / "all.ndjson")), ("audit", "export", str(folder / "audit.jsonl"))):
        assert invoke(*command, database_url=demo_database).exit_code == 0
    assert modes(folder) == dict.fromkeys(("all.ndjson", "audit.jsonl", "backup", "restored.db"), 0o600)


def test_wider_files_of_an_earlier_version_are_restricted(demo_database: str, engine: str) -> None:
    path = Path(demo_database.removeprefix("sqlite:///"))
    audit = path.with_suffix(".audit.db")
    shutil.copy(path, audit)
    for each in (path, audit):
        each.chmod(0o644)
    listed = invoke("doctor", database_url=demo_database).stdout
    assert f"FAILED  disk           others than the owner may use {path} and {audit}: run `chmod 600`" in listed
    assert invoke("audit", "export", database_url=demo_database).exit_code == 0
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, audit)] == [0o600, 0o600]
    assert "ok      disk" in invoke("doctor", database_url=demo_database).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to other users")
def test_file_of_another_user_is_used_with_its_permissions(demo_database: str, engine: str) -> None:
    """A container may run with another user id than that of the file, in a group that may write to it."""
    with public_folder() as folder:
        path = folder / "data" / "lifeline.db"
        path.parent.mkdir()
        shutil.copy(demo_database.removeprefix("sqlite:///"), path)
        for each, mode in ((path.parent, 0o770), (path, 0o660)):
            os.chown(each, 0, NOBODY)
            each.chmod(mode)
        key = ("key", "create", "--name", "n", "--org", "o", "--scope", "read")
        results = [
            as_nobody(lambda command=command: str(invoke(*command, database_url=f"sqlite:///{path}"))) for command in (key, ("verify",))
        ]
        assert results == ["<Result okay>"] * 2
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.mark.parametrize("replacement", [None, "another"])
async def test_moved_or_replaced_file_gives_503_until_it_is_back(
    seeded_database_url: str, tmp_path: Path, replacement: str | None, engine: str
) -> None:
    path, away = Path(seeded_database_url.removeprefix("sqlite:///")), tmp_path / "away.db"
    async with client_for(settings_on(seeded_database_url), await new_key(seeded_database_url)) as client:
        assert (await post_people(client, 1)).status_code == 201
        before = await client.get("/v1/reports")
        shutil.move(path, away)
        if replacement is not None:
            shutil.copy(away, path)
        for answer in (
            await client.get("/health/ready"),
            await client.get("/v1/reports"),
            await client.get(uncached_path()),
            await post_people(client, 2),
        ):
            assert answer.status_code == 503, answer.text
            assert "moved or replaced" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1
            assert str(tmp_path) not in answer.text
        assert (await client.get("/health/live")).status_code == 200
        assert path.name not in modes(tmp_path) or replacement is not None, "an empty file must not be created"
        shutil.move(away, path)
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/v1/reports")).json()["items"] == before.json()["items"]
        assert (await post_people(client, 3)).status_code == 201
    assert (await asyncio.to_thread(invoke, "verify", database_url=seeded_database_url)).exit_code == 0
