"""Sentences with what they say: read from `development.txt` and `held_out.txt`.

A line of text is an article, published on Sunday 31 July 2016 by `daily-post`. Lines that begin with `=` are the statements that it makes:
kind, place, source (`-`: the publisher), day (`-`: the day of publication), fields of the value. `?`: it makes none that can be read for
certain, and must be marked. `-`: it makes none, marked or not.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUBLISHER, PUBLISHED_ON = "daily-post", "2016-07-31"
KINDS = {"people": "trapped_population", "supply": "supply_runout", "route": "route_closure"}
PLACES = {
    "syria": "Syria", "aleppo-governorate": "Aleppo governorate", "aleppo-city": "Aleppo", "aleppo-east": "Eastern Aleppo", "foah": "Foah",
    "madaya": "Madaya", "mariupol": "Mariupol", "el-fasher": "El Fasher", "gaza-north": "Northern Gaza", "goma": "Goma", "taiz": "Taiz",
    "yarmouk": "Yarmouk Camp", "deir-ez-zor": "Deir ez-Zor",
}  # fmt: skip
PARENTS = {"aleppo-governorate": "syria", "aleppo-city": "aleppo-governorate", "aleppo-east": "aleppo-city"}
SOURCES = {
    "un": "United Nations", "un-envoy-syria": "UN special envoy for Syria", "sohr": "Syrian Observatory for Human Rights",
    "red-cross": "Red Cross", "syrian-army": "Syrian army", "russian-military": "Russia's military", PUBLISHER: "The Daily Post",
}  # fmt: skip
ROUTES = {"castello-road": "Castello Road", "ramouseh-passage": "Ramouseh passage", "rafah-crossing": "Rafah crossing"}


@dataclass
class Sentence:
    """A text with the statements that it makes; `marked` is whether it must be marked as unclear."""

    text: str
    statements: list[dict[str, Any]] = field(default_factory=list)
    marked: bool = False


def load(name: str) -> list[Sentence]:
    """Return the sentences of a file."""
    sentences: list[Sentence] = []
    for line in (Path(__file__).parent / name).read_text().splitlines():
        if line.startswith("="):
            sentences[-1].statements.append(_statement(*shlex.split(line[1:])))
        elif line.startswith("?"):
            sentences[-1].marked = True
        elif line and line[0] not in "#-":
            sentences.append(Sentence(line))
    return sentences


def _statement(kind: str, place: str, source: str, day: str, *fields: str) -> dict[str, Any]:
    value = {name: _parse(name, text) for name, text in (each.split("=", 1) for each in fields)}
    stated_at = PUBLISHED_ON if day == "-" else day
    return {"kind": KINDS[kind], "place": place, "source": PUBLISHER if source == "-" else source, "stated_at": stated_at, "value": value}


def _parse(name: str, text: str) -> Any:
    if name == "passable_by":
        return text.split(",")
    return {"true": True}.get(text, int(text) if text.isdecimal() else text)
