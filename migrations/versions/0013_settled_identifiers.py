"""An identifier is a person of its own from birth, so that people can be found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

#: Room in each page for the rows that are changed most: an update then writes no index.
FILL = {"identity.identifier": 75, "identity.link": 90, "app.trait": 80}


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "identifier",
        sa.Column("settled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="identity",
    )
    op.execute(
        "UPDATE identity.identifier SET settled = person_id IS NOT NULL,"
        " group_id = coalesce(group_id, id), person_id = coalesce(person_id, id)"
    )
    for column in ("group_id", "person_id"):
        op.alter_column("identifier", column, nullable=False, schema="identity")
    op.execute(
        "CREATE OR REPLACE VIEW identity.current_person AS "
        "SELECT id AS identifier_id, namespace, value, profile_id, link_consent, first_seen_at, "
        "group_id, person_id FROM identity.identifier"
    )
    for table, percent in FILL.items():
        op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")


def downgrade() -> None:
    """Back: who was not settled has no person again."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in FILL:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    op.execute(
        "CREATE OR REPLACE VIEW identity.current_person AS "
        "SELECT id AS identifier_id, namespace, value, profile_id, link_consent, first_seen_at, "
        "coalesce(group_id, id) AS group_id, coalesce(person_id, id) AS person_id "
        "FROM identity.identifier"
    )
    for column in ("group_id", "person_id"):
        op.alter_column("identifier", column, nullable=True, schema="identity")
    op.execute("UPDATE identity.identifier SET group_id = NULL, person_id = NULL WHERE NOT settled")
    op.drop_column("identifier", "settled", schema="identity")
