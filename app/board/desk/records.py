"""The forms of places, sources and routes, and the lists to find one in."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unicodedata import normalize
from urllib.parse import parse_qs, urlencode

from fastapi import Response

from app.board.desk.fields import FormField, model_fields
from app.board.desk.session import ADD, TITLES, Desk, errors_of
from app.board.desk.values import form_of, read_form
from app.domain.folding import fold
from app.http.problems import not_found
from app.reference.schemas import SCHEMAS

MAX_LISTED = 100
_MORE = frozenset({"slug", "codes", "valid_from", "valid_to", "successor_of", "alias", "organisation"})
_GEOMETRY = "geometry"


def record_fields(collection: str, desk: Desk, *, is_new: bool) -> list[FormField]:
    """Return the fields of a record; raise 404 for an unknown collection. A slug and a grade are given once."""
    if collection not in TITLES:
        raise not_found("collection")
    skip = (_GEOMETRY,) if is_new else (_GEOMETRY, "slug", "reliability")
    fields = model_fields(SCHEMAS[collection.removesuffix("s")], "", desk.locale, skip=skip)
    return [replace(each, required=each.required and each.name != "slug", more=each.name in _MORE) for each in fields]


async def records_page(desk: Desk, collection: str, search: str, done: str = "") -> Response:
    """Show the records of a collection, those with a text in their names first."""
    if collection not in TITLES:
        raise not_found("collection")
    names = await desk.names({collection.removesuffix("s"): search}, collections=[collection])
    known, is_partial = names.listed(collection), names.is_partial(collection)
    if search:
        found = names.find(collection, search) or names.near(collection, search)
        named = await desk.api.get(f"/v1/{collection}", q=search, limit=MAX_LISTED + 1, as_of=None) if fold(search) else {"items": []}
        slugs = dict.fromkeys([*(each["slug"] for each in named["items"]), *found])
        known, is_partial = [(names.label(collection, slug), slug) for slug in slugs], False
    context: dict[str, Any] = {
        "collection": collection,
        "title": TITLES[collection],
        "add": ADD[collection],
        "search": search,
        "done": done,
    }
    return await desk.page("records.html", records=known[:MAX_LISTED], is_cut=is_partial or len(known) > MAX_LISTED, **context)


async def record_page(desk: Desk, collection: str, slug: str = "", done: str = "") -> Response:
    """Show the form of a record, a new one without a slug; with what it says, record it."""
    fields = record_fields(collection, desk, is_new=not slug)
    record, etag = await _record(desk, collection, slug) if slug else ({}, "")
    names = await desk.names(record)
    if not desk.text("do"):
        desk.form |= form_of(fields, record, names, desk.locale) | ({"etag": [etag]} if slug else {})
        return await _page(desk, collection, slug, fields, names, done=done)
    if desk.text("do") == "resume":
        desk.form |= {"etag": [etag]}
        return await _page(desk, collection, slug, fields, names)
    filled = read_form(fields, desk.form, names, desk.locale)
    body = filled.body
    if slug:
        was = form_of(fields, record, names, desk.locale)
        body = {each.name: body.get(each.name) for each in fields if desk.form.get(each.name, [""]) != was.get(each.name, [""])}
        body = {name: _emptied(name, value) for name, value in body.items() if name not in filled.errors}
    elif "slug" not in body and "name" in body:
        body["slug"] = slug_of(body["name"])
    status, answer = 422, dict[str, Any]()
    if filled.errors == {}:
        path = f"/v1/{collection}" + (f"/{slug}" if slug else "")
        status, answer = await desk.send("PATCH" if slug else "POST", path, body, **({"If-Match": desk.text("etag")} if slug else {}))
    if status not in (200, 201):
        errors, problems = errors_of(answer, fields, desk.locale) if answer else ({}, [])
        return await _page(
            desk, collection, slug, fields, names, 422, errors={**errors, **filled.errors}, problems=problems, choices=filled.choices
        )
    if desk.text("back"):
        desk.form = {**parse_qs(desk.text("back"), keep_blank_values=True), "token": [desk.token]}
        name = desk.form.pop("fill", [""])[0]
        if name:
            names = await desk.names({collection.removesuffix("s"): answer["slug"]})
            listed = [each for each in re.split(r"\s*,\s*", desk.text(name)) if each and len(names.find(collection, each)) == 1]
            keep = listed if name.endswith(".via") else []
            desk.form[name] = [", ".join([*keep, names.label(collection, answer["slug"])])]
        desk.form["do"] = ["read" if desk.text("back_to") == "/desk/article" else "resume"]
        return Response()
    return desk.redirect(f"/desk/records/{collection}" if slug else f"/desk/new/{collection}", done=answer["slug"])


def _emptied(name: str, value: Any) -> Any:
    return {"names": {}, "codes": []}.get(name) if value is None else value


async def _record(desk: Desk, collection: str, slug: str) -> tuple[Mapping[str, Any], str]:
    response = await desk.api.send("GET", f"/v1/{collection}/{slug}")
    if response.status_code != 200:
        raise not_found("record")
    return response.json(), desk.text("etag") or response.headers["etag"]


async def _page(desk: Desk, collection: str, slug: str, fields: list[FormField], names: Any, status: int = 200, **context: Any) -> Response:
    title = TITLES[collection] if slug else ADD[collection]
    return await desk.page("record.html", status, collection=collection, slug=slug, fields=fields, names=names, title=title, **context)


async def add_from(desk: Desk, target: str, action: str) -> Response:
    """Show the form of a new record in the middle of another form, which comes back with the record filled in."""
    collection, _, name = action.partition(":")
    typed = desk.text(name).split(",")[-1].strip() if name else ""
    kept = {key: value for key, value in desk.form.items() if key not in ("token", "do")}
    back = urlencode({**kept, "fill": [name], "back_to": [target]}, doseq=True)
    desk.form = {"name": [typed], "back": [back]}
    return await record_page(desk, collection)


def slug_of(name: str) -> str:
    """Return a slug made of a name; empty for one without letters of the Latin script."""
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
