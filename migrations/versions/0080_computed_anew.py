"""What is computed is told of also where it goes; values of windows from before are computed anew.

Destinations that map a computed trait follow the feed from now on: who lost a value by time alone,
or got another while a record was on its way, was never sent it. A sync puts these right, once.

In a window an event counts from its receipt at the latest. Values from before stand for as many
years as somebody's clock was ahead, and nothing else would look at them earlier; they stand until
then.

Fields that are taken out of a mapping are remembered, to be emptied when somebody leaves.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0080"
down_revision = "0079"
branch_labels = None
depends_on = None

FOLLOWED = """
INSERT INTO app.progress (reader, transaction, event_id)
SELECT 'computed', coalesce(c.transaction, '0'), coalesce(c.id, 0)
FROM (VALUES (0)) AS one
LEFT JOIN (SELECT transaction, id FROM app.change
           WHERE transaction < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY transaction DESC, id DESC LIMIT 1) c ON true
"""
SYNCED = """
INSERT INTO app.destination_sync (destination_id, what, stage)
SELECT id, 'changes', 'members' FROM app.destination
WHERE removed_at IS NULL AND jsonb_path_exists(mapping, '$.*.computed')
"""
ANEW = """
UPDATE app.computed_trait SET position = 0, until = NULL, milliseconds = 0
WHERE definition ? 'within_days'
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "destination",
        sa.Column("formerly", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}"),
        schema="app",
    )
    op.execute(FOLLOWED)
    op.execute(SYNCED)
    op.execute(ANEW)


def downgrade() -> None:
    """Back: what was computed and sent since is right by either version."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.progress WHERE reader = 'computed'")
    op.drop_column("destination", "formerly", schema="app")
