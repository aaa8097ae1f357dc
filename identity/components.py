"""From links to people: union of the strongest evidence first, with guards; no database."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from identity.agents import find
from identity.birth_dates import generation_apart
from identity.contradictions import contradict, is_date, is_whole
from identity.couples import shared
from identity.guards import (
    CERTAIN,
    HOUSEHOLD,
    VISITORS,
    Edge,
    Node,
    Standing,
    Union,
    likelihood,
    ranks,
    stand,
    strength,
)  # fmt: skip
from identity.identifiers import Rules, rules_of
from identity.visitors import visited

#: A person of more identifiers than this is a mistake of the evidence, not a person.
LARGEST = 200
#: Unless they are copies, of one name and birth date: of these it may have so many.
MOST_COPIES = 1_000
#: Groups of so many identifiers, devices and cookies aside, are not joined by one weak link. On the
#: CDP graph (benchmarks.quality) none of the three joins of groups of eight was mostly right, of
#: groups of six eleven of eighteen.
BIG = 8
#: From this priority on values are shared in a family or a shop: addresses, numbers, devices.
WEAK = 4
#: So many names speak for a person, the most frequent: comparing 100 with 100 at each link took 4 s
#: on 5,000 links.
VOICES = 25
#: The rules of an installation whose operator set none.
DEFAULTS: Rules = {}


@dataclass(slots=True)
class People:
    """Which identifiers belong together, and why some links were not followed.

    `reach` names what is connected by links that conduct, followed or not: who must be computed
    together. `closed` is why an identifier is nobody's.
    """

    group: dict[int, int] = field(default_factory=dict)
    person: dict[int, int] = field(default_factory=dict)
    reach: dict[int, int] = field(default_factory=dict)
    held: dict[int, str] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)

    def place(self, i: int) -> tuple[int, int, int, str | None]:
        """Return where an identifier belongs: group, person, reach, and why nobody's."""
        return self.group[i], self.person[i], self.reach[i], self.closed.get(i)


def resolve(
    nodes: Mapping[int, Node],
    edges: Collection[Edge],
    cannot: Collection[tuple[int, int]] = (),
    rules: Rules = DEFAULTS,
    standing: Standing | None = None,
) -> People:
    """Put identifiers together into people.

    The answer depends on the set of nodes, edges and constraints alone, never on their order:
    edges are followed from the strongest to the weakest, and one that a guard stops is held with
    its reason. A person is named after the oldest (lowest) identifier in it, so that ids are
    stable under growth and an undone merge gives both people their ids back.

    Matched edges need `profile.link` given on both sides; asserted ones need it not refused.
    `standing` is what the guards of single links said, when they were asked before; an edge to a
    node that is not given must be held by them.
    """
    local = standing
    if local is None:
        agents = find(nodes, edges, rules, nodes.keys(), {}).found
        local = stand(nodes, edges, cannot, rules, nodes.keys(), agents)
    edges = [e for e in edges if e.left in nodes and e.right in nodes]
    nobodys = visited(nodes, edges, local.held, rules)
    nobodys |= shared(nodes, edges, local.held, cannot, rules)
    held = dict(local.held)
    for edge in edges if nobodys else ():
        if (
            edge.kind != "manual"
            and not edge.same
            and not nobodys.isdisjoint((edge.left, edge.right))
        ):
            held.setdefault(edge.id, VISITORS)
    clusters = _Clusters(nodes, edges, cannot, rules, held)
    reach = Union(nodes)
    for edge in edges:
        if edge.id not in local.held:
            reach.join(edge.left, edge.right)
    ranked = ranks(nodes, rules)
    matched = [e for e in edges if e.kind == "match"]
    asserted = [e for e in edges if e.kind != "match" and e.id not in local.held]
    for edge in sorted(asserted, key=lambda e: strength(ranked, e)):
        clusters.follow(edge)
    clusters.reunite(asserted)
    group = {i: clusters.root(i) for i in nodes}
    given = {group[i] for i, n in nodes.items() if n.link_consent == "given"}
    # Before any is followed: what is not allowed is no second way either.
    for edge in matched:
        if group[edge.left] not in given or group[edge.right] not in given:
            clusters.held.setdefault(edge.id, "consent:not_given")
    for edge in sorted(matched, key=lambda e: likelihood(nodes, e)):
        clusters.follow(edge)
    clusters.reunite(matched)
    return People(
        group,
        {i: clusters.root(i) for i in nodes},
        {i: reach.root(i) for i in nodes},
        clusters.held,
        {i: why for i, why in local.closed.items() if i in nodes}
        | dict.fromkeys(nobodys, VISITORS),
    )


class _Clusters(Union):
    """Union-find over identifiers that knows what it would be wrong to unite."""

    def __init__(
        self,
        nodes: Mapping[int, Node],
        edges: Collection[Edge],
        cannot: Collection[tuple[int, int]],
        rules: Rules,
        held: dict[int, str],
    ) -> None:
        super().__init__(nodes)
        self.nodes, self.edges, self.held = nodes, edges, held
        #: The edges at each node, made when two big clusters meet.
        self.near: dict[int, list[Edge]] = {}
        self.rules = {name: rules_of(name, rules) for name in {n.namespace for n in nodes.values()}}
        self.members: dict[int, list[int]] = {i: [i] for i in nodes}
        #: How many of each namespace, and of each name, a cluster has.
        self.spaces: dict[int, dict[str, int]] = {
            i: {} if n.old else {n.namespace: 1} for i, n in nodes.items()
        }
        named = {
            i: (n.first_name, n.last_name, n.birth_date) for i, n in nodes.items() if n.first_name
        }
        #: Names in their order, and what is known of pairs: numbers are compared in a third of
        #: the time, and in a chain of named records each new one is compared with 25.
        self.labels = sorted(set(named.values()), key=lambda n: (n[0], n[1] or "", n[2] or ""))
        places = {name: place for place, name in enumerate(self.labels)}
        self.names: dict[int, dict[int, int]] = {i: {places[n]: 1} for i, n in named.items()}
        #: How often each name with a birth date stands in a cluster: copies of one person.
        self.copies: dict[int, dict[int, int]] = {}
        if len(nodes) > LARGEST:
            self.copies = {i: dict(n) for i, n in self.names.items() if is_whole(named[i])}
        self.against: dict[int, bool] = {}
        self.apart: dict[int, set[int]] = {}
        for left, right in cannot:
            if left in nodes and right in nodes:
                self.apart.setdefault(left, set()).add(right)
                self.apart.setdefault(right, set()).add(left)

    def follow(self, edge: Edge) -> None:
        """Unite what an edge joins, unless it is held or there is an obstacle."""
        if edge.id in self.held:
            return
        a, b = self.root(edge.left), self.root(edge.right)
        if a == b:
            return
        if reason := self.obstacle(edge, a, b):
            self.held[edge.id] = reason
        else:
            self.unite(min(a, b), max(a, b))

    def unite(self, a: int, b: int) -> None:
        """Unite two clusters under the first, which is the older one."""
        self.parent[b] = a
        self.members[a] += self.members.pop(b)
        self.spaces[a] = _sum(self.spaces[a], self.spaces.pop(b))
        if b in self.copies:
            self.copies[a] = _sum(self.copies.get(a, {}), self.copies.pop(b))
        if b in self.names:
            there = self.names.pop(b)
            here = self.names.get(a)
            self.names[a] = _voices(_sum(here, there)) if here else there

    def obstacle(self, edge: Edge, a: int, b: int) -> str | None:
        """Return why uniting two clusters by this edge would be wrong, or None."""
        if self.apart and self._apart(self.members[a], self.members[b]):
            return "cannot_link"
        if edge.kind == "manual" or edge.same:
            return None
        if self._too_large(a, b):
            return "size"
        return (
            self._over_limit(edge, a, b)
            or self._contradiction(a, b)
            or self._generations(edge, a, b)
            or self._bridge(edge, a, b)
        )

    def _too_large(self, a: int, b: int) -> bool:
        size = len(self.members[a]) + len(self.members[b])
        if size <= LARGEST:
            return False
        here, there = self.copies.get(a, {}), self.copies.get(b, {})
        alike = sum(here.values()) + sum(there.values()) - len(here.keys() | there.keys())
        return size > MOST_COPIES or size - alike > LARGEST

    def _apart(self, left: list[int], right: list[int]) -> bool:
        there = set(right)
        return any(self.apart.get(i, set()) & there for i in left)

    def _over_limit(self, edge: Edge, a: int, b: int) -> str | None:
        # One side alone adds nothing to a limit.
        less, more = self.spaces[a], self.spaces[b]
        if len(less) > len(more):
            less, more = more, less
        over = [
            name
            for name, n in less.items()
            if name in more
            and (limit := self.rules[name].limit) is not None
            and n + more[name] > limit
        ]
        certain = over and edge.kind == "match" and edge.probability >= CERTAIN
        for name in sorted(over):
            if not (certain and self.rules[name].unique):
                return f"limit:{name}"
        return None

    def _bridge(self, edge: Edge, a: int, b: int) -> str | None:
        """Hold what joins two big clusters alone: one weak link, or one value that both share.

        Not what a login was seen with, nor a certain match. Where there is a second way between the
        two, it is the second to be looked at that joins them, and the first is let go (`reunite`).
        A match is no second way for what events show: what is asserted hangs on no likelihood.
        """
        if self._solid(a) < BIG or self._solid(b) < BIG or self._strong(edge):
            return None
        between = self._between(a, b)
        if edge.kind != "match":
            between = [e for e in between if e.kind != "match"]
        if len(between) == 1:
            return "bridge"
        if any(e.kind != "event" or self._strong(e) for e in between):
            return None
        shared = set.intersection(*({e.left, e.right} for e in between))
        return "bridge" if any(self._weak(i) for i in shared) else None

    def reunite(self, edges: Iterable[Edge]) -> None:
        """Let go of bridges whose ends have come together by other edges of their kind."""
        for edge in edges:
            if self.held.get(edge.id) == "bridge" and self.root(edge.left) == self.root(edge.right):
                del self.held[edge.id]

    def _solid(self, cluster: int) -> int:
        spaces = self.spaces[cluster].items()
        return sum(n for name, n in spaces if self.rules[name].owner_days is None)

    def _weak(self, i: int) -> bool:
        rules = self.rules[self.nodes[i].namespace]
        return rules.priority >= WEAK and not rules.unique

    def _strong(self, edge: Edge) -> bool:
        """Say whether an edge may join whom it likes: none that a shared value explains."""
        if edge.kind == "match":
            return edge.probability >= CERTAIN
        unique = any(self.rules[self.nodes[i].namespace].unique for i in (edge.left, edge.right))
        return (
            edge.kind == "manual" or edge.same or unique
            or not (self._weak(edge.left) or self._weak(edge.right))
        )  # fmt: skip

    def _between(self, a: int, b: int) -> list[Edge]:
        """Return the edges between two clusters that nothing holds but this guard."""
        if not self.near:
            for edge in self.edges:
                self.near.setdefault(edge.left, []).append(edge)
                self.near.setdefault(edge.right, []).append(edge)
        less, more = sorted((self.members[a], self.members[b]), key=len)
        there = set(more)
        return [
            edge for i in less for edge in self.near.get(i, ())
            if self.held.get(edge.id, "bridge") == "bridge"
            and (edge.left in there or edge.right in there)
        ]  # fmt: skip

    def _contradiction(self, a: int, b: int) -> str | None:
        """Hold what would join records that mostly speak of different people."""
        if a not in self.names or b not in self.names:
            return None
        here, there = self.names[a], self.names[b]
        pairs = sum(here.values()) * sum(there.values())
        against, left, known, size = 0, pairs, self.against, len(self.labels)
        for one, n in here.items():
            for other, m in there.items():
                left -= n * m
                told = known.get(one * size + other)
                if self._contradict(one, other) if told is None else told:
                    against += n * m
                    if against * 2 > pairs:
                        return "conflict"
                elif (against + left) * 2 <= pairs:  # whatever the others say
                    return None
        return None

    def _generations(self, edge: Edge, a: int, b: int) -> str | None:
        """Hold what would join people born a generation apart without knowing that they are.

        A match whose records both have a date has weighed it; father and son of one name share what
        a household does, and who has a date made up in one form shares an address.
        """
        if a not in self.names or b not in self.names:
            return None
        ends = (self.nodes[edge.left], self.nodes[edge.right])
        if edge.kind == "match":
            knows = all(is_date(end.birth_date) for end in ends)
        else:
            knows = all(self.rules[end.namespace].priority < HOUSEHOLD for end in ends)
        if knows:
            return None
        apart = pairs = 0
        there = [(self.labels[i][2] or "", n) for i, n in self.names[b].items()]
        for i, n in self.names[a].items():
            born = self.labels[i][2]
            if born and is_date(born):
                for other, m in there:
                    if is_date(other):
                        pairs += n * m
                        apart += n * m * generation_apart(born, other)
        return "conflict" if apart * 2 > pairs else None

    def _contradict(self, one: int, other: int) -> bool:
        found = contradict(self.labels[one], self.labels[other])
        self.against[one * len(self.labels) + other] = found
        return found


Key = TypeVar("Key")


def _sum(one: dict[Key, int], other: dict[Key, int]) -> dict[Key, int]:
    """Add the counts of the smaller one to the larger one."""
    less, more = (other, one) if len(one) >= len(other) else (one, other)
    for key, n in less.items():
        more[key] = more.get(key, 0) + n
    return more


def _voices(names: dict[int, int]) -> dict[int, int]:
    """Leave the most frequent names; of those as frequent the first. Mostly one has to go."""
    while len(names) > VOICES:
        least = min(names.values())
        del names[max(name for name, n in names.items() if n == least)]
    return names
