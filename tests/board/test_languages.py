"""Four languages: complete catalogues with the same placeholders, plural forms, and which language a reader gets."""

import re
import tomllib
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from app.board.code_labels import people, word
from app.board.localization import CATALOGUES, LANGUAGES, choose_language, tongue
from app.domain.kinds import KINDS

ROOT = Path(__file__).parent.parent.parent
KEYWORDS = {"_": None, "_n": None, "gettext": None, "plural": (1, 2), "ngettext": (1, 2)}
TRANSLATED = [language for language in LANGUAGES if language != "en"]


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Every message that the board's code and templates have."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    method_map = [(each["pattern"].removeprefix("app/board/"), each["method"]) for each in mappings]
    found = extract_from_dir(ROOT / "app" / "board", method_map, keywords=KEYWORDS)
    return {message[0] if isinstance(message, tuple) else message for _, _, message, _, _ in found}


def catalogue_of(language: str) -> Catalog:
    """A catalogue as it is committed."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_every_message_and_no_other(language: str, used: set[str]) -> None:
    assert len(used) > 150
    kept = {message.id[0] if isinstance(message.id, tuple) else message.id for message in catalogue_of(language) if message.id}
    assert kept == used


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_keep_the_placeholders_and_have_every_plural_form(language: str) -> None:
    catalogue = catalogue_of(language)
    for message in catalogue:
        if not message.id:
            continue
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        expected = set(re.findall(r"%\(\w+\)s", message.id[1] if isinstance(message.id, tuple) else message.id))
        assert len(forms) == (catalogue.num_plurals if isinstance(message.id, tuple) else 1), message.id
        for form in forms:
            assert form, message.id
            # A form for exactly one or two needs no number.
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
def test_plural_forms(language: str, forms: dict[int, str]) -> None:
    assert {count: tongue(language).plural("%(count)s day left", "%(count)s days left", count) for count in forms} == forms


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "chosen"),
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
def test_which_language(asked: str | None, remembered: str | None, accepted: str, chosen: str) -> None:
    assert choose_language(asked, remembered, accepted) == chosen


def test_numbers_and_days() -> None:
    assert [tongue(each).number(1234567) for each in ("en", "es")] == ["1,234,567", "1.234.567"]
    assert tongue("fr").day("2016-08-01T00:00:00Z") == "1 août 2016"
    assert tongue("ar").day("2016-08-01") == "1 أغسطس 2016"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"people": 300000, "people_low": 250000, "people_high": 300000, "qualifier": "about"}, "250,000\u2013300,000"),
        ({"people": 300000, "people_low": 300000, "people_high": 300000, "qualifier": "about"}, "about 300,000"),
        ({"people": 5, "people_low": None, "people_high": None, "qualifier": None}, "5"),
        ({"people": None, "people_low": None, "people_high": 275000, "qualifier": None}, "up to 275,000"),
        ({"people": None, "people_low": 100, "people_high": None, "qualifier": None}, "at least 100"),
        ({"people": None, "people_low": 100, "people_high": None, "qualifier": "more_than"}, "more than 100"),
        ({"people": None, "people_low": None, "people_high": None, "qualifier": None}, "\u2013"),
    ],
)
def test_people_in_words(value: dict[str, object], words: str) -> None:
    assert people(tongue("en"), value) == words


@pytest.mark.parametrize(
    ("language", "words", "quoted"),
    [
        ("en", "three weeks", "\u201cthree weeks\u201d"),
        ("fr", "three weeks", "\u00ab\u00a0three weeks\u00a0\u00bb"),
        ("ar", "three weeks", "\u00ab\u2068three weeks\u2069\u00bb"),
        ("en", "\u0623\u064a\u0627\u0645", "\u201c\u2068\u0623\u064a\u0627\u0645\u2069\u201d"),
    ],
)
def test_words_of_somebody_else_keep_their_direction(language: str, words: str, quoted: str) -> None:
    assert tongue(language).quoted(words) == quoted


def test_no_two_concepts_have_one_word() -> None:
    """A translation must not merge what is never to be mixed."""
    concepts = ("trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining")
    for language in LANGUAGES:
        assert len({word(tongue(language), each) for each in concepts}) == len(concepts), language


def test_a_code_without_words_is_shown_as_it_is() -> None:
    assert word(tongue("ar"), "never_heard_of") == "never heard of"
    assert all(word(tongue("ar"), kind) != kind.replace("_", " ") for kind in KINDS)
