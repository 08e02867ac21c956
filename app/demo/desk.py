"""What stands around the demo's statements, so that the examples of keys and webhooks name some that are there.

Nothing is ever sent anywhere: the webhooks are disabled, and point at this machine, where no webhook may point unless a setting
allows it; then they find its discard port (RFC 863).
"""

from itertools import count

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import Caller
from app.access.models import ApiKey
from app.access.service import Scope, create_key
from app.demo.aleppo import identifier
from app.labels import LABELS
from app.settings import Settings
from app.times import utc_now
from app.webhooks.schemas import WebhookIn
from app.webhooks.sending import attempt, new_client
from app.webhooks.service import keep_turn, record, register, take_turn

TARGET = "https://127.0.0.1:9/lifeline"
REASON = "the demo sends nothing"


async def add_desk(session: AsyncSession, key: ApiKey, settings: Settings) -> None:
    """Two keys and two webhooks of the organisation of a key, one of each to be deleted; the first webhook has tried to deliver."""
    for number, name in enumerate(("field desk", "old field desk"), 1):
        scopes = (Scope.READ, Scope.REPORT)
        clearance = LABELS[key.clearance]
        # Nobody is told the secret.
        await create_key(
            session, name=name, organisation=key.organisation, scopes=scopes, clearance=clearance, identifier=identifier("key", number)
        )
    await session.flush()
    caller = Caller(level=key.clearance, key_id=key.id, organisation=key.organisation)
    sent = WebhookIn(url=TARGET, kind="supply_runout", place="aleppo-east", within=True, after="beginning")
    tried, unused = [await register(session, caller, sent, TARGET, identifier("webhook", number)) for number in (1, 2)]
    connection = await session.connection()
    numbers = count(1)
    turn = await take_turn(connection, tried.id, settings, new_id=lambda: identifier("delivery", next(numbers)))
    assert turn is not None
    first, started = turn.due[0], utc_now()
    async with new_client() as client:
        outcome = await attempt(client, tried.url, first["id"], first["body"], tried.secret, seconds=1, allow_private=False)
    await record(connection, turn, first, started, outcome, settings)
    await keep_turn(connection, turn, settings, go_on=False)
    for each in (tried, unused):
        each.disabled_at, each.disabled_reason = utc_now(), REASON
