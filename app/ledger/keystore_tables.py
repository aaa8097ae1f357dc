"""The tables of the keystore, which is a database of its own."""

import sqlalchemy as sa

#: What is in the place of an identifier's hash for the installation itself.
OWN = b"installation"

metadata = sa.MetaData()

subject_keys = sa.Table(
    "subject_key",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("ref", sa.LargeBinary(), unique=True, nullable=True),
    sa.Column("wrapped", sa.LargeBinary(), nullable=True),
    sa.Column("wrapping", sa.LargeBinary(), nullable=False),
    sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.false()),
)
#: The few keys that are destroyed and of which the ledger has no entry yet.
sa.Index(
    "subject_key_untold",
    subject_keys.c.id,
    sqlite_where=subject_keys.c.destroyed_at.is_not(None) & ~subject_keys.c.told,
    postgresql_where=subject_keys.c.destroyed_at.is_not(None) & ~subject_keys.c.told,
)
#: How many entries of the ledger named a key when it was destroyed, by kind: the sealer enters it.
key_counts = sa.Table(
    "destroyed_key",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("named", sa.JSON(), nullable=False),
)
#: What was signed last under the name of each log: who restores the database takes the keystore
#: along, or nothing opens, and may forget the checkpoints.
signed_logs = sa.Table(
    "signed_log",
    metadata,
    sa.Column("origin", sa.Text(), primary_key=True),
    sa.Column("note", sa.Text(), nullable=False),
)
signing_keys = sa.Table(
    "signing_key",
    metadata,
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("origin", sa.Text(), nullable=False),
    sa.Column("wrapped", sa.LargeBinary(), nullable=False),
    sa.Column("wrapping", sa.LargeBinary(), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("retires_at", sa.DateTime(timezone=True), nullable=True),
)
