"""Problem details (RFC 9457): every error that leaves the service, those of the framework included."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.http.state import request_state

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"

log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """One thing wrong with one field."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) into the request body, or the name of a query parameter after `?`.")
    detail: str = Field(description="What is wrong with it, in words.")


class ProblemDetails(BaseModel):
    """RFC 9457 problem details, the body of every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:lifeline:problem:invalid",
                    "title": "The request is not valid",
                    "status": 422,
                    "detail": "1 field is wrong",
                    "instance": "/v1/reports",
                    "errors": [{"pointer": "/value/people_low", "detail": "people_low must not be above people_high"}],
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    errors: list[FieldProblem] | None = None


class Problem(Exception):
    """An error with a status and, for 422, the fields it is about."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        title: str | None = None,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.title = title or HTTPStatus(status).phrase
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def body(self, instance: str | None = None) -> dict[str, Any]:
        """The problem as a JSON object."""
        body: dict[str, Any] = {
            "type": f"urn:lifeline:problem:{self.kind}" if self.kind else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance is not None:
            body["instance"] = instance
        if self.errors:
            body["errors"] = [error.model_dump() for error in self.errors]
        return body


def invalid(errors: Iterable[FieldProblem]) -> Problem:
    """A 422 that names each wrong field."""
    found = list(errors)
    detail = "1 field is wrong" if len(found) == 1 else f"{len(found)} fields are wrong"
    return Problem(422, detail, kind="invalid", title="The request is not valid", errors=found)


def invalid_field(pointer: str, detail: str) -> Problem:
    """A 422 about one field."""
    return invalid([FieldProblem(pointer=pointer, detail=detail)])


def not_found(what: str) -> Problem:
    """A 404; also the answer for what exists but is not for this reader."""
    return Problem(404, f"There is no such {what}.", kind="not-found")


def pointer(parts: Iterable[str | int]) -> str:
    """The JSON Pointer of a path, escaped as RFC 6901 says."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def field_problems(error: ValidationError | RequestValidationError, prefix: Sequence[str | int] = ()) -> list[FieldProblem]:
    """The entries of a Pydantic error as pointers and words; input values are never repeated."""
    found = []
    for entry in error.errors() if isinstance(error, RequestValidationError) else error.errors(include_url=False, include_input=False):
        path = list(entry["loc"])
        text = str(entry["msg"]).removeprefix("Value error, ")
        if entry["type"] == "extra_forbidden":
            text = "unknown field"
        elif entry["type"] == "missing":
            text = "this field is required"
        elif entry["type"] in ("model_type", "model_attributes_type", "dict_type"):
            text = "must be a JSON object"
        elif entry["type"] in ("tuple_type", "list_type"):
            text = "must be a JSON array"
        elif entry["type"] == "value_error" and (at := entry.get("ctx", {}).get("field")):
            path.append(at)
        found.append(FieldProblem(pointer=pointer([*prefix, *path]), detail=text))
    return found


def invalid_request(error: RequestValidationError) -> Problem:
    """The 422 of parameters that the framework refused."""
    found = []
    for entry in field_problems(error):
        place, _, rest = entry.pointer.removeprefix("/").partition("/")
        found.append(FieldProblem(pointer=f"?{rest}" if place == "query" else f"/{rest}", detail=entry.detail))
    return invalid(found)


def _answer(request: Request, problem: Problem) -> Response:
    content = orjson.dumps(problem.body(request.url.path))
    return Response(content, problem.status, {"Cache-Control": "no-store", **problem.headers}, media_type=MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error)


async def _on_framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {404: "There is nothing at this address.", 405: "This address does not take that method."}.get(
        error.status_code, str(error.detail)
    )
    headers = {**(error.headers or {}), "Allow": _methods_at(request)} if error.status_code == 405 else error.headers
    return _answer(request, Problem(error.status_code, detail, headers=headers))


def _methods_at(request: Request) -> str:
    # Starlette names those of the first route that fits, of several for one path (RFC 9110, 10.2.1: all of them).
    fitting = (each for each in iter_route_contexts(request.app.routes) if each.matches(request.scope)[0] is not Match.NONE)
    methods = {method for each in fitting for method in each.methods or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, invalid_request(error))


def problem_of_aborted_response(error: BaseException) -> Problem | None:
    """The problem by which an answer that had begun broke off; None for a mistake of ours. The framework wraps what it cannot answer."""
    return error.__cause__ if isinstance(error, RuntimeError) and isinstance(error.__cause__, Problem) else None


async def _on_anything(request: Request, error: Exception) -> Response:
    told = request_state(request.scope).get("request_id", b"").decode() or None
    if (problem := problem_of_aborted_response(error)) is not None:
        log.info("response_aborted", request_id=told, status=problem.status)
        return _answer(request, problem)
    log.error("unhandled_error", request_id=told, exc_info=error)
    return _answer(request, Problem(500, "Something went wrong here; nothing was written."))


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_framework_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(Exception, _on_anything)
