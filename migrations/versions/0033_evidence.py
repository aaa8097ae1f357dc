"""Evidence of sends, single denials, and restrictions in the ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
IDS = postgresql.ARRAY(sa.BigInteger())
#: What was restricted before is stated in the ledger as well, as it stands.
STATED = """
INSERT INTO consent.ledger_statement (about, kind, public, namespace, value, body)
SELECT d.entry_id, 'restriction',
       jsonb_strip_nulls(jsonb_build_object(
         'event', 'set', 'restriction', d.kind, 'purpose', d.purpose_key,
         'from', to_char(d.from_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'))),
       d.namespace, d.value, CAST(to_jsonb(d) - 'id' - 'lift_id' AS text)
FROM consent.restriction d
ORDER BY d.id
"""


def upgrade() -> None:
    """Forward. What was sent before has no evidence; restrictions from before are stated now."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "manifest",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("destination_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("hashes", postgresql.BYTEA(), nullable=False),
        sa.Column("made_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.create_table(
        "disclosure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("destination_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("identifier_ids", IDS, nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.Column("manifest_id", sa.Uuid(), nullable=True),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    _indexes("disclosure", "decided_at", "disclosure_decided")
    op.create_index(
        "disclosure_waiting",
        "disclosure",
        ["id"],
        schema="app",
        postgresql_where=sa.text("manifest_id IS NULL"),
    )
    op.create_table(
        "denied_use",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("denied_at", TIME, nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("identifier_ids", IDS, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    _indexes("denied_use", "denied_at", "denied_use_at")
    op.add_column(
        "restriction",
        sa.Column(
            "entry_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        schema="consent",
    )
    op.add_column("restriction", sa.Column("lift_id", sa.Uuid(), nullable=True), schema="consent")
    for column in ("entry_id", "lift_id"):
        op.create_unique_constraint(
            f"restriction_{column}_key", "restriction", [column], schema="consent"
        )
    op.execute(STATED)


def _indexes(table: str, time: str, name: str) -> None:
    op.create_index(
        f"{table}_identifiers", table, ["identifier_ids"], schema="app", postgresql_using="gin"
    )
    op.create_index(name, table, [time], schema="app", postgresql_using="brin")


def downgrade() -> None:
    """Back: the evidence of sends is gone. What the ledger tells of it stays."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for column in ("lift_id", "entry_id"):
        op.drop_column("restriction", column, schema="consent")
    for table in ("denied_use", "disclosure", "manifest"):
        op.drop_table(table, schema="app")
