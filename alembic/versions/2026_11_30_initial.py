"""Create the schema: reference data, keys, reports, the ledger, stored indicators, webhooks, the audit log.

Revision ID: 2026_11_30_initial
Revises:
Created: 2026-11-30 07:29:42.542681+00:00
"""

import secrets

import sqlalchemy as sa

from alembic import op

revision = "2026_11_30_initial"
down_revision = None
branch_labels = None
depends_on = None

LABELS = ("clear", "green", "amber", "amber_strict", "red")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ENDED = sa.text("ended_global_seq IS NOT NULL")
STANDING = sa.text("ended_global_seq IS NULL")
DECLASSIFIED = sa.text("level < highest_level")
CHANGED, JUDGED, LABEL = sa.text("previous_global_seq IS NOT NULL"), sa.text("judgement_id IS NOT NULL"), sa.text("type = 'label'")
# Of a read only the count and the time may grow.
FIXED = "id, action, key_id, organisation, clearance, address, method, target, status_code, first_at, read_key, position, hash"
SHRINKS = "OLD.action <> 'read' OR NEW.count < OLD.count OR NEW.occurred_at < OLD.occurred_at"
APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER audit_entry_no_update BEFORE UPDATE OF {FIXED} ON audit_entry "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        f"CREATE TRIGGER audit_entry_grows BEFORE UPDATE ON audit_entry WHEN {SHRINKS} "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        "CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION audit_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
        f"CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OF {FIXED} OR DELETE OR TRUNCATE ON audit_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_append_only()",
        f"CREATE TRIGGER audit_entry_grows BEFORE UPDATE ON audit_entry FOR EACH ROW WHEN ({SHRINKS}) "
        "EXECUTE FUNCTION audit_entry_append_only()",
    ],
}


def upgrade() -> None:
    _create_access()
    _create_reference()
    _create_reports()
    _create_ledger()
    _create_assessment()
    _create_exchange()


def _create_access() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("seen_by", sa.JSON(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("clearance", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("previous_secret_hash", sa.String(), nullable=True),
        sa.Column("previous_secret_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_key_secret_hash")),
    )
    op.create_index("uq_api_key_previous_secret_hash", "api_key", ["previous_secret_hash"], unique=True)
    op.create_table(
        "idempotency_record",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("response_body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_idempotency_record_key_id")),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name=op.f("pk_idempotency_record")),
    )
    op.create_index("ix_idempotency_record_created_at", "idempotency_record", ["created_at"])
    op.create_table(
        "ended_session",
        sa.Column("cookie_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cookie_hash", name=op.f("pk_ended_session")),
    )
    server_secret = op.create_table(
        "server_secret",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_secret")),
    )
    op.create_table(
        "operation_run",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operation_run")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("organisation", sa.String(), nullable=True),
        sa.Column("clearance", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("method", sa.String(length=8), nullable=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_key", sa.String(length=32), nullable=True),
        sa.Column("position", BIG, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
        sa.UniqueConstraint("read_key", name=op.f("uq_audit_entry_read_key")),
    )
    op.create_index("ix_audit_entry_key_id", "audit_entry", ["key_id"])
    for name, rows in (("write", sa.text("action <> 'read'")), ("read", sa.text("action = 'read'"))):
        op.create_index(
            f"uq_audit_entry_{name}_position", "audit_entry", ["position"], unique=True, sqlite_where=rows, postgresql_where=rows
        )
    audit_head = op.create_table(
        "audit_head",
        sa.Column("chain", sa.String(length=8), nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("anchor", BIG, nullable=False),
        sa.Column("anchor_hash", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_head")),
    )
    op.bulk_insert(
        audit_head,
        [
            {"chain": chain, "position": 0, "hash": bytes(32), "anchor": 0, "anchor_hash": bytes(32), "seal": b""}
            for chain in ("writes", "reads")
        ],
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
    op.bulk_insert(server_secret, [{"id": 1, "secret": secrets.token_hex(32)}])


def _create_reference() -> None:
    op.create_table(
        "place",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("geometry", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("valid_from", sa.String(length=10), nullable=True),
        sa.Column("valid_to", sa.String(length=10), nullable=True),
        sa.Column("successor_of", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["place.id"], name=op.f("fk_place_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_place")),
        sa.UniqueConstraint("slug", name=op.f("uq_place_slug")),
    )
    op.create_index("ix_place_country", "place", ["country"])
    op.create_index("ix_place_parent_id", "place", ["parent_id"])
    op.create_table(
        "extent",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("min_clearance", sa.Integer(), nullable=False),
        sa.Column("max_clearance", sa.Integer(), nullable=False),
        sa.Column("west", sa.Float(), nullable=False),
        sa.Column("south", sa.Float(), nullable=False),
        sa.Column("east", sa.Float(), nullable=False),
        sa.Column("north", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "type", "min_clearance", name=op.f("pk_extent")),
    )
    op.create_table(
        "place_ancestor",
        sa.Column("ancestor_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["ancestor_id"], ["place.id"], name=op.f("fk_place_ancestor_ancestor_id")),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_place_ancestor_place_id")),
        sa.PrimaryKeyConstraint("ancestor_id", "place_id", name=op.f("pk_place_ancestor")),
    )
    op.create_index("ix_place_ancestor_place_id", "place_ancestor", ["place_id"])
    op.create_table(
        "place_code",
        sa.Column("scheme", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_place_code_place_id")),
        sa.PrimaryKeyConstraint("scheme", "code", name=op.f("pk_place_code")),
    )
    op.create_index("ix_place_code_place_id", "place_code", ["place_id"])
    op.create_table(
        "route",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.String(), nullable=True),
        sa.Column("destination", sa.String(), nullable=True),
        sa.Column("geometry", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route")),
        sa.UniqueConstraint("slug", name=op.f("uq_route_slug")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("party_to_conflict", sa.Boolean(), nullable=False),
        sa.Column("alias", sa.String(), nullable=True),
        sa.Column("alias_slug", sa.String(length=64), nullable=True),
        sa.Column("organisation", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("slug", name=op.f("uq_source_slug")),
    )
    op.create_index("uq_source_alias_slug", "source", ["alias_slug"], unique=True)
    op.create_table(
        "record_text",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("min_clearance", sa.Integer(), nullable=False),
        sa.Column("max_clearance", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "min_clearance", name=op.f("pk_record_text")),
    )
    op.create_table(
        "source_grade",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("global_seq", BIG, autoincrement=False, nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reliability", sa.String(length=1), nullable=True),
        sa.Column("party_to_conflict", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_grade_source_id")),
        sa.PrimaryKeyConstraint("source_id", "global_seq", name=op.f("pk_source_grade")),
    )


def _create_reports() -> None:
    op.create_table(
        "indicator",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("filter_key", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_indicator_place_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indicator")),
    )
    op.create_index("ix_indicator_place_id_id", "indicator", ["place_id", "id"])
    op.create_index("uq_indicator_kind_place_id_subject", "indicator", ["kind", "place_id", "subject"], unique=True)
    op.create_table(
        "report",
        sa.Column("global_seq", BIG, autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("filter_key", sa.String(length=100), nullable=False),
        sa.Column("facet", sa.String(length=16), nullable=False),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stated_text", sa.String(length=32), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("via", sa.JSON(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("endless", sa.Boolean(), nullable=False),
        sa.Column("directness", sa.String(length=16), nullable=False),
        sa.Column("relays", sa.Uuid(), nullable=True),
        sa.Column("origin", sa.String(length=64), nullable=True),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("credibility", sa.Integer(), nullable=False),
        sa.Column("published_text", sa.String(length=32), nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("quote", sa.String(), nullable=True),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("licence", sa.String(), nullable=True),
        sa.Column("observed_from", sa.String(length=32), nullable=True),
        sa.Column("observed_to", sa.String(length=32), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("submitted_level", sa.Integer(), nullable=False),
        sa.Column("lowest_level", sa.Integer(), nullable=False),
        sa.Column("highest_level", sa.Integer(), nullable=False),
        sa.Column("supersedes", sa.Uuid(), nullable=True),
        sa.Column("superseded_from_level", sa.Integer(), nullable=True),
        sa.Column("retracted_from_level", sa.Integer(), nullable=True),
        sa.Column("ended_global_seq", BIG, nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("drafted_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_report_indicator_id")),
        sa.ForeignKeyConstraint(["origin"], ["source.slug"], name=op.f("fk_report_origin")),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_report_place_id")),
        sa.ForeignKeyConstraint(["relays"], ["report.id"], name=op.f("fk_report_relays")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_report_source_id")),
        sa.ForeignKeyConstraint(["supersedes"], ["report.id"], name=op.f("fk_report_supersedes")),
        sa.PrimaryKeyConstraint("global_seq", name=op.f("pk_report")),
        sa.UniqueConstraint("id", name=op.f("uq_report_id")),
    )
    op.create_index("ix_report_declassified", "report", ["indicator_id"], sqlite_where=DECLASSIFIED, postgresql_where=DECLASSIFIED)
    op.create_index("ix_report_ended", "report", ["indicator_id", "ended_global_seq"], sqlite_where=ENDED, postgresql_where=ENDED)
    op.create_index("ix_report_ended_global_seq", "report", ["global_seq"], sqlite_where=ENDED, postgresql_where=ENDED)
    op.create_index("ix_report_fingerprint", "report", ["fingerprint"])
    op.create_index("ix_report_indicator_id_effective_at", "report", ["indicator_id", "effective_at", "stated_at"])
    op.create_index("ix_report_indicator_id_stated_at", "report", ["indicator_id", "stated_at"])
    op.create_index("ix_report_indicator_id_global_seq", "report", ["indicator_id", "global_seq"])
    op.create_index("ix_report_kind_global_seq", "report", ["kind", "global_seq"])
    op.create_index(
        "ix_report_latest_endless",
        "report",
        ["indicator_id", "source_id", "facet", "level", "effective_at", "global_seq", "stated_at"],
        sqlite_where=sa.text("ended_global_seq IS NULL AND endless = 1"),
        postgresql_where=sa.text("ended_global_seq IS NULL AND endless"),
    )
    op.create_index(
        "ix_report_latest_statement",
        "report",
        ["indicator_id", "source_id", "facet", "level", "effective_at", "global_seq", "stated_at"],
        sqlite_where=STANDING,
        postgresql_where=STANDING,
    )
    op.create_index("ix_report_origin", "report", ["origin"])
    op.create_index("ix_report_place_id_global_seq", "report", ["place_id", "global_seq"])
    op.create_index("ix_report_source_id_global_seq", "report", ["source_id", "global_seq"])
    op.create_index("ix_report_supersedes", "report", ["supersedes"])
    op.create_table(
        "report_text",
        sa.Column("global_seq", BIG, autoincrement=False, nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("global_seq", name=op.f("pk_report_text")),
    )
    op.create_table(
        "label_proposal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("global_seq", BIG, nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("proposed_level", sa.Integer(), nullable=False),
        sa.Column("previous_level", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("proposed_by_key_id", sa.Uuid(), nullable=False),
        sa.Column("persons", sa.JSON(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by_key_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_label_proposal_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_proposal")),
        sa.UniqueConstraint("global_seq", name=op.f("uq_label_proposal_global_seq")),
    )
    op.create_index("ix_label_proposal_report_id", "label_proposal", ["report_id"])
    op.create_table(
        "draft",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("persons", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("report_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft")),
    )
    op.create_index("ix_draft_created_at", "draft", ["created_at"])


def _create_ledger() -> None:
    op.create_table(
        "ledger_head",
        *(sa.Column(f"seq_{label}", BIG, nullable=True) for label in LABELS),
        *(sa.Column(f"hash_{label}", sa.String(length=64), nullable=True) for label in LABELS),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("global_seq", BIG, nullable=False),
        sa.Column("commit_count", BIG, nullable=False),
        sa.Column("public_changes", BIG, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "ledger_node",
        sa.Column("clearance", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("height", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("clearance", "height", "number", name=op.f("pk_ledger_node")),
    )
    op.create_table(
        "partner",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("log_vkey", sa.String(), nullable=False),
        sa.Column("cosigner_vkey", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("clearance", sa.Integer(), nullable=False),
        sa.Column("age_recipient", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_partner")),
        sa.UniqueConstraint("cosigner_vkey", name=op.f("uq_partner_cosigner_vkey")),
        sa.UniqueConstraint("log_vkey", name=op.f("uq_partner_log_vkey")),
    )
    op.create_table(
        "cosignature",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("clearance", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("cosigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.name"], name=op.f("fk_cosignature_partner")),
        sa.PrimaryKeyConstraint("partner", "clearance", name=op.f("pk_cosignature")),
    )
    op.create_table(
        "ledger_entry",
        *(sa.Column(f"seq_{label}", BIG, nullable=True) for label in LABELS),
        *(sa.Column(f"hash_{label}", sa.String(length=64), nullable=True) for label in LABELS),
        sa.Column("global_seq", BIG, autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=True),
        sa.Column("indicator_id", sa.Uuid(), nullable=True),
        sa.Column("from_indicator_id", sa.Uuid(), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("record_id", sa.Uuid(), nullable=True),
        sa.Column("previous_global_seq", BIG, nullable=True),
        sa.Column("judgement_id", sa.Uuid(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("redacted_below", sa.Integer(), nullable=False),
        sa.Column("pseudonymised_below", sa.Integer(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        *(sa.Column(f"leaf_{label}", sa.LargeBinary(), nullable=True) for label in LABELS),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("actor_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["from_indicator_id"], ["indicator.id"], name=op.f("fk_ledger_entry_from_indicator_id")),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_ledger_entry_indicator_id")),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_ledger_entry_report_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_ledger_entry_source_id")),
        sa.PrimaryKeyConstraint("global_seq", name=op.f("pk_ledger_entry")),
    )
    for name, columns in (("judged", ["indicator_id", "type"]), ("judgement_id", ["judgement_id"])):
        op.create_index(f"ix_ledger_entry_{name}", "ledger_entry", columns, sqlite_where=JUDGED, postgresql_where=JUDGED)
    op.create_index("ix_ledger_entry_changed", "ledger_entry", ["global_seq"], sqlite_where=CHANGED, postgresql_where=CHANGED)
    op.create_index("ix_ledger_entry_from_indicator_id_level_global_seq", "ledger_entry", ["from_indicator_id", "level", "global_seq"])
    op.create_index("ix_ledger_entry_indicator_id_level_global_seq", "ledger_entry", ["indicator_id", "level", "global_seq"])
    op.create_index("ix_ledger_entry_record_id_global_seq", "ledger_entry", ["record_id", "global_seq"])
    op.create_index("ix_ledger_entry_label", "ledger_entry", ["global_seq"], sqlite_where=LABEL, postgresql_where=LABEL)
    op.create_index("ix_ledger_entry_recorded_at_global_seq", "ledger_entry", ["recorded_at", "global_seq"])
    op.create_index("ix_ledger_entry_report_id", "ledger_entry", ["report_id"])
    op.create_index("ix_ledger_entry_source_id_global_seq", "ledger_entry", ["source_id", "global_seq"])
    for label in LABELS:
        op.create_index(f"uq_ledger_entry_seq_{label}", "ledger_entry", [f"seq_{label}"], unique=True)
    op.execute(
        "INSERT INTO ledger_head (id, global_seq, commit_count, public_changes, recorded_at) "
        "VALUES (1, 0, 0, 0, '2000-01-01 00:00:00.000000')"
    )


def _create_assessment() -> None:
    op.create_table(
        "indicator_projection",
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("min_clearance", sa.Integer(), nullable=False),
        sa.Column("max_clearance", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("filter_key", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("agreement", sa.String(length=16), nullable=True),
        sa.Column("preferred_source_id", sa.Uuid(), nullable=True),
        sa.Column("preferred_grade_rank", sa.Integer(), nullable=True),
        sa.Column("warning_day", sa.Date(), nullable=True),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stale_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision_clear", BIG, nullable=True),
        sa.Column("revision_green", BIG, nullable=True),
        sa.Column("revision_amber", BIG, nullable=True),
        sa.Column("revision_amber_strict", BIG, nullable=True),
        sa.Column("revision_red", BIG, nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("dated", sa.Boolean(), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("newest_step", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_indicator_projection_indicator_id")),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_indicator_projection_place_id")),
        sa.ForeignKeyConstraint(["preferred_source_id"], ["source.id"], name=op.f("fk_indicator_projection_preferred_source_id")),
        sa.PrimaryKeyConstraint("indicator_id", "min_clearance", name=op.f("pk_indicator_projection")),
    )
    op.create_index("ix_indicator_projection_agreement_indicator_id", "indicator_projection", ["agreement", "indicator_id"])
    op.create_index("ix_indicator_projection_country_indicator_id", "indicator_projection", ["country", "indicator_id"])
    op.create_index("ix_indicator_projection_warning_day_indicator_id", "indicator_projection", ["warning_day", "indicator_id"])
    op.create_index("ix_indicator_projection_kind_filter_key_indicator_id", "indicator_projection", ["kind", "filter_key", "indicator_id"])
    op.create_index("ix_indicator_projection_kind_indicator_id", "indicator_projection", ["kind", "indicator_id"])
    by_place = ["place_id", "indicator_id", "min_clearance"]
    op.create_index("ix_indicator_projection_place_id_indicator_id_min_clearance", "indicator_projection", by_place)
    op.create_index(
        "ix_indicator_projection_preferred_source_id_indicator_id", "indicator_projection", ["preferred_source_id", "indicator_id"]
    )
    op.create_index("ix_indicator_projection_recorded_at", "indicator_projection", ["recorded_at"])
    op.create_index("ix_indicator_projection_stale_after", "indicator_projection", ["stale_after"])
    op.create_index("ix_indicator_projection_state_indicator_id", "indicator_projection", ["state", "indicator_id"])
    not_kept = sa.text("kept_until IS NOT NULL")
    op.create_index(
        "ix_indicator_projection_not_kept", "indicator_projection", ["indicator_id"], sqlite_where=not_kept, postgresql_where=not_kept
    )
    op.create_table(
        "indicator_step",
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("min_clearance", sa.Integer(), nullable=False),
        sa.Column("max_clearance", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("agreement", sa.String(length=16), nullable=True),
        sa.Column("preferred_source_id", sa.Uuid(), nullable=True),
        sa.Column("preferred_grade_rank", sa.Integer(), nullable=True),
        sa.Column("warning_day", sa.Date(), nullable=True),
        sa.Column("stale_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_indicator_step_indicator_id")),
        sa.PrimaryKeyConstraint("indicator_id", "since", "min_clearance", name=op.f("pk_indicator_step")),
    )
    op.create_table(
        "stale_record",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("after", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_stale_record")),
    )
    op.create_table(
        "alert_standing",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("cancels", sa.Boolean(), nullable=False),
        sa.Column("confirmed", sa.Integer(), nullable=False),
        sa.Column("ended", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_alert_standing_report_id")),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_alert_standing")),
    )
    op.create_table(
        "indicator_source",
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("facet", sa.String(length=16), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("first_global_seq", BIG, nullable=False),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_indicator_source_indicator_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_indicator_source_source_id")),
        sa.PrimaryKeyConstraint("indicator_id", "source_id", "facet", "level", name=op.f("pk_indicator_source")),
    )
    op.create_index("ix_indicator_source_source_id_indicator_id_level", "indicator_source", ["source_id", "indicator_id", "level"])


def _create_exchange() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=True),
        sa.Column("place", sa.String(length=100), nullable=True),
        sa.Column("within", sa.Boolean(), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("cursor_seq", BIG, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.String(), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_webhook_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index("ix_webhook_key_id", "webhook", ["key_id"])
    op.create_index("ix_webhook_organisation", "webhook", ["organisation"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_global_seq", BIG, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_delivery_webhook_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index("ix_webhook_delivery_webhook_id_status_seq", "webhook_delivery", ["webhook_id", "status", "seq"])
    op.create_index("uq_webhook_delivery_webhook_id_seq", "webhook_delivery", ["webhook_id", "seq"], unique=True)
    op.create_table(
        "received_tile",
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "number", name=op.f("pk_received_tile")),
    )
    op.create_table(
        "upstream",
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_upstream")),
    )


def downgrade() -> None:
    op.drop_table("upstream")
    op.drop_table("received_tile")
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
    op.drop_table("indicator_source")
    op.drop_table("alert_standing")
    op.drop_table("stale_record")
    op.drop_table("indicator_step")
    op.drop_table("indicator_projection")
    op.drop_table("ledger_entry")
    op.drop_table("cosignature")
    op.drop_table("partner")
    op.drop_table("ledger_node")
    op.drop_table("ledger_head")
    op.drop_table("draft")
    op.drop_table("label_proposal")
    op.drop_table("report_text")
    op.drop_table("report")
    op.drop_table("indicator")
    op.drop_table("source_grade")
    op.drop_table("record_text")
    op.drop_table("source")
    op.drop_table("route")
    op.drop_table("place_code")
    op.drop_table("extent")
    op.drop_table("place_ancestor")
    op.drop_table("place")
    op.drop_table("audit_head")
    op.drop_table("audit_entry")
    op.drop_table("operation_run")
    op.drop_table("server_secret")
    op.drop_table("ended_session")
    op.drop_table("idempotency_record")
    op.drop_table("api_key")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entry_append_only()")
