"""Finds devices of two people who never log in: two addresses there are two people's elsewhere."""

from collections.abc import Collection, Iterable, Mapping
from itertools import combinations

from identity.agents import is_address
from identity.contradictions import Name, contradict
from identity.guards import CERTAIN, Edge, Node, decided, spellings
from identity.identifiers import Rules, rules_of


def shared(
    nodes: Mapping[int, Node],
    edges: Collection[Edge],
    held: Collection[int],
    cannot: Collection[tuple[int, int]],
    rules: Rules,
) -> set[int]:
    """Find devices without a login at which two left an address who are two people elsewhere.

    Each of the two addresses was seen with a login, and these are two; or with names that no one
    person has. Until then the device, and what was agreed to on it, went to whoever was there
    first. Who has two addresses and says nothing else is one person. `edges` conduct but for the
    `held`; who `cannot` be one is two.
    """
    spaces = {name: rules_of(name, rules) for name in {n.namespace for n in nodes.values()}}
    homes = {name for name, space in spaces.items() if space.owner_days is not None}
    addresses = {name for name, space in spaces.items() if is_address(space)}
    if not homes or not addresses:
        return set()
    seen = _shown(nodes, edges, held, homes, addresses)
    if not seen:
        return set()
    values = spellings(edges, held)
    shown = {home: {values.get(i, i) for i in ends} for home, ends in seen.items()}
    ends = {i for ends in shown.values() for i in ends}
    one = decided(nodes, edges, cannot, rules, _sure(nodes, edges, held))
    who = _Who(nodes, edges, held, rules, values, ends, one)
    return {
        home for home, ends in shown.items()
        if home not in who.logins and any(who.are_two(*pair) for pair in combinations(ends, 2))
    }  # fmt: skip


def _shown(
    nodes: Mapping[int, Node],
    edges: Iterable[Edge],
    held: Collection[int],
    homes: Collection[str],
    addresses: Collection[str],
) -> dict[int, set[int]]:
    """Return the addresses seen at each device of several."""
    found: dict[int, set[int]] = {}
    for edge in edges:
        if edge.kind == "event" and not edge.same and edge.id not in held:
            for i, j in ((edge.left, edge.right), (edge.right, edge.left)):
                if nodes[i].namespace in homes and nodes[j].namespace in addresses:
                    found.setdefault(i, set()).add(j)
    return {i: ends for i, ends in found.items() if len(ends) > 1}


def _sure(nodes: Mapping[int, Node], edges: Iterable[Edge], held: Collection[int]) -> list[Edge]:
    """Return the matches that are certain and that both sides agreed to be joined by.

    Who agreed on a device alone counts not: whose that is, is what is asked.
    """
    return [
        e for e in edges
        if e.kind == "match" and e.probability >= CERTAIN and e.id not in held
        and nodes[e.left].link_consent == nodes[e.right].link_consent == "given"
    ]  # fmt: skip


class _Who:
    """Knows whose an address is: the logins that show it, and names it was seen with.

    `logins` are by whatever was seen with one: by namespace, who counts as one as one.
    """

    def __init__(
        self,
        nodes: Mapping[int, Node],
        edges: Collection[Edge],
        held: Collection[int],
        rules: Rules,
        values: Mapping[int, int],
        addresses: Collection[int],
        one: Mapping[int, int],
    ) -> None:
        self.logins: dict[int, dict[str, set[int]]] = {}
        self.names: dict[int, set[Name]] = {}
        spellings_of = {i for i in nodes if values.get(i, i) in addresses}
        ends = [(i, i) for i in spellings_of]
        for edge in edges:
            if edge.kind == "event" and not edge.same and edge.id not in held:
                ends += [(edge.left, edge.right), (edge.right, edge.left)]
        for here, there in ends:
            node, value = nodes[there], values.get(here, here)
            space = rules_of(node.namespace, rules)
            if space.unique:
                login = one.get(there, there)
                self.logins.setdefault(value, {}).setdefault(space.name, set()).add(login)
            if node.first_name and value in addresses and space.owner_days is None:
                name = node.first_name, node.last_name, node.birth_date
                self.names.setdefault(value, set()).add(name)

    def are_two(self, one: int, other: int) -> bool:
        """Say whether two addresses are those of two people."""
        here, there = self.logins.get(one, {}), self.logins.get(other, {})
        if any(here[name].isdisjoint(there[name]) for name in here.keys() & there.keys()):
            return True
        names = [(a, b) for a in self.names.get(one, ()) for b in self.names.get(other, ())]
        return bool(names) and all(contradict(a, b) for a, b in names)
