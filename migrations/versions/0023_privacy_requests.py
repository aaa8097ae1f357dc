"""Requests of data subjects: their clock, plan, identity checks and packages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
JSONB = postgresql.JSONB()
OPEN = sa.text("state IN ('open', 'waiting', 'failed')")


def _request() -> sa.Column[object]:
    return sa.Column(
        "request_id",
        sa.Uuid(),
        sa.ForeignKey("app.privacy_request.id", ondelete="CASCADE"),
        nullable=False,
    )


def upgrade() -> None:
    """Forward."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "privacy_request",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("regime", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("subject", JSONB, nullable=True),
        sa.Column("refs", postgresql.ARRAY(postgresql.BYTEA()), nullable=False),
        sa.Column("details", JSONB, nullable=True),
        sa.Column("protocol", JSONB, nullable=True),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("extended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("verified_at", TIME, nullable=True),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.create_index(
        "privacy_request_refs", "privacy_request", ["refs"], schema="app", postgresql_using="gin"
    )
    op.create_index(
        "privacy_request_open",
        "privacy_request",
        ["due_at"],
        schema="app",
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "privacy_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        _request(),
        sa.Column("at", TIME, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.create_index(
        "ix_app_privacy_event_request_id", "privacy_event", ["request_id"], schema="app"
    )
    op.create_table(
        "privacy_task",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        _request(),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("result", JSONB, nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("done_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_id", "store", "target"),
        sa.CheckConstraint(
            "state IN ('open', 'waiting', 'failed', 'done', 'not_present', 'retained',"
            " 'not_supported')",
            name="privacy_task_state",
        ),
        schema="app",
    )
    op.create_index(
        "privacy_task_due", "privacy_task", ["due_at"], schema="app", postgresql_where=OPEN
    )
    op.create_table(
        "privacy_check",
        _request(),
        sa.Column("ref", postgresql.BYTEA(), nullable=False),
        sa.Column("secret_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("issued", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("tries", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("passed_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("request_id", "ref"),
        schema="app",
    )
    op.create_table(
        "privacy_package",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        _request(),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("deleted_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="app",
    )
    op.create_index(
        "ix_app_privacy_package_request_id", "privacy_package", ["request_id"], schema="app"
    )


def downgrade() -> None:
    """Back: the requests and what became of them are forgotten."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in ("package", "check", "task", "event", "request"):
        op.drop_table(f"privacy_{table}", schema="app")
