"""Why this person: the links that hold it together, the weakest of them, and what would be."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from identity import cohesion, graph, people
from identity.guards import Edge, likelihood, ranks, strength


@dataclass(frozen=True, slots=True)
class Holding:
    """How a person hangs together.

    `followed` and `held` count links at its identifiers. `weakest` are the fewest links whose loss
    would take it apart, the weakest among as few: one is a bridge. `parts` is who there would be
    without them, guards included, so one part means that held links would step in. Both are empty
    for a single identifier; only `weakest` is not None and `parts` is empty where it is `dense`: so
    large and well connected that it was not computed.
    """

    identifiers: int
    followed: int
    held: int
    weakest: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]
    dense: bool


def holding(session: Session, person: int) -> Holding:
    """Say what holds a person together; takes no lock and writes nothing.

    Costs what computing the person twice costs, as every event of it does once.
    """
    members = {row.identifier_id for row in people.members(session, [person])}
    imagined = graph.imagine(session, members)
    ranked = ranks(imagined.nodes, imagined.rules)

    def order(edge: Edge) -> tuple[object, ...]:
        if edge.kind == "match":
            return 1, *likelihood(imagined.nodes, edge)
        return 0, *strength(ranked, edge)

    at = [e for e in imagined.edges.values() if e.left in members or e.right in members]
    inside = [
        e
        for e in at
        if e.id not in imagined.people.held and e.left in members and e.right in members
    ]
    inside.sort(key=order)
    held = sum(e.id in imagined.people.held for e in at)
    cut = cohesion.weakest(members, [(e.id, e.left, e.right) for e in inside])
    if cut is None:
        return Holding(len(members), len(inside), held, (), (), dense=len(members) > 1)
    after = graph.imagine(session, members, graph.Change(without=frozenset(cut.links)))
    parts: dict[int, list[int]] = {}
    for i in sorted(members):
        parts.setdefault(after.people.person[i], []).append(i)
    sizes = sorted(parts.values(), key=lambda part: (-len(part), part))
    return Holding(
        len(members), len(inside), held, cut.links, tuple(map(tuple, sizes)), dense=False
    )
