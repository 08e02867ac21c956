"""Demo keys, webhooks and a label proposal, for the examples of the API and for trying it out.

Nothing is sent: the webhooks are disabled, and their target, the discard port (RFC 863) of this machine, is forbidden by default.
"""

from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import create_key
from app.access.models import ApiKey
from app.access.principal import Principal, Scope
from app.demo.aleppo import REPORTS, add_reports, demo_id
from app.domain.times import utc_now
from app.domain.tlp import LABELS, Label
from app.reports.labels import change_label
from app.settings import Settings
from app.webhooks.delivery import deliver, new_client
from app.webhooks.leases import acquire_lease, record_result, release_lease
from app.webhooks.schemas import WebhookIn
from app.webhooks.service import add_webhook

TARGET = "https://127.0.0.1:9/lifeline"
REASON = "the demo sends nothing"
# The UN on the windows that Russia announced. Without a credibility, so it counts as not judged.
RESTRICTED: dict[str, Any] = {
    "kind": "route_closure",
    "place": "aleppo-east",
    "source": "un",
    "stated_at": "2016-08-11",
    "value": {"route": "castello-road", "status": "restricted", "assertion": "announced"},
    "provenance": {"method": "expert_estimate"},
    "sensitivity": "green",
}
PUBLISHED = "The UN has published it."


async def add_examples(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Add keys, webhooks and a proposal that a key can read, delete and confirm."""
    await _add_webhooks(session, key, settings)
    await _add_proposal(session, key, settings)


async def _add_webhooks(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Add two keys and two webhooks, one of each to delete; the first webhook has a failed delivery."""
    for number, name in enumerate(("field desk", "old field desk"), 1):
        await _add_key(session, key, number, name, Scope.READ, Scope.REPORT)
    await session.flush()
    caller = Principal(level=key.clearance, key_id=key.id, organisation=key.organisation)
    webhook = WebhookIn(url=TARGET, kind="supply_runout", place="aleppo-east", within=True, after="beginning")
    tried, unused = [await add_webhook(session, caller, webhook, TARGET, demo_id("webhook", number)) for number in (1, 2)]
    connection = await session.connection()
    numbers = count(1)
    lease = await acquire_lease(connection, tried.id, settings, new_id=lambda: demo_id("delivery", next(numbers)))
    assert lease is not None
    first, started = lease.due[0], utc_now()
    async with new_client() as client:
        result = await deliver(client, tried.url, first["id"], lease.body, tried.secret, seconds=1, allow_private=False)
    await record_result(connection, lease, first, started, result, settings)
    await release_lease(connection, lease)
    for each in (tried, unused):
        each.disabled_at, each.disabled_reason = utc_now(), REASON


async def _add_proposal(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Add a restricted report and a proposal to lower its label, made with another key, because that takes two keys."""
    await _add_key(session, key, 3, "review desk", Scope.READ, Scope.CURATE)
    await session.flush()
    reviewer = Principal(level=key.clearance, key_id=demo_id("key", 3), organisation=key.organisation)
    number = len(REPORTS) + 1
    await add_reports(session, reviewer, [RESTRICTED], settings, first=number)
    await change_label(session, reviewer, demo_id("report", number), Label.CLEAR, PUBLISHED, settings, proposal_id=demo_id("proposal", 1))


async def _add_key(session: AsyncSession, key: ApiKey, number: int, name: str, *scopes: Scope) -> None:
    """Add a key with the clearance of another one; its secret is not shown."""
    await create_key(
        session,
        name=name,
        organisation=key.organisation,
        scopes=scopes,
        clearance=LABELS[key.clearance],
        identifier=demo_id("key", number),
    )
