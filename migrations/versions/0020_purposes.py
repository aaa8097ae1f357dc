"""Purposes with parent, regime and effect; notices with scope; what a standing rests on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

CURRENT = """
CREATE OR REPLACE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(out.id, last.id) ELSE last.id END AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND out.id IS NOT NULL THEN 'refused'
            WHEN last.state = 'given' AND last.valid_until <= clock_timestamp() THEN 'expired'
            ELSE last.state END AS state,
       last.purpose_version, last.account_wide, last.stamp, last.unproven
FROM (
  SELECT DISTINCT ON (namespace, value, purpose)
         namespace, value, purpose, id, order_time, state, valid_until, purpose_version,
         coalesce(notice ->> 'account_wide' = 'true', false) AS account_wide,
         coalesce(evidence ->> 'event_stamp' = 'true', false) AS stamp,
         coalesce(evidence ->> 'unproven' = 'true', false) AS unproven
  FROM consent.record
  WHERE state <> 'given' OR effective_at <= clock_timestamp()
  ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC
) last
LEFT JOIN (
  SELECT DISTINCT ON (namespace, value, purpose) namespace, value, purpose, id
  FROM consent.record o
  WHERE universal = 'opt_out' AND NOT EXISTS (
    SELECT FROM consent.record v
    WHERE (v.namespace, v.value, v.purpose) = (o.namespace, o.value, o.purpose)
      AND v.universal = 'override' AND v.effective_at <= clock_timestamp()
      AND (v.valid_until IS NULL OR v.valid_until > clock_timestamp())
      AND NOT EXISTS (
        SELECT FROM consent.record r
        WHERE (r.namespace, r.value, r.purpose) = (o.namespace, o.value, o.purpose)
          AND r.state <> 'given' AND r.order_time >= v.order_time))
  ORDER BY namespace, value, purpose, order_time DESC, recorded_at DESC, seq DESC
) out USING (namespace, value, purpose)
"""

BEFORE = """
CREATE OR REPLACE VIEW consent.current AS
SELECT last.namespace, last.value, last.purpose,
       CASE WHEN last.state = 'given' THEN coalesce(out.id, last.id) ELSE last.id END AS record_id,
       last.order_time,
       CASE WHEN last.state = 'given' AND out.id IS NOT NULL THEN 'refused'
            WHEN last.state = 'given' AND last.valid_until <= clock_timestamp() THEN 'expired'
            ELSE last.state END AS state
FROM (
  SELECT DISTINCT ON (namespace, value, purpose)
         namespace, value, purpose, id, order_time, state, valid_until
  FROM consent.record
  WHERE state <> 'given' OR effective_at <= clock_timestamp()
  ORDER BY namespace, value, purpose, order_time DESC, (state = 'given'), recorded_at DESC, seq DESC
) last
LEFT JOIN (
  SELECT DISTINCT ON (namespace, value, purpose) namespace, value, purpose, id
  FROM consent.record o
  WHERE universal = 'opt_out' AND NOT EXISTS (
    SELECT FROM consent.record v
    WHERE (v.namespace, v.value, v.purpose) = (o.namespace, o.value, o.purpose)
      AND v.universal = 'override' AND v.effective_at <= clock_timestamp()
      AND (v.valid_until IS NULL OR v.valid_until > clock_timestamp())
      AND NOT EXISTS (
        SELECT FROM consent.record r
        WHERE (r.namespace, r.value, r.purpose) = (o.namespace, o.value, o.purpose)
          AND r.state <> 'given' AND r.order_time >= v.order_time))
  ORDER BY namespace, value, purpose, order_time DESC, recorded_at DESC, seq DESC
) out USING (namespace, value, purpose)
"""

#: Those of the default catalogue that were made before purposes said so.
DIRECT_MARKETING = ["marketing.email", "marketing.sms", "ads.share", "ads.personalised"]
PARENTS = {
    "marketing.email": "marketing",
    "marketing.sms": "marketing",
    "ads.share": "ads",
    "ads.personalised": "ads",
    "content.personalised": "content",
}


def upgrade() -> None:
    """Forward. Versions that exist are in effect since they were made."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for column in (
        sa.Column("parent", sa.Text()),
        sa.Column("regime", sa.Text(), server_default="eu_optin", nullable=False),
        sa.Column("renews", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("explicit", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("direct_marketing", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("linkable", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column(
            "effective_from",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("declared", postgresql.JSONB(), server_default="{}", nullable=False),
    ):
        op.add_column("purpose", column, schema="consent")
    op.execute("ALTER TABLE consent.purpose DISABLE TRIGGER USER")  # append-only, but for this
    op.execute("UPDATE consent.purpose SET effective_from = created_at")
    marketing = sa.text(
        "UPDATE consent.purpose SET direct_marketing = true WHERE key = ANY(:keys)"
    ).bindparams(keys=DIRECT_MARKETING)
    op.execute(marketing)
    for key, parent in PARENTS.items():
        above = sa.text("UPDATE consent.purpose SET parent = :parent WHERE key = :key")
        op.execute(above.bindparams(key=key, parent=parent))
    op.execute("ALTER TABLE consent.purpose ENABLE TRIGGER USER")
    op.create_check_constraint(
        "purpose_regime",
        "purpose",
        "regime IN ('eu_optin', 'us_optout', 'exempt_measurement') "
        "AND (regime <> 'us_optout' OR lawful_basis <> 'consent')",
        schema="consent",
    )
    op.drop_constraint("purpose_mode", "purpose", schema="consent")
    op.create_check_constraint(
        "purpose_mode",
        "purpose",
        "mode IN ('most_restrictive', 'per_identifier', 'latest_explicit')",
        schema="consent",
    )
    for column in (
        sa.Column("scope", sa.Text(), server_default="device", nullable=False),
        sa.Column(
            "conditional_on_service", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
        sa.Column("screenshot_sha256", sa.Text()),
        sa.Column("collector_code_sha256", sa.Text()),
    ):
        op.add_column("notice", column, schema="consent")
    op.execute(CURRENT)


def downgrade() -> None:
    """Back: a mode that is no more becomes the strictest."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP VIEW consent.current")
    op.execute(BEFORE)
    for column in (
        "scope", "conditional_on_service", "screenshot_sha256", "collector_code_sha256"
    ):  # fmt: skip
        op.drop_column("notice", column, schema="consent")
    op.drop_constraint("purpose_mode", "purpose", schema="consent")
    op.execute("ALTER TABLE consent.purpose DISABLE TRIGGER USER")
    op.execute(
        "UPDATE consent.purpose SET mode = 'most_restrictive' WHERE mode = 'latest_explicit'"
    )
    op.execute("ALTER TABLE consent.purpose ENABLE TRIGGER USER")
    op.create_check_constraint(
        "purpose_mode", "purpose", "mode IN ('most_restrictive', 'per_identifier')",
        schema="consent",
    )  # fmt: skip
    op.drop_constraint("purpose_regime", "purpose", schema="consent")
    for column in (
        "parent", "regime", "renews", "explicit", "direct_marketing", "linkable",
        "effective_from", "declared",
    ):  # fmt: skip
        op.drop_column("purpose", column, schema="consent")
