"""Lists of people that were behind a number of an analysis, for segments made of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "people_list",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("key"),
        schema="app",
    )
    op.create_table(
        "people_list_member",
        sa.Column("list", sa.Text(), nullable=False),
        sa.Column("identifier_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["list"], ["app.people_list.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("list", "identifier_id"),
        schema="app",
    )
    op.create_index(
        "ix_app_people_list_member_identifier_id",
        "people_list_member",
        ["identifier_id"],
        schema="app",
    )


def downgrade() -> None:
    """Back: segments that were made of a number have nobody any more."""
    op.drop_table("people_list_member", schema="app")
    op.drop_table("people_list", schema="app")
