"""Bounds of the fifths of the people, by which a computed trait scores, and as of when they are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. No trait that there is has any."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("computed_trait", sa.Column("bounds", JSONB()), schema="app")
    op.add_column("computed_trait", sa.Column("bounds_at", TIMESTAMP(timezone=True)), schema="app")


def downgrade() -> None:
    """Back. Traits that score go with what they score by: nothing could compute them."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DELETE FROM app.computed_trait WHERE definition ->> 'kind' = 'rfm_score'")
    op.drop_column("computed_trait", "bounds_at", schema="app")
    op.drop_column("computed_trait", "bounds", schema="app")
