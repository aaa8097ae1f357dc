"""When a TC string stops counting is known by an index: whom it allowed is looked at then."""

from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

# The last of several, with blanks between: `acceptance.ends`, 395 days after LastUpdated, which is
# in tenths of a second in the bits 42 to 77 (TCF 2.3, core string): its characters 8 to 13.
TC_ENDS = r"""
CREATE FUNCTION consent.tc_ends(strings text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT to_timestamp(max(CAST(CAST(
           'x' || encode(decode('AA' || translate(substr(one, 8, 6), '-_', '+/'), 'base64'), 'hex')
         AS bit(48)) AS bigint)) / 10.0 + 395 * 86400)
  FROM string_to_table(strings, ' ') AS one
  WHERE one ~ '^[A-Za-z0-9_-]{13}'
$$
"""


def upgrade() -> None:
    """Forward. What has lapsed before is looked at when it is asked for, as before."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(TC_ENDS)
    op.execute("CREATE INDEX tc_string_ends ON consent.tc_string (consent.tc_ends(string))")


def downgrade() -> None:
    """Back: nobody looks."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP INDEX consent.tc_string_ends")
    op.execute("DROP FUNCTION consent.tc_ends(text)")
