"""The graph in PostgreSQL: computed step by step as if at once; merges that can be undone."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from identity import explain, graph, people, records
from identity.components import resolve
from identity.errors import MergeAlreadyUndone, MergeNotFound
from identity.graph import Evidence, Moved
from identity.guards import Edge, Node

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = 86_400
NAMESPACES = ("user_id", "crm_id", "crm_id", "email", "device_id", "anonymous_id")


def make(session: Session, *references: str) -> list[int]:
    """Make identifiers, one after the other, so that their ids grow; each a person of its own."""
    ids: list[int] = []
    for reference in references:
        name, _, value = reference.partition(":")
        ids += graph.identify(session, [(name, value)]).values()
    graph.settle(session, ids)
    return ids


def seen(one: int, other: int, after: int = 0) -> Evidence:
    return Evidence(one, other, "event", "identify", NOW + after * SECOND)


def match(one: int, other: int, probability: float = 0.97) -> Evidence:
    return Evidence(one, other, "match", "splink", NOW, probability=probability, weight=9.0)


def observe(session: Session, *evidence: Evidence) -> Moved:
    return graph.reconsider(session, graph.observe(session, evidence), at=NOW)


def give(session: Session, *ids: int, state: str = "given") -> Moved:
    changed = graph.set_link_consent(session, dict.fromkeys(ids, state))
    return graph.reconsider(session, changed, at=NOW)


def state(session: Session, ids: list[int]) -> dict[int, tuple[int, int]]:
    rows = session.execute(
        sa.text(
            "SELECT identifier_id, group_id, person_id FROM identity.current_person "
            "WHERE identifier_id = any(:ids)"
        ),
        {"ids": ids},
    )
    return {row.identifier_id: (row.group_id, row.person_id) for row in rows}


def person(session: Session, *ids: int) -> list[int]:
    found = people.people_of(session, ids)
    return [found[i] for i in ids]


def held(session: Session, ids: list[int]) -> dict[tuple[int, int, str], str | None]:
    rows = session.execute(
        sa.text(
            "SELECT left_id, right_id, kind, held FROM identity.link "
            "WHERE revoked_at IS NULL AND left_id = any(:ids)"
        ),
        {"ids": ids},
    )
    return {(row.left_id, row.right_id, row.kind): row.held for row in rows}


class World:
    """Random evidence, consents, names and decisions about a few identifiers."""

    def __init__(self, session: Session, seed: int) -> None:
        self.session = session
        self.dice = dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
        made = make(session, *(f"new:{seed}-{n}" for n in range(14)))
        self.names = {i: dice.choice(NAMESPACES) for i in made}
        session.execute(
            sa.text("UPDATE identity.identifier SET namespace = :name WHERE id = :id"),
            [{"id": i, "name": name} for i, name in self.names.items()],
        )
        keys = session.execute(
            sa.text(
                "SELECT id, hashtextextended(namespace || ':' || value, 0) "
                "FROM identity.identifier WHERE id = ANY(:ids)"
            ),
            {"ids": made},
        )
        self.keys = {i: key for i, key in keys}
        self.links: dict[tuple[int, int, str], Edge] = {}
        self.consents = dict.fromkeys(self.names, "unknown")
        self.records: dict[int, dict[str, str]] = {}

    def evidence(self) -> Evidence:
        left, right = sorted(self.dice.sample(sorted(self.names), 2))
        if self.dice.random() < 0.25:
            found = match(left, right, self.dice.choice((0.96, 0.98, 0.995)))
        else:
            found = seen(left, right, self.dice.randrange(20))
        key = left, right, found.kind
        at = found.first_at.timestamp()
        if found.kind == "event" and key in self.links:
            at = min(at, self.links[key].first_at)
        self.links[key] = Edge(0, left, right, found.kind, at, found.probability or 1.0)
        return found

    def step(self) -> None:
        """One step of the pipeline: consents, names and links of one batch."""
        minds = {
            self.dice.choice(sorted(self.names)): self.dice.choice(("given", "given", "refused"))
            for _ in range(self.dice.randrange(3))
        }
        self.consents.update(minds)
        told = {
            self.dice.choice(sorted(self.names)): {
                "first_name": self.dice.choice(("ada", "bob", "zoe"))
            }
            for _ in range(self.dice.randrange(2))
        }
        for i, fields in told.items():
            self.records[i] = fields
        touched = graph.set_link_consent(self.session, minds) | records.keep(self.session, told)
        evidence = [self.evidence() for _ in range(self.dice.randrange(4))]
        touched |= graph.observe(self.session, evidence)
        graph.reconsider(self.session, touched, at=NOW)

    def rebuilt(self) -> tuple[dict[int, tuple[int, int]], dict[tuple[int, int, str], str | None]]:
        nodes = {
            i: Node(i, name, self.consents[i], self.records.get(i, {}).get("first_name"),
                    key=self.keys[i])
            for i, name in self.names.items()
        }  # fmt: skip
        edges = {
            n: (key, Edge(n, e.left, e.right, e.kind, e.first_at, e.probability))
            for n, (key, e) in enumerate(self.links.items())
        }
        found = resolve(nodes, [edge for _, edge in edges.values()])
        return (
            {i: (found.group[i], found.person[i]) for i in nodes},
            {key: found.held.get(n) for n, (key, _) in edges.items()},
        )


def test_an_identifier_that_two_writers_make_at_the_same_time_has_one_id(
    sessions: Sessions,
) -> None:
    both = [("user_id", "ada"), ("user_id", "bob")]
    with ThreadPoolExecutor(1) as pool, sessions() as first, sessions() as second:
        mine = graph.identify(first, both[:1])
        theirs = pool.submit(graph.identify, second, both)
        with pytest.raises(TimeoutError):
            theirs.result(0.3)  # it waits for the other's commit
        first.commit()
        found = theirs.result(10)
        second.commit()
    assert found.keys() == set(both)
    assert mine.items() <= found.items()
    with sessions() as session:
        assert graph.identify(session, both) == found


@pytest.mark.parametrize("seed", range(12))
def test_step_by_step_ends_where_computing_everything_at_once_does(
    session: Session, seed: int
) -> None:
    world = World(session, seed)
    ids = sorted(world.names)
    for _ in range(9):
        world.step()
        where, why = world.rebuilt()
        assert state(session, ids) == where
        assert held(session, ids) == why


def test_the_same_evidence_again_moves_nobody(session: Session) -> None:
    one, two = make(session, "user_id:1", "anonymous_id:2")
    first = observe(session, seen(one, two))
    assert (first.merged, first.people) == (((one, two),), frozenset({one, two}))
    assert observe(session, seen(one, two, after=5)) == Moved()


def test_an_earlier_event_that_comes_later_counts_from_its_own_time(session: Session) -> None:
    """Of two logins on a shared address the limit keeps the older link, in any order."""
    orders = []
    for name in ("x", "y"):
        user, *addresses = make(
            session, f"user_id:{name}", *(f"email:{name}{n}@a" for n in range(6))
        )
        items = [seen(user, a, after=9 - n) for n, a in enumerate(addresses)]
        items.append(seen(user, addresses[0], after=0))
        for item in items if name == "x" else items[::-1]:
            observe(session, item)
        orders.append([p == user for p in person(session, *addresses)])
    assert orders[0] == orders[1]
    assert orders[0][0]


def test_ids_never_change_and_are_made_once(session: Session) -> None:
    keys = [("user_id", "i-1"), ("email", "i@example.org"), ("user_id", "i-1")]
    first = graph.identify(session, keys)
    assert graph.identify(session, reversed(keys)) == first
    assert len(first) == 2
    assert graph.identify(session, []) == {}


@pytest.mark.parametrize("kind", ["match", "event", "both"])
def test_undoing_a_merge_puts_everybody_back_and_they_stay_there(
    session: Session, kind: str
) -> None:
    ids = make(session, "crm_id:a", "anonymous_id:a1", "crm_id:b", "anonymous_id:b1", "email:b@b")
    a, a1, b, b1, mail = ids
    give(session, *ids)
    observe(session, seen(a, a1), seen(b, b1), seen(b, mail))
    before = state(session, ids)
    bridge = {"match": [match(a, b)], "event": [seen(a1, b1)], "both": [match(a, b), seen(a, b1)]}
    merged = observe(session, *bridge[kind])
    assert merged.merged == ((a, b),)
    assert len(set(person(session, *ids))) == 1
    [merge] = people.merges(session, person=a)[-1:]
    assert merge.absorbed_identifier_ids == [b, b1, mail]
    causes = explain.describe_merge(session, merge)["links"]
    assert len(causes) == len(bridge[kind])

    moved = people.undo(session, merge.id, by="ada", at=NOW)
    assert (moved.split, moved.merged) == (((a, b),), ())
    assert state(session, ids) == before
    again = [match(a, b, 0.999), match(a1, mail, 0.999), seen(a1, b1, -5), *bridge[kind]]
    observe(session, *again)
    assert state(session, ids) == before
    assert (merge.undone_at, merge.undone_by) == (NOW, "ada")
    with pytest.raises(MergeAlreadyUndone):
        people.undo(session, merge.id, by="ada", at=NOW)
    with pytest.raises(MergeNotFound):
        people.undo(session, 10**12, by="ada", at=NOW)


def test_undoing_a_merge_leaves_the_absorbed_what_came_to_it_since(session: Session) -> None:
    """A new cookie, and even another person who joined through it, go with the absorbed one."""
    ids = make(session, "crm_id:a", "crm_id:b", "anonymous_id:new", "crm_id:c")
    a, b, cookie, c = ids
    give(session, *ids)
    observe(session, match(a, b))
    [merge] = people.merges(session, person=a)[-1:]
    observe(session, seen(b, cookie))
    observe(session, seen(cookie, c))
    assert person(session, *ids) == [a] * 4
    people.undo(session, merge.id, by="ada", at=NOW)
    assert person(session, *ids) == [a, b, b, b]
    observe(session, seen(b, cookie, after=9))
    assert person(session, *ids) == [a, b, b, b]


def test_undoing_a_merge_does_not_give_a_shared_device_to_one_of_the_two(session: Session) -> None:
    ids = make(session, "user_id:a", "user_id:b", "device_id:tablet")
    a, b, tablet = ids
    give(session, *ids)
    observe(session, seen(a, tablet), seen(b, tablet))
    before = state(session, ids)
    observe(session, match(a, b, 0.999))
    [merge] = people.merges(session, person=a)[-1:]
    people.undo(session, merge.id, by="ada", at=NOW)
    assert state(session, ids) == before
    assert person(session, tablet) == [tablet]


def test_undoing_a_decision_gives_a_shared_phone_back_to_nobody(session: Session) -> None:
    """Once the two logins are one by decision their phone is theirs; after the undo no longer."""
    ids = make(session, "user_id:a", "user_id:b", "phone:331426853", "anonymous_id:b1")
    a, b, phone, b1 = ids
    observe(session, seen(a, phone), seen(b, phone), seen(b, b1))
    before = state(session, ids)
    people.must_link(session, a, b, by="ada", at=NOW)
    assert person(session, *ids) == [a] * 4
    [merge] = [m for m in people.merges(session, person=a) if m.absorbed_id == b]
    people.undo(session, merge.id, by="ada", at=NOW)
    assert state(session, ids) == before


def test_a_decision_joins_and_a_later_one_parts_and_a_later_one_joins_again(
    session: Session,
) -> None:
    ids = make(session, "user_id:a", "user_id:b", "anonymous_id:a1", "anonymous_id:b1")
    a, b, a1, b1 = ids
    observe(session, seen(a, a1), seen(b, b1))
    people.must_link(session, a, b, by="ada", at=NOW)
    assert person(session, *ids) == [a] * 4
    people.keep_apart(session, b1, a1, by="ada", reason="father and son")
    graph.reconsider(session, {a1, b1}, at=NOW)
    assert person(session, a1) != person(session, b1)
    people.must_link(session, a, b, by="ada", at=NOW)
    people.must_link(session, a1, b1, by="ada", at=NOW)
    assert person(session, *ids) == [a] * 4


def test_who_was_joined_by_hand_can_be_joined_by_hand_again_after_an_undo(session: Session) -> None:
    ids = make(session, "user_id:a", "user_id:b", "anonymous_id:b1")
    a, b, b1 = ids
    observe(session, seen(b, b1))
    people.must_link(session, a, b, by="ada", at=NOW)
    [merge] = people.merges(session, person=a)[-1:]
    people.undo(session, merge.id, by="ada", at=NOW)
    assert person(session, *ids) == [a, b, b]
    moved = people.must_link(session, a, b, by="ada", at=NOW)
    assert moved.merged == ((a, b),)
    assert person(session, *ids) == [a] * 3


def test_a_cookie_given_to_somebody_by_hand_leaves_the_login_it_was_seen_with(
    session: Session,
) -> None:
    ids = make(session, "user_id:a", "user_id:b", "anonymous_id:b1")
    a, b, b1 = ids
    observe(session, seen(b, b1))
    people.must_link(session, a, b1, by="ada", at=NOW)
    assert person(session, *ids) == [a, b, a]
    assert held(session, ids)[b, b1, "event"] == "limit:user_id"


def test_an_undo_of_one_merge_leaves_the_others(session: Session) -> None:
    ids = make(session, "crm_id:a", "crm_id:b", "crm_id:c")
    a, b, c = ids
    give(session, *ids)
    observe(session, match(a, b), match(a, c), match(b, c))
    merges = people.merges(session, person=a)
    assert [(m.survivor_id, m.absorbed_id) for m in merges] == [(a, b), (a, c)]
    people.undo(session, merges[0].id, by="ada", at=NOW)
    assert person(session, *ids) == [a, b, a]
    assert [m.undone_at is None for m in people.merges(session, person=a)] == [False, True]
    assert people.merges(session, person=b) == [merges[0]]


def test_who_refuses_leaves_and_who_gives_again_comes_back(session: Session) -> None:
    ids = make(session, "crm_id:a", "crm_id:b", "anonymous_id:b1")
    a, b, b1 = ids
    give(session, *ids)
    observe(session, match(a, b), seen(b, b1))
    joined = state(session, ids)
    moved = give(session, b, state="refused")
    assert moved.split == ((a, b), (a, b1))
    assert person(session, *ids) == [a, b, b1]
    assert set(held(session, ids).values()) == {"consent:refused"}
    give(session, b)
    assert state(session, ids) == joined


def test_an_old_profile_id_answers_for_whoever_absorbed_it(session: Session) -> None:
    ids = make(session, "crm_id:a", "crm_id:b")
    a, b = ids
    own = people.profile_ids(session, ids)
    give(session, *ids)
    before = people.version(session)
    observe(session, match(a, b))
    assert people.find_profile(session, own[b]) == a
    assert people.find(session, "crm_id", "b") == a
    assert people.find_identifier(session, "crm_id", "b") == b
    assert people.find(session, "crm_id", "nobody") is None
    assert people.version(session) == before + 1


def test_links_are_looked_up_by_their_ends_while_nothing_is_known_of_matches(
    session: Session,
) -> None:
    """All matches of a run were read for each pair, until statistics knew that there are some."""
    ids = make(session, *(f"user_id:u-{n}" for n in range(2)))
    session.execute(
        sa.text(
            "INSERT INTO identity.link (left_id, right_id, kind, rule, first_at, last_week,"
            " evidence, evidence_id) SELECT n, n + 1, 'event', 'identify', now(), 1, '{}', n"
            " FROM generate_series(1000, 21000) n"
        )
    )
    session.execute(sa.text("ANALYZE identity.link"))
    of = {"lefts": f"{{{ids[0]}}}", "rights": f"{{{ids[1]}}}", "rules": "{splink}",
          "firsts": f"{{{NOW.isoformat()}}}", "weeks": "{1}", "probabilities": "{0.9}",
          "weights": "{4}"}  # fmt: skip
    text = sa.text("EXPLAIN " + graph.statement("news").text)
    plan = "\n".join(session.scalars(text, {**of, "kind": "match", "surer": 1.0}))
    assert "link_of_run" not in plan, plan
    assert "Index Cond: " in plan, plan
