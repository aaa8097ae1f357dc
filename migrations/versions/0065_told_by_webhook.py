"""What webhooks were told of whom is held too, and of each message what it said.

So that what is not so any more can be put right.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None

#: Of each segment what was told last: that somebody left counts once it has arrived. Without a
#: digest: what is told next is compared with nothing.
AS_TOLD = """
INSERT INTO app.held_record (destination_id, profile_id, person_id, segments, withdrawn, sent_at)
SELECT destination_id, profile_id, min(person_id), array_agg(segment ORDER BY segment), false,
       max(at)
FROM (
  SELECT DISTINCT ON (m.destination_id, m.profile_id, m.payload ->> 'segment')
         m.destination_id, m.profile_id, m.person_id, m.type, m.payload ->> 'segment' AS segment,
         coalesce(m.ended_at, m.created_at) AS at
  FROM app.delivery m
  JOIN app.destination t ON t.id = m.destination_id AND t.kind = 'webhook'
  WHERE t.removed_at IS NULL AND m.sent
    AND (m.type = 'segment.entered' OR m.type = 'segment.exited' AND m.state = 'delivered')
  ORDER BY m.destination_id, m.profile_id, m.payload ->> 'segment', m.id DESC
) told
WHERE type = 'segment.entered'
GROUP BY destination_id, profile_id
ON CONFLICT DO NOTHING
"""
#: Who was told of with identifiers that are somebody else's since is looked at, and told of anew.
PARTED = """
INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type, payload, state,
                          due_at, created_at)
SELECT h.destination_id, gen_random_uuid(), h.person_id, h.profile_id, 'profile.updated', '{}',
       'waiting', now(), now()
FROM app.held_record h
JOIN app.destination t ON t.id = h.destination_id AND t.kind = 'webhook' AND t.removed_at IS NULL
JOIN identity.current_person mine ON mine.identifier_id = h.person_id
WHERE EXISTS (
  SELECT FROM app.disclosure s
  JOIN identity.current_person theirs ON theirs.identifier_id = ANY(s.identifier_ids)
  WHERE s.destination_id = h.destination_id
    AND CAST(s.leaf AS jsonb) ->> 'profile' = CAST(h.profile_id AS text)
    AND theirs.person_id <> mine.person_id)
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("delivery", sa.Column("told", BYTEA()), schema="app")
    op.execute(AS_TOLD)
    op.execute(PARTED)


def downgrade() -> None:
    """Back: nobody looks at what webhooks hold."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("""
        DELETE FROM app.delivery m USING app.destination t
        WHERE t.id = m.destination_id AND t.kind = 'webhook' AND m.type = 'profile.updated'
          AND m.state = 'waiting'
    """)
    op.execute("""
        DELETE FROM app.held_record h USING app.destination t
        WHERE t.id = h.destination_id AND t.kind = 'webhook'
    """)
    op.drop_column("delivery", "told", schema="app")
