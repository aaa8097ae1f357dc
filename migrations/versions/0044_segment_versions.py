"""Segments say what is wrong with them, have versions, and can be archived."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Forward: what a segment says now is its first version."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    one = sa.text("1")
    op.add_column(
        "segment",
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=one),
        schema="app",
    )
    for name in ("tried_at", "failed_at", "archived_at"):
        op.add_column("segment", sa.Column(name, TIME, nullable=True), schema="app")
    op.add_column("segment", sa.Column("error", sa.Text(), nullable=True), schema="app")
    op.add_column(
        "segment_member",
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=one),
        schema="app",
    )
    op.create_table(
        "segment_version",
        sa.Column("segment_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rule", postgresql.JSONB(), nullable=False),
        sa.Column("set_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["segment_id"], ["app.segment.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("segment_id", "version"),
        schema="app",
    )
    op.execute(
        "INSERT INTO app.segment_version (segment_id, version, name, rule, set_at, set_by)"
        " SELECT id, 1, name, rule, updated_at, '' FROM app.segment"
    )


def downgrade() -> None:
    """Back: members of archived segments have left; what earlier versions said is gone."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("segment_version", schema="app")
    op.drop_column("segment_member", "version", schema="app")
    op.execute("DELETE FROM app.segment WHERE archived_at IS NOT NULL")
    for name in ("error", "archived_at", "failed_at", "tried_at", "version"):
        op.drop_column("segment", name, schema="app")
