"""Destinations take back whom they were told of by a segment made anew for another purpose."""

from alembic import op

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward: who was told of as a member of such a segment is taken back by a sync."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(
        "INSERT INTO app.destination_sync (destination_id, what, stage)"
        " SELECT d.id, 'changes', 'members' FROM app.destination d"
        " WHERE d.removed_at IS NULL AND EXISTS (SELECT FROM app.segment s"
        "   WHERE s.key = ANY(d.segments) AND s.purpose <> d.purpose)"
    )


def downgrade() -> None:
    """Back: what was taken back stays so until a sync."""
