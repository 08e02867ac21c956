"""Read an article into proposed statements. Nothing is guessed: what may mean two things is marked, and proposed as nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Any

from app.domain.words import grammar
from app.domain.words.later import TakenBack, takes_back
from app.domain.words.lines import ITEM, join_lines
from app.domain.words.mentions import Template
from app.domain.words.names import Mention, NameIndex, names_another_place
from app.domain.words.statements import READ, NotClear, Span, Speaker

MAX_SENTENCE_CHARACTERS = 1000
ELSEWHERE = "the text says something else of it in another sentence"
# Share of the words of an English text that are usual ones; a short one may have none.
MIN_ENGLISH_SHARE, MIN_WORDS = 0.04, 12
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"\u201d\u2019')\]]{0,3}\s{1,9}(?=[\"\u201c\u2018'(\[]?[A-Z0-9])|\n\s{0,9}?\n|(?<=[\"\u201d])\n")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Gen|Col|Lt|Maj|Capt|St|Prof|No|approx)|\b[A-Z])\.$")
# Where an article was written, and by which agency: "ALEPPO, 28 July (Agency) - ".
_DATELINE = re.compile(
    r"(?:\A|(?<=\n\n))(?P<place>[A-Z][A-Z' -]{1,30})(?:[,/] ?[A-Z][\w ]{1,30}){0,2}(?:,? [0-9A-Z][\w. ]{1,20},?(?: [0-9]{4})?)?"
    r"(?P<agency> ?\([A-Z][\w. /]{1,20}\))? ?[-\u2013\u2014]{1,2} (?=\S)"
)
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")


@dataclass(slots=True)
class Proposal:
    """A statement that a text makes; `spans` has the part of the text behind each field, by JSON Pointer."""

    kind: str
    place: str
    source: str
    stated_on: date
    value: dict[str, Any]
    quote: str
    quoted: bool
    spans: dict[str, Span]


@dataclass(slots=True)
class Unclear:
    """A part of a text that may state something, and why nothing is proposed for it."""

    span: Span
    reason: str


@dataclass(slots=True)
class Reading:
    """The statements and the unclear parts of a text, in its order."""

    proposals: list[Proposal] = field(default_factory=list)
    unclear: list[Unclear] = field(default_factory=list)


def read_article(text: str, names: NameIndex, publisher: str, published_on: date, other_days: tuple[date, ...] = ()) -> Reading:
    """Return the statements that an English text makes: by the sources that it names, otherwise by its publisher.

    `other_days` are days on which it was published as well, by other time zones: words that do not mean the same by all are marked.
    """
    lines, at = join_lines(text)
    reading = _read(lines, names, Speaker(publisher, published_on, (0, 0), (0, 0), other_days=other_days))

    def back(span: Span) -> Span:
        return at[span[0]], at[span[1]]

    for each in reading.proposals:
        spans = {pointer: back(span) for pointer, span in each.spans.items()}
        each.spans, each.quote = spans, text[slice(*spans["/provenance/quote"])]
    for unclear in reading.unclear:
        unclear.span = back(unclear.span)
    return reading


def _read(text: str, names: NameIndex, speaker: Speaker) -> Reading:
    reading, publisher = Reading(), speaker.source
    named = names.find(text)
    written = [each for each in _DATELINE.finditer(text) if each["agency"] or set(each["place"].lower().split()) <= names.place_words]
    datelines = {each.start(): each.end() for each in written}
    apart = {at for start, end in datelines.items() for at in range(start, end)}
    found = [each for each in named if each.start not in apart]
    places = [each for each in found if each.type == "P"]
    only_place = places[0] if len({each.value for each in places}) == 1 and len(places[0].value) == 1 else None
    before = read = 0
    paragraph, names_more, two_before, one_before = -1, False, 0, 0
    for begin, end in _sentences(text):
        start = datelines.get(begin, begin)
        _take_back(text[start:end].lower(), reading, read if len(reading.proposals) > read else before, publisher)
        before, read = min(read, len(reading.proposals)), len(reading.proposals)
        own = [each for each in found if start <= each.start and each.end <= end]
        if (opened := text.rfind("\n", 0, begin)) != paragraph:
            paragraph, names_more = opened, False
        if (is_taken_back := takes_back(text[start:end], own, publisher)) is not None:
            _mark(reading, min(paragraph + 1, two_before), is_taken_back)
        two_before, one_before = one_before, start
        names_more = names_more or names_another_place(text, start, end, own)
        earlier = only_place if only_place is not None and paragraph < only_place.start < start and not names_more else None
        saying = replace(speaker, source_span=(start, end), day_span=(start, end))
        _Sentence(text, (start, end), names, earlier, saying).read(own, reading)
    _keep_one(reading)
    if grammar.OLD.search(text.lower()):
        reading.unclear += [Unclear(each.spans["/provenance/quote"], ELSEWHERE) for each in reading.proposals]
        reading.proposals = []
    words = re.findall(r"[^\W\d_]+", text)
    is_english = sum(word.lower() in grammar.USUAL_WORDS for word in words) >= len(words) * MIN_ENGLISH_SHARE
    if not reading.proposals and not is_english and not (reading.unclear and len(words) < MIN_WORDS):
        reading.unclear = [Unclear((0, len(text)), "only English is read")]
    return reading


def _take_back(sentence: str, reading: Reading, since: int, publisher: str) -> None:
    """Mark the statements before a sentence, from a position on, as unclear where it denies them, takes them back or ends them."""
    denied, taken_back = grammar.DENIED.search(sentence), grammar.TAKEN_BACK.search(sentence)
    if not grammar.MEANT.search(sentence) or not (denied or taken_back):
        challenged = None if grammar.STOOD_BY.search(sentence) else grammar.CHALLENGED.search(sentence)
        taken_back = challenged or grammar.SCORNED.search(sentence)
        if not taken_back:
            return
    kept = [each for each in reading.proposals[since:] if not taken_back and each.source != publisher]
    if len(kept) < len(reading.proposals) - since:
        reading.unclear.append(Unclear(reading.proposals[-1].spans["/provenance/quote"], ELSEWHERE))
        reading.proposals[since:] = kept


def _mark(reading: Reading, since: int, is_taken_back: TakenBack) -> None:
    """Mark the statements from a position in the text on that a later sentence takes back."""
    for each in list(reading.proposals):
        quote = each.spans["/provenance/quote"]
        if quote[0] >= since and is_taken_back(each.kind, each.source, each.value):
            reading.proposals.remove(each)
            reading.unclear.append(Unclear(quote, ELSEWHERE))


def _keep_one(reading: Reading) -> None:
    """Keep the first of statements that say the same; mark all that say different things of one subject, as of one source and day."""
    said: dict[Any, list[Proposal]] = {}
    for each in reading.proposals:
        subject = next(each.value[name] for name in ("concept", "supply", "route") if name in each.value)
        said.setdefault((each.kind, each.place, each.source, each.stated_on, subject), []).append(each)
    reading.proposals = [same[0] for same in said.values() if all(each.value == same[0].value for each in same)]
    differing = [each for same in said.values() if any(each.value != same[0].value for each in same) for each in same]
    reading.unclear += [Unclear(each.spans["/provenance/quote"], ELSEWHERE) for each in differing]
    reading.unclear.sort(key=lambda each: each.span)


def _sentences(text: str) -> Iterator[Span]:
    start = 0
    for match in [*_SENTENCE_END.finditer(text), None]:
        end, following = (len(text), len(text)) if match is None else (match.start() + len(match[0].rstrip()), match.end())
        if match is None or "\n" in match[0] or _ABBREVIATION.search(text, max(start, match.start() - 8), match.start()) is None:
            at = end - len(text[start:end].lstrip())
            if at < end:
                yield at, at + len(text[at:end].rstrip())
            start = following


@dataclass(slots=True)
class _Sentence:
    """One sentence while it is read. `earlier` is the place that "there" means: the only one of the text, named before in the paragraph."""

    text: str
    span: Span
    names: NameIndex
    earlier: Mention | None
    speaker: Speaker

    def read(self, found: list[Mention], reading: Reading) -> None:
        """Add what the sentence states; otherwise why it is not clear, if it seems to state something."""
        if self.span[1] - self.span[0] > MAX_SENTENCE_CHARACTERS:
            reading.unclear.append(Unclear(self.span, f"a sentence of more than {MAX_SENTENCE_CHARACTERS} characters is not read"))
            return
        template = Template(self.text, *self.span, found)
        kinds = [kind for kind, trigger in grammar.TRIGGERS.items() if trigger.search(template.words)]
        if not kinds:
            return
        proposals: list[Proposal] = []
        reasons: list[str] = []
        try:
            self._find_speaker(template)
            place = self._place(template)
        except NotClear as why:
            kinds, reasons = [], [str(why)]
        for kind in kinds:
            try:
                proposals += [self._proposal(kind, place, *each) for each in READ[kind](template.copy(), self.speaker, self.text)]
            except NotClear as why:
                reasons.append(str(why))
        reading.proposals += proposals
        reading.unclear += [Unclear(self.span, reason) for reason in reasons[:1]]

    def _inside_quotes(self, at: int) -> bool:
        before = self.text[self.text.rfind("\n\n", 0, at) + 1 : at + 1]
        return before.count('"') % 2 == 1 or before.count("\u201c") > before.count("\u201d")

    def _find_speaker(self, template: Template) -> None:
        """Find the source that the sentence names as the speaker, and the day; cut both from the template."""
        if _HIDDEN.search(self.text, *self.span) is not None:
            raise NotClear("the sentence has hidden characters, such as direction marks")
        for pattern in grammar.ATTRIBUTIONS:
            if (match := pattern.search(template.words)) is None:
                continue
            (source,) = template.of(match, "source")
            (slug,) = source.value if len(source.value) == 1 else [None]
            present = match.groupdict().get("present")
            day, day_span = self.speaker.day, template.span(match)
            if match["day"]:
                *weekdays, mention = template.of(match, "day")
                first, last = self.speaker.days(mention.value, future=False) or (None, None)
                # "On Friday, 29 July" is certain if that is a Friday.
                if first is not None and any(each.value != {"weekday": f"{first:%A}"} for each in weekdays):
                    first = None
                if first is None or first != last:
                    raise NotClear("the day of the statement is not certain")
                day, day_span = first, (mention.start, mention.end)
            if slug is None:
                raise NotClear("the name of the source may mean several sources")
            others = () if match["day"] else self.speaker.other_days
            known = bool(match["day"] or present)
            self.speaker = Speaker(slug, day, (source.start, source.end), day_span, known, not present, is_named=True, other_days=others)
            template.cut(pattern)
            return
        if self._inside_quotes(self.span[0]) or self.text[max(0, self.span[0] - 5) : self.span[0]].rstrip().endswith(":"):
            raise NotClear("the sentence does not say whose words it quotes")
        # A sentence that leads to a list may say whose words the list has.
        if ITEM.match(self.text, self.span[0]):
            raise NotClear("the sentence does not say who says it")

    def _place(self, template: Template) -> Mention:
        """Return the mention of the one place that the sentence is about."""
        places = template.having("P")
        if not places:
            refers = re.search(r"\bthere\b(?! (?:is|are|was|were))", template.words) is not None
            if self.earlier is None or not refers:
                raise NotClear("it is not certain which place is meant" if refers else "the sentence names no place")
            return self.earlier
        if any(len(each.value) != 1 for each in places):
            raise NotClear("the name may mean another place, a part of the place or the area around it")
        slugs = [next(iter(each.value)) for each in places]
        # "eastern Aleppo, Syria"
        is_address = all(
            self.names.contains(outer, inner) and self.text[one.end : other.start] == ", "
            for (one, inner), (other, outer) in pairwise(zip(places, slugs, strict=True))
        )
        if len(set(slugs)) > 1 and not is_address:
            raise NotClear("the sentence names more than one place")
        if len(places) > 1 and is_address:
            template.cut(re.compile("(?<=P), P"))
        return places[0]

    def _proposal(self, kind: str, place: Mention, value: dict[str, Any], spans: dict[str, Span], core: Span) -> Proposal:
        found = {
            "/kind": core,
            "/place": (place.start, place.end),
            "/source": self.speaker.source_span,
            "/stated_at": self.speaker.day_span,
            "/provenance/quote": self.span,
            **{f"/value/{name}": spans.get(name, core) for name in value},
        }
        (slug,) = place.value
        quote = self.text[slice(*self.span)]
        return Proposal(kind, slug, self.speaker.source, self.speaker.day, value, quote, self._inside_quotes(core[0]), found)
