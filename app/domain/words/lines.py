"""Join the lines of a text to sentences, and find the items of its lists."""

import re

# A list in lines, and a word that the end of a line divides.
ITEM, _DIVIDED = re.compile(r"[-*\u2022\u00b7\u25aa\u2013] (?=\S)"), re.compile(r"(?<=[a-z])-\r?\n(?=[a-z])")


def join_lines(text: str) -> tuple[str, list[int]]:
    """Return a text in which white space is one space, apart from ends of paragraphs, and where each character and its end were.

    Digits keep what is between them: 300 and 000 on two lines may be two numbers.
    """
    parts, at, items = list[str](), list[int](), _items(text)
    for match in re.finditer(r"\s+|\S+", text):
        part, (start, end) = match[0], match.span()
        if start in items or (start - 1 in items and part.isspace()):
            continue
        if part in ("\n", "\r\n") and start and _DIVIDED.match(text, start - 1):
            parts[-1] = parts[-1][:-1]
            at.pop()
            continue
        if part.isspace() and not (text[max(0, start - 1) : start].isdecimal() and text[end : end + 1].isdecimal()):
            ends_quote = text[max(0, start - 2) : start].endswith(('"', "\u201d")) and text[start - 2 : start - 1] != ","
            ends_line = "\n" in part and ends_quote and not text[end : end + 1].islower()
            is_list = end in items or ("\n" in part and ITEM.match(text, end) is not None)
            part = "\n\n" if part.count("\n") > 1 or is_list else "\n" if ends_line else " "
        parts.append(part)
        at.extend(range(start, start + len(part)))
    return "".join(parts), [*at, len(text)]


def _items(text: str) -> set[int]:
    """Return where the items of lists begin that state something on their own: not below "The UN said:" or a title."""
    found, at, leads, is_open = set[int](), 0, "", True
    for line in text.splitlines(keepends=True):
        words = line.strip()
        if ITEM.match(words):
            found |= {at + line.index(words)} if is_open else set()
        elif words:
            leads, is_open = words, False
        else:
            is_open = is_open or not leads.endswith(":")
        at += len(line)
    return found
