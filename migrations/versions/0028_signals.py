"""How a source's consent signals are read; TC strings, vendor lists, vendors of destinations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Forward. Sources read as before: no string counted."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for column in (
        sa.Column(
            "tcf_collectors",
            postgresql.ARRAY(sa.BigInteger()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("tcf_policy_floor", sa.BigInteger(), server_default=sa.text("4"), nullable=False),
        sa.Column("tcf_own_purposes", sa.Text(), server_default="publisher", nullable=False),
        sa.Column("preference_snapshot", sa.Boolean(), server_default=sa.true(), nullable=False),
    ):
        op.add_column("source", column, schema="app")
    op.add_column("destination", sa.Column("tcf_vendor", sa.BigInteger()), schema="app")
    op.create_table(
        "tc_string",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("string", sa.Text(), nullable=False),
        sa.Column("said_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "value"),
        schema="consent",
    )
    op.create_table(
        "vendor_list",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("vendors", postgresql.JSONB(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("added_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("version"),
        schema="consent",
    )


def downgrade() -> None:
    """Back: the strings go, and with them what vendors were told apart by."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("vendor_list", schema="consent")
    op.drop_table("tc_string", schema="consent")
    op.drop_column("destination", "tcf_vendor", schema="app")
    for name in (
        "preference_snapshot", "tcf_own_purposes", "tcf_policy_floor", "tcf_collectors",
    ):  # fmt: skip
        op.drop_column("source", name, schema="app")
