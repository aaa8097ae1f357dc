"""Accounts and households: groups of people, who is in them, and what they are like."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
TEXTS = postgresql.ARRAY(sa.Text())
# What is said of the accounts that somebody is in now: for sets of people, one row for each value
# that an identifier's events told. Whoever uses it must ask two questions of consent: of the
# member (identifier_id, member_refused) and of who told it (told_by, refused).
GROUP_TRAIT = """
CREATE VIEW app.group_trait AS
SELECT m.identifier_id, m.refused AS member_refused, a.id AS account_id, a.type AS group_type,
       a.key AS group_key, t.key, t.value, t.identifier_id AS told_by, t.refused, t.source_id,
       t.occurred_at, t.received_at, t.source_seq, t.event_id
FROM app.account_member m
JOIN app.account a ON a.id = m.account_id
JOIN app.account_trait t ON t.account_id = m.account_id
WHERE m.joined_at > coalesce(m.left_at, '-infinity')
"""


def upgrade() -> None:
    """Forward. Group calls that were taken before count with the next ones."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "account_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("first_seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id"),
        sa.UniqueConstraint("type", "key"),
        schema="app",
    )
    op.create_table(
        "account_member",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("identifier_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refused", TEXTS, nullable=False),
        *(
            column
            for when in ("joined", "left")
            for column in (
                sa.Column(f"{when}_at", TIME, nullable=True),
                sa.Column(f"{when}_message_id", sa.Text(), nullable=True),
                sa.Column(f"{when}_source_id", sa.BigInteger(), nullable=True),
            )
        ),
        sa.Column("seen_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("account_id", "identifier_id", "refused"),
        schema="app",
    )
    op.create_table(
        "account_trait",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("identifier_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("refused", TEXTS, nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("source_seq", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "identifier_id", "key", "refused", "source_id"),
        schema="app",
    )
    for table in ("account_member", "account_trait"):
        op.create_index(f"{table}_identifier", table, ["identifier_id"], schema="app")
    op.execute(GROUP_TRAIT)


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP VIEW app.group_trait")
    for table in ("account_trait", "account_member", "account"):
        op.drop_table(table, schema="app")
