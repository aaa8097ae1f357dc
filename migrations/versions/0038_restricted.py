"""A restriction keeps the person whole: identity knows of it apart from what it says of linking."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

MATCHABLE = """
CREATE OR REPLACE VIEW identity.matchable AS
SELECT k.identifier_id, i.group_id, i.person_id, k.fields, k.keys, k.changed_at
FROM identity.record k
JOIN identity.current_person i ON i.identifier_id = k.identifier_id
WHERE i.link_consent <> 'refused' AND k.fields <> '{{}}'::jsonb
  AND EXISTS (SELECT FROM identity.identifier g
              WHERE g.person_id = i.person_id AND g.group_id = i.group_id
                AND g.link_consent = 'given'){restricted}
"""
RESTRICTED = """
  AND NOT EXISTS (SELECT FROM identity.identifier d
                  WHERE d.person_id = i.person_id AND d.restricted)"""
# Whose links came apart by a restriction until now: what they say of linking is asked anew.
ASK_AGAIN = """
INSERT INTO app.touched (identifier_id, why, details)
SELECT DISTINCT i.id, 'spelling', CAST('{}' AS jsonb)
FROM consent.restriction d
JOIN identity.identifier i ON i.namespace = d.namespace AND i.value = d.value
WHERE d.kind = 'restriction' AND (d.to_at IS NULL OR d.to_at > now())
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column(
        "identifier",
        sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        schema="identity",
    )
    op.create_index(
        "identifier_restricted",
        "identifier",
        ["person_id"],
        schema="identity",
        postgresql_where=sa.text("restricted"),
    )
    op.execute(MATCHABLE.format(restricted=RESTRICTED))
    op.execute(ASK_AGAIN)


def downgrade() -> None:
    """Back: their links come apart again, as soon as somebody asks."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(MATCHABLE.format(restricted=""))
    op.drop_index("identifier_restricted", table_name="identifier", schema="identity")
    op.drop_column("identifier", "restricted", schema="identity")
    op.execute(ASK_AGAIN)
