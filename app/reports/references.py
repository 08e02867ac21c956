"""The places, sources and routes that a report names, also one that is invalid in itself."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from app.domain.kinds import KINDS
from app.http.problems import FieldProblem, pointer
from app.reference.records import SourceRecord

# The longest name of a place or source.
MAX_NAME_CHARACTERS = 100

FieldErrors = list[FieldProblem]
OWN_OUTLET = "this is the source itself: send the outlet that passed its words on, or leave it out"


class InvalidReport(FieldErrors):
    """The errors of a report that is invalid in itself, which may name unknown records besides."""

    def __init__(self, errors: FieldErrors, body: Any) -> None:
        super().__init__(errors)
        self.body = body


class Reference(NamedTuple):
    """A field that names a record: the path to the field, the type of the record (a key of MODELS) and the text of the field."""

    path: tuple[str | int, ...]
    type_: str
    text: str


def references_in(body: Any) -> list[Reference]:
    """Return the records that a report names, as far as its fields have the right types."""
    if not isinstance(body, dict):
        return []
    references = [Reference((name,), name, body[name]) for name in ("place", "source") if isinstance(body.get(name), str)]
    provenance = body.get("provenance")
    provenance = provenance if isinstance(provenance, dict) else {}
    via, origin = provenance.get("via"), provenance.get("origin")
    if isinstance(origin, str):
        references.append(Reference(("provenance", "origin"), "source", origin))
    if isinstance(via, list):
        references += [Reference(("provenance", "via", at), "source", each) for at, each in enumerate(via) if isinstance(each, str)]
    kind, value = body.get("kind"), body.get("value")
    if isinstance(kind, str) and kind in KINDS and isinstance(value, dict):
        fields = KINDS[kind].references.items()
        references += [Reference(("value", name), type_, value[name]) for name, type_ in fields if isinstance(value.get(name), str)]
    return references


def own_outlets(references: Iterable[Reference], sources: Mapping[str, SourceRecord]) -> dict[str, str]:
    """Return the error of each outlet that is the source itself, under whichever of its names, by pointer."""
    slugs = {path: sources[text].slug for path, type_, text in references if type_ == "source" and text in sources}
    return {pointer(path): OWN_OUTLET for path, slug in slugs.items() if "via" in path and slug == slugs.get(("source",))}
