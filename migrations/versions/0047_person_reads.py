"""Who read whom, for what, when and by which operation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

SCHEMA = "app"


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "person_read",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("read_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text()),
        sa.Column("identifier_ids", ARRAY(sa.BigInteger()), nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "person_read_identifiers",
        "person_read",
        ["identifier_ids"],
        schema=SCHEMA,
        postgresql_using="gin",
    )
    op.create_index(
        "person_read_at", "person_read", ["read_at"], schema=SCHEMA, postgresql_using="brin"
    )


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("person_read", schema=SCHEMA)
