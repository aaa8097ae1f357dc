"""Finds kiosks: numbers and devices at which more people left an address than one person has."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from identity.distinct import many
from identity.guards import HOUSEHOLD, Edge, Node, spellings
from identity.identifiers import Rules, rules_of


def visited(
    nodes: Mapping[int, Node], edges: Collection[Edge], held: Collection[int], rules: Rules
) -> set[int]:
    """Find numbers and devices at which more people left an address than one person has.

    A kiosk, the browser of a call centre, a switchboard: up to their limit, the addresses would be
    one person's, with one consent. What an event shows are links to who acts, so addresses are
    looked for at the other ends of its links too; one of them speaks for one address at most, so
    the many addresses of one login are not many visitors. All spellings of a value are one value.
    `edges` conduct but for the `held`.
    """
    sizes = Counter([node.namespace for node in nodes.values()])
    spaces = {name: rules_of(name, rules) for name in sizes}
    homes = {n: r.priority for n, r in spaces.items() if r.priority >= HOUSEHOLD and not r.unique}
    limits = {
        name: space.limit
        for name, space in spaces.items()
        if space.limit is not None and not space.unique and sizes[name] > space.limit
        and any(space.priority < home for home in homes.values())
    }  # fmt: skip
    if not limits:
        return set()
    near, borne, values = _beside(nodes, edges, held, homes, limits)
    found = set()
    for hub, ends in near.items():
        home = homes[nodes[hub].namespace]
        for name, limit in limits.items():
            if spaces[name].priority < home and len(ends) > limit:
                by = borne[name]
                own = [(i,) if nodes[i].namespace == name else by.get(i, ()) for i in ends]
                if many(own, limit):
                    found.add(hub)
                    break
    return {i for i in nodes if values.get(i, i) in found} if found else found


def _beside(
    nodes: Mapping[int, Node],
    edges: Collection[Edge],
    held: Collection[int],
    homes: Collection[str],
    limits: Iterable[str],
) -> tuple[dict[int, set[int]], dict[str, dict[int, set[int]]], dict[int, int]]:
    """Return what stands beside each home, the values beside each by namespace, and spellings.

    Once for all of them: to look again at each one costs its neighbours' links each time.
    """
    values = spellings(edges, held)
    near: dict[int, set[int]] = {}
    borne: dict[str, dict[int, set[int]]] = {name: {} for name in limits}
    for edge in edges:
        one, other = values.get(edge.left, edge.left), values.get(edge.right, edge.right)
        if edge.kind != "event" or edge.same or edge.id in held or one == other:
            continue
        for i, j in ((one, other), (other, one)):
            if nodes[i].namespace in homes:
                near.setdefault(i, set()).add(j)
            if (space := nodes[j].namespace) in borne:
                borne[space].setdefault(i, set()).add(j)
    return near, borne, values
