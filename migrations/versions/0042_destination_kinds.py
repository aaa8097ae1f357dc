"""Kinds of destinations: settings, mapping, pace; and what receivers hold of people."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Forward: what there is are webhooks, and goes on as it is."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for name in ("settings", "mapping"):
        column = sa.Column(name, postgresql.JSONB(), server_default="{}", nullable=False)
        op.add_column("destination", column, schema="app")
    op.add_column("destination", sa.Column("rate", sa.Double(), nullable=True), schema="app")
    op.add_column(
        "destination",
        sa.Column("not_before", TIME, server_default=sa.text("now()"), nullable=False),
        schema="app",
    )
    op.drop_index("delivery_due", "delivery", schema="app")
    op.create_index(
        "delivery_due",
        "delivery",
        ["destination_id", "due_at", "id"],
        schema="app",
        postgresql_where=WAITING,
    )
    op.create_table(
        "held_record",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("destination_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=True),
        sa.Column("remote_hash", postgresql.BYTEA(), nullable=True),
        sa.Column("segments", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("digest", postgresql.BYTEA(), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("sent_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["destination_id"], ["app.destination.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("destination_id", "profile_id"),
        schema="app",
    )
    op.create_index(
        "held_record_remote", "held_record", ["destination_id", "remote_hash"], schema="app"
    )
    op.create_index("held_record_person", "held_record", ["person_id"], schema="app")


def downgrade() -> None:
    """Back: other kinds than webhooks go, and with them what they would have been told."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.destination WHERE kind <> 'webhook'")
    op.drop_table("held_record", schema="app")
    op.drop_index("delivery_due", "delivery", schema="app")
    op.create_index(
        "delivery_due", "delivery", ["due_at", "id"], schema="app", postgresql_where=WAITING
    )
    for name in ("not_before", "rate", "mapping", "settings"):
        op.drop_column("destination", name, schema="app")
