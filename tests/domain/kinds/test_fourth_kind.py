"""A fourth kind, added by one file and its registration, is served by every part of the service."""

import asyncio
import re
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import httpx
import pytest
from pydantic import ValidationError

import app
from app.client import AsyncLifeline
from app.domain.kinds.supply_runout import SupplyRunoutKind
from app.domain.kinds.values import Value
from app.domain.times import utc_now
from app.indicators.schemas import _filters
from tests.support.factories import SEEDED, post_all, report
from tests.support.fixtures import FULL, sqlite_only
from tests.support.processes import serve, start
from tests.support.servers import new_key, read_tree

pytestmark = pytest.mark.starts_early

ROOT = Path(app.__file__).parent.parent
KIND = Path(__file__).with_name("health_attack.py")
FILE = "domain/kinds/health_attack.py"
LIST = "domain/kinds/__init__.py"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the service that has the fourth kind."""
    folder = tmp_path_factory.mktemp("fourth") / "code"
    for name in ("app", "alembic"):
        # Another process may be compiling: its temporary files would vanish while they are copied.
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    copy = folder / "app"
    shutil.copy(KIND, copy / FILE)
    registered = (copy / LIST).read_text(encoding="utf-8")
    for line, added in (
        ("from app.domain.kinds.base import Kind\n", "from app.domain.kinds.health_attack import HealthAttackKind\n"),
        ("        RouteClosureKind(),\n", "        HealthAttackKind(),\n"),
    ):
        assert registered.count(line) == 1
        registered = registered.replace(line, line + added)
    (copy / LIST).write_text(registered, encoding="utf-8")
    return copy.parent


def test_fourth_kind_needs_one_file_and_its_registration(code: Path) -> None:
    before, after = read_tree(ROOT / "app"), read_tree(code / "app")
    assert after.keys() - before.keys() == {FILE}
    assert {name for name in before if before[name] != after.get(name)} == {LIST}
    old, new = (each[LIST].decode().splitlines() for each in (before, after))
    assert [line for line in new if line not in old] == [
        "from app.domain.kinds.health_attack import HealthAttackKind",
        "        HealthAttackKind(),",
    ]
    assert [line for line in new if line in old] == old
    # The service itself does not know this kind.
    assert not [name for name, text in before.items() if b"health_attack" in text.lower()]


def attack(source: str, *, place: str = "oldtown", stated_at: str = "2016-07-28", **value: Any) -> dict[str, Any]:
    """Return a report of the fourth kind."""
    return report(source=source, place=place, stated_at=stated_at) | {
        "kind": "health_attack",
        "value": {"facility": "hospital", "attacks": 2, "service": "working"} | value,
    }


# Each start of another code takes seconds; the test below runs on SQLite.
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"] if FULL else ["postgresql"], indirect=True)
@pytest.mark.usefixtures("reference")
async def test_fourth_kind_is_assessed_listed_filtered_and_verified(database_url: str, code: Path, tmp_path: Path) -> None:
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
            assert read["value"] == {
                "facility": "hospital",
                "attacks_low": 2,
                "attacks_high": 4,
                "service": "out_of_service",
                "closes_on": None,
                "outcome": None,
                "due": None,
            }
            assert [each["relation"] for each in read["reports"]] == ["preferred", "contradicts"]
            assert [step["moved"] for step in (await client.get(f"{read['links']['self']}/history")).json()["items"]] == [
                ["value", "range", "agreement"],
                ["value", "range", "agreement"],
            ]

            both = {"hospital", "clinic"}
            assert set(await subjects("/v1/health-attacks")) == both
            assert set(await subjects("/v1/indicators")) == both | {"trapped"}
            assert set(await subjects("/v1/indicators", kind="health_attack")) == both
            for path in ("/v1/health-attacks", "/v1/indicators"):
                assert await subjects(path, facility="clinic") == ["clinic"]
                assert set(await subjects(path, status="out_of_service")) == both
                assert set(await subjects(path, status="out_of_service", as_of="2016-08-01")) == both
                assert await subjects(path, status="working") == []
                assert await subjects(path, agreement="contested") == ["hospital"]
            assert set(await subjects("/v1/health-attacks", place="country", within=True)) == both
            assert await subjects("/v1/health-attacks", place="country") == []
            unknown = await client.get("/v1/health-attacks", params={"concept": "trapped"})
            assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "?concept")

            assert [each["value"]["attacks"] for each in (await client.get("/v1/reports?kind=health_attack")).json()["items"]] == [2, 4, 2]
            changes = (await client.get("/v1/changes?kind=health_attack")).json()["items"]
            shown = [(each["seq"] - SEEDED, each["documents"][0]["subject"]) for each in changes]
            assert shown == [(1, "hospital"), (2, "hospital"), (3, "clinic")]
            assert (await client.get("/v1/situations/oldtown")).json()["contested"] == [read["links"]["self"]]

            document = (await client.get("/openapi.json")).json()
            assert "/v1/health-attacks" in document["paths"]
            examples = document["paths"]["/v1/reports"]["post"]["requestBody"]["content"]["application/json"]["examples"]
            assert examples["Attacks on health care"]["value"]["kind"] == "health_attack"

    printed = tmp_path / "verified.txt"
    verified = await asyncio.to_thread(start("verify", output=printed, code=code, database_url=database_url).wait, 60)
    assert verified == 0, printed.read_text()


@sqlite_only
@pytest.mark.usefixtures("reference")
async def test_fourth_kind_is_shown_wherever_the_others_are(database_url: str, code: Path, tmp_path: Path) -> None:
    """Only the fourth kind has reports on the country: two days ago, with a warning that falls due tomorrow."""
    key = await new_key(database_url)
    today = utc_now().date()
    stated, due = str(today - timedelta(days=2)), str(today + timedelta(days=1))
    with serve(tmp_path, code=code, database_url=database_url) as server:
        async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
            warning = attack("agency", place="country", stated_at=stated, service="partly_working", closes_on=due)
            shown, *_ = await post_all(client, warning, report(), report("supply_runout"), report("route_closure"))
            link = f"/v1/indicators/{shown['indicator']}"

            texts = [(await client.get(f"/v1/situations/country/{each}")).text for each in ("brief", "digest.txt?since=2016-01-01")]
            assert "Hospitals: partly working [1]. One source. Said 2 days ago." in texts[0]
            assert "Hospitals: partly working (Agency, " in texts[1]

            situations = {each["place"]["slug"]: each for each in (await client.get("/v1/situations")).json()["items"]}
            assert situations["oldtown"]["other"] == []
            assert (situations["country"]["trapped"], situations["country"]["supplies"]) == ([], [])
            value = {"facility": "hospital", "attacks_low": 2, "attacks_high": 2, "service": "partly_working", "closes_on": due}
            assert situations["country"]["other"] == [
                {
                    "kind": "health_attack",
                    "subject": "hospital",
                    "value": value | {"outcome": "pending", "due": due},
                    "place": "country",
                    "agreement": "single",
                    "stated_at": f"{stated}T00:00:00Z",
                    "stale": False,
                    "source": "agency",
                    "judgement": None,
                    "links": {"indicator": link},
                }
            ]
            warnings = (await client.get("/v1/warnings")).json()["items"]
            fourth = [each for each in warnings if each["indicator"]["kind"] == "health_attack"]
            assert [(each["due"], each["days_left"], each["past_due"]) for each in fourth] == [(due, 1, False)]

            judged = {"value": warning["value"] | {"attacks": 3}, "likelihood": "likely", "confidence": "low", "reasons": "x"}
            answer = await client.post(f"{link}/judgements", json=judged)
            assert (answer.status_code, answer.json()["lapsed"]) == (201, False), answer.text

            # The board puts the place first, because people there are short of care; the other has been silent since 2016.
            board = (await client.get("/")).text
            levels = re.findall(r'<article class="place level-edge-(\w+)" id="p-(\w+)"', board)
            assert levels == [("serious", "country"), ("dormant", "oldtown")]
            page = (await client.get("/places/country")).text
            for text in (board, page):
                assert "Health care" in text
                assert "partly working" in text
            assert f'id="i-{shown["indicator"]}"' in page

            await check_entry(client, key, stated)
            table = (await client.get("/v1/health-attacks.csv")).text.splitlines()
            assert {"value.facility", "value.attacks_low", "value.service"} <= set(table[0].split(","))
            assert "#loc+type" in table[1].split(",")
            assert "partly_working" in table[2]
            assert ",partly_working," in (await client.get("/v1/warnings.csv")).text
            assert (await client.get("/v1/alerts", params={"kind": "health_attack"})).text.count("<entry>") == 1
            alert = (await client.get(f"/v1/alerts/{shown['id']}.cap")).text
            assert "<event>Attacks on health care: hospital</event>" in alert

            evidence = attack("monitor", place="country", stated_at=str(today), service="out_of_service", closes_on=str(today))
            (event,) = await post_all(client, evidence)
            outcome = {"outcome": "materialised", "reason": "a monitor saw it", "report": event["id"]}
            assert (await client.post(f"{link}/outcome", json=outcome)).status_code == 201
            record = (await client.get("/v1/sources/agency/record")).json()
            mine = [each for each in record["items"] if each["report"] == shown["id"]]
            assert [(each["outcome"], each["fact"], each["days_off"]) for each in mine] == [("materialised", str(today), -1)]

        async with AsyncLifeline(server.url, key) as lifeline:
            assert [each.subject async for each in lifeline.indicators(kind="health_attack")] == ["hospital"]
            other = (await lifeline.situation("country")).model_dump()["other"]
            assert [each["kind"] for each in other] == ["health_attack"]


async def check_entry(client: httpx.AsyncClient, key: str, stated: str) -> None:
    """Check that the desk has a form of the fourth kind, that a table of it is taken, and that maps show it."""
    async with httpx.AsyncClient(base_url=client.base_url) as browser:
        await browser.post("/sign-in", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"})
        form = (await browser.get("/desk/statements/health_attack")).text
    assert set(re.findall(r'name="value\.(facility|attacks|service|closes_on)"', form)) == {"facility", "attacks", "service", "closes_on"}
    assert re.search(r'value="partly_working"[^>]*>\s*partly working', form, re.IGNORECASE)
    rows = f"kind,place,source,stated_at,facility,attacks,service\nhealth_attack,country,monitor,{stated},clinic,3,Partly working\n"
    checked = (await client.post("/v1/imports", content=rows, headers={"Content-Type": "text/csv"})).json()
    assert (checked["created"], checked["problems"], checked["unread_columns"]) == (1, [], [])
    for path in ("/v1/health-attacks.geojson", "/ogc/collections/health_attack_point/items"):
        (feature,) = (await client.get(path)).json()["features"]
        assert (feature["properties"]["kind"], feature["properties"]["subject"]) == ("health_attack", "hospital")


def test_filters_of_two_kinds_with_one_field_accept_values_of_both() -> None:
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
