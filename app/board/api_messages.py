"""Messages of the API in the language of a page: what a person at a form, or with an article, can cause."""

import re
from collections.abc import Mapping

from app.board.code_labels import label_for
from app.domain.kinds import KINDS
from app.domain.kinds.showing import gettext_noop as _
from app.http.localization import DEFAULT_LANGUAGE, Localization

# Messages of one kind alone are in its file (`Kind.messages`).
# The more special of two that fit stands first. `%(message)s` is another message, `%(code)s` and `%(status)s` a code with a label.
_MESSAGES = (
    _("%(message)s; the nearest: %(near)s"),
    _("%(message)s; this is a code: %(codes)s"),
    _("%(message)s: write %(first)s or %(second)s, whichever is meant"),
    _("%(message)s: write %(utc)s if that is UTC, else %(local)s with the offset of the place, such as +03:00, or %(day)s alone"),
    _("%(message)s: write %(day)s"),
    _("unknown query parameter"),
    _("must not be given more than once"),
    _("this field is required"),
    _("must not be blank"),
    _("%(text)s is no value: leave it out, or write what was said"),
    _("must have at least %(count)s character(s)"),
    _("must have at most %(count)s characters"),
    _("must have at least %(count)s item(s)"),
    _("must have at most %(count)s items"),
    _("must be a whole number, such as 100"),
    _("must be %(bound)s or more"),
    _("must be %(bound)s or less"),
    _("use a-z, 0-9 and -, 1 to 64 characters, such as %(example)s"),
    _("use the three capital letters of a country (ISO 3166-1 alpha-3), such as SYR"),
    _("use a-z, 0-9, _ and -, 1 to 32 characters, such as pcode"),
    _("use 1 to 64 characters without spaces and colons, such as SY02"),
    _("use a web address, such as https://www.unocha.org/syria"),
    _("use a language tag (BCP 47), such as ar"),
    _("unknown value: use %(codes)s"),
    _("must be a date such as 2016-07-28"),
    _("must be a date, such as 2016-12-22"),
    _("must be a date (2016-07-28) or an RFC 3339 date-time with offset (2016-07-28T09:30:00Z)"),
    _("must be a day, time and offset that exist"),
    _("must be %(day)s or later, such as %(example)s"),
    _("must not be in the future: a day that has begun somewhere on earth, or an earlier one, such as 2016-07-28"),
    _("must not be in the past: send a later day, or leave it out"),
    _("a date is out of range: use dates from 1900-01-01 to 9999-12-31"),
    _("must not be after stated_at, %(day)s: send that time or an earlier one"),
    _("%(first)s must not be after %(second)s"),
    _("must not be before valid_from"),
    _("%(low)s must not exceed %(high)s"),
    _("give people, people_low or people_high"),
    _("people_high must not be below people"),
    _("no such place: use the slug of a place, such as aleppo-east, or a code with its scheme, such as pcode:SY02"),
    _("no such source: use the slug of a source, such as un-ocha"),
    _("no such route: use the slug of a route, such as castello-road"),
    _("this source belongs to another organisation: only its own keys and keys with the scope curate may report for it"),
    _("this is the source itself: send the outlet that passed its words on, or leave it out"),
    _("no such report about the same kind, place and subject: send the id of a report that you can read, or leave relays out"),
    _("the report that it repeats is %(label)s: label this one the same or stricter, or leave relays out"),
    _("the code %(code_of_place)s belongs to another place"),
    _("the code %(code_of_place)s belongs to another place."),
    _("A %(type)s with the slug %(slug)s exists: choose another slug."),
    _("this is the place itself, or one inside it: send a place that is not"),
    _("a place takes the place of another, not of itself"),
    _("a protected source stays protected, because readers have been shown its alias alone: send another alias, or leave it out"),
    _("unknown time zone: use a name of the IANA time zone database, such as Asia/Damascus"),
    _("a language must be a tag of BCP 47, such as ar or zh-Hant"),
    _("longitude must be -180 to 180 and latitude -90 to 90 (WGS 84, longitude first)"),
    _("a position must be [longitude, latitude] in numbers, such as [37.16, 36.2]"),
    _("The key is not cleared for %(fields)s of this %(type)s, which takes the clearance amber."),
    _("say in 1 to 2,000 characters why the report is corrected"),
    _("The report is %(status)s: only a retracted report is reinstated."),
    _("Another organisation sent this report: only a key with the scope curate may amend it."),
    _("Indicators of the kind %(code)s give no warnings, so they have no outcome."),
    _("no such report: send the id of a report that you can read"),
    _("this report was withdrawn: send one that stands"),
    _("this report was corrected: send its correction, %(id)s"),
    _("this report was corrected: send one that stands"),
    _("this report is about another place: send one about the place of the warning"),
    _("this report names other supplies than %(code)s, or says that it was taken off: send one of a delivery that brings it"),
    _("report %(id)s says that it came true, so that this changes nothing: send materialised, or correct that report"),
    _("this report does not say that help arrived: send one that does, or another outcome"),
    _("this report says that the warning came true: send one that shows that it did not, or another outcome"),
    _("this report is of the kind %(code)s: send one of the kind %(kinds)s"),
    _("this report says that all is well, not that the warning came true: send one that shows it, or another outcome"),
    _("this report is the warning itself: send a later report that shows its outcome"),
    _("The report is already %(status)s."),
    _("The draft is already %(status)s."),
    _("The judgement is already %(status)s."),
    _("The record has changed since you read it: read it again, and send the patch with its new ETag."),
    _("The draft has changed since you read it: read it again, and send its new ETag."),
    _("Confirming a draft takes two persons, and the key that wrote it, or this one, names no person: use keys that name one."),
    _("Confirming a draft takes two persons: another person has to confirm what this one wrote."),
    _("no such source, perhaps %(near)s: send the slug of the source that published the text, such as regional-news-site"),
    _("no such source: send the slug of the source that published the text, such as regional-news-site"),
    _("several sources: %(names)s: send the slug of the source that published the text, such as regional-news-site"),
    _("no such report that stands on this indicator: send the id of one that you can read, or leave it out"),
    _("it rests on what is labelled %(label)s: use that label or a stricter one, or leave sensitivity out"),
    _("the indicator is about %(subject)s: send a value with that subject, or judge another indicator"),
    _("There is no such %(type)s."),
    _("The key needs the scope %(scopes)s."),
    _("The body must not exceed %(count)s bytes."),
    _("This Idempotency-Key was sent with another request: use a new one."),
    _("Too many requests; try again in %(count)s seconds."),
    _("Too many requests at once; try again."),
    _("The database does not answer; try again."),
    _("The disk is full; nothing was written."),
    _("The database is read-only at present; reading works."),
    _("Something went wrong here; nothing was written."),
    # Why nothing is proposed of a sentence of an article.
    _("only English is read"),
    _("a sentence of more than %(count)s characters is not read"),
    _("the sentence has hidden characters, such as direction marks"),
    _("the day of the statement is not certain"),
    _("the name of the source may mean several sources"),
    _("the sentence does not say whose words it quotes"),
    _("the sentence names no place"),
    _("it is not certain which place is meant"),
    _("the name may mean another place, a part of the place or the area around it"),
    _("the sentence names more than one place"),
    _("the number is not exact enough"),
    _("the number may be read in two ways"),
    _("it is not said plainly how many people are there: enter it by hand"),
    _("the sentence has more than one figure"),
    _("the sentence names a place, a source, a route or a day beside the figure, and not plainly why"),
    _("it speaks of a time that is over"),
    _("a range with a limit may be read in two ways"),
    _("it is not said plainly which supply lasts how long: enter it by hand"),
    _("it names a part of a supply, such as bread: enter it by hand"),
    _("it may be so, or will be"),
    _("the day or the duration is not certain"),
    _("the text does not say on which day this was stated, from which the time counts"),
    _("the day is not certain"),
    _("it is not said plainly which route is open or closed: enter it by hand"),
    _("the name may mean another route"),
    _("it is not said who announces it"),
    _("it is not said plainly whether another way is left: enter it by hand"),
    _("the day since when is not certain"),
    _("a question states nothing"),
    _("it is denied or limited"),
    _("it is said to be unsure"),
    _("the sentence does not say who says it"),
    _("it speaks of a time that is over, or of a change"),
    _("a caseload or a movement says nothing of how many are there"),
    _("it does not say since when or until when the figure holds"),
    _("the text says something else of it in another sentence"),
)
_PATTERNS = [
    (each, re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(each)), re.DOTALL))
    for each in (*(own for kind in KINDS.values() for own in kind.messages), *_MESSAGES)
]


class English(str):
    """A message without a translation."""

    __slots__ = ()


def translate(text: str, locale: Localization, labels: Mapping[str, str] | None = None) -> str:
    """Return a message of the API in a language, with `labels` in place of names of fields; as `English` if it has no translation."""
    translated = _translate(text, locale, labels or {})
    return (text if locale.language == DEFAULT_LANGUAGE else English(text)) if translated is None else translated


def _translate(text: str, locale: Localization, labels: Mapping[str, str]) -> str | None:
    # Messages of the board itself.
    if (own := locale.gettext(text)) != text:
        return own
    for message, pattern in _PATTERNS:
        if match := pattern.fullmatch(text):
            values = {name: _value(name, value, locale, labels) for name, value in match.groupdict().items()}
            if None not in values.values():
                return locale.gettext(message) % values
    return None


def _value(name: str, text: str, locale: Localization, labels: Mapping[str, str]) -> str | None:
    if name == "message":
        return _translate(text, locale, labels)
    if name in ("code", "status"):
        return label_for(text if name == "code" else f"status_{text}", locale)
    return f"\u201c{labels[text]}\u201d" if text in labels else locale.embed(text)
