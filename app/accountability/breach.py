"""Breaches of personal data: whom one concerns, by when the authority is told, and what was done.

GDPR art. 33: the authority within 72 hours of having become aware, art. 34: the people where their
risk is high, art. 33(5): documented in any case. Nobody is named in what is kept here; who they are
is asked anew when needed, for a purpose.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Self
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

import consent
from app.access import reads
from app.access.tables import Client, Source
from app.consents.permission import decision, parameters, permissions
from app.db import statement
from app.destinations.tables import Destination
from app.errors import (
    BreachNotFound,
    BreachState,
    ClientNotFound,
    DefinitionInvalid,
    DestinationNotFound,
    SourceNotFound,
)
from app.privacy.tables import Breach, BreachEvent
from consent.ledger import append
from identity import graph

#: Art. 33(1): after having become aware of it. Counted hour by hour, also over weekends.
TOLD_WITHIN = timedelta(hours=72)
#: Scopes with which a client reads people.
READS = frozenset({"profiles:read", "segments:read"})
Step = Literal["authority_notified", "people_notified", "not_notified", "closed"]
STEPS: tuple[Step, ...] = ("authority_notified", "people_notified", "not_notified", "closed")


class BreachScope(BaseModel):
    """What was lost or seen: between two times, by these sources, clients, destinations, stores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: AwareDatetime
    until: AwareDatetime
    sources: list[str] = Field(
        default_factory=list, max_length=100, description="Whose events of that time are concerned."
    )
    clients: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="`client_id`s, also removed ones: all whom they may read count.",
    )
    destinations: list[str] = Field(
        default_factory=list, max_length=100, description="What they were sent in that time counts."
    )
    stores: list[Literal["database", "events", "profiles", "consents"]] = Field(
        default_factory=list,
        max_length=4,
        description="What they held at the end of that time counts; the lake is `events`.",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.sources or self.clients or self.destinations or self.stores):
            raise ValueError("name a source, a client, a destination or a store")
        if self.since >= self.until:
            raise ValueError("it ends after it began")
        return self


class Told(BaseModel):
    """What the officer tells of a breach (art. 33(3)); name nobody."""

    model_config = ConfigDict(extra="forbid")

    nature: str = Field(min_length=1, max_length=5_000, examples=["a write key was published"])
    consequences: str = Field(default="", max_length=5_000)
    measures: str = Field(default="", max_length=5_000)


def open_(
    session: Session,
    scope: BreachScope,
    told: Told,
    *,
    noticed_at: datetime,
    by: str,
    now: datetime,
) -> Breach:
    """Open a breach and assess it; the clock has run since it was noticed.

    Raises SourceNotFound, ClientNotFound, DestinationNotFound and DefinitionInvalid.
    """
    if noticed_at > now:
        raise DefinitionInvalid("noticed_at: not in the future")
    assessment = assess(session, scope, now=now)
    breach = Breach(
        noticed_at=noticed_at,
        scope=scope.model_dump(mode="json"),
        told=told.model_dump(),
        assessment=assessment,
        opened_by=by,
        opened_at=now,
    )
    session.add(breach)
    session.flush()
    _note(session, breach, "opened", by=by, now=now)
    return breach


def assess_again(
    session: Session, breach_id: UUID, *, scope: BreachScope | None, told: Told | None, by: str,
    now: datetime,
) -> Breach:  # fmt: skip
    """Assess a breach anew, with what is known by now.

    Raises what `open_` does, BreachNotFound and BreachState.
    """
    breach = _open(session, breach_id)
    wanted = scope or BreachScope.model_validate(breach.scope)
    breach.scope, breach.assessment = (
        wanted.model_dump(mode="json"),
        assess(session, wanted, now=now),
    )
    if told is not None:
        breach.told = told.model_dump()
    session.flush()
    _note(session, breach, "assessed", by=by, now=now)
    return breach


def note(
    session: Session, breach_id: UUID, step: Step, *, by: str, now: datetime, reason: str = ""
) -> Breach:
    """Put on record what was done about a breach.

    A reason is needed where the authority is told later than 72 hours, where it is not told, and
    to close what nobody was told of. Raises BreachNotFound, BreachState, DefinitionInvalid.
    """
    breach = _open(session, breach_id)
    done = {event.what for event in events(session, breach_id)}
    late = step == "authority_notified" and now > breach.noticed_at + TOLD_WITHIN
    untold = step == "closed" and not done & {"authority_notified", "not_notified"}
    if untold:
        raise BreachState("tell the authority first, or say why not: not_notified")
    if (late or step == "not_notified") and not reason.strip():
        raise DefinitionInvalid("reason: say why, as art. 33(1) and (5) have it")
    if step == "closed":
        breach.closed_at = now
        session.flush()
    _note(session, breach, step, by=by, now=now, details={"reason": reason} if reason else {})
    return breach


def assess(session: Session, scope: BreachScope, *, now: datetime) -> dict[str, Any]:
    """Return whom and what a breach concerns, in numbers: of nobody."""
    rows = _concerned(session, scope)
    people = [row.person_id for row in rows]
    data = session.execute(
        statement("app.accountability", "breached_data"), {"people": graph.array(people)}
    ).all()
    purposes = _purposes(session, scope)
    declared = [purposes[key].declared for key in sorted(purposes)]
    return {
        "assessed_at": now.isoformat(),
        "people": len(people),
        "events": sum(int(row.events) for row in rows),
        "deliveries": sum(int(row.deliveries) for row in rows),
        "identifiers": {row.name: row.people for row in data if row.kind == "identifier"},
        "traits": {row.name: row.people for row in data if row.kind == "trait"},
        "known_to_be_young": {row.name: row.people for row in data if row.kind == "age"},
        "purposes": sorted(purposes),
        "data_classes": sorted({c for one in declared for c in one.get("data_classes", ())}),
        "special_categories": sorted(
            {c for one in declared for c in one.get("special_categories", ())}
        ),
        "destinations": [
            {
                "destination": one.name,
                "recipient": one.declared.get("recipient") or one.name,
                "region": one.declared.get("region"),
            }
            for one in _named(session, Destination, scope.destinations)
        ],
    }


def concerned(
    session: Session, breach_id: UUID, purpose: str
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return who is concerned and may be reached for a purpose, and how many are withheld, by why.

    Asked anew: whoever was erased meanwhile is not in it.
    """
    rows = _concerned(session, BreachScope.model_validate(find(session, breach_id).scope))
    people = [row.person_id for row in rows]
    allowed, reasons = set(), dict[int, str]()
    for one in permissions(session, purpose, people):
        reasons.setdefault(one.person_id, one.reason)
        if one.allowed:
            allowed.add(one.identifier_id)
    found: dict[str, list[str]] = {}
    reached = set()
    listed = session.execute(
        statement("app.accountability", "breached_people"), {"identifiers": graph.array(allowed)}
    )
    for row in listed:
        reached.add(row.person_id)
        found.setdefault(str(row.profile_id), []).append(f"{row.namespace}:{row.value}")
    reads.saw(session, allowed, purpose=purpose)
    withheld: dict[str, int] = {}
    for person in set(people) - reached:
        why = reasons.get(person, "unknown")
        withheld[why] = withheld.get(why, 0) + 1
    return [{"profile_id": p, "identifiers": ids} for p, ids in found.items()], withheld


def _concerned(session: Session, scope: BreachScope) -> Sequence[sa.Row[Any]]:
    _named(session, Source, scope.sources)
    _named(session, Destination, scope.destinations)
    asked = {
        "sources": scope.sources,
        "destinations": scope.destinations,
        "stores": list(scope.stores),
        "since": scope.since,
        "until": scope.until,
        "readable": sorted(_readable(session, scope.clients)),
    }
    return session.execute(statement("app.accountability", "breached"), asked).all()


def _readable(session: Session, clients: Collection[str]) -> set[int]:
    """Return all people whom one of these clients may read, by any of its purposes, today."""
    known = consent.catalogue.purposes(session)
    wanted = {
        key for one in _clients(session, clients) if READS & set(one.scopes) for key in one.purposes
    }
    return {
        row.person_id
        for key in sorted(wanted & known.keys())
        for row in session.execute(decision(None), parameters(known[key], None))
        if row.allowed
    }


def _clients(session: Session, wanted: Collection[str]) -> list[Client]:
    found = session.scalars(sa.select(Client).where(Client.client_id.in_(wanted))).all()
    if missing := set(wanted) - {one.client_id for one in found}:
        raise ClientNotFound(", ".join(sorted(missing)))
    return list(found)


def _named(session: Session, table: Any, wanted: Collection[str]) -> list[Any]:
    """Return sources or destinations by name; raises where one is none."""
    query = sa.select(table).where(table.name.in_(wanted)).order_by(table.id)
    found = list(session.scalars(query))
    if missing := set(wanted) - {one.name for one in found}:
        unknown = SourceNotFound if table is Source else DestinationNotFound
        raise unknown(", ".join(sorted(missing)))
    return found


def _purposes(session: Session, scope: BreachScope) -> dict[str, consent.Purpose]:
    """Return the purposes for which the data were there; of a store, all."""
    known = consent.catalogue.purposes(session)
    if scope.stores:
        return known
    wanted = {one.collection_purpose for one in _named(session, Source, scope.sources)}
    for one in _named(session, Destination, scope.destinations):
        wanted |= {one.purpose, *one.also_for}
    wanted |= {key for one in _clients(session, scope.clients) for key in one.purposes}
    return {key: known[key] for key in wanted & known.keys()}


def _open(session: Session, breach_id: UUID) -> Breach:
    query = sa.select(Breach).where(Breach.id == breach_id).with_for_update()
    breach = session.scalar(query)
    if breach is None:
        raise BreachNotFound(str(breach_id))
    if breach.closed_at is not None:
        raise BreachState("it was closed")
    return breach


def find(session: Session, breach_id: UUID) -> Breach:
    """Return a breach; raises BreachNotFound."""
    found = session.get(Breach, breach_id)
    if found is None:
        raise BreachNotFound(str(breach_id))
    return found


def list_all(session: Session, *, limit: int = 100) -> list[Breach]:
    """Return breaches, the newest first."""
    newest = sa.select(Breach).order_by(Breach.opened_at.desc(), Breach.id).limit(limit)
    return list(session.scalars(newest))


def events(session: Session, breach_id: UUID) -> list[BreachEvent]:
    """Return what was done about a breach, in order."""
    query = sa.select(BreachEvent).where(BreachEvent.breach_id == breach_id)
    return list(session.scalars(query.order_by(BreachEvent.id)))


def _note(
    session: Session,
    breach: Breach,
    what: str,
    *,
    by: str,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    """Put on record what was done, with what was known then; the ledger has the hash of it."""
    known = {"scope": breach.scope, "told": breach.told, "assessment": breach.assessment}
    event = BreachEvent(
        breach_id=breach.id, at=now, what=what, by=by, details={**(details or {}), "known": known}
    )
    session.add(event)
    session.flush()
    text = json.dumps(event.details, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    public = {"act": "breach", "what": what, "breach": str(breach.id), "sha256": digest}
    append(session, "admin", public)


def describe(session: Session, breach: Breach, *, now: datetime) -> dict[str, Any]:
    """Return a breach with its clock, and what was done about it."""
    due = breach.noticed_at + TOLD_WITHIN
    history = events(session, breach.id)
    told = next((event.at for event in history if event.what == "authority_notified"), None)
    return {
        "id": str(breach.id),
        "noticed_at": breach.noticed_at.isoformat(),
        "authority_due_at": due.isoformat(),
        "hours_left": None if told else round((due - now).total_seconds() / 3600, 1),
        "authority_notified_at": told.isoformat() if told else None,
        "closed_at": breach.closed_at.isoformat() if breach.closed_at else None,
        "opened_by": breach.opened_by,
        "scope": breach.scope,
        "told": breach.told,
        "assessment": breach.assessment,
        "events": [
            {
                "at": event.at.isoformat(),
                "what": event.what,
                "by": event.by,
                **{k: v for k, v in event.details.items() if k != "known"},
            }
            for event in history
        ],
    }
