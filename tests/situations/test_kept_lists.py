"""Tests of lists of situations, whose positions and items are kept: after each change they are those that are assembled again."""

from collections.abc import Awaitable, Callable
from unittest.mock import patch

import httpx

from app.domain.tlp import Label
from app.situations import service
from app.storage.database import Database
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import MakeClient
from tests.support.servers import wait_until_assessed


async def test_kept_list_is_the_one_assembled_again(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, database: Database
) -> None:
    reader = await make_client(clearance=Label.GREEN)
    for at in range(2):
        await reference.add("places", slug=f"quarter-{at}", name=f"Quarter {at}", parent="oldtown")
    first, *_ = await post_all(client, report(value={"people": 1000}), report(place="quarter-0"), report(place="country"))
    amended = {"content-type": "application/merge-patch+json"}

    async def move(place: str, **fields: object) -> None:
        etag = (await client.get(f"/v1/places/{place}")).headers["etag"]
        answer = await client.patch(f"/v1/places/{place}", json=fields, headers={"If-Match": etag} | amended)
        assert answer.status_code == 200, answer.text

    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: post(client, **report("supply_runout", place="quarter-0")),
        lambda: post(client, **report(source="envoy", value={"people": 90_000}, stated_at="2016-08-05")),
        lambda: post(client, f"/v1/reports/{first['id']}/correction", **report(value={"people": 1200}, reason="misread")),
        lambda: post(client, "/v1/sources/envoy/grades", reliability="E", reason="was wrong"),
        lambda: move("quarter-0", name="The quarter"),
        # The level of what lies below moves with the place.
        lambda: move("quarter-0", parent="country"),
        lambda: post(client, **report("supply_runout", {"supply": "water", "state": "ran_out"}, place="quarter-1", sensitivity="red")),
    ]
    for change in changes:
        await change()
        for who, each in (("red", client), ("green", reader)):
            for time, same in (("?as_of=2016-08-10", "?as_of=2016-08-10T23:59:59.999999Z"), ("?limit=100", "?country=SYR")):
                one, two = [(await each.get(f"/v1/situations{query}")).json()["items"] for query in (time, same)]
                again = (await each.get(f"/v1/situations{same}&known_at=2100-01-01")).json()["items"]
                assert one == two == again, (change, who, time)
    # Until the background is done with the places that moved, lists are assembled at each request.
    await wait_until_assessed(database)
    for query in ("limit=99", "as_of=2016-08-10&limit=99"):
        assert (await client.get(f"/v1/situations?{query}")).status_code == 200
    with patch.object(service, "build_situation", side_effect=AssertionError("assembled again")):
        for query in ("limit=101", "as_of=2016-08-10&limit=101"):
            assert (await client.get(f"/v1/situations?{query}")).status_code == 200
