"""A revision after the last one, for tests of upgrades while the project has a single migration."""

import shutil
from pathlib import Path

import pytest

from app.storage import migrations

NEXT = "2999_next"
_SCRIPT = '''
"""Add a table."""

import sqlalchemy as sa

from alembic import op

revision = "{revision}"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("added", sa.Column("id", sa.Integer(), primary_key=True))
    op.create_table("added_later", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("added_later")
    op.drop_table("added")
'''


def add_revision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process use a copy of the migrations with the revision `NEXT`, which adds the tables `added` and `added_later`."""
    head = migrations.required_schema_revision()
    scripts = folder / "alembic"
    shutil.copytree(migrations._scripts(), scripts)
    (scripts / "versions" / f"{NEXT}.py").write_text(_SCRIPT.format(revision=NEXT, head=head), encoding="utf-8")
    monkeypatch.setattr(migrations, "_scripts", lambda: scripts)
    monkeypatch.setattr(migrations, "revision_at_head", lambda: NEXT)
