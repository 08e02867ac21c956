"""Looks up the places, sources and routes that tables name by slug, code or exact name; other names get suggestions, not guesses."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.principal import Principal
from app.http.problems import FieldProblem, pointer
from app.http.request_body import NUL_MESSAGE
from app.reference.models import MODELS, Place, ReferenceModel, Source
from app.reference.queries import ancestors_of, find_places, find_routes, find_sources
from app.reference.records import PlaceRecord
from app.reference.suggestions import nearest, schemes_of, select_names
from app.reports.references import Reference, references_in
from app.storage.paging import chunks

_UNSEEN = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_OTHER_SCHEMES = {"iso3": "iso3166-1", "iso3166-1": "iso3"}
# A search for similar names takes milliseconds among many places, so a file full of unknown names gets only this many.
MAX_SUGGESTIONS = 500


class ReferenceLookup:
    """Looks up each text of a file once. `slugs` and `errors` have the results by type and text, as the caller may see them.

    `places` has the places by slug, and `ancestors` the identifiers of what contains them.
    """

    def __init__(self, caller: Principal) -> None:
        self.slugs: dict[tuple[str, str], str] = {}
        self.errors: dict[tuple[str, str], str] = {}
        self.places: dict[str, PlaceRecord] = {}
        self._ancestors: dict[UUID, set[UUID]] = {}
        self._caller = caller
        self._names: dict[str, dict[str, str]] = {}
        self._slugs_by_further_name: dict[str, dict[str, list[str]]] = {}
        self._suggestions = 0

    async def load(self, connection: AsyncConnection, references: Iterable[Reference], compared: Iterable[str] = ()) -> None:
        """Look up the texts that are new, and names of places to compare with them, of which unknown ones are no errors."""
        new = dict.fromkeys((each.type_, each.text) for each in references)
        others = {text for text in compared if ("place", text) not in new}
        new |= dict.fromkeys(("place", text) for text in others)
        for type_, model in MODELS.items():
            texts = [text for each, text in new if each == type_ and (type_, text) not in self.slugs and (type_, text) not in self.errors]
            self.errors |= {(type_, text): NUL_MESSAGE for text in texts if "\0" in text}
            for chunk in chunks(text for text in texts if "\0" not in text):
                await self._look_up(connection, type_, model, list(dict.fromkeys(chunk)), others)
        ids = [each.id for each in self.places.values() if each.id not in self._ancestors]
        self._ancestors |= await ancestors_of(connection, ids)

    def contradiction(self, slug: str, text: str, *, must_be_known: bool) -> str | None:
        """Return how another name of the place of a row contradicts it; None if the one contains the other, or it may be unknown."""
        other, place = self.places.get(self.slugs.get(("place", text), "")), self.places.get(slug)
        if other is None and place is not None and must_be_known:
            return f"there is no place {text}, so it may be another than {slug}: correct it, or remove the column"
        if other is None or place is None or other.id in self._ancestors[place.id]:
            return None
        if ":" not in text and place.id in self._ancestors[other.id]:
            return None
        return f"{text} is {other.slug}, which does not contain {slug}, the place of this row: correct one of them, or remove the column"

    async def _look_up(
        self, connection: AsyncConnection, type_: str, model: ReferenceModel, texts: Sequence[str], others: AbstractSet[str]
    ) -> None:
        if model is Place:
            places = await find_places(connection, {name for text in texts for name in either_scheme(text)})
            found = {text: places[name].slug for text in texts for name in either_scheme(text) if name in places}
            self.places |= {place.slug: place for place in places.values()}
        elif model is Source:
            found = {slug: slug for slug in await find_sources(connection, texts, self._caller.level, self._caller.organisation)}
        else:
            found = {slug: slug for slug in await find_routes(connection, texts)}
        # The same letters may be composed (NFC) or decomposed (NFD), in the file and in the database.
        forms = {unicodedata.normalize(form, _plain(text)) for text in texts if text not in found for form in ("NFC", "NFD")} | set(texts)
        slugs_by_name: dict[str, list[str]] = {}
        for row in await connection.execute(select_names(type_, self._caller.level).where(col(model.name).in_(list(forms)))):
            slugs_by_name.setdefault(unicodedata.normalize("NFC", _plain(row.name)), []).append(row.slug)
        further = await self._further_names(connection, type_, model) if len(found) < len(texts) else {}
        for name in [*slugs_by_name, *(unicodedata.normalize("NFC", _plain(text)) for text in texts)]:
            slugs_by_name[name] = list(dict.fromkeys((*slugs_by_name.get(name, ()), *further.get(name, ()))))
        if model is Place:
            self.places |= await find_places(connection, [slug for slugs in slugs_by_name.values() for slug in slugs])
        for text in texts:
            slugs = [found[text]] if text in found else slugs_by_name.get(unicodedata.normalize("NFC", _plain(text)), [])
            if len(slugs) == 1:
                self.slugs[type_, text] = slugs[0]
            elif type_ == "place" and text in others:
                continue
            elif slugs:
                self.errors[type_, text] = f"{len(slugs)} {type_}s have this name: write {' or '.join(slugs[:5])}"
            else:
                self.errors[type_, text] = await self._unknown(connection, type_, model, text)

    async def _further_names(self, connection: AsyncConnection, type_: str, model: ReferenceModel) -> dict[str, list[str]]:
        """Return the slugs of the records of a type by their names in further languages, which no index has."""
        if type_ not in self._slugs_by_further_name:
            found = self._slugs_by_further_name.setdefault(type_, {})
            for row in await connection.execute(select_names(type_, self._caller.level).add_columns(col(model.names))):
                for name in {unicodedata.normalize("NFC", _plain(each)) for each in row.names.values()}:
                    found.setdefault(name, []).append(row.slug)
        return self._slugs_by_further_name[type_]

    async def _unknown(self, connection: AsyncConnection, type_: str, model: ReferenceModel, text: str) -> str:
        message = f"there is no {type_} {text!r}"
        if ":" in text:
            return message
        if model is Place and (schemes := await schemes_of(connection, text)):
            return f"{message}; a code needs its scheme before it: {' or '.join(f'{scheme}:{text}' for scheme in schemes)}"
        self._suggestions += 1
        if self._suggestions > MAX_SUGGESTIONS:
            return message
        if type_ not in self._names:
            self._names[type_] = {row.slug: row.name for row in await connection.execute(select_names(type_, self._caller.level))}
        suggestions = nearest(text, self._names[type_])
        return f"{message}; the nearest: {suggestions}" if suggestions else message


def _plain(text: str) -> str:
    """Return a name with one plain space between its words, without zero-width spaces and marks of direction."""
    return " ".join(_UNSEEN.sub("", text).split())


def either_scheme(text: str) -> list[str]:
    """Return the name of a place, last; before it the code of a country under the other name of ISO 3166-1 alpha-3."""
    scheme, _, code = text.partition(":")
    return [f"{_OTHER_SCHEMES[scheme]}:{code}", text] if scheme in _OTHER_SCHEMES else [text]


def substitute_slugs(body: dict[str, Any], lookup: ReferenceLookup) -> list[FieldProblem]:
    """Replace the names in a report by the slugs that were looked up, and return the errors."""
    problems = []
    for path, type_, text in references_in(body):
        if (error := lookup.errors.get((type_, text))) is not None:
            problems.append(FieldProblem(pointer=pointer(path), detail=error))
            continue
        node: Any = body
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = lookup.slugs[type_, text]
    return problems
