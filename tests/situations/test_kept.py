"""Tests of situations that are kept until something moves them: after each change they are those that are assembled again."""

import json
from collections.abc import Awaitable, Callable

import httpx

from app.domain.tlp import Label
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite


@mostly_sqlite
async def test_kept_situation_is_the_one_assembled_again(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    reader = await make_client(clearance=Label.GREEN)
    said = report(value={"people": 1000})
    first = await post(client, **said)

    async def change_place(**changed: str) -> None:
        etag = (await client.get("/v1/places/oldtown")).headers["etag"]
        headers = {"If-Match": etag, "Content-Type": "application/merge-patch+json"}
        answer = await client.patch("/v1/places/oldtown", content=json.dumps(changed), headers=headers)
        assert answer.status_code == 200, answer.text

    async def report_elsewhere() -> None:
        await reference.add("places", slug="realm", name="Realm", country="SYR")
        await post(client, **report(place="realm", value={"people": 400}))

    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: post(client, **report("supply_runout")),
        lambda: post(client, **report(source="envoy", value={"people": 90_000})),
        # A figure of the place above, which the check of this one names.
        lambda: post(client, **report(place="country", value={"people": 500})),
        lambda: post(client, f"/v1/reports/{first['id']}/correction", **report(value={"people": 1200}, reason="misread")),
        lambda: post(client, "/v1/sources/envoy/grades", reliability="E", reason="was wrong"),
        lambda: change_place(name="Old city"),
        lambda: post(client, **report("supply_runout", {"supply": "water", "state": "ran_out"}, sensitivity="red")),
        report_elsewhere,
        # The last change of the places above, the one and the other.
        lambda: post(client, "/v1/sources/agency/grades", reliability="C", reason="was wrong, too"),
        lambda: change_place(parent="realm"),
    ]
    before: dict[tuple[str, str], bytes] = {}
    moved = []
    for change in changes:
        await change()
        for who, each in (("red", client), ("green", reader)):
            for time, same in (("?as_of=2016-08-10", "?as_of=2016-08-10T23:59:59.999999Z"), ("", "?within=false")):
                one, two = [(await each.get(f"/v1/situations/oldtown{query}")).content for query in (time, same)]
                # Assembled from the ledger alone, and under an address that no cache knows.
                again = await each.get(f"/v1/situations/oldtown{same}&known_at=2100-01-01")
                assert one == two == again.content, (change, who, time)
                moved.append(one != before.get((who, time)))
                before[who, time] = one
    # A grade counts from now on, and a report above a clearance moves nothing for it; nor does a place elsewhere, until it is above.
    every, of_grade, above = [True] * 4, [False, True] * 2, [True, True, False, False]
    assert moved == [*every * 4, *of_grade, *every, *above, *[False] * 8, *every]
