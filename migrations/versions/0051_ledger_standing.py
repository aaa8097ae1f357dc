"""What the ledger could not tell: ages and TC strings that stand, records of no transaction."""

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

#: Each table whose rows are replaced as they are stated, and each of its changes.
TABLES = ("age_band", "carried_tc_string", "tc_string")
REFERENCING = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}
#: All rows of each identifier that a statement changed, once nobody else is changing them: of the
#: one TC string of an identifier its row sees to that, of other tables 256 locks do, since a batch
#: may change thousands and the server has room for some thousands of locks. Of an erasure the
#: ledger tells nothing here: it ends with the identifier's key. The time at which a TC string was
#: last sent is no change.
STATE = """
CREATE FUNCTION consent.state_standing() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
  changed jsonb;
BEGIN
  IF TG_OP = 'INSERT' THEN
    changed := (SELECT jsonb_agg(DISTINCT jsonb_build_array(namespace, value)) FROM new_rows);
  ELSIF TG_OP = 'UPDATE' THEN
    changed := (
      SELECT jsonb_agg(DISTINCT jsonb_build_array(c.r -> 'namespace', c.r -> 'value'))
      FROM ((SELECT to_jsonb(n) - 'said_at' AS r FROM new_rows n
             EXCEPT SELECT to_jsonb(o) - 'said_at' FROM old_rows o)
            UNION ALL
            (SELECT to_jsonb(o) - 'said_at' FROM old_rows o
             EXCEPT SELECT to_jsonb(n) - 'said_at' FROM new_rows n)) c);
  ELSIF NOT EXISTS (SELECT FROM consent.erasure WHERE transaction = pg_current_xact_id()) THEN
    changed := (SELECT jsonb_agg(DISTINCT jsonb_build_array(namespace, value)) FROM old_rows);
  END IF;
  IF TG_TABLE_NAME <> 'tc_string' THEN
    PERFORM pg_advisory_xact_lock(k) FROM (
      SELECT DISTINCT hashtextextended(TG_TABLE_NAME || ' stands ' || (hashtextextended(
               (c ->> 0) || ':' || (c ->> 1), 0) & 255), 0) AS k
      FROM jsonb_array_elements(changed) c ORDER BY k) locks;
  END IF;
  EXECUTE format($state$
    INSERT INTO consent.ledger_statement (about, kind, public, namespace, value, body)
    SELECT gen_random_uuid(), 'standing', jsonb_build_object('of', %1$L), c ->> 0, c ->> 1,
           CAST(jsonb_build_object('namespace', c ->> 0, 'value', c ->> 1, 'rows', coalesce(
             (SELECT jsonb_agg(to_jsonb(a) - 'said_at'
                               ORDER BY CAST(to_jsonb(a) - 'said_at' AS text))
              FROM consent.%1$I a WHERE a.namespace = c ->> 0 AND a.value = c ->> 1), '[]'))
           AS text)
    FROM jsonb_array_elements($1) c ORDER BY c ->> 0, c ->> 1
  $state$, TG_TABLE_NAME) USING changed;
  RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER {0}_is_stated_{2} AFTER {1} ON consent.{0} REFERENCING {3}
  FOR EACH STATEMENT EXECUTE FUNCTION consent.state_standing();
"""
#: What was there before.
BEFORE = """
INSERT INTO consent.ledger_statement (about, kind, public, namespace, value, body)
SELECT gen_random_uuid(), 'standing', jsonb_build_object('of', '{0}'), namespace, value,
       CAST(jsonb_build_object('namespace', namespace, 'value', value, 'rows', jsonb_agg(
         to_jsonb(a) - 'said_at' ORDER BY CAST(to_jsonb(a) - 'said_at' AS text))) AS text)
FROM consent.{0} a
GROUP BY namespace, value
ORDER BY namespace, value;
"""
#: A record that names another transaction than its own would never be sealed, or not in its turn.
OWN = """
CREATE FUNCTION consent.refuse_other_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a record names the transaction that writes it'
    USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER record_is_of_its_transaction BEFORE INSERT ON consent.record FOR EACH ROW
  WHEN (NEW.transaction <> pg_current_xact_id())
  EXECUTE FUNCTION consent.refuse_other_transaction();
"""


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL timezone = 'UTC'")
    op.execute(STATE)
    for table in TABLES:
        for event, rows in REFERENCING.items():
            op.execute(TRIGGER.format(table, event, event.lower(), rows))
        op.execute(BEFORE.format(table))
    op.execute(OWN)


def downgrade() -> None:
    """Back: the ledger goes on without these."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP TRIGGER record_is_of_its_transaction ON consent.record")
    op.execute("DROP FUNCTION consent.refuse_other_transaction()")
    for table in TABLES:
        for event in REFERENCING:
            op.execute(f"DROP TRIGGER {table}_is_stated_{event.lower()} ON consent.{table}")
    op.execute("DROP FUNCTION consent.state_standing()")
    # An earlier sealer would make entries of them that nothing explains.
    op.execute("DELETE FROM consent.ledger_statement WHERE kind = 'standing'")
