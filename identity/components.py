"""From links to people: union of the strongest evidence first, with guards; no database."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

import msgspec

from identity.identifiers import namespace

#: Two logins are one person only on a match this certain; devices and addresses never join them.
CERTAIN = 0.99
#: Two first names whose letters agree to this share may be one name with typos.
ALIKE = 0.6
#: A person of more identifiers than this is a mistake of the evidence, not a person.
LARGEST = 200


class Node(msgspec.Struct, frozen=True):
    """An identifier, as far as its links are concerned."""

    id: int
    namespace: str
    link_consent: str = "unknown"
    first_name: str | None = None
    last_name: str | None = None
    birth_date: str | None = None


class Edge(msgspec.Struct, frozen=True):
    """A link that stands; `first_at` is the time of its first evidence, in seconds."""

    id: int
    left: int
    right: int
    kind: str
    first_at: float = 0.0
    probability: float = 1.0


@dataclass(slots=True)
class People:
    """Which identifiers belong together, and why some links were not followed."""

    group: dict[int, int] = field(default_factory=dict)
    person: dict[int, int] = field(default_factory=dict)
    held: dict[int, str] = field(default_factory=dict)


def resolve(
    nodes: Mapping[int, Node], edges: Collection[Edge], cannot: Collection[tuple[int, int]] = ()
) -> People:
    """Put identifiers together into people.

    The answer depends on the set of nodes, edges and constraints alone, never on their order:
    edges are followed from the strongest to the weakest, and one that a guard stops is held with
    its reason. A person is named after the oldest (lowest) identifier in it, so that ids are
    stable under growth and an undone merge gives both people their ids back.

    Matched edges need `profile.link` given on both sides; asserted ones need it not refused.
    """
    clusters = _Clusters(nodes, cannot)
    priority = {i: namespace(node.namespace).priority for i, node in nodes.items()}
    asserted = sorted((e for e in edges if e.kind != "match"), key=lambda e: _strength(priority, e))
    for edge in asserted:
        if edge.kind == "manual":
            clusters.follow(edge, _refused(nodes, edge))
    shared = _shared(nodes, asserted, clusters)
    for edge in asserted:
        if edge.kind == "event":
            clusters.follow(edge, _refused(nodes, edge) or _shared_by(edge, shared))
    group = {i: clusters.root(i) for i in nodes}
    given = {group[i] for i, n in nodes.items() if n.link_consent == "given"}
    matched = [e for e in edges if e.kind == "match"]
    for edge in sorted(matched, key=lambda e: (-e.probability, e.left, e.right)):
        allowed = group[edge.left] in given and group[edge.right] in given
        clusters.follow(edge, _refused(nodes, edge) or (None if allowed else "consent:not_given"))
    return People(group, {i: clusters.root(i) for i in nodes}, clusters.held)


def _refused(nodes: Mapping[int, Node], edge: Edge) -> str | None:
    said = (nodes[edge.left].link_consent, nodes[edge.right].link_consent)
    return "consent:refused" if "refused" in said else None


def _strength(priority: Mapping[int, int], edge: Edge) -> tuple[object, ...]:
    """Order edges: decisions of people, then by the stronger namespaces, then by age."""
    one, other = priority[edge.left], priority[edge.right]
    return (
        edge.kind != "manual",
        min(one, other),
        max(one, other),
        edge.first_at,
        edge.left,
        edge.right,
    )


def _shared(nodes: Mapping[int, Node], edges: Iterable[Edge], clusters: "_Clusters") -> set[int]:
    """Return identifiers that events show with two logins: a family's device, a kiosk, an address.

    They identify a household or a place. Their links are held, so their own traffic stays
    anonymous and nobody is merged through them. Logins that a person has decided to be one
    count as one.
    """
    owners: dict[int, dict[str, set[int]]] = {}
    for edge in edges:
        if edge.kind != "event":
            continue
        for weak, strong in ((edge.left, edge.right), (edge.right, edge.left)):
            name = nodes[strong].namespace
            if namespace(name).unique and not namespace(nodes[weak].namespace).unique:
                owners.setdefault(weak, {}).setdefault(name, set()).add(clusters.root(strong))
    return {
        weak
        for weak, by_name in owners.items()
        if any(len(strong) > (namespace(name).limit or 1) for name, strong in by_name.items())
    }


def _shared_by(edge: Edge, shared: set[int]) -> str | None:
    return "shared" if edge.left in shared or edge.right in shared else None


class _Clusters:
    """Union-find over identifiers that knows what it would be wrong to unite."""

    def __init__(self, nodes: Mapping[int, Node], cannot: Collection[tuple[int, int]]) -> None:
        self.nodes = nodes
        self.held: dict[int, str] = {}
        self.parent = {i: i for i in nodes}
        self.members: dict[int, list[int]] = {i: [i] for i in nodes}
        self.apart: dict[int, set[int]] = {}
        for left, right in cannot:
            if left in nodes and right in nodes:
                self.apart.setdefault(left, set()).add(right)
                self.apart.setdefault(right, set()).add(left)

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def follow(self, edge: Edge, reason: str | None) -> None:
        """Unite what an edge joins, unless there is a reason against it or an obstacle."""
        reason = reason or self.obstacle(edge)
        if reason:
            self.held[edge.id] = reason
        else:
            self.join(edge.left, edge.right)

    def join(self, left: int, right: int) -> None:
        """Unite two clusters under their oldest identifier."""
        a, b = sorted((self.root(left), self.root(right)))
        if a != b:
            self.parent[b] = a
            self.members[a] += self.members.pop(b)

    def obstacle(self, edge: Edge) -> str | None:
        """Return why following this edge would be wrong, or None."""
        a, b = self.root(edge.left), self.root(edge.right)
        if a == b:
            return None
        left, right = self.members[a], self.members[b]
        if self._apart(left, right):
            return "cannot_link"
        if edge.kind == "manual":
            return None
        if len(left) + len(right) > LARGEST:
            return "size"
        return self._over_limit(edge, left, right) or self._contradiction(left, right)

    def _apart(self, left: list[int], right: list[int]) -> bool:
        if not self.apart:
            return False
        there = set(right)
        return any(self.apart.get(i, set()) & there for i in left)

    def _over_limit(self, edge: Edge, left: list[int], right: list[int]) -> str | None:
        # One side alone adds nothing to a limit.
        both = {self.nodes[i].namespace for i in left} & {self.nodes[i].namespace for i in right}
        if not both:
            return None
        here = Counter(self.nodes[i].namespace for i in left)
        there = Counter(self.nodes[i].namespace for i in right)
        for name in sorted(both):
            rules = namespace(name)
            if rules.limit is None or here[name] + there[name] <= rules.limit:
                continue
            certain = edge.kind == "match" and edge.probability >= CERTAIN
            if not (certain and rules.unique):
                return f"limit:{name}"
        return None

    def _contradiction(self, left: list[int], right: list[int]) -> str | None:
        """Hold what would join records that mostly speak of different people."""
        sides = [[n for i in side if (n := self.nodes[i]).first_name] for side in (left, right)]
        pairs = [(one, other) for one in sides[0] for other in sides[1]]
        against = sum(_contradict(one, other) for one, other in pairs)
        return "conflict" if pairs and against * 2 > len(pairs) else None


def _contradict(one: Node, other: Node) -> bool:
    """Say whether two records name two people: other first names, and no equal birth date.

    A typo, a nickname that begins alike, and first and last name in each other's place are no
    contradiction: holding those cost .011 of recall on Febrl 3.
    """
    if one.birth_date and one.birth_date == other.birth_date:
        return False
    first, second = one.first_name or "", other.first_name or ""
    if first[:1] == second[:1] or first in second or second in first:
        return False
    if first == other.last_name or second == one.last_name:
        return False
    return SequenceMatcher(None, first, second).ratio() < ALIKE
