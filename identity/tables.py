"""Storage of identifiers, links, runs, reviews and the history of merges."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Tables of the schema `identity`."""

    metadata = sa.MetaData(schema="identity")
    type_annotation_map = {
        datetime: TIMESTAMP(timezone=True),
        int: sa.BigInteger,
        str: sa.Text,
    }


class Identifier(Base):
    """A value by which somebody is known, and the person it now belongs to.

    `person_id` is the id of the oldest identifier of the person, `group_id` that of the part
    held together by asserted (deterministic) links alone; a new identifier is a person of its
    own. `reach_id` is that of the oldest it is connected with by links that conduct, followed or
    not: whoever shares it is computed together. `closed` is why it identifies nobody.
    `spelling_of` is the identifier as which its value is spelled by the rules of now. `settled`
    says that somebody was told of that person. `link_consent` mirrors what the consent records say
    about `profile.link`: given, refused or unknown; `restricted` that its processing is (GDPR
    art. 18).
    """

    __tablename__ = "identifier"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    namespace: Mapped[str]
    value: Mapped[str]
    profile_id: Mapped[UUID] = mapped_column(
        unique=True, server_default=sa.text("identity.new_profile_id()")
    )
    group_id: Mapped[int]
    person_id: Mapped[int]
    reach_id: Mapped[int]
    closed: Mapped[str | None]
    spelling_of: Mapped[int | None]
    settled: Mapped[bool] = mapped_column(server_default=sa.text("false"))
    garbage: Mapped[bool] = mapped_column(server_default=sa.text("false"))
    link_consent: Mapped[str] = mapped_column(server_default=sa.text("'unknown'"))
    restricted: Mapped[bool] = mapped_column(server_default=sa.text("false"))
    first_seen_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (
        sa.UniqueConstraint("namespace", "value", postgresql_include=["id"]),
        sa.Index("identifier_person", "person_id"),
        sa.Index("identifier_restricted", "person_id", postgresql_where=sa.text("restricted")),
        sa.Index("identifier_garbage", "namespace", postgresql_where=sa.text("garbage")),
        sa.Index(
            "identifier_spelling",
            "spelling_of",
            postgresql_where=sa.text("spelling_of IS NOT NULL"),
        ),
        sa.Index("identifier_reach", "reach_id", postgresql_where=sa.text("reach_id <> person_id")),
        sa.CheckConstraint(
            "link_consent IN ('given', 'refused', 'unknown')", name="identifier_link_consent"
        ),
    )


class Link(Base):
    """Evidence that two identifiers belong to one person; never deleted, only revoked.

    `rule` is that of the first evidence, `also` are the others that showed the link: it stands
    until the last of them is taken back. `held` says why a link that stands is not followed: a
    guard, a constraint, or consent.
    `last_week` is the week of its last evidence, in weeks since 1970. Of a match `evidence_id` is
    the run that linked it, `scored_run_id` the one that weighed it last.
    """

    __tablename__ = "link"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    kind: Mapped[str]
    left_id: Mapped[int]
    right_id: Mapped[int]
    rule: Mapped[str]
    also: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), server_default=sa.text("'{}'"))
    evidence_id: Mapped[int | None]
    scored_run_id: Mapped[int | None]
    first_at: Mapped[datetime]
    last_week: Mapped[int]
    weight: Mapped[float | None]
    probability: Mapped[float | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    held: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]

    __table_args__ = (
        sa.UniqueConstraint("left_id", "right_id", "kind"),
        sa.Index("link_right", "right_id"),
        sa.Index(
            "link_held",
            "held",
            "id",
            postgresql_where=sa.text("held IS NOT NULL AND revoked_at IS NULL"),
        ),
        sa.Index("link_of_run", "evidence_id", postgresql_where=sa.text("kind = 'match'")),
        sa.Index("link_decided_left", "left_id", postgresql_where=sa.text("kind = 'manual'")),
        sa.Index("link_decided_right", "right_id", postgresql_where=sa.text("kind = 'manual'")),
        sa.CheckConstraint("left_id < right_id", name="link_order"),
        sa.CheckConstraint("kind IN ('event', 'match', 'manual')", name="link_kind"),
    )


class CannotLink(Base):
    """A decision that two identifiers are two people, whatever the evidence says."""

    __tablename__ = "cannot_link"

    left_id: Mapped[int] = mapped_column(primary_key=True)
    right_id: Mapped[int] = mapped_column(primary_key=True)
    decided_by: Mapped[str]
    reason: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (sa.Index("cannot_link_right", "right_id"),)


class Record(Base):
    """What one identifier's events say about the person: the input of matching.

    `said_at` is when each field was said so last, in microseconds since 1970; none of what was kept
    before that was. `keys` are the blocking keys under which others find it, None until it has been
    matched as it is.
    """

    __tablename__ = "record"

    identifier_id: Mapped[int] = mapped_column(primary_key=True)
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB)
    said_at: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))
    changed_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    keys: Mapped[list[int] | None] = mapped_column(ARRAY(sa.BigInteger))

    __table_args__ = (
        sa.Index(
            "record_keys",
            "keys",
            postgresql_using="gin",
            postgresql_with={"fastupdate": False},
        ),
        sa.Index("record_new", "identifier_id", postgresql_where=sa.text("keys IS NULL")),
    )


class LearntModel(Base):
    """What one whole run of matching has learnt; new records are scored by the latest.

    Or by the one that is pinned, which whole runs score by too.
    """

    __tablename__ = "model"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    run_id: Mapped[int]
    learnt: Mapped[dict[str, Any]] = mapped_column(JSONB)
    learnt_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    pinned_at: Mapped[datetime | None]
    pinned_by: Mapped[str | None]


class Merge(Base):
    """Two people became one: which, because of what, and whether it was undone."""

    __tablename__ = "merge"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    survivor_id: Mapped[int] = mapped_column(index=True)
    absorbed_id: Mapped[int] = mapped_column(index=True)
    absorbed_identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None]


class Split(Base):
    """A part left a person: its id from then on, and what went with it."""

    __tablename__ = "split"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(index=True)
    part_id: Mapped[int] = mapped_column(index=True)
    identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class NamespaceRules(Base):
    """The rules of a namespace as an operator set them, in the place of the defaults."""

    __tablename__ = "namespace"

    name: Mapped[str] = mapped_column(primary_key=True)
    priority: Mapped[int]
    max_values: Mapped[int | None]
    is_unique: Mapped[bool]
    most_links: Mapped[int]
    owner_days: Mapped[int | None]
    last_owner: Mapped[bool]
    blocked: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    blocked_patterns: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    changed_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    changed_by: Mapped[str]


class Sweep(Base):
    """A change that may concern everybody, and how far it was carried: up to `position`."""

    __tablename__ = "sweep"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    what: Mapped[str] = mapped_column(unique=True)
    details: Mapped[str]
    position: Mapped[int]
    until: Mapped[int]
    requested_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    finished_at: Mapped[datetime | None]


class Suspension(Base):
    """A matching run, or a rule, whose links are taken back as a whole until it ends."""

    __tablename__ = "suspension"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    run_id: Mapped[int | None] = mapped_column(unique=True)
    rule: Mapped[str | None] = mapped_column(unique=True)
    decided_by: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (
        sa.CheckConstraint("(run_id IS NULL) <> (rule IS NULL)", name="suspension_of_one"),
    )


class Run(Base):
    """One run of probabilistic matching."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    state: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class Review(Base):
    """A pair too likely to ignore and not likely enough to merge: a person decides."""

    __tablename__ = "review"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    left_id: Mapped[int]
    right_id: Mapped[int]
    weight: Mapped[float]
    probability: Mapped[float]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    run_id: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    decision: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]

    __table_args__ = (
        sa.UniqueConstraint("left_id", "right_id"),
        sa.Index("review_open", "id", postgresql_where=sa.text("decision IS NULL")),
        sa.Index("review_open_right", "right_id", postgresql_where=sa.text("decision IS NULL")),
    )


class Label(Base):
    """What somebody decided of a pair, beside what was said of it; appended, the latest counts.

    `model_run_id` is the run whose model scored the pair, `guard` what held the link between them.
    """

    __tablename__ = "label"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    left_id: Mapped[int]
    right_id: Mapped[int]
    is_match: Mapped[bool]
    origin: Mapped[str]
    probability: Mapped[float | None]
    weight: Mapped[float | None]
    model_run_id: Mapped[int | None]
    guard: Mapped[str | None]
    decided_by: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (
        sa.Index("label_pair", "left_id", "right_id", "id"),
        sa.CheckConstraint("left_id < right_id", name="label_order"),
        sa.CheckConstraint(
            "origin IN ('review', 'held', 'undo', 'constraint')", name="label_origin"
        ),
    )


class Postponement(Base):
    """A pair that somebody wants to be asked about again later, and when."""

    __tablename__ = "postponement"

    left_id: Mapped[int] = mapped_column(primary_key=True)
    right_id: Mapped[int] = mapped_column(primary_key=True)
    until_at: Mapped[datetime]
    decided_by: Mapped[str]


class Recalibration(Base):
    """What labels say of probabilities: of those said to be one of `lows`, this share match.

    Straight between them. The latest that has not ended counts; without any, probabilities are
    the model's own.
    """

    __tablename__ = "recalibration"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    lows: Mapped[list[float]] = mapped_column(ARRAY(sa.Double))
    shares: Mapped[list[float]] = mapped_column(ARRAY(sa.Double))
    labels: Mapped[int]
    matches: Mapped[int]
    made_by: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    ended_by: Mapped[str | None]
    ended_at: Mapped[datetime | None]
