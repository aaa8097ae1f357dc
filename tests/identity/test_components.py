"""Properties of how links become people: guards, constraints and consent, in any order."""

import random
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.components import BIG, LARGEST, People, resolve
from identity.guards import CERTAIN, Edge, Node
from identity.identifiers import namespace

NAMESPACES = ("user_id", "user_id", "loyalty_id", "crm_id", "email", "device_id", "anonymous_id")
CONSENTS = ("given", "given", "unknown", "refused")
NAMES = (None, None, "ada", "bob", "zoe", "adelaide", "sadie")
DATES = (None, "1990-01-01", "1985-05-05")
KINDS = ("event", "event", "event", "match", "match", "manual")
LINK_CONSENT = "consent:"

many = settings(max_examples=300, deadline=None)


class Graph:
    """A random graph of evidence, decoded from bytes: small, and full of conflicts."""

    def __init__(self, size: int, data: bytes) -> None:
        dice = random.Random(data)  # noqa: S311 -- spreads hypothesis' bytes over the choices
        self.nodes = {
            i: Node(
                i,
                dice.choice(NAMESPACES),
                dice.choice(CONSENTS),
                first_name=dice.choice(NAMES),
                birth_date=dice.choice(DATES),
                key=dice.getrandbits(60),
            )
            for i in range(1, size + 1)
        }
        pairs = list(combinations(self.nodes, 2))
        found = dice.sample(pairs, min(len(pairs), len(data)))
        self.edges = [
            Edge(n, *pair, dice.choice(KINDS), float(dice.randrange(4)),
                 dice.choice((0.95, 0.97, 0.99, 0.999)))
            for n, pair in enumerate(found)
        ]  # fmt: skip
        self.cannot = dice.sample(pairs, min(len(pairs), dice.randrange(3)))

    @property
    def people(self) -> People:
        return resolve(self.nodes, self.edges, self.cannot)


graphs = st.builds(Graph, st.integers(2, 12), st.binary(min_size=1, max_size=20))


def node(i: int, name: str = "anonymous_id", consent: str = "given") -> Node:
    return Node(i, name, consent)


def nodes(*all_: Node) -> dict[int, Node]:
    return {n.id: n for n in all_}


def sides(found: dict[int, int]) -> list[list[int]]:
    members = defaultdict(list)
    for i, person in sorted(found.items()):
        members[person].append(i)
    return sorted(members.values())


@many
@given(graphs, st.randoms())
def test_the_order_of_nodes_links_and_constraints_does_not_matter(
    graph: Graph, dice: random.Random
) -> None:
    first = graph.people
    items = list(graph.nodes.items())
    dice.shuffle(items)
    dice.shuffle(graph.edges)
    dice.shuffle(graph.cannot)
    again = resolve(dict(items), graph.edges, [(b, a) for a, b in graph.cannot])
    assert (again.group, again.person, again.held) == (first.group, first.person, first.held)


@many
@given(graphs, st.randoms())
def test_who_is_together_does_not_hang_on_ids_which_are_by_arrival(
    graph: Graph, dice: random.Random
) -> None:
    """Limits, crowds and conflicts cut at links that are as old and as likely as others."""
    names = {"user_id", "email", "crm_id", "device_id"}
    rules = {n: replace(namespace(n), most_links=3, limit=2) for n in names}
    first = resolve(graph.nodes, graph.edges, graph.cannot, rules)
    ids = list(graph.nodes)
    dice.shuffle(ids)
    new = dict(zip(graph.nodes, ids, strict=True))
    nodes = {new[i]: msgspec.structs.replace(n, id=new[i]) for i, n in graph.nodes.items()}
    ends = {e.id: sorted((new[e.left], new[e.right])) for e in graph.edges}
    edges = [
        msgspec.structs.replace(e, left=ends[e.id][0], right=ends[e.id][1]) for e in graph.edges
    ]
    again = resolve(nodes, edges, [(new[a], new[b]) for a, b in graph.cannot], rules)
    assert again.held == first.held
    for was, now in (first.group, again.group), (first.person, again.person):
        assert sides({new[i]: person for i, person in was.items()}) == sides(now)


@many
@given(graphs)
def test_a_person_is_named_after_its_lowest_identifier(graph: Graph) -> None:
    people = graph.people
    for found in (people.group, people.person):
        assert found.keys() == graph.nodes.keys()
        assert all(name == min(members) for members in sides(found) for name in {found[members[0]]})


@many
@given(graphs)
def test_people_are_what_the_followed_links_connect_and_nothing_else(graph: Graph) -> None:
    people = graph.people
    followed = [e for e in graph.edges if e.id not in people.held]
    assert sides(people.person) == components(graph, followed)
    assert sides(people.group) == components(graph, [e for e in followed if e.kind != "match"])


def components(graph: Graph, edges: list[Edge]) -> list[list[int]]:
    near = defaultdict(set)
    for edge in edges:
        near[edge.left].add(edge.right)
        near[edge.right].add(edge.left)
    left, found = set(graph.nodes), []
    while left:
        reached, frontier = set(), {min(left)}
        while frontier:
            reached |= frontier
            frontier = {j for i in frontier for j in near[i]} - reached
        left -= reached
        found.append(sorted(reached))
    return sorted(found)


@many
@given(graphs)
def test_two_that_must_stay_apart_are_never_one_person(graph: Graph) -> None:
    people = graph.people
    assert all(people.person[a] != people.person[b] for a, b in graph.cannot)


@many
@given(graphs)
def test_who_refused_is_linked_with_nobody(graph: Graph) -> None:
    people = graph.people
    refused = [i for i, n in graph.nodes.items() if n.link_consent == "refused"]
    assert all([i] in sides(people.person) for i in refused)
    assert all(
        people.held[e.id] == "consent:refused"
        for e in graph.edges
        if {e.left, e.right} & set(refused)
    )


@many
@given(graphs)
def test_a_match_is_followed_only_where_both_sides_gave_their_consent(graph: Graph) -> None:
    people = graph.people
    gave = {people.group[i] for i, n in graph.nodes.items() if n.link_consent == "given"}
    for edge in graph.edges:
        if edge.kind == "match" and edge.id not in people.held:
            assert {people.group[edge.left], people.group[edge.right]} <= gave


@many
@given(graphs)
def test_two_logins_are_one_only_by_decision_or_near_certainty(graph: Graph) -> None:
    """Take the decisions and the certain matches away: then no person has two of a login."""
    graph.edges = [
        e
        for e in graph.edges
        if e.kind == "event" or (e.kind == "match" and e.probability < CERTAIN)
    ]
    people = graph.people
    for members in sides(people.person):
        logins = [graph.nodes[i].namespace for i in members]
        assert logins.count("user_id") <= 1
        assert logins.count("loyalty_id") <= 1
        assert logins.count("email") <= (namespace("email").limit or 0)


@many
@given(graphs)
def test_what_two_logins_were_seen_with_belongs_to_neither(graph: Graph) -> None:
    graph.edges = [e for e in graph.edges if e.kind == "event"]
    people = graph.people
    seen = defaultdict(set)
    for edge in graph.edges:
        for weak, strong in ((edge.left, edge.right), (edge.right, edge.left)):
            if graph.nodes[strong].namespace == "user_id":
                seen[weak].add(strong)
    for weak, logins in seen.items():
        if len(logins) > 1 and not namespace(graph.nodes[weak].namespace).unique:
            assert [weak] in sides(people.person)


def test_a_family_device_does_not_join_the_family() -> None:
    family = nodes(node(1, "user_id"), node(2, "user_id"), node(3, "device_id"), node(4, "email"))
    links = [Edge(n, *pair, "event") for n, pair in enumerate([(1, 3), (2, 3), (1, 4), (2, 4)])]
    people = resolve(family, links)
    assert sides(people.person) == [[1], [2], [3], [4]]
    assert set(people.held.values()) == {"shared"}


def test_what_is_nobodys_is_not_made_somebodys_by_a_match() -> None:
    """What an address of two logins says of itself is said by whoever of the family used it."""
    family = nodes(*(node(i, "user_id") for i in (1, 2)), node(3, "email"),
                   *(node(i, "crm_id") for i in (4, 5)))  # fmt: skip
    links = [Edge(0, 1, 3, "event"), Edge(1, 2, 3, "event")]
    matches = [Edge(2, 3, 4, "match", probability=0.999), Edge(3, 3, 5, "match", probability=0.97)]
    people = resolve(family, [*links, *matches])
    assert sides(people.person) == [[1], [2], [3], [4], [5]]
    assert set(people.held.values()) == {"shared"}
    decided = resolve(family, [*links, *matches, Edge(4, 1, 2, "manual")])
    assert sides(decided.person) == [[1, 2, 3, 4, 5]]


@many
@given(graphs)
def test_no_match_joins_what_is_nobodys(graph: Graph) -> None:
    people = graph.people
    followed = [e for e in graph.edges if e.kind == "match" and e.id not in people.held]
    assert not [e for e in followed if {e.left, e.right} & people.closed.keys()]


def test_a_device_of_two_logins_that_somebody_decided_to_be_one_is_that_persons() -> None:
    family = nodes(node(1, "user_id"), node(2, "user_id"), node(3), node(4, "email"), node(5))
    links = [Edge(0, 1, 2, "manual")]
    links += [Edge(1 + n, *p, "event") for n, p in enumerate([(1, 3), (2, 3), (1, 4), (2, 5)])]
    people = resolve(family, links)
    assert sides(people.person) == [[1, 2, 3, 4, 5]]
    assert not people.held


def test_a_certain_match_of_two_logins_leaves_their_other_matches_in_force() -> None:
    found = nodes(node(1, "user_id"), node(2, "user_id"), node(3, "crm_id"), node(4, "crm_id"))
    links = [Edge(0, 1, 2, "match", probability=0.999), Edge(1, 1, 3, "match", probability=0.96)]
    links += [Edge(2, 2, 4, "event")]
    assert sides(resolve(found, links).person) == [[1, 2, 3, 4]]
    less = [Edge(0, 1, 2, "match", probability=0.98), *links[1:]]
    people = resolve(found, less)
    assert sides(people.person) == [[1, 3], [2, 4]]
    assert people.held == {0: "limit:user_id"}


def test_a_third_login_is_not_joined_because_two_already_are() -> None:
    found = nodes(node(1, "user_id"), node(2, "user_id"), node(3, "user_id"))
    links = [Edge(0, 1, 2, "manual"), Edge(1, 2, 3, "event")]
    people = resolve(found, links)
    assert sides(people.person) == [[1, 2], [3]]
    assert people.held == {1: "limit:user_id"}


def test_a_sixth_address_is_one_too_many() -> None:
    found = nodes(node(1, "user_id"), *(node(i, "email") for i in range(2, 9)))
    people = resolve(found, [Edge(i, 1, i, "event", first_at=float(i)) for i in range(2, 9)])
    assert sides(people.person) == [[1, 2, 3, 4, 5, 6], [7], [8]]
    assert people.held == {7: "limit:email", 8: "limit:email"}


def test_nobody_has_more_identifiers_than_a_person_can_have() -> None:
    found = nodes(*(node(i, "crm_id") for i in range(1, LARGEST + 11)))
    people = resolve(found, [Edge(i, i, i + 1, "event") for i in range(1, LARGEST + 10)])
    assert max(len(members) for members in sides(people.person)) == LARGEST
    assert set(people.held.values()) == {"size"}


def groups(size: int, space: str, *more: str) -> tuple[dict[int, Node], list[Edge]]:
    """Two groups that hang together by links of a namespace, and further identifiers of nobody."""
    found = nodes(*(node(i, space) for i in range(1, 2 * size + 1)),
                  *(node(2 * size + n, name) for n, name in enumerate(more, 1)))  # fmt: skip
    first, second = range(1, size), range(size + 1, 2 * size)
    return found, [Edge(i, i, i + 1, "event") for i in (*first, *second)]


@pytest.mark.parametrize("shared", ["phone", "email", "device_id"])
def test_one_weak_link_does_not_join_two_big_groups(shared: str) -> None:
    found, knit = groups(BIG, "crm_id", shared, "email")
    phone, other = 2 * BIG + 1, 2 * BIG + 2
    one = Edge(100, 1, phone, "event", 1.0)
    links = [*knit, one, Edge(101, BIG + 1, phone, "event", 2.0)]
    assert resolve(found, links).held == {101: "bridge"}
    links += [Edge(102, BIG + 2, phone, "event", 3.0)]  # the same value again
    assert resolve(found, links).held == {101: "bridge", 102: "bridge"}
    links += [Edge(103, 2, other, "event", 4.0), Edge(104, BIG + 3, other, "event", 5.0)]
    people = resolve(found, links)
    assert (sides(people.person), people.held) == ([sorted(found)], {})


@many
@given(graphs)
def test_what_events_show_hangs_on_no_match_and_people_on_none_that_is_not_allowed(
    graph: Graph,
) -> None:
    with mock.patch("identity.components.BIG", 1):
        people = graph.people
        asserted = [e for e in graph.edges if e.kind != "match"]
        assert resolve(graph.nodes, asserted, graph.cannot).group == people.group
        allowed = [e for e in graph.edges if people.held.get(e.id) != "consent:not_given"]
        assert resolve(graph.nodes, allowed, graph.cannot).person == people.person


def test_a_match_is_no_second_way_for_what_events_show() -> None:
    found, knit = groups(BIG, "crm_id", "phone")
    phone = 2 * BIG + 1
    ends = [Edge(100, 1, phone, "event"), Edge(101, BIG + 1, phone, "event", 1.0)]
    people = resolve(found, [*knit, *ends, Edge(102, 2, BIG + 2, "match", probability=0.97)])
    assert len(set(people.person.values())) == 1, "it is one for the match"
    assert len(set(people.group.values())) == 2


def test_what_joins_small_groups_logins_or_is_certain_is_no_bridge() -> None:
    found, knit = groups(BIG - 1, "crm_id", "phone")
    ends = [Edge(100, 1, 2 * BIG - 1, "event"), Edge(101, BIG, 2 * BIG - 1, "event")]
    assert not resolve(found, [*knit, *ends]).held
    found, knit = groups(12, "device_id", "email")  # devices and cookies make no group big
    assert not resolve(found, [*knit, Edge(100, 1, 25, "event"), Edge(101, 13, 25, "event")]).held
    found, knit = groups(BIG, "crm_id", "user_id")
    login = 2 * BIG + 1
    ends = [Edge(100, 1, login, "event"), Edge(101, BIG + 1, login, "event")]
    assert not resolve(found, [*knit, *ends]).held
    found, knit = groups(BIG, "crm_id")
    for probability, held in ((0.97, {100: "bridge"}), (0.995, {})):
        match = Edge(100, 1, BIG + 1, "match", probability=probability)
        assert resolve(found, [*knit, match]).held == held
    matches = [Edge(100 + n, 1 + n, BIG + 1 + n, "match", probability=0.97) for n in range(2)]
    assert not resolve(found, [*knit, *matches]).held


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        (("ada", "1990-01-01"), ("bob", "1985-05-05"), False),
        (("ada", "1990-01-01"), ("bob", None), False),
        (("ada", "1990-01-01"), ("bob", "1990-01-01"), True),
        (("ada", None), ("adalbert", "1985-05-05"), True),
        (("ada", None), (None, "1985-05-05"), True),
        (("ada", None), ("anton", None), False),
        (("william", None), ("bob", None), False),
        (("robert", None), ("bob", None), True),
        (("babeth", None), ("elisabeth", None), True),
        (("jb", None), ("jean baptiste", None), True),
        (("r", None), ("bob", None), True),
        (("q", None), ("bob", None), False),
        (("сергеи", None), ("sergey", None), True),
        (("محمد", None), ("mohamed", None), True),
        (("сергеи", None), ("olga", None), False),
        (("小明", None), ("xiaoming", None), True),
    ],
)
def test_records_of_two_people_are_not_joined(
    one: tuple[str, str], other: tuple[str, str], joined: bool
) -> None:
    records = [
        Node(i, "crm_id", "given", first_name=name, birth_date=date)
        for i, (name, date) in enumerate((one, other), 1)
    ]
    found = nodes(*records, node(3, "email"))
    people = resolve(found, [Edge(1, 1, 3, "event"), Edge(2, 2, 3, "event", first_at=1.0)])
    assert (people.person[1] == people.person[2]) is joined
    assert people.held == ({} if joined else {2: "conflict"})


def test_a_decision_outranks_every_guard_but_consent_and_another_decision() -> None:
    found = nodes(
        Node(1, "user_id", "given", first_name="ada", birth_date="1990-01-01"),
        Node(2, "user_id", "unknown", first_name="bob", birth_date="1985-05-05"),
        node(3, "user_id", "refused"),
    )
    edges = [Edge(1, 1, 2, "manual"), Edge(2, 1, 3, "manual")]
    people = resolve(found, edges)
    assert sides(people.person) == [[1, 2], [3]]
    assert resolve(found, edges, [(1, 2)]).held == {1: "cannot_link", 2: "consent:refused"}


def test_a_match_is_held_until_both_sides_gave_their_consent() -> None:
    for consent, reason in (("unknown", "consent:not_given"), ("refused", "consent:refused")):
        found = nodes(node(1, "crm_id"), node(2, "crm_id", consent))
        assert resolve(found, [Edge(1, 1, 2, "match", probability=0.999)]).held == {1: reason}
    spoken_for = nodes(node(1, "crm_id"), node(2, "crm_id", "unknown"), node(3, "user_id"))
    links = [Edge(1, 1, 2, "match", probability=0.98), Edge(2, 2, 3, "event")]
    assert sides(resolve(spoken_for, links).person) == [[1, 2, 3]]
