"""How far the journal of refusals tells, and of whom it has to say anew what stands."""

from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

#: Of who is changed once more while the journal is written, the row names another transaction.
DUE = """
CREATE FUNCTION consent.journal_is_due() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO consent.journal_due AS d (namespace, value)
  VALUES (coalesce(NEW.namespace, OLD.namespace), coalesce(NEW.value, OLD.value))
  ON CONFLICT (namespace, value) DO UPDATE SET transaction = pg_current_xact_id();
  RETURN NULL;
END $$;
"""
TABLES = ("restriction", "age_band")
KNOWN = """
INSERT INTO consent.journal_due (namespace, value)
SELECT DISTINCT namespace, value FROM consent.{0} ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    """Forward. The worker writes the journal, of what is here already too."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("""
        CREATE TABLE consent.refusal_journal (
          one boolean NOT NULL DEFAULT true CONSTRAINT refusal_journal_pkey PRIMARY KEY
            CONSTRAINT refusal_journal_one CHECK (one),
          number bigint NOT NULL,
          transaction xid8 NOT NULL,
          seq bigint NOT NULL)
    """)
    op.execute("INSERT INTO consent.refusal_journal VALUES (true, 0, '0', 0)")
    op.execute("""
        CREATE TABLE consent.journal_due (
          namespace text NOT NULL,
          value text NOT NULL,
          transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
          changed_at timestamptz NOT NULL DEFAULT now(),
          CONSTRAINT journal_due_pkey PRIMARY KEY (namespace, value))
    """)
    op.execute(DUE)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_is_journalled AFTER INSERT OR UPDATE OR DELETE "
            f"ON consent.{table} FOR EACH ROW EXECUTE FUNCTION consent.journal_is_due()"
        )
        op.execute(KNOWN.format(table))


def downgrade() -> None:
    """Back: the journal stays where it is, and tells no more."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in TABLES:
        op.execute(f"DROP TRIGGER {table}_is_journalled ON consent.{table}")
    op.execute("DROP FUNCTION consent.journal_is_due()")
    op.execute("DROP TABLE consent.journal_due")
    op.execute("DROP TABLE consent.refusal_journal")
