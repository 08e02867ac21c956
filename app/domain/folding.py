"""Fold text for searches: without case, accents, vowel signs and punctuation, so that spellings of one word are equal. Pure."""

import unicodedata

# Letters without a decomposition, Arabic and Persian letters that are written for one another, and signs inside words.
_LETTERS = str.maketrans(
    {
        "\u00f8": "o",
        "\u0142": "l",
        "\u0111": "d",
        "\u0131": "i",
        "\u00e6": "ae",
        "\u0153": "oe",
        "\u00f0": "d",
        "\u00fe": "th",
        "\u0629": "\u0647",
        "\u0649": "\u064a",
        "\u06cc": "\u064a",
        "\u06a9": "\u0643",
        "\u06c1": "\u0647",
        **dict.fromkeys("\u0640\u0621'\u2018\u2019\u02bc\u02bb\u02be\u02bf`\u00b4\u00ad"),
    }
)


class _Characters(dict[int, str]):
    """The folded form of each character, by its code point; computed when it first occurs."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] == "M" or category == "Cf":
            folded = ""
        elif category == "Nd":
            folded = str(unicodedata.digit(character))
        else:
            folded = character if character.isalnum() else " "
        if code < 0x3000:
            self[code] = folded
        return folded


_CHARACTERS = _Characters()


def fold(text: str) -> str:
    """Return the words of a text in the form in which they are compared, with one space between them."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.translate(_LETTERS)).casefold())
    return " ".join(decomposed.translate(_LETTERS).translate(_CHARACTERS).split())
