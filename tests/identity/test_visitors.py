"""Kiosks: what makes somebody a visitor of their own, and what it costs to find them."""

import random
from collections import defaultdict
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from identity import erasure, graph, respelling
from identity.components import People, resolve
from identity.guards import Edge, Node
from identity.identifiers import Namespace
from tests.identity.test_graph import NOW, make, observe, person, seen


class Shown:
    """Identifiers by name (`email:m1`), and what events showed of them."""

    def __init__(self, *links: str, priority: dict[str, int] | None = None) -> None:
        """Each link names its two ends; the second one is another spelling after `=`."""
        self.ids: dict[str, int] = {}
        self.edges: list[Edge] = []
        old = set[int]()
        for n, link in enumerate(links):
            same = "=" in link
            one, other = (
                self.ids.setdefault(name, len(self.ids) + 1)
                for name in link.replace("=", " ").split()
            )
            old |= {one} if same else set()
            self.edges.append(Edge(n, one, other, "event", float(n), same=same))
        self.nodes = {
            i: Node(i, name.partition(":")[0], "given", old=i in old, key=i)
            for name, i in self.ids.items()
        }
        self.rules = {
            name: Namespace(name, n, limit=1, unique=True) for name, n in (priority or {}).items()
        }

    @property
    def people(self) -> People:
        return resolve(self.nodes, self.edges, (), self.rules)

    def closed(self) -> set[str]:
        closed = self.people.closed
        return {name for name, i in self.ids.items() if closed.get(i) == "visitors"}


def kiosk(visitors: int, cookies: str = "anonymous_id:c{}") -> list[str]:
    return [
        link
        for n in range(visitors)
        for link in (f"device_id:d {cookies.format(n)}", f"{cookies.format(n)} email:m{n}")
    ]


def test_a_value_that_was_spelled_anew_is_one_value_still() -> None:
    news = [f"email:m{n} = email:new{n}" for n in range(6)]
    assert Shown(*kiosk(6), *news).closed() == {"device_id:d"}
    # Some came again since, and left the new spelling: it is nobody else.
    again = [f"anonymous_id:c{n} email:new{n}" for n in range(3)]
    assert Shown(*kiosk(6), *news, *again).closed() == {"device_id:d"}
    assert Shown(*kiosk(5), *news[:5], *again).closed() == set()
    more = [f"anonymous_id:again{n} email:new{n}" for n in range(5)]
    hung = [f"device_id:d anonymous_id:again{n}" for n in range(5)]
    assert Shown(*kiosk(5), *news[:5], *more, *hung).closed() == set()


def test_a_switchboard_is_one_whose_number_was_spelled_anew() -> None:
    old = [link.replace("device_id:d", "phone:old") for link in kiosk(6)]
    both = {"phone:old", "phone:new"}
    assert Shown(*old, "phone:old = phone:new").closed() == both
    half = [link.replace("phone:old", "phone:new") for link in old[6:]]
    found = Shown(*old[:6], *half, "phone:old = phone:new")
    assert found.closed() == both
    persons = {found.people.person[found.ids[f"email:m{n}"]] for n in range(6)}
    assert len(persons) == 6


def test_a_login_of_however_low_a_priority_is_no_kiosk() -> None:
    shown = Shown(*(f"member:u email:m{n}" for n in range(6)), priority={"member": 6})
    assert shown.closed() == set()
    assert len({*shown.people.person.values()}) == 2, "five addresses, and one too many"


def test_each_of_those_seen_with_a_device_speaks_for_one_address() -> None:
    """A login of six addresses and five cookies that bear one of them are one person's."""
    own = [f"user_id:u email:m{n}" for n in range(6)]
    cookies = [
        link
        for n in range(5)
        for link in (f"device_id:d anonymous_id:c{n}", f"anonymous_id:c{n} email:m1")
    ]
    assert Shown("device_id:d user_id:u", *own, *cookies).closed() == set()
    # Who could speak for another address as well gives way to who could not.
    records = kiosk(6, "crm_id:c{}")
    wide = [f"crm_id:c0 email:m{n}" for n in range(6)]
    assert Shown(*records, *wide).closed() == {"device_id:d"}
    assert Shown(*wide, *reversed(records)).closed() == {"device_id:d"}


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_device_is_a_kiosk_where_six_can_each_name_an_address_of_their_own(
    dice: random.Random,
) -> None:
    """As who tries all ways of naming them finds."""
    bears = defaultdict(set)
    links = {f"email:m{n} = email:new{n}" for n in range(9) if dice.random() < 0.3}
    spellings = {n: ["m", "new"][: 1 + (f"email:m{n} = email:new{n}" in links)] for n in range(9)}
    for n in range(dice.randrange(5, 9)):
        links.add(f"device_id:d crm_id:c{n}")
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            address = dice.randrange(9)
            bears[n].add(address)
            links.add(f"crm_id:c{n} email:{dice.choice(spellings[address])}{address}")
    shuffled = sorted(links)
    dice.shuffle(shuffled)
    # By Hall: all of them, less as many as some of them together have too few addresses.
    best = min(
        len(bears) - size + len(set().union(*(bears[n] for n in some)))
        for size in range(len(bears) + 1)
        for some in combinations(bears, size)
    )
    assert Shown(*shuffled).closed() == ({"device_id:d"} if best > 5 else set())


class Counted(dict[int, Node]):
    """Nodes, and how often one was looked at."""

    looks = 0

    def __getitem__(self, i: int) -> Node:
        self.looks += 1
        return super().__getitem__(i)


def test_devices_that_are_no_kiosks_cost_what_their_links_do() -> None:
    """200 devices of 200 cookies were 8 million looks, under the lock of identity."""
    size = 60
    links = [f"device_id:d{d} anonymous_id:c{c}" for d in range(size) for c in range(size)]
    links += [f"anonymous_id:c{n} email:m{n % 5}" for n in range(size)]
    shown = Shown(*links, "email:m4 email:m5")
    nodes = Counted(shown.nodes)
    assert resolve(nodes, shown.edges).closed == {}
    assert nodes.looks < 20 * len(links)


RESPELLED = {
    "addresses": ("device_id:kiosk", "anonymous_id:c{}", "email:m.{}x@gmail.com"),
    "numbers": ("device_id:kiosk", "anonymous_id:c{}", "phone:336126834{:02}"),
    "a number": ("phone:33142685300", "crm_id:c{}", "email:m{}@mail.net"),
}


@pytest.mark.parametrize("what", RESPELLED)
def test_a_kiosk_stays_one_when_values_are_spelled_anew(session: Session, what: str) -> None:
    """25 visitors' addresses were respelled, and five strangers were one person in the sweep."""
    shape = RESPELLED[what]
    [hub] = make(session, shape[0])
    visitors = [make(session, *(s.format(n) for s in shape[1:])) for n in range(7)]
    for n, (acts, value) in enumerate(visitors):
        observe(session, seen(acts, hub, after=n), seen(acts, value, after=n))
    before = max(i for visitor in visitors for i in visitor)
    touched = respelling.respell(session, (hub - 1, before))
    assert set(touched) - {hub, *(i for visitor in visitors for i in visitor)}, "none was respelled"
    for i in touched:
        graph.reconsider(session, [i], at=NOW)
    assert graph.imagine(session, [visitors[0][0]]).people.closed[hub] == "visitors"
    for visitor in visitors:
        assert person(session, *visitor) == [visitor[0]] * 2
    # Who comes again says the new spelling.
    rows = respelling.spellings(session, [hub, *(value for _, value in visitors)])
    now = {i: new for new, spelled in rows.items() for i, *_ in spelled}
    for acts, value in visitors[:3]:
        observe(session, seen(acts, now.get(hub, hub), 99), seen(acts, now.get(value, value), 99))
    for visitor in visitors:
        assert person(session, *visitor) == [visitor[0]] * 2


@pytest.mark.parametrize("other", [False, True])
def test_an_erased_visitor_leaves_the_spellings_of_a_number_together(
    session: Session, other: bool
) -> None:
    """What the kiosk was seen with is forgotten, not that its numbers are one number."""
    [hub] = make(session, "phone:33142685300")
    visitors = [make(session, f"crm_id:c{n}", f"email:m{n}@mail.net") for n in range(6)]
    if other:  # the first that showed it was an event
        [new] = make(session, "phone:+33142685300")
        observe(session, seen(hub, new))
    for acts, mail in visitors:
        observe(session, seen(acts, hub), seen(acts, mail))
    touched = respelling.respell(session, (hub - 1, hub))
    graph.reconsider(session, touched, at=NOW)
    [new] = set(touched) - {hub}
    assert person(session, hub, new) == [hub, hub]
    erasure.forget(session, visitors.pop(), at=NOW)
    assert person(session, hub, new) == [hub, hub]
    for visitor in visitors:
        assert person(session, *visitor) == [visitor[0]] * 2
