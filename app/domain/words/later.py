"""Tell what a later sentence of a text says of the statements before it: that they have ended, are older, or are of another source."""

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.words import grammar
from app.domain.words.names import Mention

# A sentence of so few words that names a source may name whose words the sentence before has.
MAX_SOURCE_WORDS = 6
# Tells, of the kind, source and value of a statement, whether it is taken back.
TakenBack = Callable[[str, str, Mapping[str, Any]], bool]


def takes_back(sentence: str, names: list[Mention], publisher: str) -> TakenBack | None:
    """Return which statements a sentence that stands after them takes back; None if none."""
    words = sentence.lower()
    ended = {name for name, pattern in grammar.ENDED.items() if any(_has_ended(words, *each.span()) for each in pattern.finditer(words))}
    spoken_of = grammar.SPOKEN_OF.search(words) is not None
    is_source = any(each.type == "S" for each in names) and len(words.split()) <= MAX_SOURCE_WORDS
    of_another = spoken_of or is_source or grammar.SAID_OF.search(words) is not None
    is_older = spoken_of and grammar.OTHER_DAY.search(words) is not None
    if not (ended or of_another):
        return None
    subjects = {type_: {slug for each in names if each.type == type_ for slug in each.value} for type_ in "RU"}

    def is_taken_back(kind: str, source: str, value: Mapping[str, Any]) -> bool:
        state = value.get("state") or value.get("status")
        others, subject = subjects["R" if kind == "route_closure" else "U"], value.get("route") or value.get("supply")
        has_ended = (state if state in grammar.ENDED else kind) in ended and (subject is None or not others or subject in others)
        return is_older or has_ended or (of_another and source == publisher)

    return is_taken_back


def _has_ended(words: str, start: int, end: int) -> bool:
    return grammar.NOT_ENDED.search(words, max(0, start - 60), end) is None
