"""Links values that were kept in an earlier spelling with how they are spelled now."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, identifiers
from identity.identifiers import SPELLED, normalise
from identity.lock import lock
from identity.tables import Identifier

#: The rule of links between spellings of one value, and the sweep that makes them.
RULE, SPELLING = "spelling", "spelling:"


def rules() -> str:
    """Name the rules by which values are spelled now; other ones have a row of their own work."""
    return f"{identifiers.SPELLING}:{identifiers.region() or ''}"


def respell(session: Session, within: tuple[int, int]) -> list[int]:
    """Link values with how they are spelled now, and return both; `within` are bounds of ids.

    And note which of any namespace are garbage by the rules of now: they identify nobody any more.

    Consent records, held events and requests name people by the value of their time, so no value
    is rewritten: the new spelling is an identifier beside the old one. The caller has both looked
    at, and has what was said by one spelling count for the others. Safe to repeat.
    """
    lock(session)
    query = sa.select(
        Identifier.id, Identifier.namespace, Identifier.value, Identifier.first_seen_at
    ).where(Identifier.id > within[0], Identifier.id <= within[1])
    rows = session.execute(query.order_by(Identifier.id)).all()
    spelled = {row.id: normalise(row.namespace, row.value) for row in rows}
    garbage = graph.literal([spelled[row.id] is None for row in rows])
    values = {"ids": graph.literal([row.id for row in rows]), "garbage": garbage}
    news = set(session.scalars(graph.statement("set_garbage"), values))
    wanted = {
        row.id: (row.namespace, now)
        for row in rows
        if row.namespace in SPELLED and (now := spelled[row.id]) is not None and now != row.value
    }
    if not wanted:
        return sorted(news)
    made = graph.identify(session, wanted.values())
    old = {i: made[key] for i, key in wanted.items()}
    session.execute(
        graph.statement("respell"),
        {"old": graph.literal(list(old)), "now": graph.literal(list(old.values()))},
    )
    since = {row.id: row.first_seen_at for row in rows}
    links = [graph.Evidence(i, now, "event", RULE, since[i]) for i, now in old.items()]
    graph.observe(session, links)
    return sorted({*news, *old, *old.values()})


def spellings(session: Session, ids: Collection[int]) -> dict[int, list[tuple[int, str, str]]]:
    """Return id, namespace and value of all spellings of these identifiers that have several.

    By the identifier that is spelled as of now.
    """
    found: dict[int, list[tuple[int, str, str]]] = {}
    rows = session.execute(graph.statement("spellings"), {"ids": graph.array(ids)})
    for row in rows:
        found.setdefault(row.now, []).append((row.id, row.namespace, row.value))
    return {now: all_ for now, all_ in found.items() if len(all_) > 1}
