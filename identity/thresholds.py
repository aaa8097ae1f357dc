"""Who everybody would be at another merge threshold; nothing is written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import around
from identity.components import resolve
from identity.guards import Edge, Node
from identity.identifiers import Rules
from identity.known import ScoredPair
from identity.rebuild import EVERY


@dataclass(frozen=True, slots=True)
class Evidence:
    """All identifiers, the links that are no matches, decisions and rules, as they stand."""

    nodes: dict[int, Node]
    asserted: list[Edge]
    apart: list[tuple[int, int]]
    rules: Rules


def evidence(session: Session) -> Evidence:
    """Read everything that people follow from but for the matches; it has to fit into memory."""
    ids = list(session.scalars(sa.text("SELECT id FROM identity.identifier")))
    read = around.read(session, ids, most=EVERY)
    nodes = {placed.node.id: placed.node for placed in read.identifiers}
    asserted = [link.edge for link in read.links if link.edge.kind != "match"]
    return Evidence(nodes, asserted, read.apart, read.rules)


def people_at(known: Evidence, pairs: Iterable[ScoredPair], threshold: float) -> dict[int, int]:
    """Return the person of each identifier if pairs were linked from this probability on."""
    likely: Sequence[ScoredPair] = [p for p in pairs if p.probability >= threshold]
    first = max((edge.id for edge in known.asserted), default=0) + 1
    matches = [
        Edge(number, p.left, p.right, "match", 0.0, p.probability)
        for number, p in enumerate(likely, first)
    ]
    people = resolve(known.nodes, [*known.asserted, *matches], known.apart, known.rules)
    return people.person
