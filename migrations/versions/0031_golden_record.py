"""Traits keep what each source says; rules of which value survives; traits computed from events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
# Back again only the latest of all sources has room.
LATEST = """
DELETE FROM app.trait t USING app.trait o
WHERE o.identifier_id = t.identifier_id AND o.key = t.key AND o.refused = t.refused
  AND (least(o.occurred_at, o.received_at), coalesce(o.source_seq, 4611686018427387903),
       o.received_at, o.event_id)
    > (least(t.occurred_at, t.received_at), coalesce(t.source_seq, 4611686018427387903),
       t.received_at, t.event_id)
"""


def _seen(when: str) -> tuple[sa.Column[object], ...]:
    """The columns that say when, by which event and in which source a value was said."""
    return (
        sa.Column(f"{when}_occurred_at", TIME, nullable=False),
        sa.Column(f"{when}_received_at", TIME, nullable=False),
        sa.Column(f"{when}_source_seq", sa.BigInteger(), nullable=True),
        sa.Column(f"{when}_event_id", sa.BigInteger(), nullable=False),
        sa.Column(f"{when}_message_id", sa.Text(), nullable=False),
        sa.Column(f"{when}_source_id", sa.BigInteger(), nullable=False),
    )


def upgrade() -> None:
    """Forward. What other sources said before is not known; it comes with their next events."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    now = sa.text("now()")
    op.drop_constraint("trait_pkey", "trait", schema="app", type_="primary")
    op.create_primary_key(
        "trait_pkey", "trait", ["identifier_id", "key", "refused", "source_id"], schema="app"
    )
    op.create_table(
        "trait_rule",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("sources", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("set_at", TIME, server_default=now, nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        schema="app",
    )
    op.create_table(
        "trait_value",
        sa.Column("identifier_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("refused", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        *_seen("first"),
        *_seen("last"),
        sa.PrimaryKeyConstraint("identifier_id", "key", "refused", "digest"),
        schema="app",
    )
    op.create_table(
        "computed_trait",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", TIME, server_default=now, nullable=False),
        sa.Column("updated_at", TIME, server_default=now, nullable=False),
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("computed_at", TIME, nullable=True),
        sa.Column("milliseconds", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failed_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        schema="app",
    )
    op.create_table(
        "computed_value",
        sa.Column("trait_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("basis", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("computed_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["trait_id"], ["app.computed_trait.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("trait_id", "subject_id"),
        schema="app",
    )
    op.create_index("computed_value_subject", "computed_value", ["subject_id"], schema="app")
    op.create_index(
        "computed_value_due",
        "computed_value",
        ["trait_id", "due_at"],
        schema="app",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Back. Rules and definitions are lost, and of a trait all but the latest value."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("computed_value", schema="app")
    op.drop_table("computed_trait", schema="app")
    op.drop_table("trait_value", schema="app")
    op.drop_table("trait_rule", schema="app")
    op.execute(LATEST)
    op.drop_constraint("trait_pkey", "trait", schema="app", type_="primary")
    op.create_primary_key("trait_pkey", "trait", ["identifier_id", "key", "refused"], schema="app")
