"""The distribution lifeline-client, installed without Lifeline, against a real server."""

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from app import __version__
from tests.support.processes import Server

CLIENT = Path(__file__).parents[2] / "app" / "client"
README = (CLIENT / "README.md").read_text(encoding="utf-8")


def _build(target: str, source: Path, folder: Path) -> Path:
    """Build a distribution as `uv build` does, but with the installed hatchling, so without network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return built


def _requirements(of: Distribution) -> dict[str, Distribution]:
    """Return the installed distributions that a distribution needs, by name, with theirs."""
    found: dict[str, Distribution] = {}
    for requirement in map(Requirement, of.requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed = distribution(requirement.name)
            found |= {needed.name: needed} | _requirements(needed)
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment of the wheel and of what its metadata requires; return its Python."""
    tmp_path = tmp_path_factory.mktemp("wheel")
    with tarfile.open(_build("sdist", CLIENT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    venv.create(tmp_path / "environment", symlinks=True)
    (packages,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    with zipfile.ZipFile(_build("wheel", tmp_path / f"lifeline_client-{__version__}", tmp_path)) as wheel:
        wheel.extractall(packages)  # noqa: S202 - built from this tree
    installed = PathDistribution(packages / f"lifeline_client-{__version__}.dist-info")
    assert {Requirement(each).name for each in installed.requires or []} == {"httpx", "pydantic"}
    for needed in _requirements(installed).values():
        for name in {file.parts[0] for file in needed.files or [] if file.parts[0] != ".."} - {"__pycache__"}:
            (packages / name).symlink_to(str(needed.locate_file(name)))
    return tmp_path / "environment" / "bin" / "python"


def test_wheel_without_lifeline_runs_the_readme(environment: Path, tmp_path: Path, demo: Server) -> None:
    code, expected = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", README, re.DOTALL)[0]
    script = f"KEY = {demo.key!r}\n{code.replace('http://localhost:8000', demo.url)}"
    ran = subprocess.run([environment, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == (expected, "")


def test_wheel_environment_lacks_the_service_and_has_types(environment: Path, tmp_path: Path) -> None:
    script = "import importlib.util, lifeline_client; print([importlib.util.find_spec(name) for name in ('app', 'fastapi', 'orjson')])"
    ran = subprocess.run([environment, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[None, None, None]\n", "")
    (marker,) = environment.parents[1].glob("lib/python*/site-packages/lifeline_client/py.typed")
    assert marker.is_file()
