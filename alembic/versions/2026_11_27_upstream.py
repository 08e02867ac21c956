"""Upstreams that are followed, and how far.

Revision ID: 2026_11_27_upstream
Revises: 2026_11_26_access
Created: 2026-11-27 09:00:00.000000+00:00
"""

import sqlalchemy as sa

from alembic import op

revision = "2026_11_27_upstream"
down_revision = "2026_11_26_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upstream",
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_upstream")),
    )


def downgrade() -> None:
    op.drop_table("upstream")
