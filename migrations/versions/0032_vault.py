"""The proof vault: what is kept against legal claims after an erasure, and who opened it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
BYTES = postgresql.BYTEA()
APPEND_ONLY = """
CREATE FUNCTION app.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'app.% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER vault_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON app.vault_event
  FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();
"""


def upgrade() -> None:
    """Forward. Who was erased before has nothing in it."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "vault_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("refs", postgresql.ARRAY(BYTES), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("kept_at", TIME, nullable=False),
        sa.Column("kept_until", TIME, nullable=False),
        sa.Column("sealed", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    for column in ("erasure_id", "kept_until"):
        op.create_index(f"ix_app_vault_entry_{column}", "vault_entry", [column], schema="app")
    op.create_index(
        "vault_entry_refs", "vault_entry", ["refs"], schema="app", postgresql_using="gin"
    )
    op.create_table(
        "vault_opening",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("entries", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("agree_by", TIME, nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", TIME, nullable=True),
        sa.Column("open_until", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'refused')", name="vault_opening_state"
        ),
        sa.CheckConstraint(
            "state <> 'approved' OR decided_by <> requested_by", name="vault_opening_two_people"
        ),
        schema="app",
    )
    op.create_table(
        "vault_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("opening_id", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["opening_id"], ["app.vault_opening.id"]),
        schema="app",
    )
    op.create_index("ix_app_vault_event_opening_id", "vault_event", ["opening_id"], schema="app")
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    """Back: the proofs are lost, and their keys in the keystore open nothing any more."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in ("vault_event", "vault_opening", "vault_entry"):
        op.drop_table(table, schema="app")
    op.execute("DROP FUNCTION app.refuse_change()")
