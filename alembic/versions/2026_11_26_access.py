"""Labels that move, protected sources, rotated keys, the audit log.

Revision ID: 2026_11_26_access
Revises: 2026_11_25_webhooks
Created: 2026-11-26 09:00:00.000000+00:00
"""

import hashlib
import secrets

import sqlalchemy as sa

from alembic import op

revision = "2026_11_26_access"
down_revision = "2026_11_25_webhooks"
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "sqlite": [
        "CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        "CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION audit_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
        "CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_append_only()",
    ],
}


def upgrade() -> None:
    # No table is made anew: SQLite would have to drop those that others refer to.
    op.add_column("api_key", sa.Column("previous_hash", sa.String(), nullable=True))
    op.add_column("api_key", sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index("uq_api_key_previous_hash", "api_key", ["previous_hash"], unique=True)
    secret = op.create_table(
        "server_secret",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_secret")),
    )
    op.bulk_insert(secret, [{"id": 1, "secret": secrets.token_hex(32)}])
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("organisation", sa.String(), nullable=True),
        sa.Column("clearance", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("method", sa.String(length=8), nullable=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index("ix_audit_entry_key_id", "audit_entry", ["key_id"], unique=False)
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
    op.add_column("source", sa.Column("alias_slug", sa.String(length=64), nullable=True))
    op.add_column("source", sa.Column("organisation", sa.String(), nullable=True))
    op.create_index("uq_source_alias_slug", "source", ["alias_slug"], unique=True)
    _name_the_protected()
    op.add_column("report", sa.Column("level_lowest", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE report SET level_lowest = level_sent")
    op.add_column("change", sa.Column("masked_below", sa.Integer(), nullable=False, server_default="0"))
    lowered = sa.text("level_lowest < level_sent")
    op.create_index("ix_report_lowered", "report", ["indicator_id"], unique=False, sqlite_where=lowered, postgresql_where=lowered)
    op.create_table(
        "label_proposal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("before", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_label_proposal_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_proposal")),
    )
    op.create_index("ix_label_proposal_report_id", "label_proposal", ["report_id"], unique=False)


def _name_the_protected() -> None:
    source = sa.table("source", sa.column("id", sa.Uuid()), sa.column("alias"), sa.column("alias_slug"))
    bind = op.get_bind()
    for row in bind.execute(sa.select(source.c.id).where(source.c.alias.is_not(None))).all():
        # As `app.reference.facts.alias_slug` has it.
        slug = "protected-" + hashlib.sha256(b"alias" + row.id.bytes).hexdigest()[:16]
        bind.execute(source.update().where(source.c.id == row.id).values(alias_slug=slug))


def downgrade() -> None:
    op.drop_table("label_proposal")
    op.drop_index("ix_report_lowered", "report")
    op.drop_column("change", "masked_below")
    op.drop_column("report", "level_lowest")
    op.drop_index("uq_source_alias_slug", "source")
    op.drop_column("source", "organisation")
    op.drop_column("source", "alias_slug")
    op.drop_table("audit_entry")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entry_append_only()")
    op.drop_table("server_secret")
    op.drop_index("uq_api_key_previous_hash", "api_key")
    op.drop_column("api_key", "previous_until")
    op.drop_column("api_key", "previous_hash")
