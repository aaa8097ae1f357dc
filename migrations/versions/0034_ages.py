"""Age bands, what a guardian has said, and purposes for adults."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
GUARDIAN = "coalesce(evidence ->> 'expressed_by' = 'guardian', false)"

CURRENT = """
CREATE OR REPLACE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(out.id, last.id) ELSE last.id END AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND out.id IS NOT NULL THEN 'refused'
            WHEN last.state = 'given' AND last.valid_until <= clock_timestamp() THEN 'expired'
            ELSE last.state END AS state,
       last.purpose_version, last.account_wide, last.stamp, last.unproven,
       last.guardian
FROM (
  SELECT DISTINCT ON (namespace, value, purpose)
         namespace, value, purpose, id, order_time, state, valid_until, purpose_version,
         account_wide, stamp, unproven, guardian
  FROM consent.record
  WHERE state <> 'given' OR effective_at <= clock_timestamp()
  ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC
) last
LEFT JOIN (
  SELECT DISTINCT ON (namespace, value, purpose) namespace, value, purpose, id
  FROM consent.record o
  WHERE universal = 'opt_out' AND NOT EXISTS (
    SELECT FROM consent.record v
    WHERE (v.namespace, v.value, v.purpose) = (o.namespace, o.value, o.purpose)
      AND v.universal = 'override' AND v.effective_at <= clock_timestamp()
      AND (v.valid_until IS NULL OR v.valid_until > clock_timestamp())
      AND NOT EXISTS (
        SELECT FROM consent.record r
        WHERE (r.namespace, r.value, r.purpose) = (o.namespace, o.value, o.purpose)
          AND r.state <> 'given' AND r.order_time >= v.order_time))
  ORDER BY namespace, value, purpose, order_time DESC, recorded_at DESC, seq DESC
) out USING (namespace, value, purpose)
"""

BEFORE = """
CREATE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(out.id, last.id) ELSE last.id END AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND out.id IS NOT NULL THEN 'refused'
            WHEN last.state = 'given' AND last.valid_until <= clock_timestamp() THEN 'expired'
            ELSE last.state END AS state,
       last.purpose_version, last.account_wide, last.stamp, last.unproven
FROM (
  SELECT DISTINCT ON (namespace, value, purpose)
         namespace, value, purpose, id, order_time, state, valid_until, purpose_version,
         account_wide, stamp, unproven
  FROM consent.record
  WHERE state <> 'given' OR effective_at <= clock_timestamp()
  ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC
) last
LEFT JOIN (
  SELECT DISTINCT ON (namespace, value, purpose) namespace, value, purpose, id
  FROM consent.record o
  WHERE universal = 'opt_out' AND NOT EXISTS (
    SELECT FROM consent.record v
    WHERE (v.namespace, v.value, v.purpose) = (o.namespace, o.value, o.purpose)
      AND v.universal = 'override' AND v.effective_at <= clock_timestamp()
      AND (v.valid_until IS NULL OR v.valid_until > clock_timestamp())
      AND NOT EXISTS (
        SELECT FROM consent.record r
        WHERE (r.namespace, r.value, r.purpose) = (o.namespace, o.value, o.purpose)
          AND r.state <> 'given' AND r.order_time >= v.order_time))
  ORDER BY namespace, value, purpose, order_time DESC, recorded_at DESC, seq DESC
) out USING (namespace, value, purpose)
"""


def upgrade() -> None:
    """Forward. Nobody's age is known; no version that exists is for adults alone."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "age_band",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("from_at", TIME, nullable=False),
        sa.Column("to_at", TIME, nullable=True),
        sa.Column("stated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("band IN ('child', 'teen')", name="age_band_band"),
        sa.CheckConstraint("to_at > from_at", name="age_band_interval"),
        schema="consent",
    )
    op.create_index("age_band_identifier", "age_band", ["namespace", "value"], schema="consent")
    op.add_column(
        "purpose",
        sa.Column("adults_only", sa.Boolean(), server_default=sa.false(), nullable=False),
        schema="consent",
    )
    op.add_column(
        "record",
        sa.Column("guardian", sa.Boolean(), sa.Computed(GUARDIAN), nullable=False),
        schema="consent",
    )
    op.execute(CURRENT)


def downgrade() -> None:
    """Back: children's own grants count again."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP VIEW consent.current")
    op.execute(BEFORE)
    op.drop_column("record", "guardian", schema="consent")
    op.drop_column("purpose", "adults_only", schema="consent")
    op.drop_table("age_band", schema="consent")
