"""Destinations that were removed stay known, as whom people's data went to; told of by person."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

SCHEMA = "app"
#: Those that were deleted before are known by the evidence of what they were sent, and come back as
#: removed: who is erased or asks is told of them too.
KNOWN_BY_EVIDENCE = """
INSERT INTO app.destination (id, name, kind, url, secret, purpose, segments, enabled, why_disabled,
                             removed_at)
SELECT DISTINCT ON (s.destination_id)
       s.destination_id, coalesce(d.leaf #>> '{destination,name}', 'a destination'), 'webhook',
       '//' || coalesce(d.leaf #>> '{destination,host}', ''), '', s.purpose, '{}', false,
       'the destination was removed', now()
FROM app.disclosure s
CROSS JOIN LATERAL (SELECT CAST(s.leaf AS jsonb) AS leaf) d
WHERE NOT EXISTS (SELECT FROM app.destination t WHERE t.id = s.destination_id)
ORDER BY s.destination_id, s.id DESC
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("destination", sa.Column("removed_at", TIMESTAMP(timezone=True)), schema=SCHEMA)
    op.drop_constraint("destination_name_key", "destination", schema=SCHEMA)
    op.create_index(
        "destination_name",
        "destination",
        ["name"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.drop_constraint("delivery_destination_id_fkey", "delivery", schema=SCHEMA)
    op.create_foreign_key(
        "delivery_destination_id_fkey",
        "delivery",
        "destination",
        ["destination_id"],
        ["id"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
    )
    op.create_index("delivery_person", "delivery", ["person_id"], schema=SCHEMA)
    op.execute(KNOWN_BY_EVIDENCE)


def downgrade() -> None:
    """Back: what was removed is gone, and who was told by it."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("delivery_person", "delivery", schema=SCHEMA)
    op.drop_constraint("delivery_destination_id_fkey", "delivery", schema=SCHEMA)
    op.create_foreign_key(
        "delivery_destination_id_fkey",
        "delivery",
        "destination",
        ["destination_id"],
        ["id"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
        ondelete="CASCADE",
    )
    op.execute("DELETE FROM app.destination WHERE removed_at IS NOT NULL")
    op.drop_index("destination_name", "destination", schema=SCHEMA)
    op.create_unique_constraint("destination_name_key", "destination", ["name"], schema=SCHEMA)
    op.drop_column("destination", "removed_at", schema=SCHEMA)
