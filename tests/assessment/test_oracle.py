"""Random ledgers over HTTP: what is served agrees with a second implementation of the contract's text, at any clearance and time.

By default the same few examples run; LIFELINE_TEST_FULL=1 runs forty times as many, new ones each time.
"""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.domain.tlp import Label
from tests.assessment.oracle_kinds import parts_of, people_range, state_of
from tests.assessment.random_ledger import PointOfView, RandomLedger, end_of
from tests.assessment.strategies import DAYS, LABELS, STEPS, VIEWS, day
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

    async def make(steps: list[tuple[Any, ...]]) -> RandomLedger:
        ledger = RandomLedger(clients, second)
        made.append(ledger)
        await ledger.begin()
        for step in steps:
            await ledger.step(step)
        return ledger

    yield make
    # Shown by `--log-cli-level=INFO`.
    totals = sum(each.compared for each in made), len(made), sum(len(each.times) for each in made)
    log.info("%d comparisons in %d ledgers of %d entries", *totals)


@settings(MOST, max_examples=160 if FULL else 4)
@given(steps=STEPS, views=VIEWS)
async def test_served_assessments_agree_with_the_second_implementation(
    ledgers: Any, steps: list[tuple[Any, ...]], views: list[tuple[Any, ...]]
) -> None:
    ledger = await ledgers(steps)
    for label, number, known in views:
        known_at = ledger.times[known] if known is not None and known < len(ledger.times) else None
        await ledger.check(PointOfView(label, None if number is None else end_of(number), known_at))


async def _worst(ledger: RandomLedger, view: PointOfView, source: str, at: int) -> list[dict[str, Any]]:
    """Return reports of a sound source that say worse than anything on each indicator that leads."""
    found = []
    for oracle in (await ledger.oracles(view)).values():
        if oracle.preferred is None:
            continue
        said = oracle.preferred
        value: dict[str, Any] = {name: each for name, each in said["value"].items() if name in ("concept", "supply", "scope", "route")}
        if oracle.kind == "trapped_population":
            value |= {"people": 10_000_000, "qualifier": "exact"}
        else:
            value |= {"state": "ran_out"} if oracle.kind == "supply_runout" else {"status": "closed"}
        body = {"kind": oracle.kind, "place": said["place"], "source": ledger.name(source), "stated_at": day(at), "value": value}
        found.append(body | {"sensitivity": "clear", "provenance": {"credibility": 1}})
    return found


@settings(MOST, max_examples=80 if FULL else 2)
@given(steps=STEPS, source=st.sampled_from(SOUND), at=DAYS, later=st.integers(0, 20))
async def test_worse_report_by_a_sound_source_never_lowers_the_level(
    ledgers: Any, steps: list[tuple[Any, ...]], source: str, at: int, later: int
) -> None:
    ledger = await ledgers([each for each in steps if each[0] != "grade"])
    view = PointOfView("clear", end_of(at + later))
    paths = [f"/v1/situations/{ledger.name(of)}" for of in ("town", "quarter")]
    before = [(await ledger.get(path, view))["level"] for path in paths]
    await ledger.add(source)
    for body in await _worst(ledger, view, source, at):
        assert (await ledger.writer.post("/v1/reports", json=body)).status_code in (200, 201)
        after = [(await ledger.get(path, view))["level"] for path in paths]
        assert all(LEVELS.index(new) >= LEVELS.index(old) for old, new in zip(before, after, strict=True)), body
        before = after


def _relief(ledger: RandomLedger, oracle: Any, source: str, at: int) -> dict[str, Any] | None:
    """Return a relief claim of a party on an indicator, or None where nothing is worse than what it could say."""
    report = (oracle.standing and oracle.by_id[next(iter(oracle.standing))]) or oracle.visible[0]
    value: dict[str, Any] = {name: each for name, each in report["value"].items() if name in ("concept", "supply", "scope", "route")}
    if oracle.kind == "trapped_population":
        lows = [people_range(oracle.by_id[name])[0] for name in oracle.standing]
        if not any(low is not None and low > 100 for low in lows):
            return None
        value |= {"people": 0, "qualifier": "exact"}
    elif oracle.kind == "supply_runout":
        value |= {"state": "resupplied"}
    else:
        shut = any(state_of(oracle.by_id[name]) == "closed" and parts_of(oracle.by_id[name]) == {"in", "out"} for name in oracle.standing)
        value |= {"status": "restricted"} if shut and at % 2 else {"status": "open"}
    body = {"kind": oracle.kind, "place": report["place"], "source": ledger.name(source), "stated_at": day(at), "value": value}
    return body | {"sensitivity": "clear", "provenance": {"credibility": 1, "method": "headcount", "directness": "direct"}}


@settings(MOST, max_examples=80 if FULL else 2)
@given(steps=STEPS, source=st.sampled_from(["army", "rebels"]), at=DAYS, later=st.integers(0, 20))
async def test_relief_claim_of_a_party_never_moves_value_or_level(
    ledgers: Any, steps: list[tuple[Any, ...]], source: str, at: int, later: int
) -> None:
    ledger = await ledgers(steps)
    view = PointOfView("clear", end_of(at + later))
    await ledger.add(source)
    oracles = await ledger.oracles(view)
    paths = [f"/v1/situations/{ledger.name(of)}" for of in ("town", "quarter")]

    async def read() -> tuple[dict[str, Any], list[str | None]]:
        found = {name: await ledger.get(f"/v1/indicators/{name}", view) for name in oracles}
        values = {name: (each["value"], each["stated_at"], each["assessment"]["preferred"]) for name, each in found.items()}
        return values, [(await ledger.get(path, view))["level"] for path in paths]

    before = await read()
    for oracle in oracles.values():
        body = _relief(ledger, oracle, source, at)
        if body is not None:
            assert (await ledger.writer.post("/v1/reports", json=body)).status_code in (200, 201)
            after = await read()
            if oracle.standing:
                assert after == before, body
            before = after
