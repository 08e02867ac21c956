"""Find the names of places, routes, sources and supplies in a text, in one pass over it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import ahocorasick

from app.domain.words.grammar import AFTER_PLACE, BEFORE_PLACE, OPENER, OTHER_NOUN, SUPPLIES, WHEN

MAX_ACRONYM_CHARACTERS = 8
_WORD = re.compile(r"[^\W\d_]+")
Pairs = Collection[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Mention:
    """Words that a letter stands for: N number, V vague number, T duration, D day, P place, S source, R route, U supply.

    `value` is what they mean; of a name the slugs, none if the words around it make it another name. None: not certain.
    """

    type: str
    start: int
    end: int
    value: Any


class NameIndex:
    """The names that a text is searched for: pairs of slug and name. `parents` has the place that contains a place, by slug."""

    def __init__(self, places: Pairs, sources: Pairs, routes: Pairs, parents: Mapping[str, str]) -> None:
        self._parents = parents
        self.place_words = {word for _, name in places for word in name.lower().split()}
        supplies = ((supply, word) for supply, words in SUPPLIES.items() for word in words)
        # For each spelling the type and slug that it may mean, and whether it is written with capitals.
        named: dict[str, dict[tuple[str, str], bool]] = {}
        for type_, pairs in (("P", places), ("S", sources), ("R", routes), ("U", supplies)):
            for slug, name in pairs:
                spellings = {name, slug.replace("-", " ")} if type_ in "SR" else {name}
                if type_ == "S" and slug.isalpha() and len(slug) <= MAX_ACRONYM_CHARACTERS:
                    spellings.add("".join(f"{letter}." for letter in slug))
                for each in spellings:
                    named.setdefault(same_length_lower(" ".join(each.split())), {})[type_, slug] = type_ != "U" and name != name.lower()
        named.pop("", None)
        self._automaton = ahocorasick.Automaton()
        for name, owners in named.items():
            self._automaton.add_word(name, (len(name), owners))
        self._automaton.make_automaton()

    def contains(self, outer: str, inner: str | None) -> bool:
        """Tell whether a place contains another."""
        while inner is not None and (inner := self._parents.get(inner)) != outer:
            pass
        return inner is not None

    def find(self, text: str) -> list[Mention]:
        """Return the names in a text with single spaces from left to right, of overlapping ones the longest."""
        found = []
        for last, (length, owners) in self._automaton.iter(same_length_lower(text)):
            start, end = last - length + 1, last + 1
            if _is_word(text, start, end):
                written = text[start:end] != text[start:end].lower()
                fitting = [owner for owner, has_capitals in owners.items() if written or not has_capitals]
                types = {type_ for type_, _ in fitting}
                found += [(start, -end, each, frozenset(slug for type_, slug in fitting if type_ == each)) for each in types]
        names: list[Mention] = []
        for start, end, type_, slugs in sorted(found, key=lambda each: each[:3]):
            if not names or start >= names[-1].end:
                longer = BEFORE_PLACE.search(text, max(0, start - 40), start) or AFTER_PLACE.match(text, -end, 20 - end)
                names.append(Mention(type_, start, -end, frozenset() if type_ in "PR" and longer else slugs))
        return names


def same_length_lower(text: str) -> str:
    """Return a text in lower case, in which every character keeps its position."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


def names_another_place(text: str, start: int, end: int, known: list[Mention]) -> bool:
    """Tell whether a sentence has a word that may be a place, beside the names that are known: with a capital, or a noun of places."""
    spans, is_first = iter(sorted((each.start, each.end) for each in known)), True
    span = next(spans, (end, end))
    for match in _WORD.finditer(text, start, end):
        while span[1] <= match.start() < end:
            span = next(spans, (end, end))
        if match.start() < span[0]:
            word = match[0].lower()
            is_plain = not match[0][0].isupper() or WHEN.fullmatch(match[0]) or (is_first and OPENER.fullmatch(word))
            if not is_plain or OTHER_NOUN.fullmatch(word):
                return True
        is_first = False
    return False


def _is_word(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() or before == "_") and not (after.isalnum() or (after in ("-", "_") and text[end + 1 : end + 2].isalnum()))
