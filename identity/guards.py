"""Guards that look at one link and its two ends alone: which links conduct, and why others do not.

What they say of a link hangs on the links of its two ends and on nothing beyond, so people need not
be computed across a link that they hold: a kiosk that 66,000 people used costs its own row.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from identity.identifiers import Namespace, Rules, rules_of


class Node(msgspec.Struct, frozen=True):
    """An identifier, as far as its links are concerned.

    `closed` is why it identifies nobody, as computed before: it counts where not all links of the
    identifier are at hand. `old` says that it is an earlier spelling of another one, beside which
    it counts for nothing; `decided` that somebody decided about it once. `key` is a hash of
    namespace and value: what else is equal is ordered by it, since ids grow by arrival.
    """

    id: int
    namespace: str
    link_consent: str = "unknown"
    first_name: str | None = None
    last_name: str | None = None
    birth_date: str | None = None
    blocked: bool = False
    closed: str | None = None
    old: bool = False
    key: int = 0
    decided: bool = False


class Edge(msgspec.Struct, frozen=True):
    """A link that stands; `first_at` is the time of its first evidence, in seconds.

    `day` is the first of the week of its last evidence, in days; `undone` says that its rule or run
    was taken back, `same` that the two are spellings of one value.
    """

    id: int
    left: int
    right: int
    kind: str
    first_at: float = 0.0
    probability: float = 1.0
    day: int = 0
    undone: bool = False
    same: bool = False


#: Two logins are one person only on a match this certain; devices and addresses never join them.
CERTAIN = 0.99
#: From this priority on values are a household's: a landline, a device.
HOUSEHOLD = 5
#: Why an identifier is nobody's that hangs on more than its own links.
VISITORS = "visitors"
#: Why a login is nobody's: under it somebody identifies others.
AGENT = "agent"
#: What orders a node: the priority of its namespace, and its key.
Rank = tuple[int, int]


class Union:
    """Union-find that names each set after its lowest member."""

    def __init__(self, members: Iterable[int]) -> None:
        """Begin with each of these alone."""
        self.parent = {i: i for i in members}

    def root(self, i: int) -> int:
        """Return the lowest member of the set that this one is in."""
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, one: int, other: int) -> None:
        """Make two sets one."""
        a, b = sorted((self.root(one), self.root(other)))
        self.parent[b] = a


def spellings(edges: Iterable[Edge], held: Collection[int]) -> dict[int, int]:
    """Return of what is spelled in several ways one of the spellings, by each of them."""
    same = [e for e in edges if e.same and e.id not in held]
    spelled = Union({i for e in same for i in (e.left, e.right)})
    for edge in same:
        spelled.join(edge.left, edge.right)
    return {i: spelled.root(i) for i in spelled.parent}


@dataclass(slots=True)
class Standing:
    """What the guards of single links say: the links they hold, and identifiers of nobody.

    `crowded` are the links of a login that are too many.
    """

    held: dict[int, str] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)
    crowded: set[int] = field(default_factory=set)


def stand(
    nodes: Mapping[int, Node],
    edges: Collection[Edge],
    cannot: Collection[tuple[int, int]],
    rules: Rules,
    inner: Collection[int],
    agents: Iterable[int] = (),
) -> Standing:
    """Say which links conduct. All links of the `inner` nodes are at hand, of others not.

    Which of the `inner` are `agents` was asked before (`agents.find`).
    """
    at: dict[int, list[Edge]] = {}
    for edge in edges:
        if edge.kind == "event" and not edge.same:
            for i in (edge.left, edge.right):
                if i in at:
                    at[i].append(edge)
                else:
                    at[i] = [edge]
    found = Standing()
    crowded = found.crowded = _crowded(nodes, at, rules, inner, found)
    logins = decided(nodes, edges, cannot, rules)
    for i in agents:
        found.closed.setdefault(i, AGENT)
    lost = _closed(nodes, at, _Owners(nodes, rules, logins, found), inner, found)
    odd = {i for i, n in nodes.items() if n.blocked or n.link_consent == "refused"}
    odd |= found.closed.keys()
    for edge in edges:
        reason = None
        # Nearly all links are asked no more than this, which takes a quarter of the time.
        if (
            edge.left in odd
            or edge.right in odd
            or edge.undone
            or edge.probability <= 0
            or edge.id in crowded
        ):
            reason = _reason(nodes, edge, found.closed, crowded)
        if reason is None and edge.kind == "event" and not edge.same:
            reason = lost.get(edge.id) or _two_logins(nodes, rules, logins, edge)
        if reason:
            found.held[edge.id] = reason
    return found


def _closed(
    nodes: Mapping[int, Node],
    at: Mapping[int, list[Edge]],
    owners: "_Owners",
    inner: Collection[int],
    found: Standing,
) -> dict[int, str]:
    """Find who is nobody's; return the links that owners lost, and why."""
    lost: dict[int, str] = {}
    far = nodes.keys() - inner if len(nodes) > len(inner) else ()
    for i in far:
        why = nodes[i].closed
        if why and why != VISITORS:
            if why == AGENT or not rules_of(nodes[i].namespace, owners.rules).unique:
                found.closed[i] = why
    for i, node in nodes.items():
        if i in inner and i not in found.closed:
            links = at.get(i, ())
            if node.blocked and links:
                found.closed[i] = "blocked"
            elif len(links) > 1 and (why := owners.judge(i, links, lost)):
                found.closed[i] = why
    return lost


def refused(nodes: Mapping[int, Node], edge: Edge) -> bool:
    """Say whether one side of a link refuses to be linked."""
    return "refused" in (nodes[edge.left].link_consent, nodes[edge.right].link_consent)


def _crowded(
    nodes: Mapping[int, Node],
    at: Mapping[int, list[Edge]],
    rules: Rules,
    inner: Collection[int],
    found: Standing,
) -> set[int]:
    """Find what was seen with more than one person can have: no link of it conducts.

    Of a login it is the oldest links that do, because a browser that forgets its cookies is a new
    device every day, and its owner should not lose the other links for it.
    """
    over: set[int] = set()
    spaces = {node.namespace for node in nodes.values()}
    least = min((rules_of(name, rules).most_links for name in spaces), default=0)
    for i, links in at.items():
        if len(links) <= least:
            continue
        space = rules_of(nodes[i].namespace, rules)
        if i not in inner or len(links) <= space.most_links:
            continue
        if space.unique:
            links = sorted(links, key=lambda e: (e.first_at, *tie(nodes, e)))
            over.update(e.id for e in links[space.most_links :])
        else:
            found.closed[i] = "frequency"
    return over


def strength(ranks: Mapping[int, Rank], edge: Edge) -> tuple[object, ...]:
    """Order edges: spellings of one value, decisions, the stronger namespaces, then by age.

    What is as old is ordered by whom it joins and not by ids, which would be by arrival.
    """
    one, other = ranks[edge.left], ranks[edge.right]
    if one > other:
        one, other = other, one
    return (
        not edge.same, edge.kind != "manual", one[0], other[0], edge.first_at, one[1], other[1],
        edge.left, edge.right,
    )  # fmt: skip


def likelihood(nodes: Mapping[int, Node], edge: Edge) -> tuple[object, ...]:
    """Order matches: the likelier first, then by whom they join."""
    return -edge.probability, *tie(nodes, edge)


def tie(nodes: Mapping[int, Node], edge: Edge) -> tuple[int, ...]:
    """Order edges that nothing else does, by their ends alone; ids tell those of one hash apart."""
    one, other = nodes[edge.left].key, nodes[edge.right].key
    return (one, other, edge.left, edge.right) if one < other else (
        other, one, edge.left, edge.right)  # fmt: skip


def ranks(nodes: Mapping[int, Node], rules: Rules) -> dict[int, Rank]:
    """Return the priority of each node, 1 is the strongest, and its key."""
    by_space: dict[str, int] = {}
    for node in nodes.values():
        if node.namespace not in by_space:
            by_space[node.namespace] = rules_of(node.namespace, rules).priority
    return {i: (by_space[node.namespace], node.key) for i, node in nodes.items()}


def decided(
    nodes: Mapping[int, Node],
    edges: Iterable[Edge],
    cannot: Collection[tuple[int, int]],
    rules: Rules,
    sure: Collection[Edge] = (),
) -> Mapping[int, int]:
    """Return what each node was decided to be one with, by its lowest member.

    After decisions, matches that are `sure` count as such.
    """
    manual = [e for e in edges if e.kind == "manual" and not refused(nodes, e)]
    if not manual and not sure:
        return {}
    ranked = ranks(nodes, rules)
    manual.sort(key=lambda e: strength(ranked, e))
    manual += sorted(sure, key=lambda e: likelihood(nodes, e))
    union = Union({i for e in manual for i in (e.left, e.right)})
    members = {i: {i} for i in union.parent}
    pairs = {frozenset(pair) for pair in cannot}
    for edge in manual:
        a, b = sorted((union.root(edge.left), union.root(edge.right)))
        if a == b:
            continue
        if pairs and any(frozenset((i, j)) in pairs for i in members[a] for j in members[b]):
            continue
        union.join(a, b)
        members[a] |= members.pop(b)
    return {i: union.root(i) for i in union.parent}


@dataclass(slots=True)
class _Owners:
    """Judges whether an identifier is shared by the logins it was seen with."""

    nodes: Mapping[int, Node]
    rules: Rules
    logins: Mapping[int, int]
    found: Standing

    def judge(self, i: int, links: Iterable[Edge], lost: dict[int, str]) -> str | None:
        """Return "shared" when an identifier is nobody's; note links that owners lost.

        A device of two logins identifies a family or a place. Its links are held, so its own
        traffic stays anonymous and nobody is merged through it. Logins that somebody decided to be
        one count as one, and who was seen with it last long before another owns it no more. An
        agent owns no address: it is that of who shows it elsewhere. What an agent uses is nobody's.
        """
        mine = rules_of(self.nodes[i].namespace, self.rules)
        if mine.unique:
            return None
        seen: dict[str, dict[int, list[Edge]]] = {}
        agents: set[int] = set()
        for edge in links:
            login = self.nodes[edge.right if edge.left == i else edge.left]
            if login.blocked or edge.undone or not rules_of(login.namespace, self.rules).unique:
                continue
            agent = self.found.closed.get(login.id) == AGENT
            counts = edge.id not in self.found.crowded
            if mine.owner_days is None and (agent or not counts):
                continue
            owner = self.logins.get(login.id, login.id)
            if agent and counts:
                agents.add(owner)
            seen.setdefault(login.namespace, {}).setdefault(owner, []).append(edge)
        shared = False
        for owners in seen.values():
            if len(owners) > 1 or agents:
                shared |= self._contested(owners, mine, agents, lost)
        return "shared" if shared else None

    @staticmethod
    def _contested(
        owners: Mapping[int, list[Edge]],
        mine: Namespace,
        agents: Collection[int],
        lost: dict[int, str],
    ) -> bool:
        days = mine.owner_days
        last_seen = {owner: max(e.day for e in links) for owner, links in owners.items()}
        latest = max(last_seen.values())
        now = {o for o, day in last_seen.items() if days is None or latest - day <= days}
        lost |= {e.id: "lapsed" for o in owners.keys() - now for e in owners[o]}
        newest = [o for o in now if last_seen[o] == latest]
        if mine.last_owner and len(newest) == 1 and newest[0] not in agents:
            lost |= {e.id: "shared" for o in now if o != newest[0] for e in owners[o]}
            return False
        return len(now) > 1 or not now.isdisjoint(agents)


def _reason(
    nodes: Mapping[int, Node], edge: Edge, closed: Mapping[int, str], crowded: Collection[int]
) -> str | None:
    """Return why a link does not conduct, whatever its people are; decisions conduct nearly all."""
    if edge.same:
        return "undone" if edge.undone else None
    whys = (closed.get(edge.left), closed.get(edge.right)) if edge.kind != "manual" else ()
    if "frequency" in whys or edge.id in crowded:
        return "frequency"
    if refused(nodes, edge):
        return "consent:refused"
    if edge.kind == "manual":
        return None
    if edge.undone:
        return "undone"
    if edge.probability <= 0:
        return "outscored"
    if nodes[edge.left].blocked or nodes[edge.right].blocked:
        return "blocked"
    return next((why for why in whys if why), None)


def _two_logins(
    nodes: Mapping[int, Node], rules: Rules, logins: Mapping[int, int], edge: Edge
) -> str | None:
    """Hold a link between two logins: events never make them one."""
    name = nodes[edge.left].namespace
    if name != nodes[edge.right].namespace or not rules_of(name, rules).unique:
        return None
    same = logins.get(edge.left, edge.left) == logins.get(edge.right, edge.right)
    return None if same else f"limit:{name}"
