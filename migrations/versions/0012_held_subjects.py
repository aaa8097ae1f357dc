"""The index of the subjects of held events is kept in order at once.

A GIN index gathers new entries in a list that every search reads from end to end: 6 ms for each
subject beside 11,000 held events, and 9 µs without the list.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("held_subjects", table_name="held", schema="app")
    op.create_index(
        "held_subjects",
        "held",
        ["subjects"],
        unique=False,
        schema="app",
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("held_subjects", table_name="held", schema="app")
    op.create_index(
        "held_subjects",
        "held",
        ["subjects"],
        unique=False,
        schema="app",
        postgresql_using="gin",
    )
