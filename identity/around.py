"""What is connected to some identifiers, as it stands in the tables: the input of a computation."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.orm import Session

from identity.agents import Agents, find, is_address
from identity.components import People, resolve
from identity.guards import AGENT, VISITORS, Edge, Node, Standing, spellings, stand
from identity.identifiers import NAMESPACES, Namespace, Rules, namespace, rules_of
from identity.statements import array, literal, run


class Placed(NamedTuple):
    """An identifier, and the people it belongs to in the tables."""

    reach: int
    group: int
    person: int
    settled: bool
    node: Node


class Stored(NamedTuple):
    """A link, and why it is held in the tables."""

    held: str | None
    edge: Edge


@dataclass(frozen=True, slots=True)
class Read:
    """Identifiers and links as the tables have them, pairs that must be apart, and the rules."""

    identifiers: list[Placed]
    apart: list[tuple[int, int]]
    links: list[Stored]
    rules: Rules


@dataclass(frozen=True, slots=True)
class Change:
    """What would be otherwise: rules, who of a namespace is blocked, links that go or come."""

    rules: Rules | None = None
    namespace: str | None = None
    blocked: frozenset[int] = frozenset()
    without: frozenset[int] = frozenset()
    more: tuple[Edge, ...] = ()

    def node(self, node: Node) -> Node:
        """Return an identifier as it would be."""
        if node.namespace != self.namespace:
            return node
        return msgspec.structs.replace(node, blocked=node.id in self.blocked)


AS_IT_IS = Change()
#: Namespaces of which a person has one value, unless an operator says otherwise.
UNIQUE = frozenset(name for name, rules in NAMESPACES.items() if rules.unique)

_Rows = list[tuple[Any, ...]]
_read = msgspec.json.Decoder(tuple[list[Any], list[tuple[int, int]], list[int], list[Any], _Rows])


def read(
    session: Session,
    ids: Collection[int] = (),
    *,
    around: Collection[int] = (),
    most: int | None = None,
    unique: Collection[str] = UNIQUE,
) -> Read:
    """Read identifiers, and all that share a reach with those `around` which to look.

    And the links that stand at them: of what was seen with more than `most` others, and than the
    rules in force have it, only so many as it takes to know it. Without `most` no links. Of
    `unique` namespaces, and those that an operator made so, it takes to know which count.
    """
    values = {
        "ids": array(ids), "around": array(around), "most": most, "unique": literal(sorted(unique)),
    }  # fmt: skip
    told = _read.decode(run(session, "around", values).scalar_one())
    columns, apart, decided, (held, *links), rules = told
    rows: list[Placed] = []
    if columns[0] is not None:
        known = set(decided)
        columns.append([i in known for i in columns[4]])
        rows = list(map(Placed, *columns[:4], map(Node, *columns[4:])))
    stored = [] if held is None else list(map(Stored, held, map(Edge, *links)))
    return Read(rows, apart, stored, {row[0]: Namespace(*row) for row in rules})


@dataclass(slots=True)
class Around:
    """Everything that is connected to some identifiers, as it stands in the tables.

    All links of the nodes in `before` are at hand; other nodes are at the far end of a link that
    does not conduct.
    """

    rules: Rules
    change: Change = AS_IT_IS
    nodes: dict[int, Node] = field(default_factory=dict)
    #: Group, person, reach and why nobody's, of each identifier before; nobody knows the `fresh`.
    before: dict[int, tuple[int, int, int, str | None]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    edges: dict[int, Edge] = field(default_factory=dict)
    held: dict[int, str | None] = field(default_factory=dict)
    apart: list[tuple[int, int]] = field(default_factory=list)
    standing: Standing = field(default_factory=Standing)
    #: The links of addresses that agents may have shown, read without what these are connected to.
    shown: dict[int, list[Edge]] = field(default_factory=dict)
    agents: Agents = field(default_factory=Agents)

    def people(self) -> People:
        """Compute the people of the identifiers in `before`."""
        nodes = self.nodes
        inner = nodes if len(nodes) == len(self.before) else {i: nodes[i] for i in self.before}
        edges = self.edges.values()
        return resolve(inner, edges, self.apart, self.rules, self.standing)

    def take(self, read: Read) -> set[int]:
        """Take identifiers in, and all their links; return the ends of these that are not known."""
        same = self.change is AS_IT_IS
        self.apart += read.apart
        for row in read.identifiers:
            node = row.node if same else self.change.node(row.node)
            self.nodes[node.id] = node
            self.before[node.id] = row.group, row.person, row.reach, node.closed
            if not row.settled:
                self.fresh.add(node.id)
        ends = {i for edge in self.change.more for i in (edge.left, edge.right)}
        for link in read.links:
            edge = link.edge
            if edge.id in self.change.without:
                continue
            self.edges[edge.id] = edge
            self.held[edge.id] = link.held
            ends.add(edge.left)
            ends.add(edge.right)
        return ends - self.nodes.keys()

    def unread(self) -> set[int]:
        """Return the addresses whose links must be at hand to know who is an agent."""
        self.agents = find(
            self.nodes, self.edges.values(), self.rules, self.before.keys(), self.shown
        )
        return self.agents.unread

    def show(self, addresses: Collection[int], read: Read) -> set[int]:
        """Take links of addresses in; return the ends of these that are not known."""
        at: dict[int, list[Edge]] = {i: [] for i in addresses}
        for link in read.links:
            for i in (link.edge.left, link.edge.right):
                if i in at and link.edge.id not in self.change.without:
                    at[i].append(link.edge)
        self.shown |= at
        return {i for links in at.values() for e in links for i in (e.left, e.right)} - (
            self.nodes.keys()
        )

    def beyond(self, touched: Collection[int]) -> set[int]:
        """Return the nodes that must be taken in too, for the answer to be the whole one's.

        `touched` are those whose links may be others than when people were computed last.
        """
        found = self.standing = stand(
            self.nodes, self.edges.values(), self.apart, self.rules, self.before.keys(),
            self.agents.found,
        )  # fmt: skip
        wanted: set[int] = set()
        far = self.nodes.keys() - self.before.keys()
        if not far:
            return wanted
        turned = {
            i for i in self.before
            if (found.closed.get(i) == AGENT) != (self.nodes[i].closed == AGENT)
        }  # fmt: skip
        news = self._spelled(touched)
        for edge in self.edges.values():
            for here, there in ((edge.left, edge.right), (edge.right, edge.left)):
                if there in far and (
                    self._conducts(edge, here, there)
                    or (here in turned and edge.id not in found.crowded)
                    or (here in news and self._may_turn(there))
                ):
                    wanted.add(there)
        return wanted

    def _conducts(self, edge: Edge, here: int, there: int) -> bool:
        """Say whether an edge conducts, or may: what guards said of it hangs on the far end.

        On a login that may have too many links for this one to count, or counts by what was decided
        about it; on what is shared by logins so decided about, or no more, for which links count
        that do not conduct.
        """
        why = self.standing.held.get(edge.id)
        unique = rules_of(self.nodes[there].namespace, self.rules).unique
        return (
            why is None
            or (why != "frequency" and self.held[edge.id] == "frequency")
            or (edge.id in self.standing.crowded and self.held[edge.id] != "frequency")
            or (self.nodes[there].decided and unique)
            or (self.nodes[here].decided and self.nodes[there].closed in (None, "shared", VISITORS))
        )

    def _may_turn(self, there: int) -> bool:
        """Say whether one may be an agent, or no more, because of what is new of an address.

        A record may be one as a login may, though no link that it would lose conducts.
        """
        node = self.nodes[there]
        space = rules_of(node.namespace, self.rules)
        return (
            node.closed == AGENT
            or space.unique
            or (space.owner_days is None and not is_address(space))
        )

    def _spelled(self, touched: Collection[int]) -> set[int]:
        """Return the addresses among these of which anything can be new, in all their spellings.

        What was a crowd and is one has no life to tell of: each new login at a shared mailbox would
        have the 200 others computed.
        """
        same = [e for e in self.edges.values() if e.same]
        values = spellings(same, ())
        mine = {values.get(i, i) for i in touched}
        names = {node.namespace for node in self.nodes.values()}
        spaces = {name for name in names if is_address(rules_of(name, self.rules))}
        ids = {*touched, *values} & self.nodes.keys()
        return {
            i for i in ids
            if values.get(i, i) in mine and self.nodes[i].namespace in spaces
            and not self._is_crowd_still(self.nodes[i])
        }  # fmt: skip

    def _is_crowd_still(self, node: Node) -> bool:
        now = self.standing.closed.get(node.id)
        return node.closed == now == "frequency" and not node.blocked


def around(session: Session, touched: Collection[int], change: Change = AS_IT_IS) -> Around:
    """Read what is connected to the touched identifiers.

    Whole reaches at once: breadth first, one query per step, took 5 s on a chain of 5,000.
    """
    found = Around(change.rules or {}, change, edges={edge.id: edge for edge in change.more})
    found.held = dict.fromkeys(found.edges)
    most = max(r.most_links for r in (namespace("user_id"), *found.rules.values()))
    unique = UNIQUE | {name for name, of in found.rules.items() if of.unique}
    wanted = set(touched)
    while wanted:
        here = read(session, around=wanted, most=most, unique=unique)
        if change.rules is None:
            found.rules = here.rules
        _name(session, found, found.take(here))
        while addresses := found.unread():
            links = read(session, addresses, most=most, unique=unique)
            _name(session, found, found.show(addresses, links))
        wanted = found.beyond(touched)
    return found


def _name(session: Session, found: Around, ends: Collection[int]) -> None:
    """Read what identifiers at the far ends of links are, and not what is connected to them."""
    if ends:
        far = (found.change.node(row.node) for row in read(session, ends).identifiers)
        found.nodes.update((node.id, node) for node in far)
