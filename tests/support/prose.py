"""The prose check of `make lint`: find words that plain technical English does not use.

`python -m tests.support.prose` reads docstrings, comments, descriptions and error messages of the code, and the documentation. It prints a
line for each word that it finds, and exits with 1 when there are any.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "alembic", "tests", "docs", ".ci")
FILES = ("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "Makefile", "Dockerfile", "pyproject.toml")
# Keyword arguments whose text people read: in the OpenAPI document and in the help of the command.
READ_BY_PEOPLE = {"description", "summary", "help", "response_description"}

# A word or phrase in lower case, and the advice. Keep them few, and so narrow that plain sentences never match.
PATTERNS: tuple[tuple[str, str], ...] = (
    (r"anew", "say 'again'"),
    (r"lest", "say 'so that ... not', or 'otherwise'"),
    (r"in vain", "say 'without result'"),
    (r"for so long|so many", "name the number"),
    (r"who(?:m|mso|so)?ever", "name the client, key, reader or operator"),
    (r"(?:some|no|every)body", "name the client, key, reader or operator"),
    (r"(?:he|she|his|him|himself|herself)", "name the client, key, reader or operator"),
    (r"there (?:is|are) none(?! yet)", "say what is missing"),
    (r"(?:comes?|came|becomes?|became) of", "say 'results from', or name the outcome"),
    (r"(?:tells?|told) of", "say 'shows' or 'reports'"),
    (r"as (?:it is|they are|it stands|they stand)(?=[.,;:)]|$)", "say 'unchanged', or name the state"),
    (r"stands? (?:in|at|before|beside|behind|there|here|now)", "say 'is'"),
)
# Starts of a docstring or comment that name a thing by a clause: "What is kept", "Who asks". Questions are fine.
_CLAUSE = re.compile(r"(?:What|Who|Whom|Whose|That|All that|Those)\b(?![^.]*\?)")
_WORDS = re.compile("|".join(rf"\b(?P<p{at}>{pattern})(?![\w'-])" for at, (pattern, _) in enumerate(PATTERNS)), re.IGNORECASE)
_CODE = re.compile(r"`[^`]*`|https?://\S+")
_HASH = re.compile(r"(?:^|\s)#+\s+(.*)")
_SCRIPT_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\w\"'])//[^\n]*", re.DOTALL)
_TEMPLATE_COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One word that plain English does not use."""

    path: str
    line: int
    word: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: '{self.word}': {self.advice}"


@dataclass(frozen=True, slots=True)
class Passage:
    """Some prose of a file, with the number of its first line. Descriptions of fields may begin with a clause: "What runs out"."""

    line: int
    text: str
    may_begin_with_clause: bool = True


def passages(name: str, text: str) -> Iterator[Passage]:
    """Yield the prose of a file, by the ending of its name."""
    suffix = Path(name).suffix
    if suffix == ".py":
        yield from _of_python(text)
    elif suffix == ".md":
        yield from _of_markdown(text)
    elif suffix in (".js", ".css", ".html", ".svg"):
        pattern = _SCRIPT_COMMENT if suffix in (".js", ".css") else _TEMPLATE_COMMENT
        for found in pattern.finditer(text):
            yield Passage(text.count("\n", 0, found.start()) + 1, found[0])
    else:
        yield from _of_hashes(enumerate(text.splitlines(), 1))


def check_text(name: str, text: str) -> list[Finding]:
    """Return the findings in one file."""
    findings = []
    for passage in passages(name, text):
        prose = _CODE.sub(lambda code: "x" * len(code[0]), passage.text)
        for found in _WORDS.finditer(prose.replace("\n", " ")):
            line = passage.line + prose.count("\n", 0, found.start())
            findings.append(Finding(name, line, found[0], PATTERNS[int(str(found.lastgroup)[1:])][1]))
        if not passage.may_begin_with_clause and (clause := _CLAUSE.match(prose)):
            findings.append(Finding(name, passage.line, clause[0], "begin with a verb or a noun"))
    return findings


def check_tree(root: Path = ROOT) -> list[Finding]:
    """Return the findings in every file of the project that holds prose."""
    paths = [root / name for name in FILES if (root / name).is_file()]
    for folder in FOLDERS:
        paths += [each for each in sorted((root / folder).rglob("*")) if each.is_file() and "__pycache__" not in each.parts]
    readable = {".py", ".md", ".js", ".css", ".html", ".svg", ".yaml", ".yml", ".conf", ".service", ".toml", ""}
    findings = []
    for path in paths:
        if path.suffix in readable:
            findings += check_text(str(path.relative_to(root)), path.read_text(encoding="utf-8"))
    return sorted(findings)


def _of_python(text: str) -> Iterator[Passage]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if (doc := ast.get_docstring(node, clean=False)) is not None:
                yield Passage(node.body[0].lineno, doc, may_begin_with_clause=False)
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg in READ_BY_PEOPLE):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield Passage(part.lineno, part.value)
    # Adjacent comment lines are one passage, so that a phrase is found across the line break.
    block: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != first + len(block):
                yield Passage(first, "\n".join(block), may_begin_with_clause=False)
                block = []
            first = token.start[0] - len(block)
            block.append(token.string.lstrip("# "))
    if block:
        yield Passage(first, "\n".join(block), may_begin_with_clause=False)


def _of_markdown(text: str) -> Iterator[Passage]:
    lines = iter(enumerate(text.splitlines(), 1))
    block: list[str] = []
    first = 1
    for number, line in lines:
        if line.lstrip().startswith("```"):
            yield Passage(first, "\n".join(block))
            block = []
            yield from _of_hashes(takewhile(lambda each: not each[1].lstrip().startswith("```"), lines))
        else:
            first = number if not block else first
            block.append(line)
    yield Passage(first, "\n".join(block))


def _of_hashes(lines: Iterator[tuple[int, str]]) -> Iterator[Passage]:
    for number, line in lines:
        if found := _HASH.search(line):
            yield Passage(number, found[1])


def main() -> int:
    """Print the findings; return 1 when there are any."""
    findings = check_tree()
    for each in findings:
        print(each)  # noqa: T201 - the output of a check
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
