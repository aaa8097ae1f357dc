"""Tracking plans, their versions, the sources they hold for, and what differed from them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
#: What both tables of violations say of one.
WHAT = ("type", "event", "pointer", "keyword", "action")


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "tracking_plan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        schema="app",
    )
    op.create_table(
        "tracking_plan_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("definition", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["plan_id"], ["app.tracking_plan.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("plan_id", "number"),
        schema="app",
    )
    op.create_table(
        "tracking_plan_source",
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=False),
        sa.Column("attached_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["app.source.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["plan_id"], ["app.tracking_plan.id"]),
        sa.PrimaryKeyConstraint("source_id"),
        schema="app",
    )
    op.create_index(
        op.f("ix_app_tracking_plan_source_plan_id"), "tracking_plan_source", ["plan_id"],
        unique=False, schema="app",
    )  # fmt: skip
    op.create_table(
        "plan_violation",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("hour", TIME, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in WHAT),
        *_counted(),
        sa.ForeignKeyConstraint(
            ["version_id"], ["app.tracking_plan_version.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_id", "source_id", "hour", *WHAT),
        schema="app",
    )
    op.create_index("plan_violation_hour", "plan_violation", ["hour"], unique=False, schema="app")
    op.create_table(
        "plan_violation_arrival",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in WHAT),
        *_counted(),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )


def _counted() -> list[sa.Column[object]]:
    return [
        sa.Column("invented", sa.Boolean(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
    ]


def downgrade() -> None:
    """Back; the plans and what they found are lost."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in (
        "plan_violation_arrival",
        "plan_violation",
        "tracking_plan_source",
        "tracking_plan_version",
        "tracking_plan",
    ):
        op.drop_table(table, schema="app")
