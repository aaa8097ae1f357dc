"""Universal opt-outs (Global Privacy Control) and the grants that override them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

CURRENT = """
CREATE OR REPLACE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(out.id, last.id) ELSE last.id END AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND out.id IS NOT NULL THEN 'refused'
            WHEN last.state = 'given' AND last.valid_until <= clock_timestamp() THEN 'expired'
            ELSE last.state END AS state
FROM (
  SELECT DISTINCT ON (namespace, value, purpose)
         namespace, value, purpose, id, order_time, state, valid_until
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
SELECT DISTINCT ON (namespace, value, purpose)
       namespace, value, purpose, id AS record_id, order_time,
       CASE WHEN state = 'given' AND valid_until <= clock_timestamp() THEN 'expired' ELSE state END
         AS state
FROM consent.record
WHERE state <> 'given' OR effective_at <= clock_timestamp()
ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC
"""


def upgrade() -> None:
    """Forward. Records so far are neither."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("record", sa.Column("universal", sa.Text()), schema="consent")
    op.create_check_constraint(
        "record_universal_state",
        "record",
        "universal = 'opt_out' AND state <> 'given' OR universal = 'override' AND state = 'given'",
        schema="consent",
    )
    op.create_index(
        "record_universal",
        "record",
        ["namespace", "value", "purpose"],
        schema="consent",
        postgresql_where=sa.text("universal IS NOT NULL"),
    )
    op.execute(CURRENT)


def downgrade() -> None:
    """Back: opt-outs become refusals, which a later grant lifts."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(BEFORE)
    op.drop_index("record_universal", "record", schema="consent")
    op.drop_constraint("record_universal_state", "record", schema="consent")
    op.drop_column("record", "universal", schema="consent")
