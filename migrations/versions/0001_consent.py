"""Purposes, notices, append-only consent records."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EXTRA = """
CREATE FUNCTION consent.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'consent.% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER record_is_append_only BEFORE UPDATE OR DELETE ON consent.record
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
CREATE TRIGGER record_is_never_emptied BEFORE TRUNCATE ON consent.record
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
CREATE TRIGGER purpose_is_immutable BEFORE UPDATE OR DELETE ON consent.purpose
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
CREATE TRIGGER notice_is_immutable BEFORE UPDATE OR DELETE ON consent.notice
  FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();

-- What each identifier says about each purpose now: the last record that acts, where a grant acts
-- from its effective time and a refusal at once; among equals in time the restrictive one.
CREATE VIEW consent.current AS
SELECT DISTINCT ON (namespace, value, purpose)
       namespace, value, purpose, id AS record_id, order_time,
       CASE WHEN state = 'given' AND valid_until <= clock_timestamp() THEN 'expired' ELSE state END
         AS state
FROM consent.record
WHERE state <> 'given' OR effective_at <= clock_timestamp()
ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC;
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("CREATE SCHEMA IF NOT EXISTS consent")
    op.create_table(
        "denial",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("denials", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "use", "purpose", "reason"),
        schema="consent",
    )
    op.create_table(
        "notice",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("purposes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("key", "version", "language"),
        schema="consent",
    )
    op.create_table(
        "purpose",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("lawful_basis", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("title", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("description", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("valid_days", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "lawful_basis IN ('consent', 'contract', 'legal_obligation', "
            "'vital_interests', 'public_task', 'legitimate_interests')",
            name="purpose_lawful_basis",
        ),
        sa.CheckConstraint("mode IN ('most_restrictive', 'per_identifier')", name="purpose_mode"),
        sa.PrimaryKeyConstraint("key", "version"),
        schema="consent",
    )
    op.create_table(
        "record",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("purpose_version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("effective_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("order_time", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("valid_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("notice", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("collected_by", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("state IN ('given', 'refused', 'withdrawn')", name="record_state"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        schema="consent",
    )
    op.create_index(
        "record_current",
        "record",
        ["namespace", "value", "purpose", sa.literal_column("order_time DESC")],
        unique=False,
        schema="consent",
    )
    # ### end Alembic commands ###
    op.execute(EXTRA)


def downgrade() -> None:
    """Back: the whole schema goes, and everything in it."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP SCHEMA consent CASCADE")
