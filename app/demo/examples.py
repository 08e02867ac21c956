"""Demo keys, webhooks, drafts, judgements and a label proposal, for the examples of the API and for trying it out.

Nothing is sent: the webhooks are disabled, and their target, the discard port (RFC 863) of this machine, is forbidden by default.
"""

from dataclasses import replace
from itertools import count
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.keys import create_key
from app.access.models import ApiKey
from app.access.principal import Principal, Scope
from app.demo.aleppo import GREEN_REPORT, demo_id
from app.domain.kinds import KINDS
from app.domain.times import utc_now
from app.domain.tlp import LABELS, Label
from app.drafts.service import add_draft
from app.judgements.service import Given, record_judgement
from app.reports.examples import REPORTS
from app.reports.labels import change_label
from app.reports.models import Report
from app.reports.validation import validate
from app.settings import Settings
from app.webhooks.delivery import DeliveryResult
from app.webhooks.leases import acquire_lease, record_result, release_lease
from app.webhooks.schemas import WebhookIn
from app.webhooks.service import add_webhook

TARGET = "https://127.0.0.1:9/lifeline"
KEYS = {"field desk": Scope.REPORT, "old field desk": Scope.REPORT, "review desk": Scope.CURATE}

# Values by the number of the report that each relies on.
JUDGED: dict[int, dict[str, Any]] = {
    4: {"concept": "at_risk", "people_low": 200000, "people_high": 250000},
    9: {"supply": "medical", "state": "low"},
}
JUDGEMENT = {"likelihood": "likely", "confidence": "low", "reasons": "An example, not a real judgement.", "sensitivity": "amber"}


async def add_examples(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Add keys, webhooks, drafts, judgements and a proposal for a key to read and change; the secrets of the new keys are not shown."""
    clearance, organisation = LABELS[key.clearance], key.organisation
    for number, (name, scope) in enumerate(KEYS.items(), 1):
        identifier, scopes = demo_id("key", number), (Scope.READ, scope)
        await create_key(
            session, name=name, organisation=organisation, person=name, scopes=scopes, clearance=clearance, identifier=identifier
        )
    await session.flush()
    caller = Principal(level=key.clearance, key_id=key.id, organisation=organisation)
    await _add_webhooks(session, caller, settings)
    # One to read and correct, one to confirm, one to reject.
    for number, day in enumerate((29, 30, 31), 1):
        sent = REPORTS[KINDS["supply_runout"].title] | {"stated_at": f"2016-07-{day}"}
        await add_draft(session, replace(caller, key_id=demo_id("key", 1)), validate(sent, settings), settings, demo_id("draft", number))
    # One to read and correct, one to retract; of low confidence, so that no level of urgency rests on them.
    for number, (about, value) in enumerate(JUDGED.items(), 1):
        indicator = await session.scalar(select(col(Report.indicator_id)).where(col(Report.id) == demo_id("report", about)))
        assert indicator is not None
        judged = JUDGEMENT | {"value": value, "reports": [str(demo_id("report", about))]}
        await record_judgement(session, caller, indicator, judged, settings, Given(demo_id("judgement", number)))
    # The key of another person proposes, because lowering a label takes two.
    reviewer = replace(caller, key_id=demo_id("key", len(KEYS)))
    report, proposal = demo_id("report", GREEN_REPORT), demo_id("proposal", 1)
    await change_label(session, reviewer, report, Label.CLEAR, "The UN has published it.", settings, proposal_id=proposal)


async def _add_webhooks(session: AsyncSession, caller: Principal, settings: Settings) -> None:
    """Add two webhooks: one with a failed delivery, one to delete."""
    webhook = WebhookIn(url=TARGET, kind="supply_runout", place="aleppo-east", within=True, after="beginning")
    tried, unused = [await add_webhook(session, caller, webhook, TARGET, demo_id("webhook", number)) for number in (1, 2)]
    connection = await session.connection()
    numbers = count(1)
    lease = await acquire_lease(connection, tried.id, settings, new_id=lambda: demo_id("delivery", next(numbers)))
    assert lease is not None
    failed = DeliveryResult(None, "not connected: the URL must resolve to public addresses only")
    await record_result(connection, lease.webhook, lease.due[0], utc_now(), failed, settings)
    await release_lease(connection, lease.webhook)
    for each in (tried, unused):
        each.disabled_at, each.disabled_reason = utc_now(), "the demo sends nothing"
