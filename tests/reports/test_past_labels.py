"""Tests of `known_at` after a label was raised and lowered: a reader sees what the reader could see at that time."""

import httpx
import pytest

from app.domain.tlp import Label
from app.settings import Settings
from tests.ledger.helpers import assert_verified
from tests.reports.test_label_endpoints import change_label, lower_label, now, post
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite


async def seen(reader: httpx.AsyncClient, paths: list[str], known_at: str) -> list[int]:
    """Return how many reports or indicators each path has at a time; 0 for 404."""
    found = []
    for path in paths:
        answer = await reader.get(path, params={"known_at": known_at})
        assert answer.status_code in (200, 404), answer.text
        found.append(len(answer.json().get("items", [1])) if answer.status_code == 200 else 0)
    return found


@pytest.mark.parametrize(("engine", "submitted"), [("sqlite", "amber"), ("postgresql", "clear")], indirect=["engine"])
async def test_known_at_hides_a_report_while_its_label_was_raised(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, settings: Settings, submitted: str
) -> None:
    second, public = await make_client(clearance=Label.RED, organisation="another"), await make_client(clearance=Label.CLEAR)
    recorded = await post(client, sensitivity=submitted)
    times = [(await now(client), submitted == "clear")]
    for label in ("clear", "amber", "red", "amber", "clear")[submitted == "clear" :]:
        change = await change_label(client, recorded, label)
        if change.status_code == 202:
            assert (await second.post(change.json()["links"]["confirmation"])).status_code == 201
        times.append((await now(client), label == "clear"))
    paths = [f"/v1/reports/{recorded['id']}", f"/v1/indicators/{recorded['indicator']}", "/v1/reports", "/v1/indicators"]
    paths += ["/v1/reports?status=standing", "/v1/trapped-populations"]
    for known_at, visible in times:
        assert await seen(public, paths, known_at) == [int(visible)] * len(paths), (known_at, times)
        assert await seen(client, paths, known_at) == [1] * len(paths)
        situation = await public.get(f"/v1/situations/{recorded['place']}", params={"known_at": known_at})
        assert (recorded["indicator"] in situation.text) == visible
    await assert_verified(settings.database_url)


@mostly_sqlite
async def test_known_at_shows_the_original_while_its_correction_was_hidden(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    second, public = await make_client(clearance=Label.RED, organisation="another"), await make_client(clearance=Label.CLEAR)
    original = await post(client, sensitivity="clear", value={"people": 7})
    body = report(value={"people": 8}, reason="misread", sensitivity="amber")
    correction = (await client.post(f"/v1/reports/{original['id']}/correction", json=body)).json()
    before = await now(client)
    path = f"/v1/indicators/{original['indicator']}"
    then = (await public.get(path)).json()
    assert then["value"]["people"] == 7
    await lower_label(client, second, correction, "clear")
    assert (await public.get(path)).json()["value"]["people"] == 8
    assert (await public.get(path, params={"known_at": before})).json()["value"] == then["value"]
    of_then = (await public.get(f"/v1/reports/{original['id']}", params={"known_at": before})).json()
    assert (of_then["status"], of_then["amended"]) == ("standing", [])
