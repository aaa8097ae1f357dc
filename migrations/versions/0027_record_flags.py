"""What decides of a record's notice and evidence, as columns: read from JSON it took a third."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

FLAGS = {
    "account_wide": "coalesce(notice ->> 'account_wide' = 'true', false)",
    "stamp": "coalesce(evidence ->> 'event_stamp' = 'true', false)",
    "unproven": "coalesce(evidence ->> 'unproven' = 'true', false)",
}

CURRENT = """
CREATE OR REPLACE VIEW consent.current AS
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

BEFORE = """
CREATE OR REPLACE VIEW consent.current AS
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
         coalesce(notice ->> 'account_wide' = 'true', false) AS account_wide,
         coalesce(evidence ->> 'event_stamp' = 'true', false) AS stamp,
         coalesce(evidence ->> 'unproven' = 'true', false) AS unproven
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
    """Forward. The columns are computed by PostgreSQL, so that no writer can say otherwise."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for name, expression in FLAGS.items():
        column: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), sa.Computed(expression), nullable=False
        )
        op.add_column("record", column, schema="consent")
    op.execute(CURRENT)


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(BEFORE)
    for name in FLAGS:
        op.drop_column("record", name, schema="consent")
