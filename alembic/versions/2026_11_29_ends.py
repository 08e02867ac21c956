"""What ends: bodies of webhooks know how old they are, subjects of an issuer expire, remembered answers hold no secret.

Revision ID: 2026_11_29_ends
Revises: 2026_11_28_growth
Created: 2026-11-29 09:00:00.000000+00:00
"""

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from alembic import op

revision = "2026_11_29_ends"
down_revision = "2026_11_28_growth"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # 0 of what waits: it is made anew where any label was ever raised.
    op.add_column("webhook_delivery", sa.Column("known_number", BIG, nullable=False, server_default="0"))
    _forget_secrets()
    key = sa.table("api_key", sa.column("secret_hash"), sa.column("expires_at", sa.DateTime(timezone=True)))
    subjects = key.c.secret_hash.startswith("hmac:oidc:"), key.c.expires_at.is_(None)
    # Those who have access still come again within a day.
    op.execute(key.update().where(*subjects).values(expires_at=datetime.now(UTC) + timedelta(days=1)))


def _forget_secrets() -> None:
    answer = sa.table(
        "remembered_answer",
        sa.column("key_id", sa.Uuid()),
        sa.column("token", sa.String()),
        sa.column("location", sa.String()),
        sa.column("body", sa.LargeBinary()),
    )
    bind = op.get_bind()
    of_webhooks = sa.select(answer.c.key_id, answer.c.token, answer.c.body).where(answer.c.location.startswith("/v1/webhooks/"))
    for row in bind.execute(of_webhooks).all():
        body = json.dumps(json.loads(row.body) | {"secret": None}, separators=(",", ":"), ensure_ascii=False).encode()
        this = answer.update().where(answer.c.key_id == row.key_id, answer.c.token == row.token)
        bind.execute(this.values(body=body))


def downgrade() -> None:
    op.drop_column("webhook_delivery", "known_number")
