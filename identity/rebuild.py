"""People from the links alone, all of them; and whether that is where events have led."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, namespaces
from identity.around import Placed, read
from identity.components import People, resolve
from identity.guards import Union
from identity.identifiers import Rules
from identity.lock import lock

#: Identifiers that are computed at once: whole components, so that one may be of more.
PORTION = 20_000
#: No limit to the links that are read: 2 ** 31 - 2, since the statement adds one.
EVERY = 2_147_483_646


NOBODY = graph.Moved()


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How much was computed anew, and in how many places the tables said something else."""

    identifiers: int
    people: int
    identifiers_differing: int
    links_differing: int
    moved: graph.Moved = NOBODY


def rebuild(
    session: Session, *, check: bool, progress: Callable[[int, int], None] = lambda *_: None
) -> Rebuilt:
    """Compute every person from identifiers, links, constraints and rules, and nothing derived.

    With `check` nothing is written; without it the caller tells others who `moved`. Nobody else
    computes people until the transaction ends. The difference, if any, is an error of ours, or
    rules that were changed and not yet carried through.
    """
    lock(session)
    rules = namespaces.in_force(session)
    components, total = _components(session)
    done = people = differing = held = 0
    moves = []
    for portion in _portions(components):
        found = _compute(session, portion, rules, check=check)
        done, people = done + found.identifiers, people + found.people
        differing, held = differing + found.identifiers_differing, held + found.links_differing
        moves.append(found.moved)
        progress(done, total)
    return Rebuilt(done, people, differing, held, _together(moves))


def _together(moves: Iterable[graph.Moved]) -> graph.Moved:
    moves = list(moves)
    return graph.Moved(
        tuple(i for m in moves for i in m.created),
        tuple(pair for m in moves for pair in m.merged),
        tuple(pair for m in moves for pair in m.split),
        frozenset().union(*(m.people for m in moves)),
        tuple(i for m in moves for i in m.grown),
    )


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


def _compute(session: Session, ids: list[int], rules: Rules, *, check: bool) -> Rebuilt:
    found = read(session, ids, most=EVERY)
    nodes = {row.node.id: row.node for row in found.identifiers}
    links = {link.edge.id: link for link in found.links}
    people = resolve(nodes, [link.edge for link in links.values()], found.apart, rules)
    held = {i: why for i, link in links.items() if link.held != (why := people.held.get(i))}
    where = []
    for row in found.identifiers:
        i, old = row.node.id, (row.group, row.person, row.reach, row.node.closed)
        new = people.place(i)
        if old != new:
            where.append((i, *new))
    moved = graph.Moved()
    if not check:
        before, fresh = _concerned(found.identifiers, people, {row[0] for row in where})
        moved = graph.place(session, people, held, where, before, fresh, datetime.now(UTC))
    count = len(set(people.person.values()))
    return Rebuilt(len(nodes), count, len(where), len(held), moved)


def _concerned(
    rows: Sequence[Placed], people: People, changed: Collection[int]
) -> tuple[dict[int, int], set[int]]:
    """Return the identifiers of people that changed, with their people before, and who is new."""
    was = {row.node.id: row.person for row in rows}
    concerned = {p for i in changed for p in (was[i], people.person[i])}
    before = {i: p for i, p in was.items() if {p, people.person[i]} & concerned}
    fresh = {row.node.id for row in rows if row.node.id in before and not row.settled}
    return before, fresh
