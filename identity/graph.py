"""The evidence graph: identifiers and links in, people out, by recomputing what was touched."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from identity.components import Edge, Node, People, resolve


class Evidence(
    msgspec.Struct,
    frozen=True,
    rename={"left": "left_id", "right": "right_id", "details": "evidence"},
):
    """Two identifiers that one thing speaks of: an event, a match, a person's decision."""

    left: int
    right: int
    kind: str
    rule: str
    first_at: datetime
    evidence_id: int | None = None
    weight: float | None = None
    probability: float | None = None
    details: dict[str, Any] = {}


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
    written = sa.literal(array(ids), sa.Text)
    return column == sa.any_(sa.cast(written, ARRAY(sa.BigInteger)))


def array(ids: Collection[int]) -> str:
    """Write ids, in order, as PostgreSQL writes a bigint[]: a statement casts it.

    A list that psycopg dumps element by element costs twice as much.
    """
    return "{" + ",".join(map(str, sorted(ids))) + "}"


def rows_of(rows: Sequence[Mapping[str, Any] | msgspec.Struct]) -> str:
    """Write rows as the JSON that a statement reads with json_to_recordset."""
    return msgspec.json.encode(rows).decode()


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
    rows = rows_of([{"namespace": n, "value": v} for n, v in wanted])
    found = session.execute(statement("identify"), {"rows": rows}).all()
    if len(found) < len(wanted):  # another transaction made some meanwhile, and has committed
        found = session.execute(statement("find_identifiers"), {"rows": rows}).all()
    return {(row.namespace, row.value): row.id for row in found}


def observe(session: Session, evidence: Iterable[Evidence]) -> set[int]:
    """Keep links and return the identifiers whose people must be computed again.

    A link that was seen before adds nothing, and is not even locked; one that somebody revoked
    stays revoked. A match that is scored anew takes its new weight.
    """
    first: dict[tuple[int, int, str], Evidence] = {}
    for item in evidence:
        left, right = item.left, item.right
        key = (left, right, item.kind) if left < right else (right, left, item.kind)
        kept = first.get(key)
        if left != right and (kept is None or item.first_at < kept.first_at):
            first[key] = item
    if not first:
        return set()
    rows = [
        first[key] if first[key].left == key[0] else _turned(first[key]) for key in sorted(first)
    ]
    changed = session.execute(statement("observe"), {"rows": rows_of(rows)})
    return {i for row in changed for i in (row.left_id, row.right_id)}


def _turned(item: Evidence) -> Evidence:
    return msgspec.structs.replace(item, left=item.right, right=item.left)


def set_link_consent(session: Session, states: dict[int, str]) -> set[int]:
    """Mirror what identifiers say about `profile.link`; return those that changed their mind."""
    rows = [{"id": i, "state": states[i]} for i in sorted(states)]
    if not rows:
        return set()
    changed = session.execute(statement("set_link_consent"), {"rows": rows_of(rows)})
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
    around = _around(session, touched)
    people = resolve(around.nodes, around.edges, around.apart)
    _write_held(session, around.held, people)
    _move(session, around, people)
    return _record_moves(session, around, people, at)


def followed(session: Session, touched: Collection[int]) -> set[int]:
    """Return which links would be followed if the reach of these were computed now."""
    around = _around(session, touched)
    people = resolve(around.nodes, around.edges, around.apart)
    return {edge.id for edge in around.edges} - people.held.keys()


@dataclass(slots=True)
class _Around:
    """Everything that is connected to some identifiers, as it stands in the tables."""

    nodes: dict[int, Node] = field(default_factory=dict)
    #: Group and person of each identifier before; of `fresh` nobody was told yet.
    before: dict[int, tuple[int, int]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    edges: list[Edge] = field(default_factory=list)
    held: dict[int, str | None] = field(default_factory=dict)
    apart: list[tuple[int, int]] = field(default_factory=list)


def _around(session: Session, touched: Collection[int]) -> _Around:
    """Read what is connected to the touched identifiers, breadth first.

    One query per step: a recursive CTE took over 20 s on a chain of 5,000 (performance.md B).
    """
    around = _Around()
    reached = set(touched)
    frontier = reached
    while frontier:
        found: set[int] = set()
        for row in session.execute(statement("edges"), {"ids": array(frontier)}).all():
            if row.id not in around.held:
                around.held[row.id] = row.held
                around.edges.append(
                    Edge(row.id, row.left_id, row.right_id, row.kind, row.first_at, row.probability)
                )
                found.update((row.left_id, row.right_id))
        frontier = found - reached
        reached |= frontier
    for row in session.execute(statement("nodes"), {"ids": array(reached)}).all():
        group, person, settled, apart, i = row[:5]
        around.nodes[i] = Node(*row[4:])
        around.before[i] = group, person
        if apart:
            around.apart += [(i, other) for other in apart]
        if not settled:
            around.fresh.add(i)
    return around


def _write_held(session: Session, held: dict[int, str | None], people: People) -> None:
    rows = [
        {"id": i, "held": people.held.get(i)} for i in sorted(held) if held[i] != people.held.get(i)
    ]
    if rows:
        session.execute(statement("hold"), {"rows": rows_of(rows)})


def _move(session: Session, around: _Around, people: People) -> None:
    rows = [
        {"id": i, "group_id": people.group[i], "person_id": people.person[i]}
        for i in sorted(around.nodes)
        if i in around.fresh or around.before[i] != (people.group[i], people.person[i])
    ]
    if rows:
        session.execute(statement("move"), {"rows": rows_of(rows)})


def _record_moves(session: Session, around: _Around, people: People, at: datetime) -> Moved:
    """Write down which people were joined or split; a brand-new identifier is neither."""
    before, fresh = around.before, around.fresh
    members: dict[int, dict[int, list[int]]] = {}
    for i, (_, old) in before.items():
        if i not in fresh:
            members.setdefault(old, {}).setdefault(people.person[i], []).append(i)
    merged, split, rows = [], [], []
    for old, parts in sorted(members.items()):
        for new, identifiers in sorted(parts.items()):
            if new == old:
                continue
            if new not in members and new not in fresh:
                split.append((old, new))
                continue
            merged.append((new, old))
            rows.append({"survivor_id": new, "absorbed_id": old, "absorbed": sorted(identifiers)})
    if rows:
        session.execute(statement("keep_merges"), {"rows": rows_of(rows), "at": at})
    touched = {p for i in before for p in (before[i][1], people.person[i])}
    known = {people.person[i] for i in before if i not in fresh}
    created = {people.person[i] for i in fresh} - known - members.keys()
    return Moved(tuple(sorted(created)), tuple(merged), tuple(split), frozenset(touched))


def settle(session: Session, identifiers: Collection[int]) -> list[int]:
    """Note that these identifiers are people of whom somebody is told now; return the new ones."""
    made = session.execute(statement("settle"), {"ids": array(identifiers)})
    return sorted(row.id for row in made)
