"""Find places, sources and routes by what a person types: a slug, a code, a name in any language, or a near spelling."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rapidfuzz import process

from app.board.api_client import Document, InProcessApiClient

ALL = ("places", "sources", "routes")
MAX_NEAR, MIN_SIMILARITY_PERCENT = 5, 60
_SLUG_IN_BRACKETS = re.compile(r"\(([a-z0-9-]{1,64})\)$")


class Names:
    """The places, sources and routes that the reader sees, with their names."""

    def __init__(self, records: dict[str, dict[str, Document]], language: str) -> None:
        self._records, self._language = records, language
        # The slugs with each spelling, by collection.
        self._spellings: dict[str, dict[str, set[str]]] = {}
        for collection, of in records.items():
            known = self._spellings.setdefault(collection, {})
            for slug, each in of.items():
                for spelling in _spellings(each):
                    known.setdefault(spelling.casefold(), set()).add(slug)

    @classmethod
    async def load(cls, api: InProcessApiClient, language: str, collections: Sequence[str] = ALL) -> "Names":
        """Load the records of some collections."""
        found = await asyncio.gather(*(api.get_all(f"/v1/{each}", as_of=None, lang=None) for each in collections))
        return cls({name: {each["slug"]: each for each in of} for name, of in zip(collections, found, strict=True)}, language)

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
        return name if self.find(collection, name) == [slug] and not re.search("[,;]", name) else f"{re.sub('[,;]', '', name)} ({slug})"

    def listed(self, collection: str) -> list[tuple[str, str]]:
        """Return what to type for each record, and its slug."""
        return [(self.label(collection, slug), slug) for slug in self._records.get(collection, {})]

    def name(self, collection: str, slug: str) -> str:
        """Return the name of a record; its slug for one that is not seen."""
        record = self._records.get(collection, {}).get(slug, {"name": slug, "names": {}})
        return str(record["names"].get(self._language, record["name"]))


def _spellings(record: dict[str, Any]) -> set[str]:
    codes = {f"{each['scheme']}:{each['code']}" for each in record.get("codes", ())} | {each["code"] for each in record.get("codes", ())}
    return {record["slug"], record["slug"].replace("-", " "), record["name"], *record["names"].values(), *codes}


def split_list(texts: Iterable[str]) -> list[str]:
    """Return the names in lists that commas or semicolons separate."""
    return [name.strip() for text in texts for name in re.split("[,;\u060c]", text) if name.strip()]
