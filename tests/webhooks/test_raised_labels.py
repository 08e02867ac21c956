"""A delivery that still waits when the label of its report is raised above the webhook takes nothing of the report along."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from app.webhooks.models import Delivery
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeKey
from tests.support.servers import client_of
from tests.webhooks.conftest import Receiver, until

SECRET = "where they hide"


@pytest.mark.parametrize("behind", [timedelta(), timedelta(hours=1)])
async def test_what_waits_is_made_anew(
    settings: Settings, make_key: MakeKey, database: Database, reference: Reference, monkeypatch: pytest.MonkeyPatch, behind: timedelta
) -> None:
    """Also when the label was raised by a machine whose clock is behind: it is told by the ledger's numbers which was first."""
    # No change is recorded before the one before it, so the whole ledger is on that machine.
    monkeypatch.setattr("app.ledger.appender.utc_now", lambda: utc_now() - behind)
    everything, green = await make_key(clearance=Label.RED), await make_key(clearance=Label.GREEN)
    changed = settings.model_copy(update={"webhook_allow_private": True, "webhook_retry_base_seconds": 0.1})

    async def bodies() -> list[str]:
        async with database.read() as connection:
            return list((await connection.execute(select(table_of(Delivery).c.body))).scalars())

    async def waits(count: int, hidden: int) -> None:
        async def so() -> bool:
            found = await bodies()
            return (len(found), sum(SECRET in each for each in found)) == (count, hidden)

        await until(so)

    async with client_of(changed) as client:
        headers = {"Authorization": f"Bearer {everything}"}
        # Nobody listens there: what is queued waits.
        hook = await client.post("/v1/webhooks", json={"url": "http://127.0.0.1:1/"}, headers={"Authorization": f"Bearer {green}"})
        assert hook.status_code == 201, hook.text
        made = (await client.post("/v1/reports", json=report(provenance={"quote": SECRET}), headers=headers)).json()
        await waits(1, hidden=1)
        raised = {"sensitivity": "red", "reason": "names"}
        assert (await client.post(f"/v1/reports/{made['id']}/label", json=raised, headers=headers)).status_code == 201
        await waits(2, hidden=0)


async def test_what_is_raised_while_another_delivery_is_under_way_is_not_sent(
    settings: Settings, make_key: MakeKey, reference: Reference, receiver: Receiver
) -> None:
    """Both were queued together, and the receiver takes its time over the first."""
    everything, green = await make_key(clearance=Label.RED), await make_key(clearance=Label.GREEN)
    async with client_of(settings) as client:
        headers = {"Authorization": f"Bearer {everything}"}
        hook = await client.post("/v1/webhooks", json={"url": receiver.url}, headers={"Authorization": f"Bearer {green}"})
        assert hook.status_code == 201, hook.text
        receiver.answering.clear()
        both = [report(), report(place="country", provenance={"quote": SECRET})]
        made = (await client.post("/v1/reports", json=both, headers=headers)).json()["items"]
        await receiver.until_count(1)
        raised = {"sensitivity": "red", "reason": "names"}
        assert (await client.post(f"/v1/reports/{made[1]['id']}/label", json=raised, headers=headers)).status_code == 201
        receiver.answering.set()
        await receiver.until(lambda: 3 in receiver.seqs())
        # On a busy machine the first attempt may have taken too long, and is made again.
        assert list(dict.fromkeys(receiver.seqs())) == [1, 2, 3]
        assert not [each.seq for each in receiver.got if SECRET.encode() in each.body]
