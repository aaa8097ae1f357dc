"""Which values that are kept identify nobody by the rules of now; the worker looks for them."""

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. A default writes no row anew, and the index is of few."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "identifier",
        sa.Column("garbage", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="identity",
    )
    op.create_index(
        "identifier_garbage",
        "identifier",
        ["namespace"],
        schema="identity",
        postgresql_where=sa.text("garbage"),
    )


def downgrade() -> None:
    """Back: they conduct again, as soon as somebody asks."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("identifier_garbage", table_name="identifier", schema="identity")
    op.drop_column("identifier", "garbage", schema="identity")
