"""The same work as one writes it first: pydantic models, ORM objects, a transaction per request.

Only for `benchmarks/ingest.py`. For each event it looks the message id up, gets or makes the
identifiers, records what the consent stamp changes, and adds the event: what the product does too.
Its tables are copies of the product's with the same indexes.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

ENGINE = sa.create_engine(
    sa.make_url(os.environ["BENCH_DATABASE_URL"]).set(drivername="postgresql+psycopg"),
    pool_size=20,
    connect_args={"options": "-c search_path=bench"},
)
SESSIONS = sessionmaker(ENGINE)
PURPOSES = ("analytics.audience", "profile.link")


class Base(DeclarativeBase):
    """Tables of the benchmark."""

    metadata = sa.MetaData(schema="bench")
    type_annotation_map = {datetime: TIMESTAMP(timezone=True), int: sa.BigInteger, str: sa.Text}


class Identifier(Base):
    """A visitor's or customer's identifier."""

    __tablename__ = "identifier"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    namespace: Mapped[str]
    value: Mapped[str]

    __table_args__ = (sa.UniqueConstraint("namespace", "value"),)


class Consent(Base):
    """What an identifier said about a purpose."""

    __tablename__ = "consent"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    identifier_id: Mapped[int]
    purpose: Mapped[str]
    state: Mapped[str]
    at: Mapped[datetime]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (sa.Index("consent_current", "identifier_id", "purpose", "at"),)


class Event(Base):
    """One event, in the columns of app.event."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(server_default=sa.text("txid_current()"))
    source_id: Mapped[int]
    message_id: Mapped[str]
    type: Mapped[str]
    name: Mapped[str | None]
    identifier_id: Mapped[int]
    identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    user_id: Mapped[str | None]
    anonymous_id: Mapped[str | None]
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    properties: Mapped[dict[str, Any]] = mapped_column(JSON)
    context: Mapped[dict[str, Any]] = mapped_column(JSON)

    __table_args__ = (
        sa.UniqueConstraint("source_id", "message_id"),
        sa.Index("event_stream", "transaction", "id"),
        sa.Index("event_timeline", "identifier_id", "occurred_at"),
    )


class Message(BaseModel):
    """One message of a batch."""

    type: str
    event: str | None = None
    messageId: str
    userId: str | None = None
    anonymousId: str | None = None
    timestamp: datetime
    traits: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


class Batch(BaseModel):
    """A batch of messages."""

    batch: list[Message]
    writeKey: str
    sentAt: datetime | None = None


class Answer(BaseModel):
    """What became of them."""

    accepted: int
    duplicates: int
    rejected: list[str] = []


app = FastAPI()
with ENGINE.begin() as connection:
    connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS bench"))
    Base.metadata.create_all(connection)


def transaction() -> Iterator[Session]:
    """A transaction per request."""
    with SESSIONS.begin() as session:
        yield session


@app.post("/v1/batch")
def collect(
    batch: Batch, session: Annotated[Session, Depends(transaction, scope="function")]
) -> Answer:
    """Store a batch."""
    received_at = datetime.now(UTC)
    accepted = 0
    for message in batch.batch:
        found = session.scalar(
            sa.select(Event).where(Event.source_id == 1, Event.message_id == message.messageId)
        )
        if found is None:
            _add(session, message, received_at, batch.sentAt)
            accepted += 1
    return Answer(accepted=accepted, duplicates=len(batch.batch) - accepted)


def _add(
    session: Session, message: Message, received_at: datetime, sent_at: datetime | None
) -> None:
    identifiers = [
        _identifier(session, namespace, value)
        for namespace, value in (
            ("user_id", message.userId),
            ("anonymous_id", message.anonymousId),
        )
        if value
    ]
    preferences = message.context.get("consent", {}).get("categoryPreferences", {})
    for identifier in identifiers:
        for purpose in PURPOSES:
            if purpose in preferences:
                state = "given" if preferences[purpose] else "refused"
                _consent(session, identifier, purpose, state, message)
    session.add(
        Event(
            source_id=1,
            message_id=message.messageId,
            type=message.type,
            name=message.event,
            identifier_id=identifiers[0].id,
            identifier_ids=[i.id for i in identifiers],
            user_id=message.userId,
            anonymous_id=message.anonymousId,
            occurred_at=message.timestamp,
            received_at=received_at,
            sent_at=sent_at,
            refused=[p for p in PURPOSES if preferences.get(p) is False],
            properties=message.traits if message.type == "identify" else message.properties,
            context=message.context,
        )
    )


def _identifier(session: Session, namespace: str, value: str) -> Identifier:
    query = sa.select(Identifier).where(
        Identifier.namespace == namespace, Identifier.value == value
    )
    found = session.scalar(query)
    if found is None:
        found = Identifier(namespace=namespace, value=value)
        session.add(found)
        session.flush()
    return found


def _consent(
    session: Session, identifier: Identifier, purpose: str, state: str, message: Message
) -> None:
    last = session.scalar(
        sa.select(Consent)
        .where(Consent.identifier_id == identifier.id, Consent.purpose == purpose)
        .order_by(Consent.at.desc())
        .limit(1)
    )
    if last is None or last.state != state:
        session.add(
            Consent(
                identifier_id=identifier.id,
                purpose=purpose,
                state=state,
                at=message.timestamp,
                evidence={"message_id": message.messageId},
            )
        )
