"""Clients have several secrets and public keys at a time; keys that sign tokens take turns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

SCHEMA = "app"


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Forward: the secret of each client becomes the first of its credentials."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "client_credential",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column(
            "client_id",
            sa.BigInteger(),
            sa.ForeignKey("app.client.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("secret_hash", sa.LargeBinary()),
        sa.Column("public_jwk", JSONB()),
        sa.Column("hint", sa.Text(), nullable=False),
        _moment("created_at"),
        _moment("expires_at", nullable=True),
        sa.CheckConstraint(
            "(secret_hash IS NULL) <> (public_jwk IS NULL)", name="client_credential_is_one"
        ),
        schema=SCHEMA,
    )
    op.create_index("client_credential_client", "client_credential", ["client_id"], schema=SCHEMA)
    op.create_table(
        "client_assertion",
        sa.Column(
            "client_id",
            sa.BigInteger(),
            sa.ForeignKey("app.client.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("token_hash", sa.LargeBinary(), primary_key=True),
        _moment("expires_at"),
        schema=SCHEMA,
    )
    op.execute(
        "INSERT INTO app.client_credential (client_id, secret_hash, hint, created_at) "
        "SELECT id, secret_hash, '', created_at FROM app.client "
        "WHERE removed_at IS NULL ORDER BY id"
    )
    op.drop_column("client", "secret_hash", schema=SCHEMA)
    op.add_column("client", sa.Column("requests_per_second", sa.Double()), schema=SCHEMA)
    op.add_column("client", sa.Column("burst", sa.BigInteger()), schema=SCHEMA)
    op.add_column("client", _moment("tokens_from", nullable=True), schema=SCHEMA)
    op.add_column("signing_key", _moment("signs_from", nullable=True), schema=SCHEMA)
    op.add_column("signing_key", _moment("retired_at", nullable=True), schema=SCHEMA)
    op.execute("UPDATE app.signing_key SET signs_from = created_at")
    op.alter_column("signing_key", "signs_from", nullable=False, schema=SCHEMA)


def downgrade() -> None:
    """Back: a client keeps its newest secret; one that has only keys has none that fits."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_column("signing_key", "retired_at", schema=SCHEMA)
    op.drop_column("signing_key", "signs_from", schema=SCHEMA)
    op.drop_column("client", "tokens_from", schema=SCHEMA)
    op.drop_column("client", "burst", schema=SCHEMA)
    op.drop_column("client", "requests_per_second", schema=SCHEMA)
    op.add_column("client", sa.Column("secret_hash", sa.LargeBinary()), schema=SCHEMA)
    op.execute(
        "UPDATE app.client c SET secret_hash = coalesce((SELECT k.secret_hash "
        "FROM app.client_credential k WHERE k.client_id = c.id AND k.secret_hash IS NOT NULL "
        "ORDER BY k.id DESC LIMIT 1), ''::bytea)"
    )
    op.alter_column("client", "secret_hash", nullable=False, schema=SCHEMA)
    op.drop_table("client_assertion", schema=SCHEMA)
    op.drop_table("client_credential", schema=SCHEMA)
