"""Addresses that identify somebody no more, what of them still denies, and erasures half done."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Forward. Addresses that were rectified before this are known by nothing any more."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "former_identifier",
        sa.Column("identifier_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("former_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("ended_at", TIME, nullable=False),
        schema="app",
    )
    op.create_index("former_identifier_former", "former_identifier", ["former_id"], schema="app")
    op.create_table(
        "erasure_left",
        sa.Column("erasure_id", sa.Uuid(), primary_key=True),
        sa.Column("subject", JSONB(), nullable=False),
        schema="app",
    )
    op.create_table(
        "carried_tc_string",
        sa.Column("namespace", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), primary_key=True),
        sa.Column("string", sa.Text(), nullable=False),
        sa.Column("said_at", TIME, nullable=False),
        schema="consent",
    )


def downgrade() -> None:
    """Back: an erasure no longer finds addresses that were put right."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("carried_tc_string", schema="consent")
    op.drop_table("erasure_left", schema="app")
    op.drop_table("former_identifier", schema="app")
