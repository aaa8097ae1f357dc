"""Introduces events to identity: what they say of who is who, and what consent says of linking."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from identity import attributes, graph, people, records


def resolve(
    session: Session,
    events: Sequence[sa.Row[Any]],
    touched: Collection[int],
    *,
    now: datetime,
) -> graph.Moved:
    """Link what the events show together; return who moved, and who is new.

    `touched` are identifiers whose consent changed: what they say about `profile.link` is
    mirrored first, so that a refusal takes its links apart in the same transaction.
    """
    minds = mirror_link_consent(session, touched, now=now)
    evidence = [e for event in events for e in _evidence(event)]
    seen = {i for event in events for i in event.identifier_ids}
    told = _records(events)
    named = {i for i in told if told[i].keys() & {"first_name", "last_name", "birth_date"}}
    renamed = records.keep(session, told) & named  # what the guards look at
    touched_now = graph.observe(session, evidence) | minds | renamed
    moved = graph.reconsider(session, touched_now, at=now)
    alone = graph.settle(session, seen | set(touched))
    return replace(moved, created=(*moved.created, *alone))


def mirror_link_consent(
    session: Session, identifiers: Collection[int], *, now: datetime
) -> set[int]:
    """Tell identity what these identifiers say about `profile.link`; return those that changed."""
    if not identifiers:
        return set()
    rows = people.identifiers(session, identifiers)
    history = consent.history(
        session, [(row.namespace, row.value) for row in rows], purpose=consent.LINK
    )
    standings = consent.standings(history, at=now, known_at=now)
    states = {}
    for row in rows:
        standing, _ = standings.get((row.namespace, row.value, consent.LINK), ("unknown", None))
        states[row.id] = {"given": "given", "refused": "refused", "withdrawn": "refused"}.get(
            standing, "unknown"
        )
    return graph.set_link_consent(session, states)


def _evidence(event: sa.Row[Any]) -> Iterable[graph.Evidence]:
    """An event that carries several identifiers says that they are one person's.

    The acting identifier is linked to each of the others. An event stamped with a refusal of
    `profile.link` says nothing of the kind.
    """
    if consent.LINK in event.refused:
        return
    acting, *others = event.identifier_ids
    for other in others:
        yield graph.Evidence(
            acting, other, "event", event.type, event.occurred_at, evidence_id=event.id
        )


def _records(events: Iterable[sa.Row[Any]]) -> dict[int, dict[str, str]]:
    """Return the attributes for matching that identify events of one identifier set.

    Of events that were stamped with a refusal of `profile.link` nothing is kept.
    """
    kept: dict[int, dict[str, str]] = {}
    for event in sorted(events, key=lambda e: (e.occurred_at, e.id)):
        if event.type == "identify" and consent.LINK not in event.refused:
            fields = attributes.from_traits(msgspec.json.decode(event.properties))
            kept.setdefault(event.identifier_id, {}).update(fields)
    return kept
