"""The prose check finds the words that it refuses, with their line, and accepts plain sentences."""

import pytest

from tests.support.prose import check_text

PLANTED = (
    "Read the indicator anew.",
    "Lock the row lest two writers meet.",
    "The server waits for so long.",
    "Whoever asks gets 403.",
    "Nobody sees the report.",
    "The reader gets his own ledger.",
    "A reader gets a cursor when he asks.",
    "It says so where there is none.",
    "Store the outcome that the warning came of.",
    "The counter tells of writes.",
    "Serve the document as it is.",
    "The row stands in the table.",
)
PLAIN = (
    "Return the indicators that a clearance may see.",
    "The heading says this, and the help of the command too.",
    "A report stands until another supersedes it.",
    "Read the rows that are stored. There are no keys.",
    "Hebrew is `he`, see https://example.org/his/page.",
    "Whether the row is visible; `somebody` is a name here.",
    "As it was recorded, the page is served as it is stored.",
)


@pytest.mark.parametrize("sentence", PLANTED)
def test_prose_check_refused_word_is_found(sentence: str) -> None:
    files = {
        "a.py": f'"""Serve."""\n\n\n# {sentence}\nX = 1\n',
        "b.py": f'"""Serve.\n\n\n{sentence}\n"""\n',
        "c.py": f'\n\n\nX = Field(description="{sentence}")\n',
        "d.py": f'\n\n\nraise ValueError("{sentence}")\n',
        "e.md": f"# Title\n\n\n{sentence}\n",
        "f.md": f"```sh\n\n\nls  # {sentence}\n```\n",
        "g.html": f"\n\n\n{{# {sentence} #}}\n",
        "h.js": f"let x;\n\n\n// {sentence}\n",
        "Makefile": f"\n\n\ntest: ## {sentence}\n",
    }
    for name, text in files.items():
        assert [each.line for each in check_text(name, text)] == [4], name


@pytest.mark.parametrize("sentence", PLAIN)
def test_prose_check_plain_sentence_is_accepted(sentence: str) -> None:
    assert check_text("a.py", f'"""{sentence}"""\n# {sentence}\n') == check_text("b.md", f"{sentence}\n") == []


def test_prose_check_clause_at_start_of_docstring_or_comment_is_found() -> None:
    assert [each.word for each in check_text("a.py", '"""What a reader has seen."""\n# Who asks is answered.\n')] == ["What", "Who"]
    plain = '"""What is rate-limited? Every request."""\nX = Field(description="What runs out.")\n# Return what is stored.\n'
    assert check_text("a.py", plain) == []
