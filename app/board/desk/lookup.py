"""Find places, sources and routes by what a person types: a slug, a code, a name in any language, or a near spelling."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rapidfuzz import process

from app.board.api_client import Document, InProcessApiClient
from app.domain.folding import fold

ALL = ("places", "sources", "routes")
COLLECTIONS = {"place": "places", "source": "sources", "route": "routes", "via": "sources", "origin": "sources", "parent": "places"}
COLLECTIONS |= {"successor_of": "places", "publisher": "sources"}
MAX_NEAR, MIN_SIMILARITY_PERCENT = 5, 60
# Records of a larger collection are looked up by what was typed.
MAX_LISTED, MIN_WORD_LETTERS = 500, 3
# A report names at most 20 sources that passed it on.
MAX_SEARCHED_TEXTS, MAX_SEARCHED_WORDS = 25, 4
_SLUG_IN_BRACKETS = re.compile(r"\(([a-z0-9-]{1,64})\)$")
_SLUG = re.compile(r"(?:^|\()([a-z0-9-]{1,64})\)?$")


class Names:
    """Places, sources and routes that the reader sees, with their names: all of a small collection, else those that a page names."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._records: dict[str, dict[str, Document]] = {}
        # The slugs with each spelling, by collection.
        self._spellings: dict[str, dict[str, set[str]]] = {}
        self._partial: set[str] = set()

    @classmethod
    async def load(cls, api: InProcessApiClient, language: str, collections: Iterable[str], pages: Iterable[Any]) -> "Names":
        """Load the records of some collections; of a large one, its first, and those that records or forms (`pages`) name."""
        names, wanted = cls(language), {each for page in pages for each in _named_in(page)}
        await asyncio.gather(*(names._load(api, each, {text for of, text in wanted if of == each}) for each in collections))
        return names

    async def _load(self, api: InProcessApiClient, collection: str, wanted: set[str]) -> None:
        page = await api.get(path := f"/v1/{collection}", limit=MAX_LISTED, as_of=None, lang=None)
        self._add(collection, page["items"])
        if page["next"] is None:
            return
        self._partial.add(collection)
        of = self._records[collection]
        slugs = {text: match[1] for text in sorted(wanted) if (match := _SLUG.search(text))}
        self._add(collection, (await api.records_by_slug(collection, [*set(slugs.values()) - of.keys()][:MAX_LISTED])).values())
        for text in sorted(text for text in wanted if slugs.get(text) not in of)[:MAX_SEARCHED_TEXTS]:
            # Without a record of this name, those with words that begin alike.
            words = (word[:MIN_WORD_LETTERS] for word in fold(text).split()[:MAX_SEARCHED_WORDS])
            for query in (text.rpartition(":")[2], *words):
                if len(fold(query)) >= MIN_WORD_LETTERS:
                    self._add(collection, (await api.get(path, q=query[:100], limit=1000, as_of=None, lang=None))["items"])
                if self.find(collection, text):
                    break

    def _add(self, collection: str, records: Iterable[Document]) -> None:
        of, known = self._records.setdefault(collection, {}), self._spellings.setdefault(collection, {})
        for each in records:
            of[each["slug"]] = each
            for spelling in _spellings(each):
                known.setdefault(spelling.casefold(), set()).add(each["slug"])

    def is_partial(self, collection: str) -> bool:
        """Tell whether a collection is too large to be loaded whole."""
        return collection in self._partial

    def find(self, collection: str, text: str) -> list[str]:
        """Return the slugs that a text may mean: the one it is, or names in brackets, else all records with this name or code."""
        of = self._records[collection]
        bracketed = _SLUG_IN_BRACKETS.search(text)
        for slug in (text, bracketed[1] if bracketed else ""):
            if slug in of:
                return [slug]
        return sorted(self._spellings[collection].get(" ".join(text.split()).casefold(), ()))

    def near(self, collection: str, text: str) -> list[str]:
        """Return the slugs of the records with the most similar names."""
        spellings = self._spellings[collection]
        found = process.extract(text.casefold(), list(spellings), limit=20, score_cutoff=MIN_SIMILARITY_PERCENT)
        return list(dict.fromkeys(slug for spelling, _, _ in found for slug in sorted(spellings[spelling])))[:MAX_NEAR]

    def label(self, collection: str, slug: str) -> str:
        """Return the name of a record, with its slug where the name alone does not tell which it is."""
        record = self._records[collection].get(slug)
        if record is None:
            return slug
        name = self.name(collection, slug)
        is_unique = collection not in self._partial and self.find(collection, name) == [slug]
        return name if is_unique and not re.search("[,;]", name) else f"{re.sub('[,;]', '', name)} ({slug})"

    def listed(self, collection: str) -> list[tuple[str, str]]:
        """Return what to type for each record, and its slug."""
        return [(self.label(collection, slug), slug) for slug in self._records.get(collection, {})]

    def name(self, collection: str, slug: str) -> str:
        """Return the name of a record; its slug for one that is not seen."""
        record = self._records.get(collection, {}).get(slug, {"name": slug, "names": {}})
        return str(record["names"].get(self._language, record["name"]))


def _named_in(page: Any) -> Iterator[tuple[str, str]]:
    """Yield the collection and text of each place, source and route that a record or a form names."""
    for name, value in page.items() if isinstance(page, Mapping) else ():
        texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each.strip()]
        if collection := COLLECTIONS.get(name.rpartition(".")[2]):
            yield from ((collection, text.strip()) for text in {*texts, *split_list(texts)})
        elif not texts:
            for each in value if isinstance(value, list) else [value]:
                yield from _named_in(each)


def _spellings(record: dict[str, Any]) -> set[str]:
    codes = {f"{each['scheme']}:{each['code']}" for each in record.get("codes", ())} | {each["code"] for each in record.get("codes", ())}
    return {record["slug"], record["slug"].replace("-", " "), record["name"], *record["names"].values(), *codes}


def split_list(texts: Iterable[str]) -> list[str]:
    """Return the names in lists that commas or semicolons separate."""
    return [name.strip() for text in texts for name in re.split("[,;\u060c]", text) if name.strip()]
