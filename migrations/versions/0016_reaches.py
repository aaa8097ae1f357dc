"""Who must be computed together, why an identifier is nobody's, rules of namespaces, splits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
INDEXES = (
    ("identifier_reach", "identifier", ["reach_id"], None),
    ("link_held", "link", ["held", "id"], "held IS NOT NULL AND revoked_at IS NULL"),
    ("link_of_run", "link", ["evidence_id"], "kind = 'match'"),
    ("link_decided_left", "link", ["left_id"], "kind = 'manual'"),
    ("link_decided_right", "link", ["right_id"], "kind = 'manual'"),
)


def upgrade() -> None:
    """Forward. What any link connects is one reach: more than need be, until it is looked at."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("identifier", sa.Column("reach_id", sa.BigInteger()), schema="identity")
    op.add_column("identifier", sa.Column("closed", sa.Text()), schema="identity")
    op.add_column("link", sa.Column("last_week", sa.BigInteger()), schema="identity")
    op.execute(
        # When one was seen last is not known: as of today nobody has lost what they share.
        "UPDATE identity.link SET last_week = floor(extract(epoch FROM now()) / 604800)::bigint"
    )
    op.execute("UPDATE identity.identifier SET reach_id = id")
    _connect()
    op.alter_column("identifier", "reach_id", nullable=False, schema="identity")
    op.alter_column("link", "last_week", nullable=False, schema="identity")
    for name, table, columns, where in INDEXES:
        op.create_index(
            name, table, columns, schema="identity", postgresql_where=where and sa.text(where)
        )
    _tables()


def _connect() -> None:
    """Name what hangs together after its lowest identifier."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while (above := parent.setdefault(i, i)) != i:
            parent[i] = parent[above]
            i = above
        return i

    connection = op.get_bind()
    standing = "SELECT left_id, right_id FROM identity.link WHERE revoked_at IS NULL"
    for left, right in connection.execute(sa.text(standing)):
        a, b = sorted((root(left), root(right)))
        parent[b] = a
    moved = [{"i": i, "reach": root(i)} for i in sorted(parent) if root(i) != i]
    for at in range(0, len(moved), 50_000):
        part = moved[at : at + 50_000]
        connection.execute(
            sa.text(
                "UPDATE identity.identifier i SET reach_id = r.reach FROM "
                "unnest(CAST(:ids AS bigint[]), CAST(:reaches AS bigint[])) AS r(id, reach) "
                "WHERE i.id = r.id"
            ),
            {"ids": [m["i"] for m in part], "reaches": [m["reach"] for m in part]},
        )


def _tables() -> None:
    now = sa.text("now()")
    identity = sa.Identity(always=False)
    op.create_table(
        "split",
        sa.Column("id", sa.BigInteger(), identity, nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("part_id", sa.BigInteger(), nullable=False),
        sa.Column("identifier_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("at", TIME, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="identity",
    )
    for column in ("person_id", "part_id"):
        op.create_index(f"ix_identity_split_{column}", "split", [column], schema="identity")
    op.create_table(
        "namespace",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("max_values", sa.BigInteger(), nullable=True),
        sa.Column("is_unique", sa.Boolean(), nullable=False),
        sa.Column("most_links", sa.BigInteger(), nullable=False),
        sa.Column("owner_days", sa.BigInteger(), nullable=True),
        sa.Column("last_owner", sa.Boolean(), nullable=False),
        sa.Column("blocked", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("blocked_patterns", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("changed_at", TIME, server_default=now, nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        schema="identity",
    )
    op.create_table(
        "suspension",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", TIME, server_default=now, nullable=False),
        sa.CheckConstraint("(run_id IS NULL) <> (rule IS NULL)", name="suspension_of_one"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run_id"),
        sa.UniqueConstraint("rule"),
        schema="identity",
    )


def downgrade() -> None:
    """Back: the history of splits, the operator's rules and what was suspended go."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in ("suspension", "namespace", "split"):
        op.drop_table(table, schema="identity")
    for name, table, _, _ in reversed(INDEXES):
        op.drop_index(name, table_name=table, schema="identity")
    op.drop_column("link", "last_week", schema="identity")
    op.drop_column("identifier", "closed", schema="identity")
    op.drop_column("identifier", "reach_id", schema="identity")
