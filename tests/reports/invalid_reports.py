"""Invalid reports of every kind, each wrong in one field, and the problems that they must get."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.factories import report

MISSING: Any = object()
NOT_TEXT: tuple[Any, ...] = (5, 1.5, True, [], {})
# Words of Python in a message would not help the sender of JSON.
PYTHON = re.compile(r"\b(tuple|timedelta|datetime\.|NoneType|Decimal|dict)\b")


@dataclass(frozen=True)
class InvalidReport:
    """A report that is valid but for `value` at the JSON Pointer `at`; the error points to `pointer`, by default `at`.

    `base` replaces fields of the kind's value, `beside` fields of the report.
    """

    at: str
    value: Any
    pointer: str | None = None
    base: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)

    def body(self, kind: str) -> dict[str, Any]:
        body: dict[str, Any] = report(kind, self.base, **self.beside)
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in self.at[1:].split("/")]
        node: Any = body
        for name in parents:
            node = node.setdefault(name, {})
        if self.value is MISSING:
            del node[last]
        else:
            node[last] = self.value
        return body


def each_value(at: str, *values: Any, pointer: str | None = None, **base: Any) -> list[InvalidReport]:
    return [InvalidReport(at, value, pointer, base) for value in values]


def invalid_texts(at: str, max_length: int) -> list[InvalidReport]:
    return each_value(at, *NOT_TEXT, "", "a" * (max_length + 1), "a\0b")


def invalid_choices(at: str, *near_misses: str) -> list[InvalidReport]:
    return each_value(at, *NOT_TEXT, None, "", "no_such_word", "a\0", *near_misses)


def invalid_slugs(at: str) -> list[InvalidReport]:
    return each_value(at, *NOT_TEXT, None, "", "no-such-slug", "Old Town", "a" * 65, "agency\n", "../agency", "a\0")


def invalid_counts(at: str, maximum: int, **base: Any) -> list[InvalidReport]:
    return each_value(at, True, False, 3.5, 2.5, "3", "", -1, maximum + 1, 10**30, -(10**30), [], {}, [3], **base)


def invalid_dates(at: str) -> list[InvalidReport]:
    return each_value(
        at, 20160728, 1469664000, 1.5, True, [], {}, "", "2016-7-28", "20160728", "2016-02-30", "2016-13-01", "0000-01-01",
        "2016-07-28T00:00:00Z", "28.07.2016", "2016-W30-4", "1469664000", "2016-07-28\n", "2016-07-28\0",
        "\u0662\u0660\u0661\u0666-\u0660\u0667-\u0662\u0668", "NaN",
    )  # fmt: skip


def invalid_times(at: str) -> list[InvalidReport]:
    return each_value(
        at, 20160728, 1469664000, 1.5, True, [], {}, "", "yesterday", "2016-7-28", "20160728", "2016-02-30", "2016-13-01", "0000-01-01",
        "2016-07-28T09:30:00", "2016-07-28 09:30", "2016-07-28T25:00:00Z", "2016-07-28T09:61:00Z", "2016-07-28T09:30:00+25:00",
        "2016-07-28T09:30:00 Europe/Rome", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-07-28\n", "2016-07-28\0",
        "\u0662\u0660\u0661\u0666-\u0660\u0667-\u0662\u0668", "NaN", "1469664000",
    )  # fmt: skip


def future_times() -> list[InvalidReport]:
    now = datetime.now(UTC)
    ahead = ((now + timedelta(days=2)).date().isoformat(), (now + timedelta(minutes=5)).isoformat(), "9999-12-31")
    return each_value("/stated_at", *ahead)


ENVELOPE = [
    *each_value("/kind", MISSING, None, *NOT_TEXT, "", "no_such_kind", "Trapped_Population", "trapped-population", "a\0"),
    *each_value("/place", MISSING, None, *NOT_TEXT, "", "nowhere", "Oldtown", " oldtown", "a" * 101, "a\0"),
    # A code without its scheme, with another scheme, or in another case, which belongs to no place or to another one.
    *each_value("/place", "SY02", "iso:SY02", "pcode:sy02", "pcode:", ":SY02", ":"),
    *each_value("/source", MISSING),
    *invalid_slugs("/source"),
    *each_value("/stated_at", MISSING, None, "1899-12-31"),
    *invalid_times("/stated_at"),
    *each_value("/value", MISSING, None, *(value for value in NOT_TEXT if value != {}), "text"),
    *each_value("/provenance", None, 5, True, "text", []),
    *invalid_times("/observed_from"),
    *invalid_times("/observed_to"),
    *[InvalidReport("/sensitivity", value) for value in (*NOT_TEXT, "", "white", "CLEAR", "amber+strict", "TLP:RED", 0)],
    *each_value("/id", "019f0000-0000-7000-8000-000000000000"),
    *each_value("/seq", 1),
    *each_value("/status", "standing"),
    *each_value("/stated_At", "2016-07-28"),
    *each_value("/a~1b~0c", 1),
]

PROVENANCE = [
    *each_value("/provenance/via", None, 5, True, "outlet", {}, {"0": "outlet"}, ["outlet"] * 21),
    *[InvalidReport("/provenance/via", [invalid.value], "/provenance/via/0") for invalid in invalid_slugs("/source")],
    InvalidReport("/provenance/via", ["outlet", "nobody"], "/provenance/via/1"),
    InvalidReport("/provenance/via", ["outlet", "agency"], "/provenance/via/1"),
    *[invalid for invalid in invalid_choices("/provenance/directness", "Direct", "heard") if invalid.value is not None],
    *each_value("/provenance/relays", *NOT_TEXT, "", "01900000", "a\0"),
    *[invalid for invalid in invalid_slugs("/provenance/origin") if invalid.value is not None],
    *invalid_choices("/provenance/method", "Headcount", "guess"),
    *each_value("/provenance/credibility", None, 0, 7),
    *invalid_counts("/provenance/credibility", 6),
    *invalid_times("/provenance/published_at"),
    *each_value(
        "/provenance/url",
        *NOT_TEXT,
        "",
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.org/",
        "//example.org/",
        "example.org",
        "https://",
        "https://a b",
        " https://example.org/",
        "https://example.org/\n",
        "https://example.org/\0",
        "https://example.org/" + "a" * 2000,
    ),
    *invalid_texts("/provenance/title", 500),
    *invalid_texts("/provenance/quote", 2000),
    *invalid_texts("/provenance/licence", 200),
    *each_value("/provenance/language", *NOT_TEXT, "", "e", "en_GB", "english language", "en-", "a" * 36, "en\0"),
    *each_value("/provenance/author", "a name"),
]

VALUES: dict[str, list[InvalidReport]] = {
    "trapped_population": [
        *each_value("/value/concept", MISSING),
        *invalid_choices("/value/concept", "Trapped", "trapped ", "hard-to-reach"),
        *each_value("/value/people", MISSING, None),
        *invalid_counts("/value/people", 10_000_000_000),
        *invalid_counts("/value/people_low", 10_000_000_000),
        *invalid_counts("/value/people_high", 10_000_000_000),
        *each_value("/value/people_low", 300001),
        *each_value("/value/people_high", 299999),
        *each_value("/value/people_low", 11, people=None, people_high=10),
        *[invalid for invalid in invalid_choices("/value/qualifier", "around") if invalid.value is not None],
        *invalid_choices("/value/includes_combatants", "maybe"),
        *each_value("/value/supply", "food"),
        *each_value("/value/number", 1),
    ],
    "supply_runout": [
        *each_value("/value/supply", MISSING),
        *invalid_choices("/value/supply", "Food", "bread", "food.agency_stock"),
        *invalid_choices("/value/state", "running_out"),
        *invalid_dates("/value/runs_out_earliest"),
        *invalid_dates("/value/runs_out_latest"),
        *invalid_counts("/value/in_days_min", 3650),
        *invalid_counts("/value/in_days_max", 3650),
        *each_value("/value/in_days_min", 22),
        # Dates that contradict the numbers of days.
        *each_value("/value/runs_out_earliest", "2016-08-12"),
        *each_value("/value/runs_out_latest", "2016-08-12", pointer="/value/runs_out_earliest"),
        *each_value("/value/runs_out_earliest", "2016-08-19", in_days_min=None, in_days_max=None, runs_out_latest="2016-08-18"),
        *invalid_texts("/value/relative_text", 500),
        *[invalid for invalid in invalid_choices("/value/imminence", "minutes", "soon") if invalid.value is not None],
        *invalid_choices("/value/scope", "all", "city"),
        *invalid_texts("/value/conditional_on", 500),
        *each_value("/value/outcome", "averted"),
        *each_value("/value/people", 3),
    ],
    "route_closure": [
        *each_value("/value/route", MISSING),
        *invalid_slugs("/value/route"),
        *each_value("/value/status", MISSING),
        *invalid_choices("/value/status", "Closed", "shut", "unknown"),
        *each_value(
            "/value/since",
            *NOT_TEXT,
            "",
            "2016-13",
            "2016-00",
            "2016-02-30",
            "0000",
            "16",
            "2016-7",
            "2016-07-07T00:00:00Z",
            "July 2016",
            "2016-07\n",
            "2016\0",
            "\u0662\u0660\u0661\u0666",
        ),
        *invalid_dates("/value/since_earliest"),
        *invalid_dates("/value/since_latest"),
        *each_value("/value/since_earliest", "2016-07-11", since_latest="2016-07-10"),
        *each_value("/value/since", "2016-07", since_earliest="2016-06-01", since_latest="2016-06-10"),
        *invalid_choices("/value/direction", "inward"),
        *each_value("/value/passable_by", 5, True, "civilian", {}, status="open"),
        *[
            InvalidReport("/value/passable_by", [value], "/value/passable_by/0", {"status": "open"})
            for value in (*NOT_TEXT, None, "", "armed", "a\0")
        ],
        *each_value("/value/passable_by", ["civilian", "civilian"], status="open"),
        *each_value("/value/passable_by", ["civilian"]),
        *invalid_choices("/value/assertion", "rumoured"),
        *[invalid for invalid in invalid_choices("/value/cause", "Hostilities", "war") if invalid.value is not None],
        *each_value("/value/last_route", 0, 1, "true", "yes", "", 1.0, [], {}),
        *each_value("/value/status_in", "closed"),
    ],
    "aid_delivery": [
        *each_value("/value/operation", MISSING, None, *NOT_TEXT, "", "Convoy 7", "a" * 65, "convoy\n", "a\0"),
        *each_value("/value/stage", MISSING),
        *invalid_choices("/value/stage", "Planned", "arrived"),
        *invalid_dates("/value/on_earliest"),
        *invalid_dates("/value/on_latest"),
        *each_value("/value/on_earliest", "2016-07-28", on_latest="2016-07-27"),
        *each_value("/value/on_earliest", "2016-07-29", stage="attacked"),
        *invalid_counts("/value/planned_for", 10_000_000_000),
        *[
            invalid
            for name in ("supplies", "removed")
            for invalid in (
                *each_value(f"/value/{name}", 5, True, "food", {}, ["food", "food"]),
                *[InvalidReport(f"/value/{name}", [value], f"/value/{name}/0") for value in (*NOT_TEXT, None, "", "bread", "a\0")],
            )
        ],
        *[invalid for invalid in invalid_slugs("/value/route") if invalid.value is not None],
        *[invalid for invalid in invalid_choices("/value/cause", "Hostilities", "war") if invalid.value is not None],
        *each_value("/value/last_delivery", "2016-07-27"),
    ],
    "population_movement": [
        *each_value("/value/movement", MISSING),
        *invalid_choices("/value/movement", "Fled", "displaced"),
        *invalid_dates("/value/since"),
        *invalid_dates("/value/until"),
        *each_value("/value/since", "2016-07-29", "2016-07"),
        *each_value("/value/until", "2016-07-29"),
        *each_value("/value/since", "2016-07-28", until="2016-07-27"),
        *each_value("/value/people", MISSING, None),
        *invalid_counts("/value/people", 10_000_000_000),
        *invalid_counts("/value/people_low", 10_000_000_000),
        *invalid_counts("/value/people_high", 10_000_000_000),
        *each_value("/value/people_low", 10001),
        *each_value("/value/people_high", 9999),
        *invalid_texts("/value/destination", 500),
        *each_value("/value/qualifier", "about"),
    ],
    "service_status": [
        *each_value("/value/service", MISSING),
        *invalid_choices("/value/service", "Hospital", "clinic"),
        *each_value("/value/state", MISSING),
        *invalid_choices("/value/state", "Working", "broken"),
        *invalid_counts("/value/working", 1_000_000),
        *invalid_counts("/value/known", 1_000_000, working=None),
        *each_value("/value/working", 10),
        *each_value("/value/working", 1, state="out_of_service"),
        *each_value("/value/working", 0, state="working"),
        *invalid_texts("/value/reason", 500),
        *each_value("/value/name", "Hospital M10"),
    ],
}


def invalid_reports(kind: str) -> list[InvalidReport]:
    """Return an invalid report of a kind for every way in which a field can be wrong."""
    crossed = InvalidReport("/observed_from", "2016-07-29", beside={"observed_to": "2016-07-28"})
    return [*ENVELOPE, *future_times(), crossed, *PROVENANCE, *VALUES[kind]]


def unexpected(invalid: InvalidReport, status: int, problem: dict[str, Any]) -> str | None:
    """Return how a response differs from a 422 that names exactly the wrong field, in words that are not Python's; None if it does not."""
    what = f"{invalid.at} = {str(invalid.value)[:60]!r}: {status}"
    if status != 422:
        return f"{what} {str(problem)[:200]}"
    errors = problem["errors"]
    if [error["pointer"] for error in errors] != [invalid.pointer or invalid.at]:
        return f"{what} {errors}"
    if not errors[0]["detail"] or PYTHON.search(errors[0]["detail"]):
        return f"{what} uses words of Python: {errors[0]['detail']}"
    return None


def assert_problem(response: httpx.Response, status: int, path: str) -> dict[str, Any]:
    """Assert that a response is a complete problem (RFC 9457) with this status, and return the problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert (body["status"], body["instance"]) == (status, path)
    assert body["title"]
    assert body["detail"]
    return body
