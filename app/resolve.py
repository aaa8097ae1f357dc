"""Introduces events to identity: what they say of who is who, and what consent says of linking."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import work
from app.consents import spellings
from app.db import statement
from app.events.stream import Outline
from identity import attributes, graph, records, respelling, restricted
from identity.lock import lock

#: Why an identifier is looked at again: it has another spelling now.
SPELLED = "spelling"


def resolve(
    session: Session,
    events: Sequence[Outline],
    touched: Collection[int],
    *,
    now: datetime,
    again: Collection[int] = (),
) -> graph.Moved:
    """Link what the events show together; return who moved, and who is new.

    `touched` are identifiers whose consent changed: what they say about `profile.link` is
    mirrored first, so that a refusal takes its links apart in the same transaction. `again` are
    identifiers whose people must be computed anew because a rule changed.
    """
    lock(session)  # before any row: who holds rows and waits for it deadlocks with its holder
    touched = spellings.spread(session, touched, now=now)
    minds = mirror_link_consent(session, touched)
    told = _records(events)
    named = {i for i in told if told[i].keys() & {"first_name", "last_name", "birth_date"}}
    renamed = records.fold(session, told) & named  # what the guards look at
    shown = graph.shown(session, _evidence(events))
    moved = graph.reconsider(session, shown.touched | minds | renamed | set(again), at=now)
    seen = {i for event in events for i in event.identifier_ids}
    linked = shown.linked | shown.touched  # who moves is settled by that
    alone = graph.settle(session, seen.union(touched) - linked)
    return replace(moved, created=(*moved.created, *alone))


def waiting(session: Session) -> int:
    """Return how many identifiers wait to be computed anew."""
    query = sa.select(sa.func.count()).where(work.Touched.why == work.AGAIN)
    return session.scalar(query) or 0


def mirror_link_consent(session: Session, identifiers: Collection[int]) -> set[int]:
    """Tell identity what these identifiers say about `profile.link`; return those that changed.

    And whose processing is restricted, which moves nobody.
    """
    if not identifiers:
        return set()
    link = consent.catalogue.purpose(session, consent.LINK)
    said = session.execute(
        statement("app", "link_consent"),
        {
            "ids": graph.array(identifiers),
            "purpose": link.key,
            "renewed": link.renewed,
            "explicit": link.explicit,
            "on_consent": link.lawful_basis == "consent",
        },
    ).all()
    restricted.mirror(session, {row.identifier_id: row.restricted for row in said})
    states = {row.identifier_id: row.state for row in said}
    for same in respelling.spellings(session, identifiers).values():
        if any(states.get(i) == "refused" for i, _, _ in same):
            states |= dict.fromkeys((i for i, _, _ in same), "refused")
    return graph.set_link_consent(session, states)


def _evidence(events: Iterable[Outline]) -> Iterator[graph.Evidence]:
    """An event that carries several identifiers says that they are one person's.

    The acting identifier is linked to each of the others. An event stamped with a refusal of
    `profile.link` says nothing of the kind. Of events that show the same the earliest is taken
    here already: nearly all repeat what another showed, and a thing for each costs half the time.
    """
    first: dict[tuple[int, int, str], Outline] = {}
    last: dict[tuple[int, int, str], datetime] = {}
    for event in events:
        acting, *others = event.identifier_ids
        if consent.LINK in event.refused:
            continue
        for other in others:
            pair = acting, other, event.type
            known = first.get(pair)
            if known is None:
                first[pair] = event
                last[pair] = event.occurred_at
            elif event.occurred_at < known.occurred_at:
                first[pair] = event
            elif event.occurred_at > last[pair]:
                last[pair] = event.occurred_at
    for (acting, other, rule), event in first.items():
        yield graph.Evidence(
            acting,
            other,
            "event",
            rule,
            event.occurred_at,
            last_at=last[acting, other, rule],
            evidence_id=event.id,
        )


def _records(events: Iterable[Outline]) -> dict[int, dict[str, records.Said]]:
    """Return the attributes for matching that identify events say, each as it was said last.

    Of events that were stamped with a refusal of `profile.link` nothing is kept.
    """
    kept: dict[int, dict[str, records.Said]] = {}
    for event in events:
        if not event.traits or consent.LINK in event.refused:
            continue
        fields = kept.setdefault(event.identifier_ids[0], {})
        for name, value in attributes.from_traits(msgspec.json.decode(event.traits)).items():
            # A clock that is ahead does not speak last for ever: as for traits.
            said = records.Said(min(event.occurred_at, event.received_at), value)
            fields[name] = max(said, fields.get(name, said))
    return kept
