"""A request to the desk: the reader's session, what its key may do, and the form that was sent with the token of the session."""

import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from app.access.dependencies import CallerDep
from app.access.principal import Principal, Scope
from app.board.api_client import Document, InProcessApiClient
from app.board.api_messages import English, translate
from app.board.code_labels import label_for
from app.board.desk.fields import FormField, field_label
from app.board.desk.lookup import ALL, Names
from app.board.rendering import NOT_STORED, LocalizationDep, draw, read_form, reject_cross_site, render_page, root_path
from app.domain.kinds import KINDS
from app.domain.kinds.showing import gettext_noop
from app.http.localization import Localization
from app.http.problems import Problem
from app.http.state import app_state, request_state

TITLES = {"places": gettext_noop("Places"), "sources": gettext_noop("Sources"), "routes": gettext_noop("Routes")}
ADD = {"places": gettext_noop("Add a place"), "sources": gettext_noop("Add a source"), "routes": gettext_noop("Add a route")}
# Drafts or entries of a page.
MAX_SHOWN = 100
REFILLED_FORM = gettext_noop("You signed in again after you opened this form. Look at it and send it again.")
# Words of the protocol in messages of the API, and what a form says instead.
_PLAIN = {
    "This Idempotency-Key was sent with another request: use a new one.": "This form was sent before with other content: open it again.",
    ": read it again, and send its new ETag.": ": open it again.",
    ": read it again, and send the patch with its new ETag.": ": open it again.",
    "send assertion announced for a later day": "for a later day, choose announced as how firm it is",
    "the slug": "the short name",
    "another slug": "another short name",
    "a slug": "a short name",
}
_SEND_CODE = re.compile(r"\bsend (?=the state |[a-z]+_[a-z_]+\b)")
# Names of fields, and codes, that are no plain words.
_FIELD_NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
# The pages with the form of a statement.
STATEMENT = re.compile(r"/desk/(statements|reports|drafts)/([a-z0-9_-]{1,64})(?:/correction)?")
NO_SCOPE = gettext_noop("Your key may read only. To enter statements, sign in with a key that has the scope report or curate.")


@dataclass(slots=True)
class Desk:
    """One request; `form` is empty for GET."""

    request: Request
    locale: Localization
    caller: Principal
    api: InProcessApiClient
    token: str
    form: dict[str, list[str]] = field(default_factory=dict)
    # Whether the form belongs to an earlier session, so that it is shown again but nothing is done.
    is_old: bool = False
    # The page of what the form made when it was sent before with other content, empty if that has no page; None if it was not.
    sent_before: str | None = None

    def text(self, name: str) -> str:
        """Return a field of the form; empty without it."""
        return self.form.get(name, [""])[0].strip()

    def may(self, scope: Scope) -> bool:
        """Tell whether the key has a scope."""
        return scope in self.caller.scopes

    async def names(self, *records: Any, collections: Iterable[str] = ALL) -> Names:
        """Return the names of places, sources and routes, those that the form and other records name among them."""
        _, _, picked = self.text("do").partition("pick:")
        name, _, slug = picked.partition("=")
        return await Names.load(self.api, self.locale.language, collections, [self.form, {name: slug}, *records])

    async def send(self, method: str, path: str, body: Any = None, *, part: str = "", **headers: str) -> tuple[int, Document]:
        """Send a request of the form to the API, or one `part` of it; a form that is sent twice is executed once."""
        once = self.text("once")
        sent = {"Idempotency-Key": f"{once} {part} {path}"[:255]} if once and method == "POST" else {}
        response = await self.api.send(method, path, body, sent | headers)
        if response.status_code == 401:
            raise Problem(401, "expired")
        answer = orjson.loads(response.content)
        if response.status_code == 422 and answer["type"].endswith(":idempotency"):
            path = response.headers.get("location", "").removeprefix("/v1/")
            folder = {"reports": "/desk/", "drafts": "/desk/"} | dict.fromkeys(TITLES, "/desk/records/")
            self.sent_before = next((f"{folder[each]}{path}" for each in folder if path.startswith(f"{each}/")), "")
        return response.status_code, answer

    async def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """Render a page of the desk, which no cache keeps."""
        shared: dict[str, Any] = {
            "token": self.token,
            "once": self.text("once") or secrets.token_urlsafe(12),
            "may_curate": self.may(Scope.CURATE),
        }
        shared |= {"may_report": self.may(Scope.REPORT), "form": self.form, "errors": {}, "choices": {}, "problems": [], "names": None}
        shared["sent_before"] = self.sent_before
        shared |= {"kinds": [(name, label_for(name, self.locale, name)) for name in KINDS], "done": ""}
        shared |= {"field_label": field_label, "collections": [(each, TITLES[each], ADD[each]) for each in TITLES]}
        shared |= {"head": await self.api.get("/v1/ledger/head", as_of=None), "signed_in": True, "fields": [], "back": self.text("back")}
        if self.is_old:
            status, context["problems"] = 403, [self.locale.gettext(REFILLED_FORM)]
        page = await draw(partial(render_page, self.request, f"desk/{template}", self.locale, status, **shared | context))
        request_state(self.request.scope)["cacheable"] = False
        page.headers["Cache-Control"] = "no-store"
        return page

    def redirect(self, path: str, **query: str) -> Response:
        """Lead to a page of the desk after a form, so that a reload sends nothing again."""
        return RedirectResponse(f"{root_path(self.request)}{path}{'?' if query else ''}{urlencode(query)}", 303, NOT_STORED)


async def open_desk(request: Request, caller: CallerDep, locale: LocalizationDep) -> Desk:
    """Return the desk of a request; refuse a form of another site, a reader without a session, and a key that only reads."""
    if request.method == "POST":
        reject_cross_site(request)
    session = app_state(request).sessions.read(request.scope)
    if session is None or caller.key_id is None:
        raise Problem(401, "Sign in first.")
    if caller.scopes.isdisjoint((Scope.REPORT, Scope.CURATE)):
        raise Problem(403, NO_SCOPE)
    token = app_state(request).sessions.form_token(session[1])
    desk = Desk(request, locale, caller, InProcessApiClient(request, lang=locale.language), token)
    if request.method == "POST":
        desk.form = dict(await read_form(request))
        if not hmac.compare_digest(desk.text("token").encode(), token.encode()):
            desk.is_old, desk.form["do"] = True, ["resume"]
    return desk


DeskDep = Annotated[Desk, Depends(open_desk)]


def errors_of(problem: Mapping[str, Any], fields: Iterable[FormField], locale: Localization) -> tuple[dict[str, str], list[str]]:
    """Return what the API says is wrong, in the language of the page: by field, and what belongs to no field of the form."""
    fields = list(fields)
    by_name = {name: each.name for each in fields for name in each.names()}
    labels = {name.rpartition(".")[2]: each.label for each in fields for name in each.names()}
    errors: dict[str, str] = {}
    others: list[str] = []
    for each in problem.get("errors", ()):
        parts = each["pointer"].strip("/").split("/")
        while parts and ".".join(parts) not in by_name:
            parts.pop()
        name = by_name.get(".".join(parts))
        if name is None or name in errors:
            said, at = _plain(each["detail"], labels, locale), each["pointer"].rpartition("/")[2]
            others.append(type(said)(f"{labels.get(at) or field_label(at, locale)}: {said}") if at else said)
        else:
            errors[name] = _plain(each["detail"], labels, locale)
    return errors, others or ([] if errors else [_plain(problem.get("detail") or problem["title"], labels, locale)])


def _plain(text: str, labels: Mapping[str, str], locale: Localization) -> str:
    """Return a message of the API in the words of a form: labels in place of names of fields, and no words of the protocol."""
    said = plain = translate(text, locale, labels)
    for words, replacement in _PLAIN.items():
        plain = plain.replace(words, replacement)
    plain = _SEND_CODE.sub("choose ", plain)
    plain = _FIELD_NAME.sub(lambda match: f"\u201c{labels[match[0]]}\u201d" if match[0] in labels else label_for(match[0], locale), plain)
    return English(plain) if isinstance(said, English) else plain
