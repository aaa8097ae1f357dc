"""Whom the catalogue's newer rules concern is looked at again: segments and links follow.

Versions that cover more than those before them, and purposes below `marketing` that do not say of
themselves that they are direct marketing, are from before these rules.
"""

from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

# No sorting of all records: who is looked at in vain loses nothing.
WIDENED = """
INSERT INTO app.touched (identifier_id, why, details)
SELECT i.id, 'consent', jsonb_object_agg(r.purpose, 'stale_notice')
FROM (
  SELECT p.key, max(p.version) AS version
  FROM consent.purpose p
  WHERE p.lawful_basis = 'consent' AND NOT p.renews AND p.effective_from <= clock_timestamp()
    AND EXISTS (
      SELECT FROM consent.purpose q
      WHERE q.key = p.key AND q.version < p.version
        AND (p.explicit AND NOT q.explicit
             OR NOT coalesce(nullif(p.declared -> 'special_categories', 'null'), '[]')
                    <@ coalesce(nullif(q.declared -> 'special_categories', 'null'), '[]')))
  GROUP BY p.key
) w
JOIN consent.record r
  ON r.purpose = w.key AND r.state = 'given' AND r.purpose_version < w.version
JOIN identity.identifier i ON i.namespace = r.namespace AND i.value = r.value
GROUP BY i.id
"""

OBJECTED = """
WITH RECURSIVE marketing AS (
  SELECT CAST('marketing' AS text) AS key
  UNION SELECT p.key FROM consent.purpose p JOIN marketing m ON p.parent = m.key
)
INSERT INTO app.touched (identifier_id, why, details)
SELECT DISTINCT i.id, 'consent', CAST('{"all": "objection_marketing"}' AS jsonb)
FROM consent.restriction d
JOIN identity.identifier i ON i.namespace = d.namespace AND i.value = d.value
WHERE d.kind = 'objection_marketing' AND (d.to_at IS NULL OR d.to_at > clock_timestamp())
  AND EXISTS (SELECT FROM consent.purpose p JOIN marketing m USING (key)
              WHERE NOT p.direct_marketing)
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(WIDENED)
    op.execute(OBJECTED)


def downgrade() -> None:
    """Back."""
