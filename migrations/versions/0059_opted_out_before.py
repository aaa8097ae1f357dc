"""Who opted out by a universal signal has opted out of purposes under `us_optout` added since."""

from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None

# As consent/sql/opted_out_before.sql says of a purpose that is added from now on.
OPTED_OUT_BEFORE = """
WITH RECURSIVE last AS (
  SELECT DISTINCT ON (key) key, version, parent, regime
  FROM consent.purpose ORDER BY key, version DESC
), signalled AS (
  SELECT key FROM last WHERE regime = 'us_optout'
  UNION SELECT l.key FROM last l JOIN signalled s ON l.parent = s.key
)
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, universal, collected_by, evidence)
SELECT DISTINCT ON (r.namespace, r.value, l.key)
       r.namespace, r.value, l.key, l.version, r.state, r.effective_at,
       statement_timestamp(), r.order_time, r.universal, 'catalogue',
       jsonb_build_object('refused', r.purpose, 'record_id', r.id,
                          'said_by', coalesce(r.evidence ->> 'said_by', r.collected_by))
         || CASE WHEN r.evidence ->> 'server_side' = 'true' THEN '{"server_side": true}'::jsonb
                 ELSE '{}'::jsonb END
         || CASE r.proof WHEN 1 THEN '{"event_stamp": true}'::jsonb
                         WHEN 2 THEN '{"claimed": true}'::jsonb ELSE '{}'::jsonb END
FROM signalled s JOIN last l USING (key)
JOIN consent.refused r
  ON r.universal = 'opt_out' AND r.purpose IN ('ads.share', 'ads.personalised', 'profile.ads')
WHERE NOT EXISTS (
  SELECT FROM consent.opted_out o
  WHERE (o.namespace, o.value, o.purpose) = (r.namespace, r.value, l.key)
  OFFSET 0)
ORDER BY r.namespace, r.value, l.key, r.order_time DESC, r.proof DESC, r.purpose
"""


# Segments and destinations hear of it too.
LOOK_AGAIN = """
INSERT INTO app.touched (identifier_id, why, details)
SELECT i.id, 'consent', jsonb_object_agg(r.purpose, r.state)
FROM consent.record r
JOIN identity.identifier i ON i.namespace = r.namespace AND i.value = r.value
WHERE r.universal = 'opt_out' AND r.collected_by = 'catalogue'
GROUP BY i.id
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("LOCK TABLE consent.purpose IN SHARE ROW EXCLUSIVE MODE")
    op.execute(OPTED_OUT_BEFORE)
    op.execute(LOOK_AGAIN)


def downgrade() -> None:
    """Back: what is on record stays on record."""
