"""How well what is said is proved, by which refusals stand; sources whose write key is a secret."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

# One text for the column, which no writer can set otherwise, and for who asks before writing. What
# was recorded before has it too.
PROOF = """
CREATE FUNCTION consent.proof(state text, namespace text, collected_by text, evidence jsonb)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CAST(
    CASE WHEN state = 'given' AND evidence ->> 'unproven' = 'true' THEN 0
         WHEN evidence ->> 'event_stamp' = 'true' OR evidence ->> 'stated_by_importer' IS NOT NULL
           THEN 1
         WHEN evidence ->> 'claimed' = 'true'
           OR starts_with(collected_by, 'source:') AND namespace <> 'anonymous_id'
              AND evidence ->> 'server_side' IS DISTINCT FROM 'true' THEN 2
         ELSE 3 END AS bigint)
$$
"""
COMPUTED = "consent.proof(state, namespace, collected_by, evidence)"

CURRENT = """
CREATE OR REPLACE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(held.id, out.record_id, last.id)
            ELSE last.id END AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND coalesce(held.id, out.record_id) IS NOT NULL
              THEN 'refused'
            WHEN last.state = 'given' AND last.valid_until <= clock_timestamp() THEN 'expired'
            ELSE last.state END AS state,
       last.purpose_version, last.account_wide, last.stamp, last.unproven,
       last.guardian
FROM (
  SELECT DISTINCT ON (namespace, value, purpose)
         namespace, value, purpose, id, order_time, state, valid_until, purpose_version,
         account_wide, stamp, unproven, guardian, proof
  FROM consent.record
  WHERE state <> 'given' OR effective_at <= clock_timestamp()
  ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC
) last
LEFT JOIN consent.opted_out out USING (namespace, value, purpose)
LEFT JOIN LATERAL (
  SELECT n.id
  FROM (
    SELECT DISTINCT ON (r.proof) r.proof, r.id, r.order_time, r.recorded_at, r.seq
    FROM consent.record r
    WHERE last.state = 'given' AND last.proof < 3
      AND r.namespace = last.namespace AND r.value = last.value AND r.purpose = last.purpose
      AND r.state <> 'given' AND r.proof > last.proof
    ORDER BY r.proof, r.order_time DESC, r.recorded_at DESC, r.seq DESC
  ) n
  WHERE NOT EXISTS (
    SELECT FROM consent.record g
    WHERE g.namespace = last.namespace AND g.value = last.value AND g.purpose = last.purpose
      AND g.state = 'given' AND g.proof >= n.proof AND g.order_time > n.order_time
      AND g.effective_at <= clock_timestamp())
  ORDER BY n.order_time DESC, n.recorded_at DESC, n.seq DESC
  LIMIT 1
) held ON true
"""

# Whose withdrawal somebody's word had lifted that lifts it no more: segments and links follow.
LOOK_AGAIN = """
INSERT INTO app.touched (identifier_id, why, details)
SELECT i.id, 'consent', jsonb_object_agg(c.purpose, c.state)
FROM consent.current c
JOIN consent.record r ON r.id = c.record_id AND r.proof > 1 AND r.order_time < c.order_time
JOIN identity.identifier i ON i.namespace = c.namespace AND i.value = c.value
WHERE c.state = 'refused'
GROUP BY i.id
"""

BEFORE = """
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


def upgrade() -> None:
    """Forward. The column rewrites the table of records: while it does, nothing is recorded."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(PROOF)
    column: sa.Column[int] = sa.Column(
        "proof", sa.BigInteger(), sa.Computed(COMPUTED, persisted=True), nullable=False
    )
    op.add_column("record", column, schema="consent")
    op.execute(CURRENT)
    op.execute(LOOK_AGAIN)
    server_side: sa.Column[bool] = sa.Column(
        "server_side", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("source", server_side, schema="app")


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("source", "server_side", schema="app")
    op.execute(BEFORE)
    op.drop_column("record", "proof", schema="consent")
    op.execute("DROP FUNCTION consent.proof(text, text, text, jsonb)")
