"""Text that a reader can see. Pure."""

# Letters and signs that are printed as nothing: Hangul fillers, and Braille without a dot.
_EMPTY = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def not_blank(text: str) -> str:
    """Return a text unchanged; raise ValueError for one without a visible character."""
    if not any(each.isprintable() and not each.isspace() and each not in _EMPTY for each in text):
        raise ValueError("must not be blank")
    return text
