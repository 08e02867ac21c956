"""Places, sources and routes as people write them in tables: by slug, code or exact name, with suggestions where that fails.

Nothing is guessed: a name that several places bear, or none, is refused, and the nearest are named.
"""

import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from rapidfuzz import process
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.principal import Caller
from app.http.problems import FieldProblem
from app.http.request_body import NUL_MESSAGE
from app.reference.facts import REVEAL_FROM
from app.reference.models import Place, PlaceCode, Route, Source
from app.reference.queries import find_places, find_sources
from app.storage.types import table_of

Model = type[Place] | type[Source] | type[Route]
SOUGHT: dict[str, Model] = {"place": Place, "source": Source, "route": Route}

_NEAREST = 3
_NEAR_ENOUGH = 70
# Looking for what a text is near to costs milliseconds among many places: after so many different texts it is left.
MAX_SUGGESTIONS = 500
_CHUNK = 500


class ReferenceLookup:
    """What texts name, looked up once each, as far as the caller may know it. One instance for one file."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._slugs: dict[tuple[str, str], str] = {}
        self._wrong: dict[tuple[str, str], str] = {}
        self._all: dict[str, list[tuple[str, str]]] = {}
        self._suggested = 0

    async def load(self, connection: AsyncConnection, sought: Collection[tuple[str, str]]) -> None:
        """Look up pairs of what is sought (`place`, `source`, `route`) and its text."""
        for what, model in SOUGHT.items():
            known = self._slugs.keys() | self._wrong.keys()
            texts = [text for each, text in dict.fromkeys(sought) if each == what and (what, text) not in known]
            self._wrong |= {(what, text): NUL_MESSAGE for text in texts if "\0" in text}
            texts = [text for text in texts if "\0" not in text]
            for start in range(0, len(texts), _CHUNK):
                await self._look_up(connection, what, model, texts[start : start + _CHUNK])

    def slug(self, what: str, text: str) -> str:
        """The slug that a text names; ValueError with words for what names nothing, or several."""
        if (what, text) in self._slugs:
            return self._slugs[what, text]
        raise ValueError(self._wrong[what, text])

    async def _look_up(self, connection: AsyncConnection, what: str, model: Model, texts: Sequence[str]) -> None:
        table = table_of(model).c
        if model is Place:
            found = {name: place.slug for name, place in (await find_places(connection, texts)).items()}
        elif model is Source:
            known = await find_sources(connection, texts, self._caller.level, self._caller.organisation)
            found = {slug: slug for slug in known}
        else:
            found = {slug: slug for slug in (await connection.execute(select(table.slug).where(table.slug.in_(texts)))).scalars()}
        rest = {name: text for text in texts if text not in found for name in (text, unicodedata.normalize("NFC", text))}
        named: dict[str, list[str]] = {}
        for row in await connection.execute(self._named(model).where(table.name.in_(list(rest)))):
            named.setdefault(rest[row.name], []).append(row.slug)
        for text in texts:
            slugs = [found[text]] if text in found else named.get(text, [])
            if len(slugs) == 1:
                self._slugs[what, text] = slugs[0]
            elif slugs:
                self._wrong[what, text] = f"{len(slugs)} {what}s bear this name: write {' or '.join(slugs[:5])}"
            else:
                self._wrong[what, text] = await self._unknown(connection, what, model, text)

    def _named(self, model: Model) -> Select[str, str]:
        named = select(col(model.slug), col(model.name)).order_by(col(model.slug))
        # Below the clearance a protected source is not known by its own name.
        return named.where(col(Source.alias_slug).is_(None)) if model is Source and self._caller.level < REVEAL_FROM else named

    async def _unknown(self, connection: AsyncConnection, what: str, model: Model, text: str) -> str:
        words = f"there is no {what} {text!r}"
        if ":" in text:
            return words
        if model is Place:
            coded = select(col(PlaceCode.scheme)).where(col(PlaceCode.code) == text).order_by(col(PlaceCode.scheme))
            if schemes := list((await connection.execute(coded)).scalars()):
                return f"{words}; a code needs its scheme before it: {' or '.join(f'{scheme}:{text}' for scheme in schemes)}"
        self._suggested += 1
        if self._suggested > MAX_SUGGESTIONS:
            return words
        if what not in self._all:
            self._all[what] = [(row.slug, row.name) for row in await connection.execute(self._named(model))]
        near: dict[str, float] = {}
        for at in (0, 1):
            choices = [each[at].casefold() for each in self._all[what]]
            for _, score, index in process.extract(text.casefold(), choices, limit=_NEAREST, score_cutoff=_NEAR_ENOUGH):
                slug = self._all[what][index][0]
                near[slug] = max(score, near.get(slug, 0))
        names = dict(self._all[what])
        nearest = sorted(near, key=lambda slug: (-near[slug], slug))[:_NEAREST]
        shown = ", ".join(f"{slug} ({names[slug]})" for slug in nearest)
        return f"{words}; near to it: {shown}" if shown else words


def references_in(body: dict[str, Any], references: dict[str, str]) -> list[tuple[tuple[str, ...], str, str]]:
    """What a report names: the path to the field, what is sought, and the text. `references` are those of its kind's value."""
    found: list[tuple[tuple[str, ...], str, str]] = []
    found += [((name,), name, body[name]) for name in ("place", "source") if isinstance(body.get(name), str)]
    provenance = body.get("provenance")
    via = provenance.get("via") if isinstance(provenance, dict) else None
    if isinstance(via, list):
        found += [(("provenance", "via", str(at)), "source", each) for at, each in enumerate(via) if isinstance(each, str)]
    value = body.get("value")
    if isinstance(value, dict):
        found += [(("value", name), what, value[name]) for name, what in references.items() if isinstance(value.get(name), str)]
    return found


def substitute_slugs(body: dict[str, Any], references: dict[str, str], names: ReferenceLookup) -> list[FieldProblem]:
    """Put slugs in the place of what a report names, as `look_up` found them; answers what names nothing."""
    wrong = []
    for path, what, text in references_in(body, references):
        try:
            slug = names.slug(what, text)
        except ValueError as error:
            wrong.append(FieldProblem(pointer="".join(f"/{step}" for step in path), detail=str(error)))
            continue
        at: Any = body
        for step in path[:-1]:
            at = at[step]
        at[int(path[-1]) if isinstance(at, list) else path[-1]] = slug
    return wrong
