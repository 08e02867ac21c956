"""A kind is one file and its registration: a copy of the service with a fourth one is served, and all that is served knows of it."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import httpx
import pytest
from pydantic import ValidationError

import app
from app.domain.kinds.base import Value
from app.domain.kinds.supply_runout import SupplyRunoutKind
from app.indicators.schemas import _filters
from tests.support.factories import report
from tests.support.processes import serve, start
from tests.support.servers import new_key, read_tree

pytestmark = pytest.mark.starts_early

ROOT = Path(app.__file__).parent.parent

KIND = '''"""Attacks on health care: one indicator for each type of facility"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictInt

from app.domain.kinds.base import Combined, Kind, StatedValue, Value, disjoint, envelope

Facility = Literal["hospital", "clinic", "ambulance"]
Service = Literal["working", "partly_working", "out_of_service"]


class HealthAttack(Value):
    """Attacks on facilities of one type, and whether care is given still."""

    facility: Facility = Field(description="What was attacked.")
    attacks: Annotated[StrictInt, Field(ge=0)] = Field(description="Attacks counted.")
    service: Service = Field(description="Whether care is given still.")


class HealthAttackReading(BaseModel):
    """Attacks on facilities of one type, as read."""

    facility: Facility
    attacks_low: int | None
    attacks_high: int | None
    service: Service


class HealthAttackKind(Kind[HealthAttack]):
    """Reads counts of attacks: two that differ contradict each other, and so do two states of service."""

    name = "health_attack"
    collection = "health-attacks"
    title = "Attacks on health care"
    description = "Attacks on hospitals, clinics and ambulances."
    horizon_days = 30
    filter_field = "facility"
    status_field = "service"
    range_fields = frozenset({"attacks_low", "attacks_high"})
    value_model = HealthAttack
    assessment_model = HealthAttackReading
    example = {"facility": "hospital", "attacks": 2, "service": "partly_working"}

    def contradicts(self, one: StatedValue[HealthAttack], other: StatedValue[HealthAttack]) -> bool:
        """Whether counts or states differ."""
        counts = [(said.value.attacks, said.value.attacks) for said in (one, other)]
        return one.value.service != other.value.service or disjoint(*counts)

    def combine(self, standing: Sequence[StatedValue[HealthAttack]]) -> Combined:
        """The preferred state, and the envelope of the counts."""
        low, high = envelope((said.value.attacks, said.value.attacks) for said in standing)
        preferred = standing[0].value
        reading = HealthAttackReading(facility=preferred.facility, attacks_low=low, attacks_high=high, service=preferred.service)
        return Combined(reading.model_dump(mode="json"), 0)
'''
FILE = "domain/kinds/health_attack.py"
LIST = "domain/kinds/__init__.py"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the service that has the fourth kind."""
    folder = tmp_path_factory.mktemp("fourth") / "code"
    for name in ("app", "alembic"):
        # What another process compiles at this moment has another name in the next.
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    copy = folder / "app"
    (copy / FILE).write_text(KIND, encoding="utf-8")
    registered = (copy / LIST).read_text(encoding="utf-8")
    for line, added in (
        ("from app.domain.kinds.base import Kind\n", "from app.domain.kinds.health_attack import HealthAttackKind\n"),
        ("        RouteClosureKind(),\n", "        HealthAttackKind(),\n"),
    ):
        assert registered.count(line) == 1
        registered = registered.replace(line, line + added)
    (copy / LIST).write_text(registered, encoding="utf-8")
    return copy.parent


def test_one_file_and_its_registration_are_all_that_is_added(code: Path) -> None:
    before, after = read_tree(ROOT / "app"), read_tree(code / "app")
    assert after.keys() - before.keys() == {FILE}
    assert {name for name in before if before[name] != after.get(name)} == {LIST}
    old, new = (each[LIST].decode().splitlines() for each in (before, after))
    assert [line for line in new if line not in old] == [
        "from app.domain.kinds.health_attack import HealthAttackKind",
        "        HealthAttackKind(),",
    ]
    assert [line for line in new if line in old] == old
    # And nothing of the service knows this kind already.
    assert not [name for name, text in before.items() if b"health_attack" in text.lower()]


def attack(source: str, **value: Any) -> dict[str, Any]:
    """A report of the fourth kind."""
    return report(source=source) | {"kind": "health_attack", "value": {"facility": "hospital", "attacks": 2, "service": "working"} | value}


@pytest.mark.usefixtures("reference")
async def test_it_is_reported_read_filtered_followed_and_verified(database_url: str, code: Path, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {await new_key(database_url)}"}
    with serve(tmp_path, code=code, database_url=database_url) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:

            async def subjects(path: str, **params: Any) -> list[str]:
                answer = await client.get(path, params=params)
                assert answer.status_code == 200, answer.text
                return [each["subject"] for each in answer.json()["items"]]

            first = await client.post("/v1/reports", json=attack("agency"))
            assert first.status_code == 201, first.text
            sent = [
                attack("monitor", attacks=4, service="out_of_service"),
                attack("agency", facility="clinic", service="out_of_service"),
                report(),
            ]
            assert (await client.post("/v1/reports", json=sent)).json()["created"] == 3
            wrong = await client.post("/v1/reports", json=attack("envoy", attacks=-1))
            assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/value/attacks")

            read = (await client.get(f"/v1/indicators/{first.json()['indicator']}")).json()
            assert (read["kind"], read["subject"], read["agreement"]) == ("health_attack", "hospital", "contested")
            assert read["value"] == {"facility": "hospital", "attacks_low": 2, "attacks_high": 4, "service": "working"}
            assert [each["relation"] for each in read["reports"]] == ["preferred", "contradicts"]
            assert [step["moved"] for step in (await client.get(f"{read['links']['self']}/history")).json()["items"]] == [
                ["value", "range", "agreement"],
                ["range", "agreement"],
            ]

            both = {"hospital", "clinic"}
            assert set(await subjects("/v1/health-attacks")) == both
            assert set(await subjects("/v1/indicators")) == both | {"trapped"}
            assert set(await subjects("/v1/indicators", kind="health_attack")) == both
            for path in ("/v1/health-attacks", "/v1/indicators"):
                assert await subjects(path, facility="clinic") == ["clinic"]
                assert await subjects(path, status="out_of_service") == ["clinic"]
                assert await subjects(path, status="out_of_service", as_of="2016-08-01") == ["clinic"]
                assert await subjects(path, agreement="contested") == ["hospital"]
            assert set(await subjects("/v1/health-attacks", place="country", within=True)) == both
            assert await subjects("/v1/health-attacks", place="country") == []
            unknown = await client.get("/v1/health-attacks", params={"concept": "trapped"})
            assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "?concept")

            assert [each["value"]["attacks"] for each in (await client.get("/v1/reports?kind=health_attack")).json()["items"]] == [2, 4, 2]
            changes = (await client.get("/v1/changes?kind=health_attack")).json()["items"]
            assert [(each["seq"], each["documents"][0]["subject"]) for each in changes] == [(1, "hospital"), (2, "hospital"), (3, "clinic")]
            assert (await client.get("/v1/situations/oldtown")).json()["contested"] == [read["links"]["self"]]

            document = (await client.get("/openapi.json")).json()
            assert "/v1/health-attacks" in document["paths"]
            examples = document["paths"]["/v1/reports"]["post"]["requestBody"]["content"]["application/json"]["examples"]
            assert examples["Attacks on health care"]["value"]["kind"] == "health_attack"

    printed = tmp_path / "verified.txt"
    verified = await asyncio.to_thread(start("verify", output=printed, code=code, database_url=database_url).wait, 60)
    assert verified == 0, printed.read_text()


def test_two_kinds_may_share_a_topic_and_each_keeps_its_words() -> None:
    class Price(Value):
        supply: Literal["bread", "fuel"]

    class PriceKind(SupplyRunoutKind):
        name = "market_price"
        value_model = Price  # type: ignore[assignment]
        example: ClassVar[Mapping[str, Any]] = {"supply": "bread"}
        status_field = None

    for kinds in ([SupplyRunoutKind(), PriceKind()], [PriceKind(), SupplyRunoutKind()]):
        filters = _filters(kinds, "Filters")
        for supply in ("bread", "fuel", "food"):
            assert filters.model_validate({"supply": supply}).supply == supply  # type: ignore[attr-defined]
        with pytest.raises(ValidationError):
            filters.model_validate({"supply": "trapped"})
