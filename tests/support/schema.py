"""A schema revision after the last one, for tests of upgrades while the project has a single migration."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.storage import migrations

NEXT = "2999_next"
_SCRIPT = '''
"""Add tables."""

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


@contextmanager
def next_revision(folder: Path) -> Iterator[None]:
    """Let this process migrate to the revision `NEXT`, which adds the tables `added` and `added_later`, within the block."""
    head = migrations.required_schema_revision()
    scripts = folder / "alembic"
    shutil.copytree(migrations._scripts(), scripts)
    (scripts / "versions" / f"{NEXT}.py").write_text(_SCRIPT.format(revision=NEXT, head=head), encoding="utf-8")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(migrations, "_scripts", lambda: scripts)
            migrations.required_schema_revision.cache_clear()
            yield
    finally:
        migrations.required_schema_revision.cache_clear()
