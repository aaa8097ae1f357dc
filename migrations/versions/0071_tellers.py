"""What an account is like is found once for all its members, by the latest who told it."""

from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None

#: Who is in an account: not who was removed, by whatever identifier of theirs, and never came back.
GROUP_MEMBER = """
CREATE VIEW app.group_member AS
SELECT m.identifier_id, m.refused, a.id AS account_id, a.type AS group_type
FROM app.account_member m
JOIN app.account a ON a.id = m.account_id
WHERE m.joined_at IS NOT NULL AND NOT EXISTS (
  SELECT FROM identity.current_person i
  JOIN identity.current_person p ON p.person_id = i.person_id
  JOIN app.account_member o ON o.identifier_id = p.identifier_id AND o.account_id = m.account_id
  WHERE i.identifier_id = m.identifier_id AND o.left_at >= m.seen_at)
"""
GROUP_TRAIT = """
CREATE VIEW app.group_trait AS
SELECT m.identifier_id, m.refused AS member_refused, a.id AS account_id, a.type AS group_type,
       a.key AS group_key, t.key, t.value, t.identifier_id AS told_by, t.refused, t.source_id,
       t.occurred_at, t.received_at, t.source_seq, t.event_id
FROM app.account_member m
JOIN app.account a ON a.id = m.account_id
JOIN app.account_trait t ON t.account_id = m.account_id
WHERE m.joined_at IS NOT NULL AND NOT EXISTS (
  SELECT FROM identity.current_person i
  JOIN identity.current_person p ON p.person_id = i.person_id
  JOIN app.account_member o ON o.identifier_id = p.identifier_id AND o.account_id = m.account_id
  WHERE i.identifier_id = m.identifier_id AND o.left_at >= m.seen_at)
"""
#: As `AccountTrait` says it.
LATEST = """
CREATE INDEX account_trait_latest ON app.account_trait (
  account_id, key, least(occurred_at, received_at) DESC,
  coalesce(source_seq, 4611686018427387903) DESC, received_at DESC, event_id DESC)
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP VIEW app.group_trait")
    op.execute(GROUP_MEMBER)
    op.execute(LATEST)


def downgrade() -> None:
    """Back."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP INDEX app.account_trait_latest")
    op.execute("DROP VIEW app.group_member")
    op.execute(GROUP_TRAIT)
