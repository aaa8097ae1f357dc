"""Whose universal opt-out stands, as a view of its own: the decision for everybody asks it too."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

# OFFSET 0 keeps the look-up of overrides one for each opt-out: where statistics know of no opt-out
# yet, PostgreSQL compared each with all of the others, 100,000 with 100,000.
OPTED_OUT = """
CREATE VIEW consent.opted_out AS
SELECT DISTINCT ON (namespace, value, purpose) namespace, value, purpose, id AS record_id
FROM consent.record o
WHERE universal = 'opt_out' AND NOT EXISTS (
  SELECT FROM consent.record v
  WHERE (v.namespace, v.value, v.purpose) = (o.namespace, o.value, o.purpose)
    AND v.universal = 'override' AND v.effective_at <= statement_timestamp()
    AND (v.valid_until IS NULL OR v.valid_until > statement_timestamp())
    AND NOT EXISTS (
      SELECT FROM consent.record r
      WHERE (r.namespace, r.value, r.purpose) = (o.namespace, o.value, o.purpose)
        AND r.state <> 'given' AND r.order_time >= v.order_time)
  OFFSET 0)
ORDER BY namespace, value, purpose, order_time DESC, recorded_at DESC, seq DESC
"""

CURRENT = """
CREATE OR REPLACE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(out.record_id, last.id) ELSE last.id END
         AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND out.record_id IS NOT NULL THEN 'refused'
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
LEFT JOIN consent.opted_out out USING (namespace, value, purpose)
"""

BEFORE = """
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


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(OPTED_OUT)
    op.execute(CURRENT)


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(BEFORE)
    op.execute("DROP VIEW consent.opted_out")
