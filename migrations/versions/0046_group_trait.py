"""Who was removed from an account, by whatever identifier of theirs, is in it no more."""

from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

GROUP_TRAIT = """
CREATE OR REPLACE VIEW app.group_trait AS
SELECT m.identifier_id, m.refused AS member_refused, a.id AS account_id, a.type AS group_type,
       a.key AS group_key, t.key, t.value, t.identifier_id AS told_by, t.refused, t.source_id,
       t.occurred_at, t.received_at, t.source_seq, t.event_id
FROM app.account_member m
JOIN app.account a ON a.id = m.account_id
JOIN app.account_trait t ON t.account_id = m.account_id
WHERE {inside}
"""
INSIDE = """m.joined_at IS NOT NULL AND NOT EXISTS (
  SELECT FROM identity.current_person i
  JOIN identity.current_person p ON p.person_id = i.person_id
  JOIN app.account_member o ON o.identifier_id = p.identifier_id AND o.account_id = m.account_id
  WHERE i.identifier_id = m.identifier_id AND o.left_at >= m.seen_at)"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(GROUP_TRAIT.format(inside=INSIDE))


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(GROUP_TRAIT.format(inside="m.joined_at > coalesce(m.left_at, '-infinity')"))
