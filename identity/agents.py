"""Finds agents: logins and records that show addresses of more people than one person is."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from identity.distinct import many
from identity.guards import Edge, Node, spellings, tie
from identity.identifiers import Namespace, Rules, rules_of

#: Who shows so many times as many addresses as one person has is an agent, wherever else these were
#: seen: customers who call and have never been on the website.
TIMES = 4


@dataclass(frozen=True, slots=True)
class Agents:
    """Who is an agent, and whose links must be read before that is known."""

    found: set[int] = field(default_factory=set)
    unread: set[int] = field(default_factory=set)


def find(
    nodes: Mapping[int, Node],
    edges: Collection[Edge],
    rules: Rules,
    inner: Collection[int],
    read: Mapping[int, Collection[Edge]],
) -> Agents:
    """Find who shows more addresses than one person has that have a life of their own.

    In a call centre or a shop somebody identifies customers under their own login. An address has
    a life of its own where it was seen with what the login was not seen with: another login, a
    cookie. Each life is one address's (a matching), so the many addresses of one person, who has a
    second login or a record of each shop, are not those of customers. All links of the `inner` are
    at hand, and those in `read` of others.
    """
    sizes = Counter([node.namespace for node in nodes.values()])
    spaces = {name: rules_of(name, rules) for name in sizes}
    limits = {
        name: space.limit
        for name, space in spaces.items()
        if space.limit is not None and is_address(space) and sizes[name] > space.limit
    }
    if not limits:
        return Agents()
    shown: dict[int, Counter[str]] = {}
    for edge in edges:
        if edge.kind == "event" and not edge.same and not edge.undone:
            for who, what in ((edge.left, edge.right), (edge.right, edge.left)):
                if (name := nodes[what].namespace) in limits and who in inner:
                    shown.setdefault(who, Counter())[name] += 1
    among = {
        who for who, counts in shown.items()
        if not nodes[who].blocked and any(
            n > limits[name] and _may_show(spaces[nodes[who].namespace], spaces[name])
            for name, n in counts.items())
    }  # fmt: skip
    if not among:
        return Agents()
    every = list({e.id: e for some in (edges, *read.values()) for e in some}.values())
    looks = _Looks(nodes, every, rules, limits, {*inner, *read})
    return Agents({who for who in among if looks.at(who)}, looks.unread)


def is_address(space: Namespace) -> bool:
    """Say whether a person has some values of a namespace that others may write to: no device's."""
    return space.limit is not None and not space.unique and space.owner_days is None


def _may_show(who: Namespace, what: Namespace) -> bool:
    return who.priority < what.priority and not is_address(who) and who.owner_days is None


class _Looks:
    """Looks at who may be an agent, by the links that count."""

    def __init__(
        self,
        nodes: Mapping[int, Node],
        edges: Iterable[Edge],
        rules: Rules,
        limits: Mapping[str, int],
        known: Collection[int],
    ) -> None:
        self.nodes, self.rules, self.limits, self.known = nodes, rules, limits, known
        #: Of whom the links must be read before more can be said.
        self.unread: set[int] = set()
        self.links: dict[int, list[Edge]] = {}
        for edge in edges:
            if edge.kind == "event" and not edge.same:
                self.links.setdefault(edge.left, []).append(edge)
                self.links.setdefault(edge.right, []).append(edge)
        undone = {e.id for e in edges if e.same and e.undone}
        self.values = spellings(edges, undone)
        self.spelled: dict[int, list[int]] = {}
        for i, value in self.values.items():
            self.spelled.setdefault(value, []).append(i)

    def at(self, who: int) -> bool:
        """Say whether one is an agent, as far as the links at hand tell."""
        space = rules_of(self.nodes[who].namespace, self.rules)
        links = self.links[who]
        if len(links) > space.most_links:
            if not space.unique:  # it is nobody's already
                return False
            links = sorted(links, key=lambda e: (e.first_at, *tie(self.nodes, e)))
            del links[space.most_links :]
        near = {e.right if e.left == who else e.left for e in links if not e.undone}
        for name, limit in self.limits.items():
            if not _may_show(space, rules_of(name, self.rules)):
                continue
            some = [i for i in near if self._is_of(i, name)]
            if len(some) > TIMES * limit:
                return True
            if len(some) > limit and self._have_lives(who, some, near, limit):
                return True
        return False

    def _is_of(self, i: int, name: str) -> bool:
        return self.nodes[i].namespace == name and not self.nodes[i].blocked

    def _have_lives(self, who: int, some: Iterable[int], near: Iterable[int], limit: int) -> bool:
        of = {self.values.get(i, i): i for i in some}
        theirs = {self.values.get(i, i) for i in (who, *near)}
        return many([self._lives(i, theirs) for i in of.values()], limit)

    def _lives(self, address: int, theirs: Collection[int]) -> set[int]:
        """Return with what an address was seen, but for what is `theirs`."""
        found: set[int] = set()
        for i in self.spelled.get(self.values.get(address, address), (address,)):
            if i not in self.known:
                self.unread.add(i)
            links = self.links.get(i, ())
            if len(links) > rules_of(self.nodes[i].namespace, self.rules).most_links:
                return set()
            for edge in links:
                other = edge.right if edge.left == i else edge.left
                life = self.values.get(other, other)
                if not edge.undone and life not in theirs:
                    found.add(life)
        return found
