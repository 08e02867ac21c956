"""Tests for the four languages: complete catalogues, plural forms, numbers, dates, and the choice of a language."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from app.domain.words.mentions import number
from app.domain.words.typed import read_time
from app.http.localization import CATALOGUES, LANGUAGES, choose_language, localization_for

ROOT = Path(__file__).parent.parent.parent
KEYWORDS = {"_": None, "gettext_noop": None, "gettext": None, "plural": (1, 2), "ngettext": (1, 2)}
TRANSLATED = [language for language in LANGUAGES if language != "en"]


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Return every message in the board's code and templates and in the kinds."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    method_map = [(each["pattern"].removeprefix("app/"), each["method"]) for each in mappings]
    found = extract_from_dir(ROOT / "app", method_map, keywords=KEYWORDS)
    return {message[0] if isinstance(message, tuple) else message for _, _, message, _, _ in found}


def catalogue_of(language: str) -> Catalog:
    """Read a catalogue."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", TRANSLATED)
def test_catalogue_has_exactly_the_messages_in_use(language: str, used: set[str]) -> None:
    assert len(used) > 150
    translated = {message.id[0] if isinstance(message.id, tuple) else message.id for message in catalogue_of(language) if message.id}
    assert translated == used


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_keep_placeholders_and_have_every_plural_form(language: str) -> None:
    catalogue = catalogue_of(language)
    for message in catalogue:
        if not message.id:
            continue
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        expected = set(re.findall(r"%\(\w+\)s", message.id[1] if isinstance(message.id, tuple) else message.id))
        assert len(forms) == (catalogue.num_plurals if isinstance(message.id, tuple) else 1), message.id
        for form in forms:
            assert form, message.id
            # A form for one or two needs no number.
            assert set(re.findall(r"%\(\w+\)s", form)) <= expected, message.id
        assert set(re.findall(r"%\(\w+\)s", "".join(forms))) == expected, message.id
        assert not message.fuzzy


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("en", {1: "1 day left", 5: "5 days left"}),
        ("fr", {0: "0 jour restant", 1: "1 jour restant", 5: "5 jours restants"}),
        ("es", {1: "queda 1 día", 5: "quedan 5 días"}),
        ("ar", {1: "يوم واحد متبقٍّ", 2: "يومان متبقيان", 3: "3 أيام متبقية", 11: "11 يومًا متبقيًا", 100: "100 يوم متبقٍّ"}),
    ],
)
def test_plural_has_the_forms_of_each_language(language: str, forms: dict[int, str]) -> None:
    assert {count: localization_for(language).plural("%(count)s day left", "%(count)s days left", count) for count in forms} == forms


@pytest.mark.parametrize(
    ("requested", "remembered", "accept_language", "chosen"),
    [
        ("fr", "ar", "es", "fr"),
        (None, "ar", "es", "ar"),
        (None, None, "es-MX,en;q=0.8", "es"),
        (None, None, "en;q=0.2, ar;q=0.7", "ar"),
        (None, None, "ar;q=0, de", "en"),
        (None, None, "fr;q=nonsense", "en"),
        ("de", None, "fr", "fr"),
        ("de", "xx", "", "en"),
    ],
)
def test_requested_language_precedes_cookie_and_browser(
    requested: str | None, remembered: str | None, accept_language: str, chosen: str
) -> None:
    assert choose_language(requested, remembered, accept_language) == chosen


def test_numbers_and_days_follow_the_language() -> None:
    assert [localization_for(each).number(1234567) for each in ("en", "es")] == ["1,234,567", "1.234.567"]
    assert localization_for("fr").day("2016-08-01T00:00:00Z") == "1er août 2016"
    assert localization_for("ar").day("2016-08-01") == "1 أغسطس 2016"


@pytest.mark.parametrize(
    ("language", "words", "quoted"),
    [
        ("en", "three weeks", "\u201cthree weeks\u201d"),
        ("fr", "three weeks", "\u00ab\u00a0three weeks\u00a0\u00bb"),
        ("ar", "three weeks", "\u00ab\u2068three weeks\u2069\u00bb"),
        ("en", "\u0623\u064a\u0627\u0645", "\u201c\u2068\u0623\u064a\u0627\u0645\u2069\u201d"),
    ],
)
def test_quotation_keeps_its_own_direction(language: str, words: str, quoted: str) -> None:
    assert localization_for(language).quote(words) == quoted


@pytest.mark.parametrize(
    ("language", "typed", "meant"),
    [
        ("fr", "le 15 août", {"first": "2016-08-15", "last": "2016-08-15"}),
        ("fr", "d\u2019ici le 15 août", {"first": "None", "last": "2016-08-15"}),
        ("fr", "dans deux à trois semaines", {"in_days_min": "14", "in_days_max": "21"}),
        ("fr", "dans les 48 heures", {"in_days_max": "2"}),
        ("fr", "quelques jours", {"imminence": "days"}),
        ("fr", "demain", {"first": "2016-07-30", "last": "2016-07-30"}),
        ("es", "a mediados de agosto", {"first": "2016-08-11", "last": "2016-08-20"}),
        ("es", "antes del 15 de agosto de 2016", {"first": "None", "last": "2016-08-14"}),
        ("es", "dentro de dos semanas", {"in_days_min": "14", "in_days_max": "14"}),
        ("ar", "بعد أسبوعين", {"in_days_min": "14", "in_days_max": "14"}),
        ("ar", "خلال \u0661\u0660 أيام", {"in_days_max": "10"}),
        ("ar", "15 آب", {"first": "2016-08-15", "last": "2016-08-15"}),
        # Ten days ago, or within ten days.
        ("ar", "قبل 10 أيام", None),
        # Within a month is no number of days.
        ("ar", "خلال شهر", None),
        ("ar", "خلال أسبوع", {"in_days_max": "7"}),
        ("ar", "بين 12 و15 أغسطس", {"first": "2016-08-12", "last": "2016-08-15"}),
        ("fr", "entre le 12 et le 15 août", {"first": "2016-08-12", "last": "2016-08-15"}),
        ("fr", "au plus tard le 12 août", {"first": "None", "last": "2016-08-12"}),
        ("es", "entre el 12 y el 15 de agosto", {"first": "2016-08-12", "last": "2016-08-15"}),
        ("en", "the end of August", {"first": "2016-08-21", "last": "2016-08-31"}),
        # The rest of a month that has begun.
        ("en", "July 2016", {"first": "2016-07-29", "last": "2016-07-31"}),
        ("fr", "depuis deux semaines", None),
        ("en", "before 10 days", None),
    ],
)
def test_times_are_typed_in_the_language_of_the_page(language: str, typed: str, meant: dict[str, str] | None) -> None:
    read = read_time(localization_for(language).to_english(typed), date(2016, 7, 29), future=True)
    assert meant == (read and {name: str(value) for name, value in read.items()})


@pytest.mark.parametrize(
    ("language", "typed", "day"),
    [
        ("fr", "hier", "2016-07-28"),
        ("en", "Thursday 28 July 2016", "2016-07-28"),
        ("en", "two days ago", "2016-07-27"),
        ("fr", "mercredi 27 juillet", "2016-07-27"),
        ("fr", "avant-hier", "2016-07-27"),
        ("es", "hace dos días", "2016-07-27"),
        ("es", "miércoles 27 de julio", "2016-07-27"),
        ("ar", "الأربعاء 27 يوليو", "2016-07-27"),
        ("fr", "1er juillet 2016", "2016-07-01"),
        ("fr", "15 sept. 2015", "2015-09-15"),
        ("es", "el 28 de julio", "2016-07-28"),
        ("es", "ayer", "2016-07-28"),
        ("ar", "\u0662\u0668 تموز 2016", "2016-07-28"),
        ("ar", "5 كانون الثاني 2016", "2016-01-05"),
        ("ar", "يوم الخميس", "2016-07-28"),
    ],
)
def test_days_are_typed_in_the_language_of_the_page(language: str, typed: str, day: str) -> None:
    read = read_time(localization_for(language).to_english(typed), date(2016, 7, 29), future=False)
    assert read is not None
    assert (str(read["first"]), str(read["last"])) == (day, day)


@pytest.mark.parametrize(
    ("language", "typed"),
    [
        ("fr", "deux cent mille"),
        ("fr", "200 mille"),
        ("es", "doscientos mil"),
        ("ar", "مئتا ألف"),
        ("ar", "\u0662\u0660\u0660\u066c\u0660\u0660\u0660"),
    ],
)
def test_numbers_are_typed_in_the_language_of_the_page(language: str, typed: str) -> None:
    assert number(localization_for(language).to_english(typed).lower()) == 200_000
