"""For rules that do not depend on the database engine."""

import re
import time
from datetime import date

import pytest

from app.domain.words import NameIndex, Reading, read_article
from app.domain.words.typed import read_time
from app.http.localization import localization_for
from tests.domain.words.sentences import PARENTS, PLACES, PUBLISHED_ON, PUBLISHER, ROUTES, SOURCES, load

NAMES = NameIndex(PLACES.items(), SOURCES.items(), ROUTES.items(), PARENTS)


def read(text: str, published_on: str = PUBLISHED_ON) -> Reading:
    return read_article(text, NAMES, PUBLISHER, date.fromisoformat(published_on))


@pytest.mark.parametrize("name", ["development.txt", "held_out.txt"])
def test_rules_on_sentences_propose_nothing_wrong_and_most_statements(name: str) -> None:
    wrong, right, stated, unmarked = [], 0, 0, []
    for sentence in load(name):
        reading = read(sentence.text)
        expected = list(sentence.statements)
        stated += len(expected)
        for each in reading.proposals:
            found = {
                "kind": each.kind,
                "place": each.place,
                "source": each.source,
                "stated_at": each.stated_on.isoformat(),
                "value": each.value,
            }
            if found in expected:
                expected.remove(found)
                right += 1
            else:
                wrong.append((sentence.text, found))
        if sentence.marked and not reading.unclear:
            unmarked.append(sentence.text)
    assert not wrong
    assert not unmarked
    assert right >= 0.8 * stated


def test_sentences_are_at_least_150_and_half_of_them_kept_apart() -> None:
    developed, kept = ({each.text for each in load(name)} for name in ("development.txt", "held_out.txt"))
    assert len(developed | kept) >= 150
    assert len(kept - developed) >= 75


@pytest.mark.parametrize("name", ["development.txt", "held_out.txt"])
def test_every_proposed_field_has_a_span_of_the_text(name: str) -> None:
    for sentence in load(name):
        for each in read(sentence.text).proposals:
            assert each.spans.keys() >= {"/kind", "/place", "/source", "/stated_at", *(f"/value/{field}" for field in each.value)}
            assert all(0 <= start < end <= len(sentence.text) for start, end in each.spans.values()), each
            place = sentence.text[slice(*each.spans["/place"])]
            assert place.lower() == PLACES[each.place].lower()


def test_spans_of_an_article_are_the_words_that_fields_come_from() -> None:
    text = "Aid is scarce.\n\nThe UN warned on Friday: \u201cSome 300,000 people are trapped in eastern Aleppo.\u201d It was hot."
    (each,) = read(text).proposals
    spans = {pointer: text[slice(*span)] for pointer, span in each.spans.items()}
    assert spans["/value/people"] == "Some 300,000"
    assert [spans[each] for each in ("/value/concept", "/place", "/source", "/stated_at")] == ["trapped", "eastern Aleppo", "UN", "Friday"]
    assert each.quoted
    assert each.stated_on == date(2016, 7, 29)


@pytest.mark.parametrize("space", ["\n", "  ", " \r\n\t", "\u00a0"])
def test_article_as_printed_on_lines_states_the_same(space: str) -> None:
    """Put every sentence of the development half on lines of one word."""
    for sentence in load("development.txt"):
        # Digits keep what is between them.
        printed = re.sub(r"(?<![0-9]) | (?![0-9])", lambda _: space, sentence.text)
        there, here = read(printed).proposals, read(sentence.text).proposals
        assert len(there) == len(here), printed
        for one, other in zip(there, here, strict=True):
            assert (one.kind, one.place, one.source, one.stated_on, one.value) == (
                other.kind, other.place, other.source, other.stated_on, other.value
            )  # fmt: skip
            assert {pointer: " ".join(printed[slice(*span)].split()) for pointer, span in one.spans.items()} == {
                pointer: sentence.text[slice(*span)].strip() for pointer, span in other.spans.items()
            }
            assert one.quote == printed[slice(*one.spans["/provenance/quote"])]


def test_items_of_a_list_are_read_unless_a_line_above_leads_to_them() -> None:
    items = "- 300,000 people are trapped in eastern Aleppo\n\u2022 40,000 people are besieged in Madaya\n"
    for lead, count in (
        ("", 2),
        ("It is hot.\n\n", 2),
        ("It is hot.\n", 0),
        ("The army said:\n", 0),
        ("The army said:\n\n", 0),
        ("RUMOURS\n", 0),
    ):
        text = lead + items
        proposals = read(text).proposals
        assert len(proposals) == count, lead
        assert all(text[slice(*each.spans["/provenance/quote"])] == each.quote and each.quote[0].isdecimal() for each in proposals)
        assert proposals or read(text).unclear


def test_word_that_the_end_of_a_line_divides_is_one_word() -> None:
    for end in ("\n", "\r\n"):
        text = f"Some 300,000 people are trap-{end}ped in eastern Aleppo."
        (each,) = read(text).proposals
        assert text[slice(*each.spans["/value/concept"])] == f"trap-{end}ped"
    assert not read("300,000 people are trapped in eastern-\nAleppo.").proposals


def test_name_is_not_read_over_the_end_of_a_paragraph() -> None:
    assert [each.place for each in read("Eastern\n\n40,000 people are trapped in Madaya.").proposals] == ["madaya"]
    assert not read("300,000 people are trapped in eastern\n\nAleppo.").proposals


@pytest.mark.parametrize(
    ("published_on", "stated_on"), [("2016-07-29", "2016-07-29"), ("2016-07-30", "2016-07-29"), ("2016-08-04", "2016-07-29")]
)
def test_weekday_of_a_statement_is_the_last_one_by_publication(published_on: str, stated_on: str) -> None:
    (each,) = read("The UN said on Friday that fuel in Goma could run out in three days.", published_on).proposals
    assert each.stated_on == date.fromisoformat(stated_on)
    assert (each.value["in_days_min"], each.value["in_days_max"]) == (3, 3)


@pytest.mark.parametrize(("published_on", "stated_on"), [("2016-08-01", "2016-07-29"), ("2016-07-30", None), ("2016-07-29", None)])
def test_last_weekday_is_read_before_that_weekday_has_come_again(published_on: str, stated_on: str | None) -> None:
    proposals = read("The UN said last Friday that 40,000 people are trapped in Madaya.", published_on).proposals
    assert [each.stated_on.isoformat() for each in proposals] == ([stated_on] if stated_on else [])
    typed = read_time("last Friday", date.fromisoformat(published_on), future=False)
    assert (typed and typed["first"].isoformat()) == stated_on


@pytest.mark.parametrize("published_on", ["2016-07-31", "2017-01-15"])
def test_day_without_a_year_is_in_the_past_of_its_statement(published_on: str) -> None:
    (each,) = read("Castello Road into eastern Aleppo has been closed since 7 July.", published_on).proposals
    assert each.value["since"] == "2016-07-07"


def test_place_is_taken_from_an_earlier_sentence_only_where_one_is_named() -> None:
    assert [each.place for each in read("Aid is far from Madaya. 40,000 people are trapped there.").proposals] == ["madaya"]
    assert not read("40,000 people are trapped there. Aid is far from Madaya.").proposals
    assert not read("Aid is far from Madaya.\n\n40,000 people are trapped there.").proposals
    (unclear,) = read("Aid left Madaya for Zabadani. 40,000 people are trapped there.").unclear
    assert unclear.reason == "it is not certain which place is meant"
    assert not read("Aid is far from Madaya and Foah. 40,000 people are trapped there.").proposals


@pytest.mark.parametrize(
    "typed", ["28 Nov", "28 nov.", "Nov 28, 2016", "28-Nov-2016", "28th of November", "28 NOVEMBER 2016", "2016-11-28", "Mon", "monday"]
)
def test_day_with_the_name_of_its_month_or_a_weekday_is_read(typed: str) -> None:
    day = date(2016, 11, 28)
    assert read_time(typed, date(2016, 11, 30), future=False) == {"first": day, "last": day}


@pytest.mark.parametrize(
    ("language", "typed"),
    [
        *(("en", each) for each in ("from 1 to 3 August", "1-3 August", "1 \u2013 3 August 2016", "August 1-3", "between 1 and 3 August")),
        *(("fr", each) for each in ("du 1er au 3 ao\u00fbt", "du 1 au 3 ao\u00fbt 2016")),
        ("es", "del 1 al 3 de agosto"),
        ("ar", "\u0645\u0646 1 \u0625\u0644\u0649 3 \u0623\u063a\u0633\u0637\u0633"),
    ],
)
def test_range_of_days_of_one_month_is_read(language: str, typed: str) -> None:
    read_ = read_time(localization_for(language).to_english(typed), date(2016, 8, 10), future=False)
    assert read_ == {"first": date(2016, 8, 1), "last": date(2016, 8, 3)}


@pytest.mark.parametrize(
    ("language", "typed", "days"),
    [
        ("en", "two weeks to three weeks", (14, 21)),
        ("en", "in 10-14 days", (10, 14)),
        ("en", "in two to three hundred days", (200, 300)),
        ("fr", "d\u2019ici une semaine", (None, 7)),
        ("fr", "dans une quinzaine de jours", (14, 14)),
        ("es", "en una quincena", (14, 14)),
        (
            "ar",
            "\u062e\u0644\u0627\u0644 \u0623\u0633\u0628\u0648\u0639\u064a\u0646 \u0625\u0644\u0649 "
            "\u062b\u0644\u0627\u062b\u0629 \u0623\u0633\u0627\u0628\u064a\u0639",
            (None, 21),
        ),
    ],
)
def test_duration_is_read_in_each_language(language: str, typed: str, days: tuple[int | None, int]) -> None:
    read_ = read_time(localization_for(language).to_english(typed), date(2016, 8, 10), future=True) or {}
    assert (read_.get("in_days_min"), read_.get("in_days_max")) == days


@pytest.mark.parametrize(
    ("language", "typed", "last"),
    [
        *(("en", typed, last) for typed, last in (("before September", "2016-08-31"), ("by September", "2016-09-30"))),
        *(("en", typed, last) for typed, last in (("before 15 August", "2016-08-14"), ("by mid-August", "2016-08-20"))),
        ("fr", "avant septembre", "2016-08-31"),
        ("fr", "d\u2019ici le 15 ao\u00fbt", "2016-08-15"),
        ("es", "antes de septiembre", "2016-08-31"),
        ("es", "a m\u00e1s tardar el 12 de agosto", "2016-08-12"),
        ("ar", "\u0642\u0628\u0644 \u0633\u0628\u062a\u0645\u0628\u0631", "2016-08-31"),
    ],
)
def test_day_by_or_before_which_has_no_first_day(language: str, typed: str, last: str) -> None:
    read_ = read_time(localization_for(language).to_english(typed), date(2016, 8, 10), future=True)
    assert read_ == {"first": None, "last": date.fromisoformat(last)}


@pytest.mark.parametrize("typed", ["before mid-August", "before today", "before August"])
def test_day_before_which_is_not_certain_is_not_read(typed: str) -> None:
    assert read_time(typed, date(2016, 8, 10), future=True) is None


def test_days_ago_in_french_are_not_days_ahead() -> None:
    assert read_time(localization_for("fr").to_english("avant dix jours"), date(2016, 8, 10), future=True) is None


@pytest.mark.parametrize(
    "typed",
    [
        "11/12/2016",
        "28 Nov 16",
        "last Tuesday",
        "31 Nov",
        "28",
        "Nov 28 29",
        "Sun Nov",
        "mar. 8",
        "Tuesday 28 November",
        "about two days ago",
    ],
)
def test_day_that_may_be_another_is_not_read(typed: str) -> None:
    assert read_time(typed, date(2016, 11, 30), future=False) is None


def test_words_below_a_line_that_leads_to_them_are_not_the_publishers() -> None:
    reading = read("The UN said on Friday:\n\n40,000 people are trapped in Madaya.")
    assert not reading.proposals
    assert reading.unclear


def test_end_is_told_in_the_same_paragraph_or_one_of_the_next_two_sentences() -> None:
    said = "The UN said on Friday that 40,000 people are trapped in Madaya.\n\n"
    assert not read(f"{said}They were freed.").proposals
    assert not read(f"{said}It is hot. They were freed.").proposals
    assert read(f"{said}It is hot. It rains. They were freed in Taiz.").proposals


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Bread in Madaya has run out.", "it names a part of a supply, such as bread: enter it by hand"),
        ("Food in Madaya will run out by the end of next week.", "the day or the duration is not certain"),
        (
            "40,000 people have been trapped in Madaya since April.",
            "the sentence names a place, a source, a route or a day beside the figure, and not plainly why",
        ),
    ],
)
def test_reason_is_the_one_that_holds(text: str, reason: str) -> None:
    reading = read(text)
    assert (reading.proposals, [each.reason for each in reading.unclear]) == ([], [reason])


def test_name_of_two_places_is_not_chosen_between() -> None:
    names = NameIndex([("one", "Salah"), ("two", "Salah")], SOURCES.items(), ROUTES.items(), {})
    reading = read_article("40,000 people are trapped in Salah.", names, PUBLISHER, date(2016, 7, 31))
    assert not reading.proposals
    assert [each.reason for each in reading.unclear] == ["the name may mean another place, a part of the place or the area around it"]


SENTENCE = "300,000 people are trapped in eastern Aleppo. "


HOSTILE = (
    "9", "9,", "x", "<script>alert(1)</script>", "twenty-", "between one and ", " ", "\n", " \n", '"', "eastern Aleppo ", "The UN, ",
    "Food and ", "they ", "the siege ", "not the last truck ", "(", "\u0130", "three to four hundred ", ". ", "a. ", '." ',
)  # fmt: skip


@pytest.mark.parametrize(("part", "sentence_length"), [*((each, 50_000) for each in HOSTILE), ("Food and ", 990), ("The UN said ", 990)])
def test_hostile_text_is_read_in_time(part: str, sentence_length: int) -> None:
    text = f"{(part * sentence_length)[:sentence_length]} trapped. " * (50_000 // sentence_length)
    start = time.process_time()
    assert not read(text).proposals
    assert time.process_time() - start < 2


def test_long_article_is_read_in_time() -> None:
    sentence = "300,000 people are trapped in eastern Aleppo. "
    start = time.process_time()
    assert len(read(sentence * 1_000).proposals) == 1
    assert time.process_time() - start < 2


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200b", "\u00ad"])
def test_hidden_characters_are_marked_and_nothing_is_proposed(mark: str) -> None:
    reading = read(f"300,{mark}000 people are trapped in {mark}eastern Aleppo.")
    assert not reading.proposals
    assert "hidden characters" in reading.unclear[0].reason


def test_short_english_text_is_told_its_own_reason() -> None:
    """A sentence without usual words is not taken for one of another language."""
    assert [each.reason for each in read("Water in Taiz ran out on Friday.").unclear] == [
        "it is not said plainly which supply lasts how long: enter it by hand"
    ]
    assert [each.reason for each in read("Environ 300 000 personnes, Eastern Aleppo.").unclear] == ["only English is read"]
