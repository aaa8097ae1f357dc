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

from identity import namespaces
from identity.components import People, resolve
from identity.guards import Edge, Node, Standing, stand
from identity.identifiers import Rules, namespace, rules_of
from identity.lock import lock


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
    last_at: datetime | None = None
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

    A link that was seen before this week adds nothing, and is not even locked; one that somebody
    revoked stays revoked. A match that is scored anew takes its new weight.
    """
    first: dict[tuple[int, int, str], Evidence] = {}
    last: dict[tuple[int, int, str], datetime] = {}
    for item in evidence:
        left, right = item.left, item.right
        if left == right:
            continue
        key = (left, right, item.kind) if left < right else (right, left, item.kind)
        kept = first.get(key)
        if kept is None or item.first_at < kept.first_at:
            first[key] = item
        at = item.last_at or item.first_at
        if kept is None or at > last[key]:
            last[key] = at
    if not first:
        return set()
    rows = [
        msgspec.structs.replace(first[key], left=key[0], right=key[1], last_at=last[key])
        for key in sorted(first)
    ]
    changed = session.execute(statement("observe"), {"rows": rows_of(rows)})
    return {i for row in changed for i in (row.left_id, row.right_id)}


def set_link_consent(session: Session, states: dict[int, str]) -> set[int]:
    """Mirror what identifiers say about `profile.link`; return those that changed their mind."""
    rows = [{"id": i, "state": states[i]} for i in sorted(states)]
    if not rows:
        return set()
    found = session.execute(statement("set_link_consent"), {"rows": rows_of(rows)})
    changed = {row.id for row in found}
    if changed:
        session.execute(statement("compare_again"), {"ids": array(changed)})
    return changed


def reconsider(session: Session, touched: Collection[int], *, at: datetime) -> Moved:
    """Compute again the people that these identifiers can reach, and write what changed.

    The reach is the component over the links that conduct, held ones included, so that a guard
    which no longer applies lets go. Takes a lock per graph change, because two computations over
    one component would each miss the other's links.
    """
    if not touched:
        return Moved()
    lock(session)
    around = _around(session, touched)
    people = around.people()
    _write_held(session, around.held, people)
    _move(session, around, people)
    return _record_moves(session, around, people, at)


def followed(session: Session, touched: Collection[int]) -> set[int]:
    """Return which links would be followed if the reach of these were computed now."""
    around = _around(session, touched)
    return around.edges.keys() - around.people().held.keys()


@dataclass(frozen=True, slots=True)
class Change:
    """What would be otherwise: rules, who of a namespace is blocked, links that go or come."""

    rules: Rules | None = None
    namespace: str | None = None
    blocked: frozenset[int] = frozenset()
    without: frozenset[int] = frozenset()
    more: tuple[Edge, ...] = ()

    def node(self, node: Node) -> Node:
        """Return an identifier as it would be."""
        if node.namespace != self.namespace:
            return node
        return msgspec.structs.replace(node, blocked=node.id in self.blocked)


AS_IT_IS = Change()


@dataclass(frozen=True, slots=True)
class Imagined:
    """Who some identifiers would be: what was looked at, their person before, and the people."""

    nodes: dict[int, Node]
    edges: dict[int, Edge]
    rules: Rules
    before: dict[int, int]
    people: People


def imagine(session: Session, touched: Collection[int], change: Change = AS_IT_IS) -> Imagined:
    """Return who these would be after a change; takes no lock and writes nothing."""
    around = _around(session, touched, change)
    before = {i: was[1] for i, was in around.before.items()}
    nodes = {i: around.nodes[i] for i in before}
    return Imagined(nodes, around.edges, around.rules, before, around.people())


@dataclass(slots=True)
class _Around:
    """Everything that is connected to some identifiers, as it stands in the tables.

    All links of the nodes in `before` are at hand; other nodes are at the far end of a link that
    does not conduct.
    """

    rules: Rules
    change: Change = AS_IT_IS
    nodes: dict[int, Node] = field(default_factory=dict)
    #: Group, person, reach and why nobody's, of each identifier before; nobody knows the `fresh`.
    before: dict[int, tuple[int, int, int, str | None]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    edges: dict[int, Edge] = field(default_factory=dict)
    held: dict[int, str | None] = field(default_factory=dict)
    apart: list[tuple[int, int]] = field(default_factory=list)
    standing: Standing = field(default_factory=Standing)

    def people(self) -> People:
        inner = {i: self.nodes[i] for i in self.before}
        edges = self.edges.values()
        return resolve(inner, edges, self.apart, self.rules, self.standing)

    def take(self, rows: Iterable[Any], *, inner: bool) -> set[int]:
        """Take identifiers in; those that are not inner are only looked at."""
        taken = set()
        for row in rows:
            reach, group, person, settled, apart, i = row[:6]
            self.nodes[i] = node = self.change.node(Node(*row[5:]))
            if not inner or i in self.before:
                continue
            taken.add(i)
            self.before[i] = group, person, reach, node.closed
            self.apart += [(i, other) for other in apart or ()]
            if not settled:
                self.fresh.add(i)
        return taken

    def connect(self, rows: Iterable[Any]) -> set[int]:
        """Take links in; return their ends that are not known yet."""
        for row in rows:
            if row[1] not in self.edges and row[1] not in self.change.without:
                self.held[row[1]] = row[0]
                self.edges[row[1]] = Edge(*row[1:])
        ends = {i for e in self.edges.values() for i in (e.left, e.right)}
        return ends - self.nodes.keys()

    def beyond(self) -> set[int]:
        """Return the nodes that must be taken in too, for the answer to be the whole one's."""
        self.standing = stand(
            self.nodes, self.edges.values(), self.apart, self.rules, self.before.keys()
        )
        wanted: set[int] = set()
        far = self.nodes.keys() - self.before.keys()
        for edge in self.edges.values() if far else ():
            for here, there in ((edge.left, edge.right), (edge.right, edge.left)):
                if there not in far:
                    continue
                # What conducts; a login that may have too many links for this one to count, or
                # counts by what was decided about it; what is shared by logins so decided about.
                why = self.standing.held.get(edge.id)
                unique = rules_of(self.nodes[there].namespace, self.rules).unique
                if (
                    why is None
                    or (why != "frequency" and self.held[edge.id] == "frequency")
                    or (self.nodes[there].decided and unique)
                    or (self.nodes[here].decided and self.nodes[there].closed == "shared")
                ):
                    wanted.add(there)
        return wanted


def _around(session: Session, touched: Collection[int], change: Change = AS_IT_IS) -> _Around:
    """Read what is connected to the touched identifiers.

    Whole reaches at once: breadth first, one query per step, took 5 s on a chain of 5,000.
    """
    rules = namespaces.in_force(session) if change.rules is None else change.rules
    around = _Around(rules, change)
    around.edges = {edge.id: edge for edge in change.more}
    around.held = dict.fromkeys(around.edges)
    most = max(r.most_links for r in (namespace("user_id"), *around.rules.values()))
    wanted = set(touched)
    while wanted:
        found = session.execute(statement("nodes"), {"ids": "{}", "around": array(wanted)})
        inner = around.take(found.all(), inner=True)
        links = session.execute(statement("edges"), {"ids": array(inner), "most": most})
        ends = around.connect(links.all())
        if ends:
            found = session.execute(statement("nodes"), {"ids": array(ends), "around": "{}"})
            around.take(found.all(), inner=False)
        wanted = around.beyond()
    return around


def _write_held(session: Session, held: dict[int, str | None], people: People) -> None:
    rows = [
        {"id": i, "held": people.held.get(i)} for i in sorted(held) if held[i] != people.held.get(i)
    ]
    if rows:
        session.execute(statement("hold"), {"rows": rows_of(rows)})


def _move(session: Session, around: _Around, people: People) -> None:
    rows = []
    for i, old in sorted(around.before.items()):
        new = people.group[i], people.person[i], people.reach[i], people.closed.get(i)
        if i in around.fresh or old != new:
            names = ("group_id", "person_id", "reach_id", "closed")
            rows.append({"id": i, **dict(zip(names, new, strict=True))})
    if rows:
        session.execute(statement("move"), {"rows": rows_of(rows)})


def _record_moves(session: Session, around: _Around, people: People, at: datetime) -> Moved:
    """Write down which people were joined or split; a brand-new identifier is neither."""
    fresh = around.fresh
    before = {i: old[1] for i, old in around.before.items()}
    members: dict[int, dict[int, list[int]]] = {}
    for i, old in before.items():
        if i not in fresh:
            members.setdefault(old, {}).setdefault(people.person[i], []).append(i)
    merged, split, joins, parts = [], [], [], []
    for old, pieces in sorted(members.items()):
        for new, identifiers in sorted(pieces.items()):
            if new == old:
                continue
            told = sorted(identifiers)
            if new not in members and new not in fresh:
                split.append((old, new))
                parts.append({"person_id": old, "part_id": new, "identifiers": told})
            else:
                merged.append((new, old))
                joins.append({"survivor_id": new, "absorbed_id": old, "absorbed": told})
    for name, rows in (("keep_merges", joins), ("keep_splits", parts)):
        if rows:
            session.execute(statement(name), {"rows": rows_of(rows), "at": at})
    touched = {p for i in before for p in (before[i], people.person[i])}
    known = {people.person[i] for i in before if i not in fresh}
    created = {people.person[i] for i in fresh} - known - members.keys()
    return Moved(tuple(sorted(created)), tuple(merged), tuple(split), frozenset(touched))


def settle(session: Session, identifiers: Collection[int]) -> list[int]:
    """Note that these identifiers are people of whom somebody is told now; return the new ones."""
    made = session.execute(statement("settle"), {"ids": array(identifiers)})
    return sorted(row.id for row in made)
