"""Restriction of processing and objections (GDPR art. 18 and 21), per identifier."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "restriction",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("purpose_key", sa.Text(), nullable=True),
        sa.Column("from_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("to_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("reason_ref", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('restriction', 'objection', 'objection_marketing')", name="restriction_kind"
        ),
        sa.CheckConstraint("to_at > from_at", name="restriction_interval"),
        sa.PrimaryKeyConstraint("id"),
        schema="consent",
    )
    op.create_index(
        "restriction_identifier", "restriction", ["namespace", "value"], schema="consent"
    )


def downgrade() -> None:
    """Back: restrictions and objections are forgotten."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("restriction", schema="consent")
