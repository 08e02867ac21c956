"""The board's four languages: gettext catalogues, choice of language, numbers and dates."""

from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from unicodedata import bidirectional

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_compact_decimal, format_decimal
from babel.support import NullTranslations, Translations

LANGUAGES = {"en": "English", "ar": "العربية", "fr": "Français", "es": "Español"}
DEFAULT = "en"
CATALOGUES = Path(__file__).parent / "locale"


@lru_cache
def catalogue(language: str) -> NullTranslations:
    """The messages of a language, compiled from its catalogue. English is what the templates say themselves."""
    if language == DEFAULT:
        return NullTranslations()
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


def choose_language(asked: str | None, remembered: str | None, accepted: str) -> str:
    """The language asked for, else the one remembered, else the best of an `Accept-Language` (RFC 9110), else English."""
    for each in (asked, remembered):
        if each in LANGUAGES:
            return str(each)
    weighed: list[tuple[float, str]] = []
    for part in accepted.split(","):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        weighed.append((weight, tag.strip().partition("-")[0].lower()))
    best = sorted((each for each in weighed if each[1] in LANGUAGES and each[0] > 0), key=lambda each: -each[0])
    return best[0][1] if best else DEFAULT


class Tongue:
    """How one language says things."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.locale = Locale.parse(language)
        self.messages = catalogue(language)
        self.gettext: Callable[[str], str] = self.messages.ugettext
        self.direction = self.locale.text_direction
        # Between the parts of a list.
        self.comma = "\u060c " if language == "ar" else ", "

    def plural(self, one: str, many: str, count: int, **values: Any) -> str:
        """The form of a message for a count, with `%(count)s` as a number of the language."""
        return str(self.messages.ungettext(one, many, abs(count))) % {"count": self.number(abs(count)), **values}

    def isolated(self, text: str) -> str:
        """A text in the language's own direction, wherever it stands: on a map or a plot everything runs from left to right."""
        return f"\u2067{text}\u2069" if self.direction == "rtl" else text

    def quoted(self, words: str) -> str:
        """Words of somebody else between quotation marks, kept apart where they may run in the other direction."""
        foreign = self.direction == "rtl" or any(bidirectional(each) in ("R", "AL") for each in words)
        return self.gettext("\u201c%(words)s\u201d") % {"words": f"\u2068{words}\u2069" if foreign else words}

    def number(self, value: float) -> str:
        """A number with its groups of digits."""
        return format_decimal(value, locale=self.locale)

    def short_number(self, value: float) -> str:
        """A number for an axis, such as 250K."""
        return format_compact_decimal(value, locale=self.locale, fraction_digits=1)

    def day(self, text: str) -> str:
        """The day of a date or date-time on the wire."""
        return format_date(date.fromisoformat(text[:10]), "d MMM y", locale=self.locale)

    def short_day(self, day: date) -> str:
        """A day for an axis, whose year is told elsewhere."""
        return format_date(day, "d MMM", locale=self.locale)

    def moment(self, text: str) -> str:
        """A date-time on the wire to the minute, in UTC."""
        return format_datetime(datetime.fromisoformat(text), "d MMM y, HH:mm 'UTC'", locale=self.locale)

    def country(self, code: str) -> str:
        """The name of a country by its ISO 3166-1 alpha-2 code."""
        return str(self.locale.territories.get(code, code))


@lru_cache
def tongue(language: str) -> Tongue:
    """How a language says things; made once."""
    return Tongue(language)
