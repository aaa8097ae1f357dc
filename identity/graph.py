"""The evidence graph: identifiers and links in, people out, by recomputing what was touched."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from identity.components import Edge, Node, People, resolve
from identity.tables import CannotLink, Link, Merge


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two identifiers that one thing speaks of: an event, a match, a person's decision."""

    left: int
    right: int
    kind: str
    rule: str
    first_at: datetime
    evidence_id: int | None = None
    weight: float | None = None
    probability: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a recomputation changed: people who are new, joined into another, or split off one.

    `merged` are (survivor, absorbed), `split` (old, new); `people` are all that were looked at.
    """

    created: tuple[int, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    split: tuple[tuple[int, int], ...] = ()
    people: frozenset[int] = frozenset()


@cache
def statement(name: str) -> sa.TextClause:
    """Return the statement of `identity/sql/<name>.sql`."""
    return sa.text((files("identity") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def among(column: InstrumentedAttribute[int], ids: Collection[int]) -> sa.ColumnElement[bool]:
    """Say that a column is one of these ids, as one array.

    `column.in_(ids)` sends one parameter for each, and PostgreSQL takes at most 65,535: a device
    that more people share would stop whoever reads its component.
    """
    return column == sa.any_(sa.cast(sorted(ids), ARRAY(sa.BigInteger)))


def identify(
    session: Session, identifiers: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the id of each (namespace, value), made where it is new.

    Values must be canonical (`identifiers.normalise`). Ids never change, so a caller may keep
    them for ever. Written in one order, so that two writers cannot deadlock.
    """
    wanted = sorted(set(identifiers))
    if not wanted:
        return {}
    rows = json.dumps([{"namespace": n, "value": v} for n, v in wanted])
    session.execute(statement("identify"), {"rows": rows})
    found = session.execute(statement("find_identifiers"), {"rows": rows})
    return {(row.namespace, row.value): row.id for row in found}


def observe(session: Session, evidence: Iterable[Evidence]) -> set[int]:
    """Keep links and return the identifiers whose people must be computed again.

    A link that was seen before adds nothing; one that somebody revoked stays revoked. A match
    that is scored anew takes its new weight.
    """
    rows: dict[tuple[int, int, str], dict[str, Any]] = {}
    for item in evidence:
        if item.left == item.right:
            continue
        left, right = sorted((item.left, item.right))
        row = {
            "left_id": left,
            "right_id": right,
            "kind": item.kind,
            "rule": item.rule,
            "evidence_id": item.evidence_id,
            "first_at": item.first_at.isoformat(),
            "weight": item.weight,
            "probability": item.probability,
            "evidence": item.details,
        }
        kept = rows.setdefault((left, right, item.kind), row)
        if row["first_at"] < kept["first_at"]:
            rows[(left, right, item.kind)] = row
    if not rows:
        return set()
    ordered = [rows[key] for key in sorted(rows)]
    changed = session.execute(statement("observe"), {"rows": json.dumps(ordered)})
    return {i for row in changed for i in (row.left_id, row.right_id)}


def set_link_consent(session: Session, states: dict[int, str]) -> set[int]:
    """Mirror what identifiers say about `profile.link`; return those that changed their mind."""
    rows = [{"id": i, "state": states[i]} for i in sorted(states)]
    if not rows:
        return set()
    changed = session.execute(statement("set_link_consent"), {"rows": json.dumps(rows)})
    return {row.id for row in changed}


def reconsider(session: Session, touched: Collection[int], *, at: datetime) -> Moved:
    """Compute again the people that these identifiers can reach, and write what changed.

    The reach is the component over all links that stand, held ones included, so that a guard
    which no longer applies lets go. Takes a lock per graph change, because two computations over
    one component would each miss the other's links.
    """
    if not touched:
        return Moved()
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('identity', 0))"))
    reached = _reach(session, touched)
    nodes, before, fresh = _nodes(session, reached)
    edges, held = _edges(session, reached)
    constraints = _constraints(session, reached)
    people = resolve(nodes, edges, constraints)
    _write_held(session, held, people)
    changed = [
        {"id": i, "group_id": people.group[i], "person_id": people.person[i]}
        for i in sorted(nodes)
        if i in fresh or before[i] != (people.group[i], people.person[i])
    ]
    if changed:
        session.execute(statement("move"), {"rows": json.dumps(changed)})
    return _record_moves(session, before, people, fresh, at)


def followed(session: Session, touched: Collection[int]) -> set[int]:
    """Return which links would be followed if the reach of these were computed now."""
    reached = _reach(session, touched)
    nodes, _, _ = _nodes(session, reached)
    edges, _ = _edges(session, reached)
    people = resolve(nodes, edges, _constraints(session, reached))
    return {edge.id for edge in edges} - people.held.keys()


def _reach(session: Session, touched: Collection[int]) -> list[int]:
    """Return all identifiers connected to the touched ones, breadth first.

    One query per step: a recursive CTE took over 20 s on a chain of 5,000 (performance.md B).
    """
    reached = set(touched)
    frontier = reached
    while frontier:
        rows = session.execute(statement("neighbours"), {"ids": sorted(frontier)})
        frontier = {row.id for row in rows} - reached
        reached |= frontier
    return sorted(reached)


def _nodes(
    session: Session, ids: Sequence[int]
) -> tuple[dict[int, Node], dict[int, tuple[int, int]], set[int]]:
    nodes: dict[int, Node] = {}
    before: dict[int, tuple[int, int]] = {}
    fresh: set[int] = set()
    for row in session.execute(statement("nodes"), {"ids": ids}):
        nodes[row.id] = Node(
            row.id, row.namespace, row.link_consent, row.first_name, row.last_name, row.birth_date
        )
        before[row.id] = (row.group_id or row.id, row.person_id or row.id)
        if row.person_id is None:
            fresh.add(row.id)
    return nodes, before, fresh


def _edges(session: Session, ids: Sequence[int]) -> tuple[list[Edge], dict[int, str | None]]:
    query = sa.select(Link).where(among(Link.left_id, ids), Link.revoked_at.is_(None))
    edges, held = [], {}
    for link in session.scalars(query):
        edges.append(
            Edge(
                link.id,
                link.left_id,
                link.right_id,
                link.kind,
                link.first_at.timestamp(),
                1.0 if link.probability is None else link.probability,
            )
        )
        held[link.id] = link.held
    return edges, held


def _constraints(session: Session, ids: Sequence[int]) -> list[tuple[int, int]]:
    query = sa.select(CannotLink.left_id, CannotLink.right_id).where(among(CannotLink.left_id, ids))
    return [(row.left_id, row.right_id) for row in session.execute(query)]


def _write_held(session: Session, held: dict[int, str | None], people: People) -> None:
    rows = [
        {"id": i, "held": people.held.get(i)} for i in sorted(held) if held[i] != people.held.get(i)
    ]
    if rows:
        session.execute(statement("hold"), {"rows": json.dumps(rows)})


def _record_moves(
    session: Session,
    before: dict[int, tuple[int, int]],
    people: People,
    fresh: set[int],
    at: datetime,
) -> Moved:
    """Write down which people were joined or split; a brand-new identifier is neither."""
    members: dict[int, dict[int, list[int]]] = {}
    for i, (_, old) in before.items():
        if i not in fresh:
            members.setdefault(old, {}).setdefault(people.person[i], []).append(i)
    merged, split = [], []
    for old, parts in sorted(members.items()):
        for new, identifiers in sorted(parts.items()):
            if new == old:
                continue
            if new not in members and new not in fresh:
                split.append((old, new))
                continue
            merged.append((new, old))
            session.add(
                Merge(
                    survivor_id=new,
                    absorbed_id=old,
                    absorbed_identifier_ids=sorted(identifiers),
                    at=at,
                )
            )
    touched = {p for i in before for p in (before[i][1], people.person[i])}
    session.flush()
    known = {people.person[i] for i in before if i not in fresh}
    created = {people.person[i] for i in fresh} - known - members.keys()
    return Moved(tuple(sorted(created)), tuple(merged), tuple(split), frozenset(touched))


def settle(session: Session, identifiers: Collection[int]) -> list[int]:
    """Make a person of each of these identifiers that has none yet; return those made."""
    made = session.execute(statement("settle"), {"ids": sorted(identifiers)})
    return sorted(row.id for row in made)
