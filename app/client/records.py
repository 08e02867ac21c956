"""What a client reads, and the error that a service answers. Of Lifeline this knows only the wire contract."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Something that was read. Unknown fields are kept beside the known."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PlaceName(Record):
    """A place as an indicator names it; `codes` are objects of `scheme` and `code`."""

    slug: str
    name: str
    country: str | None = None
    codes: list[dict[str, str]] = []


class Place(PlaceName):
    """A place; `centroid` is [longitude, latitude] in degrees, `geometry` GeoJSON, `parent` a slug."""

    id: str
    parent: str | None = None
    centroid: list[float] | None = None
    geometry: dict[str, Any] | None = None


class Source(Record):
    """Whoever makes statements; `reliability` is the grade in force, A to F."""

    id: str
    slug: str
    name: str
    type: str
    reliability: str
    party_to_conflict: bool


class Route(Record):
    """A way in or out."""

    id: str
    slug: str
    name: str
    mode: str
    geometry: dict[str, Any] | None = None


class Indicator(Record):
    """The assessed reading of what is said on one subject at one place; `value` has the kind's fields."""

    id: str
    kind: str
    subject: str
    place: PlaceName
    value: dict[str, Any] | None
    agreement: str | None
    stated_at: str | None
    revision: int
    provenance: dict[str, Any] | None = None


class Report(Record):
    """One stored statement."""

    id: str
    seq: int | None
    kind: str
    place: str
    source: str
    stated_at: str
    value: dict[str, Any]
    provenance: dict[str, Any]
    sensitivity: str
    indicator: str
    recorded_at: str
    recorded_by: str
    status: str
    supersedes: str | None = None


class Change(Record):
    """One entry of the ledger, with the indicators that it moved, as they now stand."""

    seq: int
    type: str
    report_id: str | None = None
    indicator: str | None = None
    source: str | None = None
    report: dict[str, Any] | None = None
    reason: str | None = None
    detail: dict[str, Any] | None = None
    recorded_at: str
    recorded_by: str
    documents: list[Indicator] = []


class Outcome(Record):
    """What became of one report of several: 201 recorded, 200 recorded before, 422 refused, with its problem."""

    status: int
    id: str | None = None
    problem: dict[str, Any] | None = None


R = TypeVar("R", bound=Record)


class Page(Record, Generic[R]):
    """Some records of a list, and the cursor of what follows; None on the last page of a list, never None among changes."""

    items: list[R]
    next: str | None
    revision: int


class FieldError(Record):
    """One thing wrong with one field, by its JSON Pointer into what was sent."""

    pointer: str
    detail: str


class LifelineError(Exception):
    """An error that the service answered (RFC 9457): `status`, `title`, `detail`, and for 422 an entry of `errors` a field."""

    def __init__(self, status: int, title: str, detail: str | None, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join([f"{status} {detail or title}", *(f"{each.pointer}: {each.detail}" for each in errors)]))
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = list(errors)
