"""Fewer pages for each new identifier, and every rule that showed a link."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# The first 32 bits are the day, the others random (RFC 9562, version 8): ids of one day are near
# each other in their index, which random ones made a different page to write for each identifier.
NEW_PROFILE_ID = """
CREATE FUNCTION identity.new_profile_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
SELECT CAST(overlay(overlay(CAST(gen_random_uuid() AS text)
         PLACING lpad(to_hex(CAST(floor(extract(epoch FROM now()) / 86400) AS int)), 8, '0')
         FROM 1 FOR 8) PLACING '8' FROM 15 FOR 1) AS uuid)
$$
"""
MATCHABLE = """
CREATE OR REPLACE VIEW identity.matchable AS
SELECT k.identifier_id, i.group_id, i.person_id, k.fields, k.keys, k.changed_at
FROM identity.record k
JOIN identity.current_person i ON i.identifier_id = k.identifier_id
WHERE i.link_consent <> 'refused' AND k.fields <> '{{}}'::jsonb
  AND EXISTS (SELECT FROM identity.identifier g
              WHERE {person}g.group_id = i.group_id AND g.link_consent = 'given')
"""
UNIQUE = "identifier_namespace_value_key"


def upgrade() -> None:
    """Forward. A group is within a person, and a person within a reach: one index finds them."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(NEW_PROFILE_ID)
    _profile_ids("identity.new_profile_id()")
    op.execute(MATCHABLE.format(person="g.person_id = i.person_id AND "))
    op.drop_index("identifier_group", table_name="identifier", schema="identity")
    op.drop_index("identifier_reach", table_name="identifier", schema="identity")
    op.create_index(
        "identifier_reach",
        "identifier",
        ["reach_id"],
        schema="identity",
        postgresql_where=sa.text("reach_id <> person_id"),
    )
    _unique("(namespace, value) INCLUDE (id)")
    none = sa.text("'{}'")
    also: sa.Column[list[str]] = sa.Column(
        "also", postgresql.ARRAY(sa.Text()), nullable=False, server_default=none
    )
    op.add_column("link", also, schema="identity")


def downgrade() -> None:
    """Back: of each link only the rule of its first evidence is known."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("link", "also", schema="identity")
    _unique("(namespace, value)")
    op.drop_index("identifier_reach", table_name="identifier", schema="identity")
    for name in ("group", "reach"):
        op.create_index(f"identifier_{name}", "identifier", [f"{name}_id"], schema="identity")
    op.execute(MATCHABLE.format(person=""))
    _profile_ids("gen_random_uuid()")
    op.execute("DROP FUNCTION identity.new_profile_id()")


def _profile_ids(default: str) -> None:
    op.alter_column("identifier", "profile_id", server_default=sa.text(default), schema="identity")


def _unique(columns: str) -> None:
    """Values are looked up by an index alone if it has the id too."""
    op.drop_constraint(UNIQUE, "identifier", schema="identity")
    op.execute(f"ALTER TABLE identity.identifier ADD CONSTRAINT {UNIQUE} UNIQUE {columns}")
