"""What stands around the demo's statements, so that the examples of keys, webhooks and labels name some that are there.

Nothing is ever sent anywhere: the webhooks are disabled, and point at this machine, where no webhook may point unless a setting
allows it; then they find its discard port (RFC 863).
"""

from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import create_key
from app.access.models import ApiKey
from app.access.principal import Principal, Scope
from app.demo.aleppo import REPORTS, DemoError, identifier
from app.domain.times import utc_now
from app.domain.tlp import LABELS, Label
from app.reports.labels import change_label
from app.reports.queries import VisibleReport
from app.reports.service import record_reports
from app.reports.validation import validate
from app.settings import Settings
from app.webhooks.delivery import deliver, new_client
from app.webhooks.leases import acquire_lease, record_result, release_lease
from app.webhooks.schemas import WebhookIn
from app.webhooks.service import add_webhook

TARGET = "https://127.0.0.1:9/lifeline"
REASON = "the demo sends nothing"
# The UN on Russia's windows, which it calls not enough: announced, no more. Nobody has judged its credibility yet.
RESTRICTED: dict[str, Any] = {
    "kind": "route_closure",
    "place": "aleppo-east",
    "source": "un",
    "stated_at": "2016-08-11",
    "value": {"route": "castello-road", "status": "restricted", "assertion": "announced"},
    "provenance": {"method": "expert_estimate"},
    "sensitivity": "green",
}
PUBLISHED = "The UN has said it in public."


async def add_desk(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Keys, webhooks and a proposal of the organisation of a key, so that it has some to look at, to delete and to confirm."""
    await _add_webhooks(session, key, settings)
    await _add_proposal(session, key, settings)


async def _add_webhooks(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Two keys and two webhooks, one of each to be deleted; the first webhook has tried to deliver."""
    for number, name in enumerate(("field desk", "old field desk"), 1):
        await _add_key(session, key, number, name, Scope.READ, Scope.REPORT)
    await session.flush()
    caller = Principal(level=key.clearance, key_id=key.id, organisation=key.organisation)
    sent = WebhookIn(url=TARGET, kind="supply_runout", place="aleppo-east", within=True, after="beginning")
    tried, unused = [await add_webhook(session, caller, sent, TARGET, identifier("webhook", number)) for number in (1, 2)]
    connection = await session.connection()
    numbers = count(1)
    lease = await acquire_lease(connection, tried.id, settings, new_id=lambda: identifier("delivery", next(numbers)))
    assert lease is not None
    first, started = lease.due[0], utc_now()
    async with new_client() as client:
        result = await deliver(client, tried.url, first["id"], first["body"], tried.secret, seconds=1, allow_private=False)
    await record_result(connection, lease, first, started, result, settings)
    await release_lease(connection, lease)
    for each in (tried, unused):
        each.disabled_at, each.disabled_reason = utc_now(), REASON


async def _add_proposal(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """A restricted report, and another key's proposal to lower its label, which takes two keys."""
    await _add_key(session, key, 3, "review desk", Scope.READ, Scope.CURATE)
    await session.flush()
    reviewer = Principal(level=key.clearance, key_id=identifier("key", 3), organisation=key.organisation)
    report = identifier("report", len(REPORTS) + 1)
    (outcome,), _ = await record_reports(session, reviewer, [validate(RESTRICTED, settings)], settings, identifiers=[report])
    if not isinstance(outcome, VisibleReport):
        raise DemoError(str(outcome))
    await change_label(session, reviewer, report, Label.CLEAR, PUBLISHED, settings, proposal_id=identifier("proposal", 1))


async def _add_key(session: AsyncSession, key: ApiKey, number: int, name: str, *scopes: Scope) -> None:
    """A key that sees what the given one does; nobody is told its secret."""
    await create_key(
        session,
        name=name,
        organisation=key.organisation,
        scopes=scopes,
        clearance=LABELS[key.clearance],
        identifier=identifier("key", number),
    )
