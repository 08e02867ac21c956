"""Endpoints of the desk. A form is answered with itself and what is wrong in it, or leads to the page of what was done."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from app.access.principal import Scope
from app.board.desk.drafts import article_page, drafts_page
from app.board.desk.judgements import judgement_page
from app.board.desk.records import add_from, record_page, records_page
from app.board.desk.reports import report_page, today_page
from app.board.desk.session import STATEMENT, DeskDep
from app.board.desk.statements import Target, new_target, statement_page
from app.board.rendering import PageRoute
from app.http.problems import Problem, not_found

router = APIRouter(prefix="/desk", route_class=PageRoute, include_in_schema=False)

Done = Annotated[str, Query(max_length=100)]


@router.get("")
async def show_desk(desk: DeskDep, done: Done = "") -> Response:
    """Show what can be entered, and what waits."""
    waiting = await desk.api.get_all("/v1/drafts", status="proposed", as_of=None) if desk.may(Scope.REPORT) else []
    return await desk.page("desk.html", waiting=len(waiting), done=done if done.endswith("_above") else "")


@router.get("/today")
async def show_today(desk: DeskDep) -> Response:
    """Show today's entries."""
    return await today_page(desk)


@router.get("/statements/{kind}")
@router.post("/statements/{kind}")
async def statement(desk: DeskDep, kind: str, same: Done = "", done: Done = "") -> Response:
    """Enter a statement."""
    return await _statement(desk, f"/desk/statements/{kind}", same, done)


@router.get("/reports/{id}/correction")
@router.post("/reports/{id}/correction")
async def correction(desk: DeskDep, id: UUID) -> Response:  # noqa: A002 - as in the API
    """Correct a statement."""
    return await _statement(desk, f"/desk/reports/{id}/correction")


@router.get("/reports/{id}")
@router.post("/reports/{id}")
async def report(desk: DeskDep, id: UUID, done: Done = "") -> Response:  # noqa: A002 - as in the API
    """Show a statement, and amend it."""
    return await report_page(desk, str(id), done)


@router.get("/indicators/{id}/judgement")
@router.post("/indicators/{id}/judgement")
async def judgement(desk: DeskDep, id: UUID, done: Done = "") -> Response:  # noqa: A002 - as in the API
    """Judge an indicator."""
    return await judgement_page(desk, str(id), done)


@router.get("/drafts")
@router.post("/drafts")
async def drafts(desk: DeskDep, done: Done = "") -> Response:
    """Show the drafts that wait, and decide on one."""
    return await drafts_page(desk, done)


@router.get("/drafts/{id}")
@router.post("/drafts/{id}")
async def draft(desk: DeskDep, id: UUID) -> Response:  # noqa: A002 - as in the API
    """Correct a draft."""
    return await _statement(desk, f"/desk/drafts/{id}")


@router.get("/article")
@router.post("/article")
async def article(desk: DeskDep) -> Response:
    """Read an article."""
    return await _article(desk)


@router.get("/records/{collection}")
async def records(desk: DeskDep, collection: str, q: Annotated[str, Query(max_length=100)] = "", done: Done = "") -> Response:
    """Find a place, source or route."""
    return await records_page(desk, collection, q, done)


@router.get("/records/{collection}/{slug}")
@router.post("/records/{collection}/{slug}")
async def record(desk: DeskDep, collection: str, slug: Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$")]) -> Response:
    """Change a record."""
    return await record_page(desk, collection, slug)


@router.get("/new/{collection}")
@router.post("/new/{collection}")
async def new_record(desk: DeskDep, collection: str, done: Done = "") -> Response:
    """Add a record."""
    page = await record_page(desk, collection, done=done)
    if not (target := desk.text("back_to")):
        return page
    # The form in the middle of which the record was added.
    return await _article(desk) if target == "/desk/article" else await _statement(desk, target)


async def _article(desk: DeskDep) -> Response:
    if desk.text("do").startswith("add:"):
        return await add_from(desk, "/desk/article", desk.text("do").removeprefix("add:"))
    return await article_page(desk)


async def _statement(desk: DeskDep, path: str, same: str = "", done: str = "") -> Response:
    if desk.text("do").startswith("add:"):
        return await add_from(desk, path, desk.text("do").removeprefix("add:"))
    match = STATEMENT.fullmatch(path)
    if match is None:
        raise not_found("page")
    collection, key = match.groups()
    if collection == "statements":
        target = new_target(key)
    elif collection == "reports":
        found = await desk.api.get(f"/v1/reports/{key}", as_of=None)
        if found["status"] != "standing" and desk.text("do") != "send":
            raise Problem(409, f"The report is already {found['status']}.")
        target = Target(path, found["kind"], corrects=found)
    else:
        response = await desk.api.send("GET", f"/v1/drafts/{key}")
        if response.status_code != 200:
            raise not_found("draft")
        found = response.json()
        if found["status"] != "proposed":
            raise Problem(409, f"The draft is already {found['status']}.")
        target = Target(path, found["report"]["kind"], draft=found, etag=desk.text("etag") or response.headers["etag"])
    return await statement_page(desk, target, same, done)
