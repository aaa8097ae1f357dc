"""Which refusals stand, as a view; no word that is proved less well lifts a universal opt-out."""

from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

OPTED_OUT = """
CREATE OR REPLACE VIEW consent.opted_out AS
SELECT DISTINCT ON (namespace, value, purpose) namespace, value, purpose, id AS record_id
FROM consent.record o
WHERE universal = 'opt_out' AND NOT EXISTS (
  SELECT FROM consent.record v
  WHERE (v.namespace, v.value, v.purpose) = (o.namespace, o.value, o.purpose)
    AND v.universal = 'override' {proved} AND v.effective_at <= statement_timestamp()
    AND (v.valid_until IS NULL OR v.valid_until > statement_timestamp())
    AND NOT EXISTS (
      SELECT FROM consent.record r
      WHERE (r.namespace, r.value, r.purpose) = (o.namespace, o.value, o.purpose)
        AND r.state <> 'given' AND r.order_time >= v.order_time)
  OFFSET 0)
ORDER BY namespace, value, purpose, order_time DESC, recorded_at DESC, seq DESC
"""

# Of each identifier and purpose all refusals that stand, the newest of each kind: a grant may lift
# one and not the other. OFFSET 0 as in 0037: who asks of one opt-out does not look at all of them.
REFUSED = """
CREATE VIEW consent.refused AS
SELECT DISTINCT ON (n.namespace, n.value, n.purpose, n.proof, n.universal)
       n.namespace, n.value, n.purpose, n.proof, n.universal, n.id, n.state, n.order_time,
       n.recorded_at, n.seq, n.effective_at, n.purpose_version, n.notice, n.collected_by, n.evidence
FROM consent.record n
WHERE n.state <> 'given' AND (
  n.universal = 'opt_out' AND EXISTS (
    SELECT FROM consent.opted_out u
    WHERE u.namespace = n.namespace AND u.value = n.value AND u.purpose = n.purpose
    OFFSET 0)
  OR NOT EXISTS (
    SELECT FROM consent.record g
    WHERE g.namespace = n.namespace AND g.value = n.value AND g.purpose = n.purpose
      AND g.state = 'given' AND g.proof >= n.proof AND g.order_time > n.order_time
      AND g.effective_at <= clock_timestamp()))
ORDER BY n.namespace, n.value, n.purpose, n.proof, n.universal,
         n.order_time DESC, n.recorded_at DESC, n.seq DESC
"""

# Whom a grant had opted in again that does so no more: segments and links follow.
LOOK_AGAIN = """
INSERT INTO app.touched (identifier_id, why, details)
SELECT i.id, 'consent', jsonb_object_agg(v.purpose, 'refused')
FROM consent.record v
JOIN identity.identifier i ON i.namespace = v.namespace AND i.value = v.value
WHERE v.universal = 'override' AND v.proof < 3
GROUP BY i.id
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(OPTED_OUT.format(proved="AND v.proof = 3"))
    op.execute(REFUSED)
    op.execute(LOOK_AGAIN)


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP VIEW consent.refused")
    op.execute(OPTED_OUT.format(proved=""))
