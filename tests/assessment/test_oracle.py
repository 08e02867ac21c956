"""Random ledgers over HTTP: what is served agrees with a second implementation of the contract's text, at any clearance and time.

By default the same few examples run, of which the first is the simplest; TEST_FULL=1 runs forty times as many, new ones each time.
"""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.domain.tlp import Label
from tests.assessment.oracle import Oracle
from tests.assessment.oracle_kinds import people_range, state_of
from tests.assessment.random_ledger import PointOfView, RandomLedger, end_of
from tests.assessment.strategies import DAYS, LABELS, NEW_STEPS, STEPS, VIEWS, day
from tests.support.fixtures import FULL, MakeClient

log = logging.getLogger(__name__)
LEVELS = (None, "watch", "serious", "critical")
SOUND = ("un", "ngo", "icrc", "media", "witness")
MOST = settings(
    derandomize=not FULL,
    deadline=None,
    database=None,
    phases=tuple(Phase) if FULL else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
async def ledgers(make_client: MakeClient) -> AsyncIterator[Any]:
    """Return a function that makes a random ledger, and say how much was compared."""
    clients = {label: await make_client(clearance=Label(label)) for label in LABELS}
    second = await make_client(clearance=Label.RED, organisation="second")
    made: list[RandomLedger] = []
    added: set[str] = set()

    async def make(steps: list[tuple[Any, ...]]) -> RandomLedger:
        graded = any(each[0] == "grade" for each in steps)
        ledger = RandomLedger(clients, second) if graded else RandomLedger(clients, second, shared="shared", added=added)
        made.append(ledger)
        await ledger.begin()
        for step in steps:
            await ledger.step(step)
        return ledger

    yield make
    # Shown by `--log-cli-level=INFO`.
    totals = sum(each.compared for each in made), len(made), sum(len(each.times) for each in made)
    log.info("%d comparisons in %d ledgers of %d entries", *totals)


async def check_views(ledger: RandomLedger, views: list[tuple[Any, ...]]) -> None:
    """Compare what is served to some readers, each as of a day and as known after a step."""
    for label, number, known in views:
        known_at = ledger.times[known] if known is not None and known < len(ledger.times) else None
        await ledger.check(PointOfView(label, None if number is None else end_of(number), known_at))


@settings(MOST, max_examples=80 if FULL else 3)
@given(steps=STEPS, views=VIEWS)
async def test_served_assessments_agree_with_the_second_implementation(
    ledgers: Any, steps: list[tuple[Any, ...]], views: list[tuple[Any, ...]]
) -> None:
    await check_views(await ledgers(steps), views)


@settings(MOST, max_examples=80 if FULL else 5)
@given(steps=NEW_STEPS, views=VIEWS)
async def test_new_kinds_agree_with_the_second_implementation(
    ledgers: Any, steps: list[tuple[Any, ...]], views: list[tuple[Any, ...]]
) -> None:
    await check_views(await ledgers(steps), views)


Body = dict[str, Any]


def _about(report: Body, source: str, at: int, value: Body, **provenance: Any) -> Body:
    """Return a report on the same indicator."""
    same = {name: each for name, each in report["value"].items() if name in ("concept", "supply", "scope", "route")}
    body = {"kind": report["kind"], "place": report["place"], "source": source, "stated_at": day(at), "value": same | value}
    return body | {"sensitivity": "clear", "provenance": {"credibility": 1} | provenance}


def _worse(oracle: Oracle, source: str, at: int) -> Body | None:
    """Return a report that says worse than anything on an indicator, or None where nothing leads."""
    if oracle.preferred is None:
        return None
    tomorrow = {"state": "will_run_out", "in_days_min": 0, "in_days_max": 1}
    supply = {"state": "ran_out"} if at % 2 or state_of(oracle.preferred) == "ran_out" else tomorrow
    value = {"trapped_population": {"people": 10_000_000}, "supply_runout": supply, "route_closure": {"status": "closed"}}[oracle.kind]
    return _about(oracle.preferred, source, at, value)


def _relief(oracle: Oracle, source: str, at: int) -> Body | None:
    """Return a claim of relief on an indicator, or None where nothing is worse than what it could say."""
    if not oracle.visible:
        return None
    stand = [oracle.by_id[name] for name in oracle.standing]
    value: Body = {"state": "resupplied"}
    if oracle.kind == "trapped_population":
        lows = [people_range(each)[0] for each in stand]
        if not any(low is not None and low > 100 for low in lows):
            return None
        value = {"people": 0, "qualifier": "exact"}
    elif oracle.kind == "route_closure":
        shut = any(state_of(each) == "closed" and oracle.standing[each["id"]] == {"in", "out"} for each in stand)
        value = {"status": "restricted"} if shut and at % 2 else {"status": "open"}
    return _about(stand[0] if stand else oracle.visible[0], source, at, value, method="headcount", directness="direct")


@settings(MOST, max_examples=80 if FULL else 2)
@given(steps=STEPS, party=st.sampled_from(["army", "rebels"]), source=st.sampled_from(SOUND), at=DAYS, later=st.integers(0, 20))
async def test_partys_relief_moves_nothing_and_worse_words_lower_nothing(
    ledgers: Any, steps: list[tuple[Any, ...]], party: str, source: str, at: int, later: int
) -> None:
    """The grades do not change, so that the source is sound."""
    ledger = await ledgers([each for each in steps if each[0] != "grade"])
    view = PointOfView("clear", end_of(at + later))
    await ledger.add(party, source)
    oracles = await ledger.oracles(view)

    async def levels() -> list[int]:
        return [LEVELS.index((await ledger.get(f"/v1/situations/{ledger.name(of)}", view))["level"]) for of in ("town", "quarter")]

    async def values() -> dict[str, Any]:
        found = [await ledger.get(f"/v1/indicators/{name}", view) for name, each in oracles.items() if each.standing]
        return {each["id"]: (each["value"], each["stated_at"], each["assessment"]["preferred"]) for each in found}

    async def post(*bodies: Body) -> None:
        answer = await ledger.writer.post("/v1/reports", json=bodies)
        assert {each["status"] for each in answer.json()["items"]} <= {200, 201}, answer.text

    before = await levels(), await values()
    if claims := [body for each in oracles.values() if (body := _relief(each, ledger.name(party), at))]:
        await post(*claims)
    assert (await levels(), await values()) == before
    for oracle in oracles.values():
        if (body := _worse(oracle, ledger.name(source), at)) is not None:
            await post(body)
            after = await levels()
            assert all(new >= old for old, new in zip(before[0], after, strict=True)), body
            before = after, before[1]
