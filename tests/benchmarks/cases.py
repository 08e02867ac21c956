"""The cases: each is one request to Lifeline, its counterpart to the plain app, and a bare app that serves the same bytes."""

import base64
import itertools
import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from app.changes.queries import CHANGE_CURSORS
from tests.benchmarks.data import AS_OF, BATCH, new_statements, place_name
from tests.benchmarks.serving import request

# Statements for one run, singly and in batches; the run ends early when all are sent.
SINGLES, BATCHES = 2000, 10
# Senders of one report at a time each.
SENDERS = (1, 16, 64)
LONE_POST = "POST one report, 1 sender"

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class Case:
    """One row of the table. `server` names the Lifeline that answers: `cached` has a response cache, `uncached` has none.

    `rows` is the number of rows an answer, for rates in rows. `bare` is the path at which the bare app serves Lifeline's bytes.
    `connections` is the number of senders, each of which waits for its answer. `rates` holds answers a second in each round, `cpu`
    answers a second of the server's processor time, and `waits` the 99th percentile of the waits in seconds, by contestant.
    """

    name: str
    server: str
    lifeline: list[bytes]
    plain: list[bytes] | None
    status: int = 200
    rows: int = 1
    cycle: bool = True
    plain_status: int = 0
    bare: bytes = b""
    connections: int = 4
    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    waits: dict[str, list[float]] = field(default_factory=dict)


def reading_cases(key: str, port: int) -> list[Case]:
    """Return the cases that read; the server at `port` gives the ETags for the 304 cases."""
    page, plain_page = "/v1/indicators", "/v1/indicators"
    # The changes of the reference data come before the first report, and the plain app has none of them.
    _, _, first = ask(port, request("/v1/changes?kind=trapped_population&limit=1"))
    entry = json.loads(first)["items"][0]
    before = entry["seq"] - 1
    after = CHANGE_CURSORS[0].encode(before, before)
    with_key = {"authorization": f"Bearer {key}"}
    found = [
        Case("page of 100", "uncached", [request(page)], [request(plain_page)], rows=100),
        Case("page of 1,000", "uncached", [request(f"{page}?limit=1000")], [request(f"{plain_page}?limit=1000")], rows=1000),
        Case("page of 100 as of a day", "uncached", [request(f"{page}?as_of={AS_OF}")], [request(f"{plain_page}?as_of={AS_OF}")], rows=100),
        Case("100 changes", "uncached", [request(f"/v1/changes?after={after}")], [request(f"/v1/changes?after={before}")], rows=100),
        Case("proof of a report", "uncached", [request(f"/v1/reports/{entry['report_id']}.tlog-proof")], None),
        *(
            Case(
                f"situation of a place{when}",
                "uncached",
                [request(f"/v1/situations/{place_name(1)}{query}")],
                [request(f"/v1/situations/{place_name(1)}{query}")],
            )
            for when, query in (("", ""), (" as of a day", f"?as_of={AS_OF}"))
        ),
    ]
    for who, authorization in (("", {}), (", key", with_key)):
        for coding in ("identity", "gzip"):
            headers = authorization | {"accept_encoding": coding}
            plain = [request(plain_page, **headers)] if not who else None
            found.append(Case(f"kept page of 100, {coding}{who}", "cached", [request(page, **headers)], plain, rows=100))
        _, headers_seen, _ = ask(port, request(page, **authorization))
        held = dict(headers_seen)["etag"]
        found.append(Case(f"304{who}", "cached", [request(page, if_none_match=held, **authorization)], None, status=304))
    return found


def writing_cases(key: str, indicators: int, *, turn: int) -> list[Case]:
    """Return the cases that write, with new statements."""
    with_key = {"authorization": f"Bearer {key}"}
    streams = (new_statements(indicators, start=(1 + len(SENDERS)) * turn + each) for each in itertools.count(1))
    batch = [json.dumps(list(islice(endless, BATCH))).encode() for endless in (next(streams),) for _ in range(BATCHES)]
    cases = []
    for senders in SENDERS:
        single = [json.dumps(each).encode() for each in islice(next(streams), SINGLES)]
        cases.append(
            Case(
                f"POST one report, {senders} senders" if senders > 1 else LONE_POST,
                "uncached",
                [request("/v1/reports", body=each, **with_key) for each in single],
                [request("/v1/reports", body=each) for each in single],
                status=201,
                cycle=False,
                connections=senders,
            )
        )
    return [
        *cases,
        Case(
            f"POST {BATCH} reports",
            "uncached",
            [request("/v1/reports", body=each, **with_key) for each in batch],
            [request("/v1/reports", body=each) for each in batch],
            status=207,
            plain_status=201,
            rows=BATCH,
            cycle=False,
        ),
    ]


def ask(port: int, raw: bytes) -> Answer:
    """Return status, headers and body of one answer."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(raw.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:])]
    return int(lines[0].split(" ")[1]), [each for each in headers if each[0] not in ("date", "connection")], body


def bare_answers(cases: Sequence[Case], ports: dict[str, int]) -> dict[str, tuple[int, list[tuple[str, str]], str]]:
    """Return what the bare app serves at each path: Lifeline's present answers."""
    found = {}
    for number, case in enumerate(cases):
        status, headers, body = ask(ports[case.server], case.lifeline[0])
        if not case.cycle:
            # The first answer recorded the statement, so a second POST would be a duplicate.
            case.lifeline.pop(0)
        assert status == case.status, (case.name, status, body[:500])
        path = f"/bare/{number}"
        found[path] = (status, headers, base64.b64encode(body).decode())
        case.bare = path.encode()
    return found


def for_bare(case: Case) -> list[bytes]:
    """Return the same requests with the bare app's target."""
    return [re.sub(rb"^(GET|POST) \S+", rb"\1 " + case.bare, each, count=1) for each in case.lifeline]
