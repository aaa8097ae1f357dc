"""Events in partitions, of which one is open; a trait keeps the message id it came with."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.events.tables import TransactionId

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: The table that there is becomes the first partition; its rows are read once and not rewritten.
FIRST = """
ALTER TABLE app.event RENAME TO event_p1;
ALTER TABLE app.event_p1
  DROP CONSTRAINT event_pkey,
  DROP CONSTRAINT event_source_id_message_id_key,
  ALTER COLUMN message_id TYPE text COLLATE "C",
  ALTER COLUMN id DROP IDENTITY,
  ALTER COLUMN id SET DEFAULT nextval('app.event_id'),
  ADD COLUMN part bigint NOT NULL DEFAULT 1,
  ADD CONSTRAINT event_p1_part CHECK (part = 1);
ALTER TABLE app.event_p1 ALTER COLUMN part DROP DEFAULT;
ALTER INDEX app.event_stream RENAME TO event_p1_stream;
ALTER INDEX app.event_timeline RENAME TO event_p1_timeline;
CREATE UNIQUE INDEX event_p1_key ON app.event_p1 (source_id, message_id)
"""
#: It is open for writing, and the one after it is prepared (app.events.partitions).
ATTACH = """
ALTER TABLE app.event ATTACH PARTITION app.event_p1 FOR VALUES IN (1);
ALTER TABLE app.event_p1 DROP CONSTRAINT event_p1_part;
CREATE TABLE app.event_p2 (LIKE app.event INCLUDING DEFAULTS INCLUDING STORAGE);
CREATE UNIQUE INDEX event_p2_key ON app.event_p2 (source_id, message_id);
CREATE INDEX event_p2_stream ON app.event_p2 (transaction, id);
CREATE INDEX event_p2_timeline ON app.event_p2 (identifier_id, occurred_at);
ALTER TABLE app.event ATTACH PARTITION app.event_p2 FOR VALUES IN (2);
INSERT INTO app.event_partition (part, opened_at) VALUES (1, now()), (2, NULL)
"""
#: Ids go on above the highest there is.
NUMBERS = "SELECT setval('{to}', coalesce((SELECT max(id) FROM app.event), 0) + 1, false)"
#: The way back: of events that came again after the window, the first stays.
TOGETHER = """
INSERT INTO app.event (id, transaction, {columns}) OVERRIDING SYSTEM VALUE
SELECT id, transaction, {columns} FROM event_kept ORDER BY id
ON CONFLICT (source_id, message_id) DO NOTHING
"""
COLUMNS = (
    "source_id, message_id, type, name, identifier_id, identifier_ids, user_id, anonymous_id,"
    " occurred_at, received_at, sent_at, source_seq, refused, properties, context, rest"
)


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("trait", sa.Column("message_id", sa.Text(), nullable=True), schema="app")
    op.execute(
        "UPDATE app.trait t SET message_id = e.message_id FROM app.event e WHERE e.id = t.event_id"
    )
    op.alter_column("trait", "message_id", nullable=False, schema="app")
    op.execute("CREATE SEQUENCE app.event_id")
    op.execute(NUMBERS.format(to="app.event_id"))
    for command in FIRST.split(";"):
        op.execute(command)
    op.create_table(
        "event",
        *_columns(
            sa.Column(
                "id",
                sa.BigInteger(),
                server_default=sa.text("nextval('app.event_id')"),
                nullable=False,
            ),
            sa.Text(collation="C"),
        ),
        sa.Column("part", sa.BigInteger(), nullable=False),
        schema="app",
        postgresql_partition_by="LIST (part)",
    )
    _indexes()
    op.create_table(
        "event_partition",
        sa.Column("part", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("closed_by", TransactionId(), nullable=True),
        sa.Column("deduplicates", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("part"),
        schema="app",
    )
    for command in ATTACH.split(";"):
        op.execute(command)


def downgrade() -> None:
    """Back: one table again."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("trait", "message_id", schema="app")
    op.execute("CREATE TEMPORARY TABLE event_kept ON COMMIT DROP AS SELECT * FROM app.event")
    op.drop_table("event", schema="app")
    op.drop_table("event_partition", schema="app")
    op.execute("DROP SEQUENCE app.event_id")
    op.create_table(
        "event",
        *_columns(
            sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False), sa.Text()
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source_id", "message_id"),
        schema="app",
    )
    op.execute(TOGETHER.format(columns=COLUMNS))
    op.execute(NUMBERS.format(to="app.event_id_seq"))
    _indexes()


def _columns(first: sa.Column[Any], message_id: sa.Text) -> list[sa.Column[Any]]:
    times = postgresql.TIMESTAMP(timezone=True)
    return [
        first,
        sa.Column(
            "transaction",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
        ),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", message_id, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("identifier_id", sa.BigInteger(), nullable=False),
        sa.Column("identifier_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("anonymous_id", sa.Text(), nullable=True),
        sa.Column("occurred_at", times, nullable=False),
        sa.Column("received_at", times, nullable=False),
        sa.Column("sent_at", times, nullable=True),
        sa.Column("source_seq", sa.BigInteger(), nullable=True),
        sa.Column("refused", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("properties", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("context", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("rest", postgresql.JSON(astext_type=sa.Text()), nullable=True),
    ]


def _indexes() -> None:
    op.create_index("event_stream", "event", ["transaction", "id"], schema="app")
    op.create_index("event_timeline", "event", ["identifier_id", "occurred_at"], schema="app")
