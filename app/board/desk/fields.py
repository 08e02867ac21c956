"""The fields of a form, made from a model: what a kind declares is all that its form needs."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from app.board.code_labels import label_for
from app.board.desk.lookup import COLLECTIONS
from app.board.desk.messages import DESK_LABELS
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.kinds.values import closed_set
from app.http.localization import Localization
from app.reports.schemas import Provenance, ReportIn

# The member of a list of codes that stands for the empty list.
NONE_OF_THESE = "none_of_these"
# How a field with days is made: `first`, `last`, `one`, `days_min`, `days_max`, `imminence` and `words` name members of the model.
Members = Mapping[str, str]
_DAYS = frozenset({"observed_from", "observed_to", "valid_from", "valid_to", "valid_until", "since"})
_LONG = frozenset({"quote", "reason", "reasons", "alternatives", "text", "geometry", "codes", "names"})
_MORE = frozenset({"origin", "method", "language", "licence", "title", "observed_from", "observed_to", "relays"})


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form. `name` is the JSON Pointer of its member with dots; `type` is the macro that draws it."""

    name: str
    type: str
    label: str
    required: bool = False
    options: Sequence[tuple[str, str]] = ()
    collection: str = ""
    many: bool = False
    help: str = ""
    members: Members = field(default_factory=dict)
    default: str = ""
    more: bool = False

    @property
    def member(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    def names(self) -> Iterator[str]:
        """Yield the names of all members that it fills."""
        yield self.name
        prefix = self.name.removesuffix(self.member)
        yield from (f"{prefix}{each}" for each in self.members.values())


def report_fields(kind: str, locale: Localization) -> list[FormField]:
    """Return the fields of a report of a kind, in the order in which a reader of a document meets them."""
    own = model_fields(ReportIn, "", locale, skip=("kind", "value", "provenance"))
    value = model_fields(KINDS[kind].value_model, "value.", locale, KINDS[kind])
    provenance = model_fields(Provenance, "provenance.", locale, skip=("relays",))
    by_name = {each.name: each for each in (*own, *provenance)}
    first = ("place", "source", "provenance.via", "provenance.directness", "provenance.published_at", "stated_at", "provenance.quote")
    last = ("provenance.credibility", "sensitivity", "provenance.url")
    rest = [each for name, each in by_name.items() if name not in first + last]
    return [*(by_name[each] for each in first), *value, *(by_name[each] for each in last), *rest]


def model_fields(
    model: type[BaseModel], prefix: str, locale: Localization, kind: Kind[Any] | None = None, skip: Sequence[str] = ()
) -> list[FormField]:
    """Return a field for each member of a model; days that belong together, and the words for them, are one field."""
    members, name_of_kind = model.model_fields, kind.name if kind else ""
    found, absorbed = [], set(skip)
    helped = {*DESK_LABELS, *(kind.code_labels if kind else ())}
    for name, info in members.items():
        if name in absorbed:
            continue
        of = _days_members(name, members, kind)
        absorbed.update(of.values())
        annotation, stem = _bare(info.rebuild_annotation()), _stem(name) if of else name
        codes = codes_of(model, name) or (tuple(range(1, 7)) if name == "credibility" else ())
        type_ = "days" if of else _type(name, annotation, codes)
        required = info.is_required()
        options = [(str(each), _option_label(name, each, locale, name_of_kind)) for each in codes]
        if type_ == "flag":
            type_, options = "choice", [("true", label_for("yes", locale)), ("false", label_for("no", locale))]
        if type_ == "codes":
            options.append((NONE_OF_THESE, label_for(NONE_OF_THESE, locale, name_of_kind)))
        default = info.default if isinstance(info.default, (str, int)) and not isinstance(info.default, bool) else ""
        # The origin of a route is a name; that of a statement is a source.
        reference = "" if info.alias else COLLECTIONS.get((kind.references.get(name, "") if kind else name), "")
        found.append(
            FormField(
                name=f"{prefix}{info.alias or stem}",
                type="reference" if reference else type_,
                label=field_label(info.alias or stem, locale, name_of_kind),
                required=required,
                options=[("", "\u2013"), *options] if type_ == "choice" and not default else options,
                collection=reference,
                many=get_origin(annotation) in (list, tuple) and bool(reference),
                help=label_for(f"help_{stem}", locale, name_of_kind) if f"help_{stem}" in helped else "",
                members=of,
                default=str(default),
                more=(info.alias or name) in _MORE,
            )
        )
    return found


def field_label(name: str, locale: Localization, kind: str = "") -> str:
    """Return the label of a field; a field without a message shows its name."""
    text = label_for(f"field_{name}", locale, kind).removeprefix("field ")
    return text[0].upper() + text[1:]


def _option_label(name: str, code: Any, locale: Localization, kind: str) -> str:
    if name == "sensitivity":
        return f"TLP:{code.upper().replace('_', '+')} \u2013 {label_for(f'meaning_{code}', locale)}"
    if name in ("likelihood", "confidence"):
        return label_for(f"{name}_{code}", locale)
    if name in ("credibility", "reliability"):
        return f"{code} \u2013 {label_for(f'{name}_{code}', locale)}"
    return label_for(str(code), locale, kind)


def codes_of(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    """Return the codes that a member may have; empty for free text."""
    return closed_set(_item(_bare(model.model_fields[name].rebuild_annotation())))


def _bare(annotation: Any) -> Any:
    """Return a type without `Annotated` and `None`."""
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def _item(annotation: Any) -> Any:
    item = _bare(get_args(annotation)[0]) if get_origin(annotation) in (list, tuple) and get_args(annotation) else annotation
    value = getattr(item, "__value__", item)
    if isinstance(value, type) and issubclass(value, str) and hasattr(value, "__members__"):
        return Literal[tuple(each.value for each in value)]  # type: ignore[attr-defined]
    return value if get_origin(value) is Literal else Literal[()]


def _type(name: str, annotation: Any, codes: Sequence[Any]) -> str:
    if codes:
        return "codes" if get_origin(annotation) in (list, tuple) else "choice"
    if annotation in (bool,):
        return "flag"
    if annotation is int:
        return "number"
    if annotation is date or name.endswith("_at") or name in _DAYS:
        return "day"
    return "long" if name in _LONG else "text"


def _stem(name: str) -> str:
    return name.removesuffix("_earliest").removesuffix("_latest")


def _days_members(name: str, members: Mapping[str, Any], kind: Kind[Any] | None) -> Members:
    """Return the members that make one field together with a first or last day, or with a day that may be given instead."""
    stem = _stem(name)
    if kind is None or f"{stem}_earliest" not in members or f"{stem}_latest" not in members:
        return {}
    roles = {"one": stem, "first": f"{stem}_earliest", "last": f"{stem}_latest"}
    if "in_days_min" in members:
        roles |= {"days_min": "in_days_min", "days_max": "in_days_max", "imminence": "imminence", "words": "relative_text"}
    return {role: each for role, each in roles.items() if each in members}
