"""Problem details (RFC 9457): the body of every error, those of the framework included."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, TypeVar, get_args

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field, ValidationError
from rapidfuzz.distance import OSA
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Send

from app.http.state import app_state, request_state

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
INTERNAL_ERROR = "Something went wrong here; nothing was written."

RawHeaders = list[tuple[bytes, bytes]]
Model = TypeVar("Model", bound=BaseModel)
# Of a name this long, two letters may be wrong.
MIN_LONG_NAME = 8

log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """One error in one field."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) into the request body, or the name of a query parameter after `?`.")
    detail: str = Field(description="What is wrong with the field.")


class ProblemDetails(BaseModel):
    """RFC 9457 problem details, the body of every error."""

    type: str = Field(description="URI of the type of problem; `about:blank` where the status says it all.")
    title: str = Field(description="Name of the type of problem.")
    status: int = Field(description="HTTP status of the response.")
    detail: str | None = Field(default=None, description="What went wrong in this request, and what would be right.")
    instance: str | None = Field(default=None, description="Path of the request.")
    errors: list[FieldProblem] | None = Field(default=None, description="Every wrong field of the request; absent for other problems.")


@dataclass(eq=False)
class Problem(Exception):
    """An error with an HTTP status and, for 422, every wrong field, which an empty `detail` counts; `kind` ends the type's URI."""

    status: int
    detail: str
    kind: str | None = field(default=None, kw_only=True)
    title: str = field(default="", kw_only=True)
    errors: list[FieldProblem] = field(default_factory=list, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if not self.detail:
            self.detail = "1 field is wrong" if len(self.errors) == 1 else f"{len(self.errors)} fields are wrong"
        super().__init__(self.detail)
        self.title = self.title or HTTPStatus(self.status).phrase
        self.headers = {"Cache-Control": "no-store", **self.headers}

    def body(self, instance: str | None = None) -> dict[str, Any]:
        """Return the problem as a JSON object; `instance` is the path of the request."""
        type_ = f"urn:lifeline:problem:{self.kind}" if self.kind else "about:blank"
        details = ProblemDetails(
            type=type_, title=self.title, status=self.status, detail=self.detail, instance=instance, errors=self.errors or None
        )
        return details.model_dump(exclude_none=True)


def invalid(errors: Iterable[FieldProblem]) -> Problem:
    """Return a 422 that names each wrong field."""
    return Problem(422, "", kind="invalid", title="The request is not valid", errors=list(errors))


def invalid_field(pointer: str, detail: str) -> Problem:
    """Return a 422 about one field."""
    return invalid([FieldProblem(pointer=pointer, detail=detail)])


def not_found(what: str) -> Problem:
    """Return a 404, the same for a record that does not exist and for one above the caller's clearance."""
    return Problem(404, f"There is no such {what}.", kind="not-found")


def pointer(parts: Iterable[str | int]) -> str:
    """Return the JSON Pointer of a path, escaped as RFC 6901 says."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def validate_model(model: type[Model], content: Any, prefix: Sequence[str | int] = ()) -> tuple[Model | None, list[FieldProblem]]:
    """Return a valid model, or every error: also those of rules about several fields, which Pydantic checks only where all are valid."""
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        entries = error.errors(include_url=False)
    found, wrong = [*entries], set[Any]()
    while isinstance(content, dict) and not (named := {_field_of(each) for each in entries}) <= wrong:
        wrong |= named
        content = {name: value for name, value in content.items() if name not in wrong}
        try:
            model.model_validate(content)
        except ValidationError as error:
            entries = error.errors(include_url=False)
            found += [each for each in entries if not each["loc"] and _field_of(each) not in ("", *wrong)]
        else:
            break
    return None, [_field_problem(each, prefix, model) for each in found]


def _field_of(entry: Any) -> Any:
    return entry["loc"][0] if entry["loc"] else entry.get("ctx", {}).get("field", "")


def field_problems(error: ValidationError | RequestValidationError, prefix: Sequence[str | int] = ()) -> list[FieldProblem]:
    """Return the errors of a Pydantic validation; messages never repeat the input."""
    entries: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else error.errors(include_url=False)
    return [_field_problem(each, prefix) for each in entries]


def _field_problem(entry: Any, prefix: Sequence[str | int], model: type[BaseModel] | None = None) -> FieldProblem:
    path, context = [*prefix, *entry["loc"]], entry.get("ctx", {})
    if path[-1:] == ["[key]"]:  # Pydantic's word for a wrong name in an object, which comes before it.
        path.pop()
    if entry["type"] == "value_error" and (name := context.get("field")):
        path.append(name)
    if entry["type"] in ("literal_error", "enum"):
        detail = unknown_code(entry["input"], re.findall("'([^']*)'", context["expected"]))
    elif entry["type"] == "string_pattern_mismatch":
        detail = PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
        if path[-1:] == ["operation"]:
            detail = detail.replace("aleppo-east", "un-convoy-2016-08")
    elif entry["type"] == "extra_forbidden":
        detail = unknown_name("unknown field", str(entry["loc"][-1]), _fields_at(model, entry["loc"][:-1]))
    # A length that is checked after a validator of ours is that of items to Pydantic.
    elif (
        template := _DETAILS.get(f"string_{entry['type']}" if isinstance(entry["input"], str) else "") or _DETAILS.get(entry["type"])
    ) is not None:
        detail = template.format(**context)
    else:
        detail = str(entry["msg"]).removeprefix("Value error, ")
    return FieldProblem(pointer=pointer(path), detail=detail)


def _fields_at(model: Any, path: Sequence[str | int]) -> list[str]:
    """Return the names of the fields of a model, or of one that is nested in it; none where that cannot be told."""
    for step in path:
        waiting = [model.model_fields[step].annotation] if hasattr(model, "model_fields") and step in model.model_fields else []
        model = None
        while waiting and model is None:
            annotation = waiting.pop()
            model = annotation if hasattr(annotation, "model_fields") else None
            waiting += get_args(annotation)
    return [each.alias or name for name, each in model.model_fields.items()] if model is not None else []


def unknown_name(detail: str, name: str, known: Iterable[str]) -> str:
    """Return what is wrong with an unknown name, and the nearest one."""
    near = near_name(name, known)
    return detail if near is None else f"{detail}; the nearest: {near}"


def near_name(text: str, names: Iterable[str], max_distance: int = 3) -> str | None:
    """Return the name that a text was meant for if it differs in a few letters, swapped ones counted once."""
    written = text[:64].casefold()
    distances = {name: OSA.distance(written, name.casefold(), score_cutoff=max_distance) for name in names}
    near = min(distances, key=lambda name: (distances[name], name), default="")
    # Most of the letters have to agree.
    return near if near and distances[near] <= min(max_distance, len(written) // 3) else None


def unknown_code(sent: Any, codes: Sequence[str]) -> str:
    """Return what is wrong with a value that is none of these codes, and the nearest code."""
    detail = f"unknown value: use {' or '.join(filter(None, (', '.join(codes[:-1]), *codes[-1:])))}"
    written = re.sub(r"[\s-]+", "_", sent[:64].casefold()) if isinstance(sent, str) else ""
    near = get_close_matches(written, codes, n=1) or [each for each in codes if each.casefold() == written]
    return f"{detail}; the nearest: {near[0]}" if near and len(codes) > 1 else detail


_DETAILS = {
    "missing": "this field is required",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be a JSON object"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a JSON array"),
    "string_type": 'must be a text in quotes, such as "aleppo-east"',
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number, such as 100"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number, such as 36.2"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "must be a UUID, such as 01900000-0000-7000-8004-000000000007"),
}
# Descriptions of right values, by the pattern that a text must match.
PATTERNS = {
    "^[a-z0-9-]{1,64}$": "use a-z, 0-9 and -, 1 to 64 characters, such as aleppo-east",
    "^[A-Z]{3}$": "use the three capital letters of a country (ISO 3166-1 alpha-3), such as SYR",
    "^[a-z0-9_-]{1,32}$": "use a-z, 0-9, _ and -, 1 to 32 characters, such as pcode",
    r"^[^\s:]{1,64}$": "use 1 to 64 characters without spaces and colons, such as SY02",
    r"^https?://[^\s]+$": "use a web address, such as https://www.unocha.org/syria",
    "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$": "use a language tag (BCP 47), such as ar",
    r"\S": "must not be blank",
}


def invalid_request(error: RequestValidationError) -> Problem:
    """Return the 422 for parameters that FastAPI rejected."""
    found = []
    for each in field_problems(error):
        _, location, name = each.pointer.split("/", 2)
        found.append(FieldProblem(pointer=f"?{name}" if location == "query" else f"/{name}", detail=each.detail))
    return invalid(found)


def problem_response(request: Request, problem: Problem) -> Response:
    """Return the response to a request that failed."""
    return Response(orjson.dumps(problem.body(request.url.path)), problem.status, problem.headers, media_type=MEDIA_TYPE)


async def send_problem(
    send: Send, problem: Problem, *, instance: str | None = None, headers: RawHeaders | None = None, head_only: bool = False
) -> None:
    """Send a problem as the response, from middleware."""
    body = orjson.dumps(problem.body(instance))
    sent = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), *(headers or [])]
    sent += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": sent})
    await send({"type": "http.response.body", "body": b"" if head_only else body})


def problem_of_aborted_response(error: BaseException) -> Problem | None:
    """Return the problem that aborted a response after its start; None for a bug. Starlette wraps it in a RuntimeError."""
    return error.__cause__ if isinstance(error, RuntimeError) and isinstance(error.__cause__, Problem) else None


async def on_unexpected_error(request: Request, error: Exception) -> Response:
    """Log an error that nothing expected, and return a 500 without its text."""
    request_id = request_state(request.scope).get("request_id", b"").decode() or None
    if (problem := problem_of_aborted_response(error)) is not None:
        log.info("response_aborted", request_id=request_id, status=problem.status)
        return problem_response(request, problem)
    log.error("unhandled_error", request_id=request_id, exc_info=error)
    return problem_response(request, Problem(500, INTERNAL_ERROR))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(request, await _with_unknown_filters(request, error) if error.kind == "invalid" else error)


async def _with_unknown_filters(request: Request, problem: Problem) -> Problem:
    """Return a problem of a query with what is unknown in its filters, so that one response tells all."""
    told = [each.pointer for each in problem.errors]
    more = await app_state(request).unknown_filters(request, told) if any(each.startswith("?") for each in told) else []
    return replace(problem, detail="", errors=[*problem.errors, *more]) if more else problem


async def _on_framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slash = ": leave out the slash at its end." if request.url.path.endswith("/") else "."
    details = {404: f"There is nothing at this path{slash}", 405: "This path does not support that method."}
    headers = dict(error.headers or {}) | ({"Allow": _methods_at(request)} if error.status_code == 405 else {})
    return problem_response(request, Problem(error.status_code, details.get(error.status_code, str(error.detail)), headers=headers))


def _methods_at(request: Request) -> str:
    # RFC 9110, 10.2.1 wants all methods of the path; Starlette names only those of the first route that matches.
    matching = (each for each in iter_route_contexts(request.app.routes) if each.matches(request.scope)[0] is not Match.NONE)
    methods = {method for each in matching for method in each.methods or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(request, await _with_unknown_filters(request, invalid_request(error)))


def install(app: FastAPI) -> None:
    """Answer every error of an application with problem details."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_framework_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(Exception, on_unexpected_error)
