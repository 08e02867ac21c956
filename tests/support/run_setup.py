"""A pytest plugin that prepares a run: where its files are, and which test files begin first. pyproject.toml names it with `-p`."""

import gc
import multiprocessing.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Importing creates much and leaves no garbage, yet a quarter of its time went into the search for some.
gc.disable()
# How long anything takes is never what a test is about.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
# Linux's file system in memory: there a copy of a PostgreSQL database costs a tenth.
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the run makes a folder of its own in it
# Twice what the temporary files of a run need.
MIN_FREE_BYTES = 4 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    """Put all temporary files of the run into one folder, which is deleted at its end."""
    config.addinivalue_line("markers", "starts_early: the file takes long, so it begins before the others")
    # Every client would read all certificates of the machine, and no test uses TLS.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
    if hasattr(config, "workerinput"):
        return
    in_memory = "TMPDIR" not in os.environ and IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= MIN_FREE_BYTES
    folder = tempfile.mkdtemp(prefix="lifeline-tests-", dir=IN_MEMORY if in_memory else None)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    # Last of all, because PostgreSQL and multiprocessing delete files of their own in it before.
    multiprocessing.util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=-1000)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Spare the process that hands tests out to others the fixtures, which would import all of the service."""
    if early_config.known_args_namespace.numprocesses and "PYTEST_XDIST_WORKER" not in os.environ:
        early_config.known_args_namespace.noconftest = True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no process is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("starts_early") is None)


def pytest_collection_finish() -> None:
    """Leave all that is imported by now out of garbage collection, as the service does."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(100_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Fork the process that servers are forked from, unless this one only hands tests out."""
    if forking := sys.modules.get("tests.support.forking"):
        forking.start_fork_server()
