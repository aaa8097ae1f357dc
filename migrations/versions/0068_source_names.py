"""A source that is removed keeps its name: what it sent is of that name in rules and journeys."""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None

SCHEMA = "app"


def upgrade() -> None:
    """Forward. A name is one source's among those in use, and may have been another's before."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_constraint("source_name_key", "source", schema=SCHEMA)
    op.create_index(
        "source_name",
        "source",
        ["name"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.execute(
        "UPDATE app.source SET name = regexp_replace(name, ' \\(removed [0-9]+\\)$', '')"
        " WHERE removed_at IS NOT NULL"
    )


def downgrade() -> None:
    """Back: what is removed is called so."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(
        "UPDATE app.source SET name = name || ' (removed ' || id || ')'"
        " WHERE removed_at IS NOT NULL"
    )
    op.drop_index("source_name", "source", schema=SCHEMA)
    op.create_unique_constraint("source_name_key", "source", ["name"], schema=SCHEMA)
