"""What is collected for exempt measurement is for no purpose that is added later either."""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

BARRED = """
CREATE FUNCTION app.barred(refused text[], purpose text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT purpose = ANY(refused)
      OR (starts_with(refused[array_lower(refused, 1)], '!')
          AND refused[array_lower(refused, 1)] <> '!' || purpose) IS TRUE
$$;
"""
#: Of sources that collect for a purpose whose data stay by themselves, in any version of it.
MARKED = """
WITH marked AS (
  UPDATE app.event e SET refused = ARRAY['!' || s.collection_purpose] || e.refused
  FROM app.source s
  WHERE s.id = e.source_id AND NOT ('!' || s.collection_purpose = ANY(e.refused))
    AND 'profile.link' = ANY(e.refused)
    AND EXISTS (SELECT FROM consent.purpose p WHERE p.key = s.collection_purpose AND NOT p.linkable)
  RETURNING e.id
)
INSERT INTO app.lake_removal (event_id, again) SELECT id, true FROM marked
ON CONFLICT (event_id) DO NOTHING;
"""
FORGOTTEN = """
DELETE FROM app.trait t USING app.source s
WHERE s.id = t.source_id AND 'profile.link' = ANY(t.refused)
  AND EXISTS (SELECT FROM consent.purpose p WHERE p.key = s.collection_purpose AND NOT p.linkable);
"""


def upgrade() -> None:
    """Forward. Events of exempt sources are marked, here and in the lake; their traits go."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(BARRED)
    exempt = sa.text("SELECT EXISTS (SELECT FROM consent.purpose WHERE NOT linkable)")
    if not op.get_bind().scalar(exempt):
        return
    op.execute(MARKED)
    op.execute(FORGOTTEN)


def downgrade() -> None:
    """Back: a mark is the name of a purpose that there is not."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP FUNCTION app.barred(text[], text)")
