"""Text that a reader can see. Pure."""

import re

# Letters and signs that are printed as nothing: Hangul fillers, and Braille without a dot.
_EMPTY = frozenset("\u115f\u1160\u2800\u3164\uffa0")
# Of Excel, LibreOffice, and cells too narrow for their value that were saved as text.
CELL_ERROR = re.compile(
    r"#(N/A|(REF|VALUE|DIV/0|NULL|NUM|SPILL|CALC|FIELD|BLOCKED|CONNECT|BUSY|UNKNOWN|PYTHON|UNCALCULATED|MERGED|SHOWN|STRUCK|EXTERNAL)!|NAME\?|GETTING_DATA|#{2,})|Err:\d{3}"
)
# Unseen spaces and marks around a text, such as those of direction.
AROUND = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x61C, *range(0x2000, 0x2010), *range(0x2028, 0x2030), 0x205F)))
AROUND += "".join(map(chr, (*range(0x2060, 0x2070), 0x3000, 0xFEFF)))
# Texts that programs and people write in cells without a value.
NO_VALUES = frozenset({"nan", "NaN", "NaT", "<NA>", "None", "NULL", "null", "n/a", "N/A", "-", "\u2013", "\u2014"})


def not_blank(text: str) -> str:
    """Return a text unchanged; raise ValueError for one without a visible character."""
    if not any(each.isprintable() and not each.isspace() and each not in _EMPTY for each in text):
        raise ValueError("must not be blank")
    return text


def stated_text(text: str) -> str:
    """Return a text unchanged; raise ValueError for one that an import of tables takes for no value, or for an error of a program."""
    if (bare := text.strip(AROUND)) in NO_VALUES or CELL_ERROR.fullmatch(bare):
        raise ValueError(f"{bare} is no value: leave it out, or write what was said")
    return text


def free_text(text: str) -> str | None:
    """Return a stated text without unseen characters around it, None if nothing is left."""
    return stated_text(text).strip(AROUND) or None
