"""What people decided of pairs, as labels; recalibrations by them; how sure links must be."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Forward. What was decided in reviews before becomes labels."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    now = sa.text("now()")
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("left_id", sa.BigInteger(), nullable=False),
        sa.Column("right_id", sa.BigInteger(), nullable=False),
        sa.Column("is_match", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("weight", sa.Double(), nullable=True),
        sa.Column("model_run_id", sa.BigInteger(), nullable=True),
        sa.Column("guard", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", TIME, server_default=now, nullable=False),
        sa.CheckConstraint("left_id < right_id", name="label_order"),
        sa.CheckConstraint(
            "origin IN ('review', 'held', 'undo', 'constraint')", name="label_origin"
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="identity",
    )
    op.create_index("label_pair", "label", ["left_id", "right_id", "id"], schema="identity")
    op.create_table(
        "postponement",
        sa.Column("left_id", sa.BigInteger(), nullable=False),
        sa.Column("right_id", sa.BigInteger(), nullable=False),
        sa.Column("until_at", TIME, nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("left_id", "right_id"),
        schema="identity",
    )
    op.create_table(
        "recalibration",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lows", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("shares", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("labels", sa.BigInteger(), nullable=False),
        sa.Column("matches", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", TIME, server_default=now, nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="identity",
    )
    op.execute(
        "INSERT INTO identity.label (left_id, right_id, is_match, origin, probability, weight,"
        " model_run_id, decided_by, decided_at)"
        " SELECT left_id, right_id, decision = 'match', 'review', probability, weight,"
        " (SELECT max(m.run_id) FROM identity.model m WHERE m.run_id <= r.run_id),"
        " coalesce(decided_by, 'unknown'), coalesce(decided_at, created_at)"
        " FROM identity.review r WHERE decision IS NOT NULL ORDER BY decided_at, id"
    )
    op.add_column(
        "purpose",
        sa.Column("link_confidence", sa.Text(), server_default="probable", nullable=False),
        schema="consent",
    )
    op.create_check_constraint(
        "purpose_link_confidence",
        "purpose",
        "link_confidence IN ('probable', 'deterministic')",
        schema="consent",
    )


def downgrade() -> None:
    """Back: labels and recalibrations go, decisions stay in the reviews."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_constraint("purpose_link_confidence", "purpose", schema="consent")
    op.drop_column("purpose", "link_confidence", schema="consent")
    for table in ("recalibration", "postponement", "label"):
        op.drop_table(table, schema="identity")
