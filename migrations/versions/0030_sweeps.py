"""Spellings of one value know each other; what concerns everybody is carried out in portions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
# Spellings that were linked before: a chain of them is put right when they are looked at anew.
LINKED = """
UPDATE identity.identifier i SET spelling_of = l.right_id
FROM identity.link l
WHERE l.left_id = i.id AND l.rule = 'spelling' AND l.revoked_at IS NULL
"""


def upgrade() -> None:
    """Forward. What is noted twice for being computed anew is noted once."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("identifier", sa.Column("spelling_of", sa.BigInteger()), schema="identity")
    op.execute(LINKED)
    op.create_index(
        "identifier_spelling",
        "identifier",
        ["spelling_of"],
        schema="identity",
        postgresql_where=sa.text("spelling_of IS NOT NULL"),
    )
    op.create_table(
        "sweep",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("requested_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("what"),
        schema="identity",
    )
    op.execute(
        "DELETE FROM app.touched t USING app.touched o "
        "WHERE t.why = 'identity' AND o.why = 'identity' "
        "AND o.identifier_id = t.identifier_id AND o.id < t.id"
    )
    op.create_index(
        "touched_again",
        "touched",
        ["identifier_id"],
        unique=True,
        schema="app",
        postgresql_where=sa.text("why = 'identity'"),
    )


def downgrade() -> None:
    """Back: what was not carried out yet is lost; the command has it done again."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("touched_again", table_name="touched", schema="app")
    op.drop_table("sweep", schema="identity")
    op.drop_index("identifier_spelling", table_name="identifier", schema="identity")
    op.drop_column("identifier", "spelling_of", schema="identity")
