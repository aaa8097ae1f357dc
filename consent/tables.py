"""Storage of purposes, notices, consent records and the count of denials."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType


class Base(DeclarativeBase):
    """Tables of the schema `consent`."""

    metadata = sa.MetaData(schema="consent")
    type_annotation_map = {
        datetime: TIMESTAMP(timezone=True),
        int: sa.BigInteger,
        str: sa.Text,
    }


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, by which a reader finds what was committed since."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in DDL."""
        return "xid8"


class PurposeVersion(Base):
    """One version of a purpose: why data is used, and on which lawful basis (GDPR art. 6)."""

    __tablename__ = "purpose"

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    lawful_basis: Mapped[str]
    mode: Mapped[str]
    title: Mapped[dict[str, Any]] = mapped_column(JSONB)
    description: Mapped[dict[str, Any]] = mapped_column(JSONB)
    valid_days: Mapped[int | None]
    parent: Mapped[str | None]
    regime: Mapped[str] = mapped_column(server_default="eu_optin")
    renews: Mapped[bool] = mapped_column(server_default=sa.false())
    explicit: Mapped[bool] = mapped_column(server_default=sa.false())
    direct_marketing: Mapped[bool] = mapped_column(server_default=sa.false())
    linkable: Mapped[bool] = mapped_column(server_default=sa.true())
    adults_only: Mapped[bool] = mapped_column(server_default=sa.false())
    effective_from: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    link_confidence: Mapped[str] = mapped_column(server_default="probable")
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (
        sa.CheckConstraint(
            "regime IN ('eu_optin', 'us_optout', 'exempt_measurement') "
            "AND (regime <> 'us_optout' OR lawful_basis <> 'consent')",
            name="purpose_regime",
        ),
        sa.CheckConstraint(
            "lawful_basis IN ('consent', 'contract', 'legal_obligation', "
            "'vital_interests', 'public_task', 'legitimate_interests')",
            name="purpose_lawful_basis",
        ),
        sa.CheckConstraint(
            "mode IN ('most_restrictive', 'per_identifier', 'latest_explicit')",
            name="purpose_mode",
        ),
        sa.CheckConstraint(
            "link_confidence IN ('probable', 'deterministic')", name="purpose_link_confidence"
        ),
    )


class NoticeVersion(Base):
    """What was shown to the person: one version in one language, with its hash."""

    __tablename__ = "notice"

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    purposes: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    body: Mapped[str]
    body_sha256: Mapped[str]
    scope: Mapped[str] = mapped_column(server_default="device")
    conditional_on_service: Mapped[bool] = mapped_column(server_default=sa.false())
    screenshot_sha256: Mapped[str | None]
    collector_code_sha256: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class Party(Base):
    """Somebody who answers for the processing, in what is told of it; the controller alone now.

    `declared` is what `PUT /v1/controller` takes.
    """

    __tablename__ = "party"

    role: Mapped[str] = mapped_column(primary_key=True)
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (sa.CheckConstraint("role = 'controller'", name="party_role"),)


class ConsentRecord(Base):
    """One decision about one purpose by one identifier; append-only (a trigger refuses else).

    `order_time` is the earlier of what the sender says and when it was received, so that a clock
    in the future cannot outrank a later withdrawal (research/consent.md 2.6).
    """

    __tablename__ = "record"

    seq: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True, server_default=sa.text("gen_random_uuid()"))
    namespace: Mapped[str]
    value: Mapped[str]
    purpose: Mapped[str]
    purpose_version: Mapped[int]
    state: Mapped[str]
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    order_time: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    notice: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    collected_by: Mapped[str]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    universal: Mapped[str | None]
    account_wide: Mapped[bool] = mapped_column(
        sa.Computed("coalesce(notice ->> 'account_wide' = 'true', false)")
    )
    stamp: Mapped[bool] = mapped_column(
        sa.Computed("coalesce(evidence ->> 'event_stamp' = 'true', false)")
    )
    unproven: Mapped[bool] = mapped_column(
        sa.Computed("coalesce(evidence ->> 'unproven' = 'true', false)")
    )
    guardian: Mapped[bool] = mapped_column(
        sa.Computed("coalesce(evidence ->> 'expressed_by' = 'guardian', false)")
    )
    #: How well it is proved whose word it is (`consent.resolve.Record.proof`).
    proof: Mapped[int] = mapped_column(
        sa.Computed("consent.proof(state, namespace, collected_by, evidence)")
    )
    transaction: Mapped[int] = mapped_column(
        TransactionId, server_default=sa.text("pg_current_xact_id()"), deferred=True
    )

    __table_args__ = (
        sa.Index("record_changes", "transaction"),
        sa.Index(
            "record_lapses",
            "valid_until",
            postgresql_where=sa.text("state = 'given' AND valid_until IS NOT NULL"),
        ),
        sa.Index(
            "record_begins",
            "effective_at",
            postgresql_where=sa.text("state = 'given' AND effective_at > recorded_at"),
        ),
        sa.Index("record_current", "namespace", "value", "purpose", sa.desc("order_time")),
        sa.CheckConstraint("state IN ('given', 'refused', 'withdrawn')", name="record_state"),
        sa.CheckConstraint(
            "universal = 'opt_out' AND state <> 'given' "
            "OR universal = 'override' AND state = 'given'",
            name="record_universal_state",
        ),
        # Few records are of this kind, and each decision looks for one.
        sa.Index(
            "record_universal",
            "namespace",
            "value",
            "purpose",
            postgresql_where=sa.text("universal IS NOT NULL"),
        ),
    )


class TcStringRow(Base):
    """The TC string that an identifier sent last: what vendors may do is asked of it."""

    __tablename__ = "tc_string"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    string: Mapped[str]
    said_at: Mapped[datetime]

    __table_args__ = (sa.Index("tc_string_ends", sa.text("consent.tc_ends(string)")),)


class CarriedTcString(Base):
    """A TC string of an address that was put right: it denies for the new one, and allows nothing.

    `sha256` is that of the string, in hex: a person may have had several addresses.
    """

    __tablename__ = "carried_tc_string"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    string: Mapped[str]
    said_at: Mapped[datetime]


class VendorListVersion(Base):
    """One version of the Global Vendor List: what each vendor has declared."""

    __tablename__ = "vendor_list"

    version: Mapped[int] = mapped_column(primary_key=True)
    vendors: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sha256: Mapped[str]
    added_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class Denial(Base):
    """How often a use was denied, by day, place, purpose and reason."""

    __tablename__ = "denial"

    day: Mapped[date] = mapped_column(primary_key=True)
    use: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    denials: Mapped[int]


class Restriction(Base):
    """A person's demand that use stops: processing restricted, or objected to (GDPR art. 18, 21).

    Holds for one identifier from `from_at` until `to_at` (None: until it is lifted). `purpose_key`
    None means every purpose; for `objection_marketing` every purpose of direct marketing.
    `reason_ref` names the request that set it and holds no personal data. The ledger has it as
    `entry_id`, and its lifting as `lift_id`.
    """

    __tablename__ = "restriction"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    namespace: Mapped[str]
    value: Mapped[str]
    kind: Mapped[str]
    purpose_key: Mapped[str | None]
    from_at: Mapped[datetime]
    to_at: Mapped[datetime | None]
    reason_ref: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    entry_id: Mapped[UUID] = mapped_column(unique=True, server_default=sa.text("gen_random_uuid()"))
    lift_id: Mapped[UUID | None] = mapped_column(unique=True)

    __table_args__ = (
        sa.Index("restriction_identifier", "namespace", "value"),
        sa.CheckConstraint(
            "kind IN ('restriction', 'objection', 'objection_marketing')", name="restriction_kind"
        ),
        sa.CheckConstraint("to_at > from_at", name="restriction_interval"),
    )


class AgeBand(Base):
    """That one identifier is a child's or a teenager's, from when we learned it until a time.

    A date of birth is not kept. `to_at` None: until something else is stated.
    """

    __tablename__ = "age_band"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    namespace: Mapped[str]
    value: Mapped[str]
    band: Mapped[str]
    from_at: Mapped[datetime]
    to_at: Mapped[datetime | None]
    stated_by: Mapped[str]

    __table_args__ = (
        sa.Index("age_band_identifier", "namespace", "value"),
        sa.CheckConstraint("band IN ('child', 'teen')", name="age_band_band"),
        sa.CheckConstraint("to_at > from_at", name="age_band_interval"),
    )


#: Counts the changes of the suppression list. A sequence, since its value is seen at once and by
#: everybody, whatever snapshot they read.
SUPPRESSION_VERSION = sa.Sequence("suppression_version", metadata=Base.metadata, schema="consent")


class Suppression(Base):
    """An identifier of which nothing is to be stored again, as a keyed hash; the key is elsewhere.

    `normaliser` is the version of the canonical form that was hashed.
    """

    __tablename__ = "suppression"

    ref: Mapped[bytes] = mapped_column(BYTEA, primary_key=True)
    key_id: Mapped[bytes] = mapped_column(BYTEA)
    namespace: Mapped[str]
    normaliser: Mapped[int]
    reason_ref: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    review_at: Mapped[datetime | None]


class Erasure(Base):
    """An erasure that was carried out here: which one of the journal, and in which transaction.

    Only in that transaction may consent records be deleted (a trigger refuses else).
    """

    __tablename__ = "erasure"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reason_ref: Mapped[str]
    records: Mapped[int] = mapped_column(server_default=sa.text("0"))
    erased_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    transaction: Mapped[int] = mapped_column(
        TransactionId, server_default=sa.text("pg_current_xact_id()"), unique=True
    )


class RefusalJournal(Base):
    """How far the journal of refusals tells, which lies beside the database; one row.

    `number` counts its portions: a database that knows of fewer than are there was restored.
    """

    __tablename__ = "refusal_journal"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=sa.true())
    number: Mapped[int]
    transaction: Mapped[int] = mapped_column(TransactionId)
    seq: Mapped[int]

    __table_args__ = (sa.CheckConstraint("one", name="refusal_journal_one"),)


class JournalDue(Base):
    """An identifier of which the journal of refusals has to say anew what stands of it.

    Its restrictions and age bands; a trigger of these tables writes it.
    """

    __tablename__ = "journal_due"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    transaction: Mapped[int] = mapped_column(
        TransactionId, server_default=sa.text("pg_current_xact_id()")
    )
    changed_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
