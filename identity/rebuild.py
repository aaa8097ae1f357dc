"""People from the links alone, all of them; and whether that is where events have led."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, namespaces
from identity.components import resolve
from identity.guards import Edge, Node, Union
from identity.identifiers import Rules
from identity.lock import lock

#: Identifiers that are computed at once: whole components, so that one may be of more.
PORTION = 20_000
#: No limit to the links that are read: 2 ** 31 - 2, since the statement adds one.
EVERY = 2_147_483_646


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How much was computed anew, and in how many places the tables said something else."""

    identifiers: int
    people: int
    identifiers_differing: int
    links_differing: int


def rebuild(
    session: Session, *, check: bool, progress: Callable[[int, int], None] = lambda *_: None
) -> Rebuilt:
    """Compute every person from identifiers, links, constraints and rules, and nothing derived.

    With `check` nothing is written. Nobody else computes people until the transaction ends. The
    difference, if any, is an error of ours, or rules that were changed and not yet carried through.
    """
    lock(session)
    rules = namespaces.in_force(session)
    components, total = _components(session)
    done = people = moved = held = 0
    for portion in _portions(components):
        nodes, edges, differ = _compute(session, portion, rules, check=check)
        done, people = done + len(nodes), people + edges
        moved, held = moved + differ[0], held + differ[1]
        progress(done, total)
    return Rebuilt(done, people, moved, held)


def _components(session: Session) -> tuple[list[list[int]], int]:
    """Return what any standing links connect, each component from its oldest identifier on."""
    many = {"stream_results": True, "max_row_buffer": 10_000}
    ids = session.scalars(sa.text("SELECT id FROM identity.identifier"), execution_options=many)
    union = Union(ids)
    links = session.execute(
        sa.text("SELECT left_id, right_id FROM identity.link WHERE revoked_at IS NULL"),
        execution_options=many,
    )
    for left, right in links:
        union.join(left, right)
    found: dict[int, list[int]] = {}
    for i in union.parent:
        found.setdefault(union.root(i), []).append(i)
    return [found[root] for root in sorted(found)], len(union.parent)


def _portions(components: Iterable[list[int]]) -> Iterator[list[int]]:
    portion: list[int] = []
    for component in components:
        portion += component
        if len(portion) >= PORTION:
            yield portion
            portion = []
    if portion:
        yield portion


def _compute(
    session: Session, ids: list[int], rules: Rules, *, check: bool
) -> tuple[dict[int, Node], int, tuple[int, int]]:
    nodes: dict[int, Node] = {}
    before: dict[int, tuple[int, int, int, str | None]] = {}
    apart: list[tuple[int, int]] = []
    rows = session.execute(
        graph.statement("nodes"), {"ids": graph.array(ids), "around": "{}"}
    ).all()
    for row in rows:
        node = Node(*row[5:])
        nodes[node.id] = node
        before[node.id] = row.group_id, row.person_id, row.reach_id, row.closed
        apart += [(node.id, other) for other in row.apart or ()]
    edges: dict[int, Edge] = {}
    held: dict[int, str | None] = {}
    links = session.execute(graph.statement("edges"), {"ids": graph.array(ids), "most": EVERY})
    for row in links.all():
        edges[row.id] = Edge(*row[1:])
        held[row.id] = row.held
    people = resolve(nodes, edges.values(), apart, rules)
    why = [{"id": i, "held": people.held.get(i)} for i in held if held[i] != people.held.get(i)]
    where = []
    for i, old in before.items():
        new = people.group[i], people.person[i], people.reach[i], people.closed.get(i)
        if old != new:
            names = ("group_id", "person_id", "reach_id", "closed")
            where.append({"id": i, **dict(zip(names, new, strict=True))})
    if not check:
        for name, changes in (("hold", why), ("move", where)):
            if changes:
                session.execute(graph.statement(name), {"rows": graph.rows_of(changes)})
    return nodes, len(set(people.person.values())), (len(where), len(why))
