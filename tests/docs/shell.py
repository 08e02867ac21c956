"""A shell for the commands of the documentation: they run in a folder, against one server and its database."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml

from app.cli import cli
from app.settings import Settings
from tests.docs.pages import DOCS, ROOT
from tests.support.servers import invoke

COMPOSE = yaml.safe_load(re.sub(r"\$\{\w+:\?\}", "x" * 40, (DOCS / "deployment" / "compose.yaml").read_text(encoding="utf-8")))
# The addresses that pages use, and no other.
HERE = "http://localhost:8000"
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
_OUTPUT_OF = re.compile(r"\$\((.*)\)", re.DOTALL)


class Shell:
    """Runs commands with real tools, `lifeline` in this process; checks those that start a service or change the machine."""

    def __init__(self, folder: Path, url: str, database_url: str, **variables: str) -> None:
        self.folder = folder
        self.url = url
        self.database_url = database_url
        self.variables = variables

    def run(self, command: str) -> tuple[int, str]:
        """Run a command of a page; return its exit code and what it prints. The page's address stands for the server's."""
        command = command.removeprefix("export ")
        words = shlex.split(command, comments=True)
        if words[0] in CHECKS:
            CHECKS[words[0]](words[1:])
            return 0, ""
        assignment = _ASSIGNMENT.fullmatch(command)
        if assignment and (len(words) == 1 or _OUTPUT_OF.fullmatch(assignment[2])):
            return self._assign(assignment[1], assignment[2])
        # Settings may come before it: `LIFELINE_DATABASE_URL=... lifeline migrate`.
        if next(word for word in words if "=" not in word) == "lifeline":
            return self._lifeline(command)
        return self._bash(command)

    def _assign(self, name: str, value: str) -> tuple[int, str]:
        # The page tells its reader to fill this in; the test knows it already.
        if "..." in value:
            assert name in self.variables, f"no page says what {name} is"
            return 0, ""
        inner = _OUTPUT_OF.fullmatch(value)
        code, printed = self.run(inner[1]) if inner else self._bash(f"printf %s {value}")
        self.variables[name] = printed.strip()
        return code, ""

    def _lifeline(self, command: str) -> tuple[int, str]:
        words = [self._expand(each) for each in shlex.split(command.replace("\\\n", " "), comments=True)]
        exported = {name: value for name, value in self.variables.items() if name.startswith("LIFELINE_")}
        # The database that a page exports is that of the server, wherever its file is.
        settings = {name.removeprefix("LIFELINE_").lower(): value for name, value in exported.items()} | {"database_url": self.database_url}
        while words[0] != "lifeline":
            name, _, value = words.pop(0).partition("=")
            settings[name.removeprefix("LIFELINE_").lower()] = value
        if words[1] in ("serve", "pull"):
            check_lifeline(words[1:])
            assert settings.keys() <= Settings.model_fields.keys() | {"upstream_key"}, settings
            Settings(**settings)  # type: ignore[arg-type]
            return 0, ""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            result = invoke(*words[1:], **settings)
        finally:
            os.chdir(before)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output.replace(self.url, HERE)

    def _expand(self, word: str) -> str:
        for name, value in self.variables.items():
            word = word.replace(f"${name}", value)
        return word.replace(HERE, self.url)

    def _bash(self, command: str) -> tuple[int, str]:
        for tool in ("bash", "curl"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed (Debian: apt-get install {tool}): the commands of the documentation are not run")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command.replace(HERE, self.url)],
            cwd=self.folder,
            env=os.environ | self.variables | {"PATH": path, "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).replace(self.url, HERE)


def check_lifeline(words: list[str], *, complete: bool = True) -> None:
    """Parse the arguments of `lifeline` without running it; unless `complete`, required ones may be missing."""
    command = typer.main.get_command(cli)
    context = command.make_context("lifeline", list(words), resilient_parsing=True)
    while words and (find := getattr(command, "resolve_command", None)) is not None:
        wanted = words[0]
        _, command, words = find(context, words)
        assert command is not None, f"`lifeline` has no command {wanted}"
    try:
        command.make_context("lifeline", words, parent=context)
    except Exception as error:
        # Typer's own copy of click, which has no public name.
        if complete or type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
            raise


def check_make(words: list[str]) -> None:
    """Check that the targets exist, and the variables."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name} \?=" if is_variable else rf"^{name}:", makefile, re.MULTILINE), f"the Makefile has no {word}"


def check_uv(words: list[str]) -> None:
    """Check what `uv run` runs: `lifeline`, a module of the tree, or pytest with paths that exist."""
    if words[0] in ("sync", "build", "pip", "lock"):
        return
    assert words[0] == "run", words
    if words[1] == "lifeline":
        check_lifeline(words[2:])
    elif words[1:3] == ["python", "-m"]:
        assert importlib.util.find_spec(words[3]), f"there is no module {words[3]}"
    elif words[1] == "pytest":
        given = {"-k", "-n", "-m", "--dist"}
        folders = [word for before, word in pairwise(words[1:]) if not word.startswith("-") and before not in given]
        for each in folders:
            assert (ROOT / each.partition("::")[0]).exists(), f"there is no {each}"
    else:
        assert words[1] in ("alembic", "ruff", "mypy", "lint-imports", "pybabel"), words


def check_docker(words: list[str]) -> None:
    """Check that `docker compose` names a service of docs/deployment/compose.yaml, and what is run there."""
    if words[0] != "compose":
        assert words[0] in ("build", "run"), words
        return
    named = [word for word in words[2:] if not word.startswith("-")]
    assert words[1] == "up" or named[0] in COMPOSE["services"], words
    if words[1] == "exec" and named[1] == "lifeline":
        check_lifeline(words[words.index("lifeline") + 1 :])


def check_setting(words: list[str]) -> None:
    """Check that a setting exists. The test has settings of its own."""
    (word,) = words
    name = word.partition("=")[0]
    assert name.startswith("OTEL_") or name.removeprefix("LIFELINE_").lower() in Settings.model_fields, word


def check_nothing(words: list[str]) -> None:
    """Leave a command alone that changes the machine and says nothing of Lifeline."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "uv": check_uv,
    "docker": check_docker,
    "export": check_setting,
    ".": check_nothing,
    "sudo": check_nothing,
    "pybabel": check_nothing,
    "printf": check_nothing,
}
