"""How a run of the tests goes: where its files are, what begins first, what is done once."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import hypothesis
import pytest

from tests.support.once import begin_run, first_alone

# Some folders' own fixtures import from there before it is a plugin.
pytest.register_assert_rewrite("tests.support.fixtures")
# How long anything takes is never what a test is about.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
# Linux's file system in memory.
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
# What the suite's temporary files take at most, times two.
ROOM_BYTES = 4 * 2**30
# These begin first, so that none is left over when all else is done: by turns those that wait much, and those that never do.
FIRST = [
    "test_failover.py",
    "test_swagger_ui.py",
    "test_postgresql.py",
    "test_board.py",
    "test_processes.py",
    "test_non_interference.py",
    "test_termination.py",
    "test_many_places.py",
    "test_replica.py",
    "test_plans.py",
    "test_cli.py",
    "test_fourth_kind.py",
    "test_many_readers.py",
    "test_follower.py",
    "test_ledger.py",
    "test_clock_and_migration.py",
    "test_kill.py",
]


def pytest_configure(config: pytest.Config) -> None:
    """No certificates, since nobody speaks TLS here and every client would read them all.

    And everything temporary in one folder, in memory where there is room: a copy of a PostgreSQL database costs a tenth there. The run
    begins with that folder, and goes on until this process ends.
    """
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
    if hasattr(config, "workerinput"):
        return
    in_memory = "TMPDIR" not in os.environ and IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES
    folder = tempfile.TemporaryDirectory(prefix="lifeline-tests-", dir=IN_MEMORY if in_memory else None, ignore_cleanup_errors=True)
    # Later than what servers do at the end, with a file of their own in it.
    atexit.register(folder.cleanup)
    os.environ["TMPDIR"] = tempfile.tempdir = folder.name
    config.add_cleanup(begin_run().close)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All else stays as it stands."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(FIRST)))


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Nobody looks for garbage meanwhile: what is imported stays. And the first process compiles for all, where Python may write that."""
    gc.disable()
    try:
        with nullcontext() if sys.dont_write_bytecode else first_alone(what):
            yield
    finally:
        gc.enable()


def hands_out(session: pytest.Session) -> bool:
    """Whether this process only hands tests out: it needs nothing of the service."""
    return session.config.pluginmanager.hasplugin("dsession")


def pytest_sessionstart(session: pytest.Session) -> None:
    """What tests ask for."""
    if not hands_out(session):
        with importing("fixtures"):
            session.config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """The tests themselves."""
    with nullcontext() if hands_out(session) else importing("tests"):
        return (yield)


def pytest_collection_finish() -> None:
    """What is imported by now is there for good, so nobody needs to look through it again: as the service itself does it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
