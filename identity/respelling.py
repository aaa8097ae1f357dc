"""Links values that were kept in an earlier spelling with how they are spelled now."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph
from identity.identifiers import normalise
from identity.tables import Identifier

#: The namespaces whose canonical form has changed, or hangs on a setting.
SPELLED = ("email", "phone")


def respell(session: Session, *, portion: int = 5_000) -> Iterator[tuple[int, list[int]]]:
    """Yield how many values were looked at, and the identifiers that are linked since.

    Consent records, held events and requests name people by the value of their time, so no value
    is rewritten: the new spelling is an identifier beside the old one, linked by the rule
    `spelling`, which can be undone like any other. Safe to repeat.
    """
    after = 0
    while rows := _next(session, after, portion):
        after = rows[-1].id
        names = {r.id: (r.namespace, normalise(r.namespace, r.value)) for r in rows}
        wanted = {
            r.id: (r.namespace, now)
            for r in rows
            if (now := names[r.id][1]) is not None and now != r.value
        }
        made = graph.identify(session, wanted.values())
        linked = [
            graph.Evidence(r.id, made[wanted[r.id]], "event", "spelling", r.first_seen_at)
            for r in rows
            if r.id in wanted
        ]
        yield len(rows), sorted(graph.observe(session, linked))


def _next(session: Session, after: int, limit: int) -> list[sa.Row[Any]]:
    query = sa.select(
        Identifier.id, Identifier.namespace, Identifier.value, Identifier.first_seen_at
    ).where(Identifier.namespace.in_(SPELLED), Identifier.id > after)
    return list(session.execute(query.order_by(Identifier.id).limit(limit)))
