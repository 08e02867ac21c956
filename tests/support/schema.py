"""A schema revision after the last one, for tests of upgrades while the project has a single migration."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.storage import migrations

NEXT = "2999_next"
_SCRIPT = '''
"""Add indexes."""

from alembic import op

revision = "{revision}"
down_revision = "{head}"


def upgrade() -> None:
    op.create_index("ix_added", "place", ["name"])
    op.create_index("ix_added_later", "place", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_added_later", "place")
    op.drop_index("ix_added", "place")
'''


@contextmanager
def next_revision(folder: Path) -> Iterator[None]:
    """Let this process migrate to the revision `NEXT`, which adds the indexes `ix_added` and `ix_added_later`, within the block."""
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
