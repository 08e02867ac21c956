"""The first schema: reference data, keys, the ledger, the readings.

Revision ID: 2026_11_24_ledger
Revises:
Created: 2026-11-24 15:49:58.986062+00:00
"""

import sqlalchemy as sa

from alembic import op

revision = "2026_11_24_ledger"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("clearance", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_key_secret_hash")),
    )
    op.create_table(
        "head",
        sa.Column("seq_clear", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_green", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_amber", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_amber_strict", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_red", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("hash_clear", sa.String(length=64), nullable=True),
        sa.Column("hash_green", sa.String(length=64), nullable=True),
        sa.Column("hash_amber", sa.String(length=64), nullable=True),
        sa.Column("hash_amber_strict", sa.String(length=64), nullable=True),
        sa.Column("hash_red", sa.String(length=64), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("writes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_head")),
    )
    op.create_table(
        "place",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("geometry", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("west", sa.Float(), nullable=True),
        sa.Column("south", sa.Float(), nullable=True),
        sa.Column("east", sa.Float(), nullable=True),
        sa.Column("north", sa.Float(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["place.id"], name=op.f("fk_place_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_place")),
        sa.UniqueConstraint("slug", name=op.f("uq_place_slug")),
    )
    op.create_index("ix_place_country", "place", ["country"], unique=False)
    op.create_index("ix_place_parent_id", "place", ["parent_id"], unique=False)

    op.create_table(
        "route",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
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
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("party_to_conflict", sa.Boolean(), nullable=False),
        sa.Column("alias", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("slug", name=op.f("uq_source_slug")),
    )
    op.create_table(
        "indicator",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("topic", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_indicator_place_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indicator")),
    )
    op.create_index("ix_indicator_place_id", "indicator", ["place_id"], unique=False)
    op.create_index("uq_indicator_kind_place_id_subject", "indicator", ["kind", "place_id", "subject"], unique=True)

    op.create_table(
        "place_ancestor",
        sa.Column("ancestor_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["ancestor_id"], ["place.id"], name=op.f("fk_place_ancestor_ancestor_id")),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_place_ancestor_place_id")),
        sa.PrimaryKeyConstraint("ancestor_id", "place_id", name=op.f("pk_place_ancestor")),
    )
    op.create_index("ix_place_ancestor_place_id", "place_ancestor", ["place_id"], unique=False)

    op.create_table(
        "place_code",
        sa.Column("scheme", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_place_code_place_id")),
        sa.PrimaryKeyConstraint("scheme", "code", name=op.f("pk_place_code")),
    )
    op.create_index("ix_place_code_place_id", "place_code", ["place_id"], unique=False)

    op.create_table(
        "remembered_answer",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_remembered_answer_key_id")),
        sa.PrimaryKeyConstraint("key_id", "token", name=op.f("pk_remembered_answer")),
    )
    op.create_index("ix_remembered_answer_created_at", "remembered_answer", ["created_at"], unique=False)

    op.create_table(
        "source_grade",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reliability", sa.String(length=1), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_grade_source_id")),
        sa.PrimaryKeyConstraint("source_id", "number", name=op.f("pk_source_grade")),
    )
    op.create_table(
        "reading",
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("lowest", sa.Integer(), nullable=False),
        sa.Column("highest", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("topic", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("agreement", sa.String(length=16), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("grade_rank", sa.Integer(), nullable=True),
        sa.Column("due", sa.Date(), nullable=True),
        sa.Column("stale_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision_clear", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("revision_green", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("revision_amber", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("revision_amber_strict", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("revision_red", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_reading_indicator_id")),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_reading_place_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_reading_source_id")),
        sa.PrimaryKeyConstraint("indicator_id", "lowest", name=op.f("pk_reading")),
    )
    op.create_index("ix_reading_due_indicator_id", "reading", ["due", "indicator_id"], unique=False)
    op.create_index("ix_reading_kind_indicator_id", "reading", ["kind", "indicator_id"], unique=False)
    op.create_index("ix_reading_kind_topic_indicator_id", "reading", ["kind", "topic", "indicator_id"], unique=False)
    op.create_index("ix_reading_place_id_indicator_id", "reading", ["place_id", "indicator_id"], unique=False)
    op.create_index("ix_reading_recorded_at", "reading", ["recorded_at"], unique=False)

    op.create_table(
        "report",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.String(length=100), nullable=False),
        sa.Column("aspect", sa.String(length=16), nullable=False),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stated_text", sa.String(length=32), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("via", sa.JSON(), nullable=False),
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
        sa.Column("level_sent", sa.Integer(), nullable=False),
        sa.Column("supersedes", sa.Uuid(), nullable=True),
        sa.Column("superseded_level", sa.Integer(), nullable=True),
        sa.Column("retracted_level", sa.Integer(), nullable=True),
        sa.Column("ended_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_report_indicator_id")),
        sa.ForeignKeyConstraint(["place_id"], ["place.id"], name=op.f("fk_report_place_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_report_source_id")),
        sa.ForeignKeyConstraint(["supersedes"], ["report.id"], name=op.f("fk_report_supersedes")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_report")),
        sa.UniqueConstraint("id", name=op.f("uq_report_id")),
    )
    op.create_index(
        "ix_report_ended",
        "report",
        ["indicator_id", "ended_number"],
        unique=False,
        sqlite_where=sa.text("ended_number IS NOT NULL"),
        postgresql_where=sa.text("ended_number IS NOT NULL"),
    )
    op.create_index("ix_report_fingerprint", "report", ["fingerprint"], unique=False)
    op.create_index("ix_report_indicator_id_number", "report", ["indicator_id", "number"], unique=False)
    op.create_index("ix_report_place_id", "report", ["place_id"], unique=False)
    op.create_index("ix_report_source_id", "report", ["source_id"], unique=False)
    op.create_index("ix_report_supersedes", "report", ["supersedes"], unique=False)
    op.create_index(
        "ix_report_voice",
        "report",
        ["indicator_id", "source_id", "aspect", "level", "stated_at", "number"],
        unique=False,
        sqlite_where=sa.text("ended_number IS NULL"),
        postgresql_where=sa.text("ended_number IS NULL"),
    )

    op.create_table(
        "voice",
        sa.Column("indicator_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("aspect", sa.String(length=16), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_voice_indicator_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_voice_source_id")),
        sa.PrimaryKeyConstraint("indicator_id", "source_id", "aspect", "level", name=op.f("pk_voice")),
    )
    op.create_index("ix_voice_source_id", "voice", ["source_id"], unique=False)

    op.create_table(
        "change",
        sa.Column("seq_clear", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_green", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_amber", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_amber_strict", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("seq_red", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("hash_clear", sa.String(length=64), nullable=True),
        sa.Column("hash_green", sa.String(length=64), nullable=True),
        sa.Column("hash_amber", sa.String(length=64), nullable=True),
        sa.Column("hash_amber_strict", sa.String(length=64), nullable=True),
        sa.Column("hash_red", sa.String(length=64), nullable=True),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=True),
        sa.Column("indicator_id", sa.Uuid(), nullable=True),
        sa.Column("from_indicator_id", sa.Uuid(), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("plain_below", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["from_indicator_id"], ["indicator.id"], name=op.f("fk_change_from_indicator_id")),
        sa.ForeignKeyConstraint(["indicator_id"], ["indicator.id"], name=op.f("fk_change_indicator_id")),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_change_report_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_change_source_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_change")),
    )
    op.create_index("ix_change_from_indicator_id_level_number", "change", ["from_indicator_id", "level", "number"], unique=False)
    op.create_index("ix_change_indicator_id_level_number", "change", ["indicator_id", "level", "number"], unique=False)
    op.create_index("ix_change_recorded_at", "change", ["recorded_at"], unique=False)
    op.create_index("ix_change_report_id", "change", ["report_id"], unique=False)
    op.create_index("ix_change_source_id_number", "change", ["source_id", "number"], unique=False)
    op.create_index("uq_change_seq_amber", "change", ["seq_amber"], unique=True)
    op.create_index("uq_change_seq_amber_strict", "change", ["seq_amber_strict"], unique=True)
    op.create_index("uq_change_seq_clear", "change", ["seq_clear"], unique=True)
    op.create_index("uq_change_seq_green", "change", ["seq_green"], unique=True)
    op.create_index("uq_change_seq_red", "change", ["seq_red"], unique=True)
    op.execute("INSERT INTO head (id, number, writes, recorded_at) VALUES (1, 0, 0, '2000-01-01 00:00:00.000000')")


def downgrade() -> None:

    op.drop_index("uq_change_seq_red", table_name="change")
    op.drop_index("uq_change_seq_green", table_name="change")
    op.drop_index("uq_change_seq_clear", table_name="change")
    op.drop_index("uq_change_seq_amber_strict", table_name="change")
    op.drop_index("uq_change_seq_amber", table_name="change")
    op.drop_index("ix_change_source_id_number", table_name="change")
    op.drop_index("ix_change_report_id", table_name="change")
    op.drop_index("ix_change_recorded_at", table_name="change")
    op.drop_index("ix_change_indicator_id_level_number", table_name="change")
    op.drop_index("ix_change_from_indicator_id_level_number", table_name="change")

    op.drop_table("change")
    op.drop_index("ix_voice_source_id", table_name="voice")

    op.drop_table("voice")
    op.drop_index("ix_report_voice", table_name="report")
    op.drop_index("ix_report_supersedes", table_name="report")
    op.drop_index("ix_report_source_id", table_name="report")
    op.drop_index("ix_report_place_id", table_name="report")
    op.drop_index("ix_report_indicator_id_number", table_name="report")
    op.drop_index("ix_report_fingerprint", table_name="report")
    op.drop_index("ix_report_ended", table_name="report")

    op.drop_table("report")
    op.drop_index("ix_reading_recorded_at", table_name="reading")
    op.drop_index("ix_reading_place_id_indicator_id", table_name="reading")
    op.drop_index("ix_reading_kind_topic_indicator_id", table_name="reading")
    op.drop_index("ix_reading_kind_indicator_id", table_name="reading")
    op.drop_index("ix_reading_due_indicator_id", table_name="reading")

    op.drop_table("reading")
    op.drop_table("source_grade")
    op.drop_index("ix_remembered_answer_created_at", table_name="remembered_answer")

    op.drop_table("remembered_answer")
    op.drop_index("ix_place_code_place_id", table_name="place_code")

    op.drop_table("place_code")
    op.drop_index("ix_place_ancestor_place_id", table_name="place_ancestor")

    op.drop_table("place_ancestor")
    op.drop_index("uq_indicator_kind_place_id_subject", table_name="indicator")
    op.drop_index("ix_indicator_place_id", table_name="indicator")

    op.drop_table("indicator")
    op.drop_table("source")
    op.drop_table("route")
    op.drop_index("ix_place_parent_id", table_name="place")
    op.drop_index("ix_place_country", table_name="place")

    op.drop_table("place")
    op.drop_table("head")
    op.drop_table("api_key")
