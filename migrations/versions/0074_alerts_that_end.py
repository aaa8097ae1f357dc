"""Whoever was told of an alert is told that it is over; saved analyses fail alone, and pause."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
#: What alerts said so far by way of their analyses.
KNOWN = """
UPDATE app.analysis_alert a SET
    destination = s.definition #>> '{alert,destination}',
    about = jsonb_build_object(
        'saved_analysis', s.key, 'name', s.definition ->> 'name',
        'analysis', s.definition ->> 'analysis', 'purpose', s.purpose)
FROM app.saved_analysis s WHERE s.key = a.saved
"""


def upgrade() -> None:
    """Forward. What ended before is not told any more."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    kept: tuple[sa.Column[Any], ...] = (
        sa.Column("failures", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("failing_since", MOMENT),
        sa.Column("paused_at", MOMENT),
    )
    for column in kept:
        op.add_column("saved_analysis", column, schema="app")
    told: tuple[sa.Column[Any], ...] = (
        sa.Column("about", JSONB(), nullable=False, server_default="{}"),
        sa.Column("destination", sa.Text()),
        sa.Column("ended", JSONB()),
        sa.Column("end_told_at", MOMENT),
    )
    for column in told:
        op.add_column("analysis_alert", column, schema="app")
    op.execute(KNOWN)
    op.alter_column("analysis_alert", "about", server_default=None, schema="app")
    op.alter_column("analysis_alert", "saved", nullable=True, schema="app")


def downgrade() -> None:
    """Back: of what was changed or removed nobody is told that it is over."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.analysis_alert WHERE saved IS NULL")
    op.alter_column("analysis_alert", "saved", nullable=False, schema="app")
    for name in ("end_told_at", "ended", "destination", "about"):
        op.drop_column("analysis_alert", name, schema="app")
    for name in ("paused_at", "failing_since", "failures"):
        op.drop_column("saved_analysis", name, schema="app")
