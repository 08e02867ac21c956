"""The client for asyncio, on an application in the same process."""

import asyncio
from typing import Any

import httpx

from app.access.principal import Scope
from app.client import AsyncLifeline
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import mostly_sqlite


@mostly_sqlite
async def test_async_client_has_the_same_methods(app: Any, reference: Reference, make_key: Any) -> None:
    async with AsyncLifeline("http://lifeline.test", await make_key(*Scope), transport=httpx.ASGITransport(app)) as lifeline:
        sent = await lifeline.send(report())
        (result,) = await lifeline.send_all([report(source="envoy")])
        assert result.status == 201
        assert [each.id async for each in lifeline.reports(limit=1)] == [sent.id, result.id]
        corrected = await lifeline.correct(sent.id, report(value={"people": 2}), "misheard")
        await lifeline.retract(corrected.id, "never said")
        assert [each.kind async for each in lifeline.indicators()] == ["trapped_population"]
        assert (await lifeline.situation("oldtown")).model_dump()["trapped"]
        assert (await lifeline.report(sent.id)).status == "superseded"
        assert [each.slug async for each in lifeline.places()] == ["country", "oldtown"]
        assert len([each async for each in lifeline.sources()]) == 8
        assert len([each async for each in lifeline.routes()]) == 2
        assert (await lifeline.place("oldtown")).parent == "country"
        assert (await lifeline.record("sources", "army")).model_dump()["reliability"] == "D"
        async for page in lifeline.follow(wait=1):
            assert [each.type for each in page.items[SEEDED:]] == ["report", "report", "correction", "retraction"]
            break
        following = asyncio.ensure_future(anext(lifeline.follow(page.next, wait=5)))
        await lifeline.send(report(source="monitor"))
        assert [each.type for each in (await following).items] == ["report"]
        made, other = [await lifeline.draft(report(value={"people": people})) for people in (3, 4)]
        assert (await lifeline.confirm_draft(made.id)).drafted_by == made.drafted_by
        assert (await lifeline.reject_draft(other.id, "not said")).reason == "not said"
        assert [each.status async for each in lifeline.drafts(limit=1)] == ["confirmed", "rejected"]
        read = await lifeline.read_article("Fuel in Old town will run out in two weeks.", "outlet", "2016-07-31")
        assert [each["report"]["place"] for each in read.model_dump()["drafts"]] == ["oldtown"]
