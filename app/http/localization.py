"""The four languages of texts: message catalogues, the choice of a language, numbers and dates."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from unicodedata import bidirectional, decimal, normalize

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_compact_decimal, format_decimal, get_group_symbol
from babel.support import NullTranslations, Translations

from app.domain.kinds.showing import gettext_noop
from app.domain.times import day_of, end_of
from app.http.content_negotiation import parse_weights

LANGUAGES = {"en": "English", "ar": "العربية", "fr": "Français", "es": "Español"}
DEFAULT_LANGUAGE = "en"
TIME_WORDS = gettext_noop("in=in|by=by|to=to|early=early|mid=mid|late=late|days=days|weeks=weeks|months=months|hours=hours|today=today")
CATALOGUES = Path(__file__).parent / "locale"


def choose_language(requested: str | None, remembered: str | None, accept_language: str) -> str:
    """Return the requested language, else the remembered one, else the best of `Accept-Language` (RFC 9110), else English."""
    for each in (requested, remembered):
        if each in LANGUAGES:
            return str(each)
    accepted = [(weight, tag.partition("-")[0]) for tag, weight in parse_weights(accept_language).items() if weight > 0]
    known = [each for each in accepted if each[1] in LANGUAGES]
    return max(known, key=lambda each: each[0], default=(0, DEFAULT_LANGUAGE))[1]


class Localization:
    """Messages, numbers and dates in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(language)
        self.translations = _load_translations(language)
        self.gettext: Callable[[str], str] = self.translations.ugettext
        self.direction = self._locale.text_direction
        # Separates the items of a list.
        self.comma = "\u060c " if language == "ar" else ", "
        # Separates those that have commas.
        self.semicolon = {"ar": "\u061b ", "fr": "\u00a0; "}.get(language, "; ")

    def plural(self, singular: str, plural: str, count: int, **values: Any) -> str:
        """Return the form of a message for a count; `%(count)s` becomes the number as the language writes it."""
        return str(self.translations.ungettext(singular, plural, abs(count))) % {"count": self.number(abs(count)), **values}

    def isolate(self, text: str) -> str:
        """Keep a text in the language's own direction on maps and plots, which always run from left to right."""
        return f"\u2067{text}\u2069" if self.direction == "rtl" else text

    def quote(self, text: str) -> str:
        """Put a source's words in quotation marks."""
        return self.gettext("\u201c%(words)s\u201d") % {"words": self.embed(text)}

    def embed(self, text: str) -> str:
        """Isolate a name or words where their direction may differ from the language's."""
        isolated = self.direction == "rtl" or any(bidirectional(each) in ("R", "AL") for each in text)
        return f"\u2068{text}\u2069" if isolated else text

    def to_english(self, text: str) -> str:
        """Return typed words with numbers, months, weekdays and words of time in English, and with ASCII digits."""
        text = normalize("NFC", text).replace("\u066c", ",").replace("\u2019", "'")
        text = "".join(str(decimal(each)) if each.isdecimal() else each for each in text)
        if not self._english_words:
            return text
        # The longest first, because "d'ici le" is another word than "le".
        words = "|".join(map(re.escape, sorted(self._english_words, key=len, reverse=True)))
        return re.sub(
            rf"(?<![^\W\d_])(?:{words})(?![^\W\d_])", lambda match: self._english_words[match[0].casefold()], text, flags=re.IGNORECASE
        )

    @cached_property
    def _english_words(self) -> dict[str, str]:
        if self.language == DEFAULT_LANGUAGE:
            return {}
        english = Locale.parse(DEFAULT_LANGUAGE)
        words = {}
        for table in ("months", "days"):
            for context in ("format", "stand-alone"):
                named = [(at, str(name)) for at, name in getattr(self._locale, table)[context]["wide"].items()]
                # Abbreviated months have their full stop: "mar" is a weekday, too, and "sept" a number.
                short = getattr(self._locale, table)[context]["abbreviated"].items() if table == "months" else ()
                for at, name in [*named, *((at, f"{str(name).rstrip('.')}.") for at, name in short)]:
                    words[name.casefold()] = str(getattr(english, table)["format"]["wide"][at])
        # One message with all words, because a form of one language may stand for several English ones.
        for pair in self.gettext(TIME_WORDS).split("|"):
            meaning, _, theirs = pair.partition("=")
            words |= dict.fromkeys(theirs.casefold().split(","), meaning)
        return words

    def number(self, value: float) -> str:
        """Format a number with grouped digits."""
        return format_decimal(value, locale=self._locale)

    def ungrouped(self, text: str) -> str:
        """Return a typed number without the sign between thousands with which `number` writes it."""
        sign = re.escape(get_group_symbol(self._locale))
        return re.sub(r"\D", "", text) if re.fullmatch(rf"\d{{1,3}}(?:{sign}\d{{3}})+", text) else text

    def short_number(self, value: float) -> str:
        """Format a number for an axis, such as 250K."""
        return format_compact_decimal(value, locale=self._locale, fraction_digits=1)

    def day(self, text: str) -> str:
        """Format the day of an RFC 3339 date or date-time."""
        return self._ordinal(format_date(day_of(text), "d MMM y", locale=self._locale))

    def days_between(self, first: str, last: str) -> int:
        """Return the number of days between two RFC 3339 dates or date-times."""
        return max((day_of(last) - day_of(first)).days, 0)

    def date_time(self, text: str) -> str:
        """Format an RFC 3339 date-time to the minute, in UTC."""
        return self._ordinal(format_datetime(datetime.fromisoformat(text), "d MMM y, HH:mm 'UTC'", locale=self._locale))

    def _ordinal(self, text: str) -> str:
        # French writes the first day of a month as an ordinal number, and CLDR does not.
        return f"1er{text[1:]}" if self.language == "fr" and text.startswith("1 ") else text

    def point(self, text: str) -> str:
        """Format a date or date-time as a time point in UTC: a day for its end, else with the time, to the second."""
        instant = end_of(text).astimezone(UTC)
        pattern = "d MMM y" if instant.time() == time.max else "d MMM y, HH:mm:ss 'UTC'"
        return format_datetime(instant, pattern, locale=self._locale)

    def country(self, code: str) -> str:
        """Return the name of a country by its ISO 3166-1 alpha-2 code."""
        return str(self._locale.territories.get(code, code))


def _load_translations(language: str) -> NullTranslations:
    # The templates hold the English messages.
    if language == DEFAULT_LANGUAGE:
        return NullTranslations()
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


@lru_cache
def localization_for(lang: str | None = None) -> Localization:
    """Return the localization of a language; English for a language without a catalogue."""
    return Localization(lang if lang in LANGUAGES else DEFAULT_LANGUAGE)
