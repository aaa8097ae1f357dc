"""Blocking keys beside the records, what matching has learnt, and who may be matched, as a view."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MATCHABLE = """
CREATE VIEW identity.matchable AS
SELECT k.identifier_id, i.group_id, i.person_id, k.fields, k.keys, k.changed_at
FROM identity.record k
JOIN identity.current_person i ON i.identifier_id = k.identifier_id
WHERE i.link_consent <> 'refused' AND k.fields <> '{}'::jsonb
  AND EXISTS (SELECT FROM identity.identifier g
              WHERE g.group_id = i.group_id AND g.link_consent = 'given')
"""


def upgrade() -> None:
    """Forward. Nobody has keys yet: the next run is a whole one."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("record", sa.Column("keys", postgresql.ARRAY(sa.BigInteger())), schema="identity")
    # Every look-up would go through the list of what waits to be sorted into the index.
    op.create_index(
        "record_keys",
        "record",
        ["keys"],
        schema="identity",
        postgresql_using="gin",
        postgresql_with={"fastupdate": False},
    )
    op.create_index(
        "record_new",
        "record",
        ["identifier_id"],
        schema="identity",
        postgresql_where=sa.text("keys IS NULL"),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("learnt", postgresql.JSONB(), nullable=False),
        sa.Column(
            "learnt_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="identity",
    )
    op.execute(MATCHABLE)


def downgrade() -> None:
    """Back: keys and models are made again by the next run."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP VIEW identity.matchable")
    op.drop_table("model", schema="identity")
    op.drop_index("record_new", table_name="record", schema="identity")
    op.drop_index("record_keys", table_name="record", schema="identity")
    op.drop_column("record", "keys", schema="identity")
