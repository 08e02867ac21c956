"""Indexes in the order of the lists that they serve, so that a page costs the same however much there is.

Revision ID: 2026_11_28_growth
Revises: 2026_11_27_upstream
Created: 2026-11-28 09:00:00.000000+00:00
"""

import sqlalchemy as sa

from alembic import op

revision = "2026_11_28_growth"
down_revision = "2026_11_27_upstream"
branch_labels = None
depends_on = None

ENDED = sa.text("ended_number IS NOT NULL")
NEW = {
    "reading": (
        ("state", "indicator_id"),
        ("agreement", "indicator_id"),
        ("source_id", "indicator_id"),
        ("country", "indicator_id"),
        ("stale_after",),
    ),
    "report": (("place_id", "number"), ("source_id", "number"), ("kind", "number")),
    "change": (("recorded_at", "number"),),
    "webhook_delivery": (("webhook_id", "status", "seq"),),
}
# What begins with the same column serves for these too.
OLD = {"report": ("place_id", "source_id"), "change": ("recorded_at",)}


def upgrade() -> None:
    for table, indexes in NEW.items():
        for columns in indexes:
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
    op.create_index("ix_report_ended_in_order", "report", ["number"], sqlite_where=ENDED, postgresql_where=ENDED)
    for table, columns in OLD.items():
        for column in columns:
            op.drop_index(f"ix_{table}_{column}", table_name=table)


def downgrade() -> None:
    for table, columns in OLD.items():
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [column])
    op.drop_index("ix_report_ended_in_order", table_name="report")
    for table, indexes in NEW.items():
        for columns in indexes:
            op.drop_index(f"ix_{table}_{'_'.join(columns)}", table_name=table)
