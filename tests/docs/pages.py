"""The pages of the documentation, their code blocks, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Stands for text that a page leaves out of an output.
ELLIPSIS = re.compile(r"\s*\.\.\.\s*")
_FENCE = re.compile(r"^```(.*)$")
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `info` has the words after the language."""

    language: str
    info: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the output that the page shows; None where the page shows none."""

    command: str
    expected: str | None
    line: int


def paths() -> list[Path]:
    """Return every page, the README first."""
    at_root = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    return [each for each in at_root if each.exists()] + sorted(DOCS.rglob("*.md"))


def name_of(path: Path) -> str:
    """Return the path of a page below the root."""
    return str(path.relative_to(ROOT))


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found: list[Block] = []
    inside: list[str] | None = None
    head, start = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            head, start, inside = fence[1].strip(), number, []
        elif inside is not None and fence:
            language, _, info = head.partition(" ")
            found.append(Block(language, info, "".join(f"{each}\n" for each in inside), start))
            inside = None
        elif inside is not None:
            inside.append(line)
    assert inside is None, f"{name_of(path)}:{start}: this block has no end"
    return found


def block(path: Path, language: str, info: str = "") -> str:
    """Return the one block of a page with a language and the words after it."""
    (found,) = [each.text for each in blocks(path) if (each.language, each.info) == (language, info)]
    return found


def steps(path: Path) -> list[Step]:
    """Return the commands of a page in order: lines of `sh` blocks, and lines of `console` blocks after `$`."""
    found: list[Step] = []
    for each in blocks(path):
        if each.language == "sh":
            found += [Step(command, None, line) for command, line in _commands(each.text.splitlines(), each.line + 1)]
        elif each.language == "console":
            found += _dialogue(each)
    return found


def _dialogue(each: Block) -> Iterator[Step]:
    for part in re.split(r"^\$ ", each.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        command, _ = next(iter(_commands(lines, 0)))
        output = "\n".join(lines[command.count("\n") + 1 :])
        yield Step(command, output, each.line + 1 + each.text[: each.text.index(part)].count("\n"))


def _commands(lines: list[str], first: int) -> Iterator[tuple[str, int]]:
    """Yield commands that may go over several lines: by a backslash, an open quotation or a here-document."""
    taken: list[str] = []
    for number, line in enumerate(lines, first):
        if not taken and (not line.strip() or line.startswith("#")):
            continue
        taken.append(line)
        if _is_complete(taken):
            yield "\n".join(taken), number - len(taken) + 1
            taken = []
    assert not taken, f"the command {taken[0]} has no end"


def _is_complete(taken: list[str]) -> bool:
    heredoc = _HEREDOC.search(taken[0])
    if heredoc:
        return taken[-1] == heredoc[1]
    text = "\n".join(taken)
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return not text.endswith("\\")


def same_output(expected: str, printed: str) -> bool:
    """Whether an output is the one that a page shows, where `...` stands for any text."""
    pieces = ELLIPSIS.split(" ".join(expected.split()))
    rest = " ".join(printed.split())
    if len(pieces) == 1:
        return pieces[0] == rest
    if not rest.startswith(pieces[0]):
        return False
    rest = rest[len(pieces[0]) :]
    for piece in pieces[1:-1]:
        at = rest.find(piece)
        if at < 0:
            return False
        rest = rest[at + len(piece) :]
    return rest.endswith(pieces[-1])
