"""Whatever happens, in whatever order and portions: the people are those of the links alone."""

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import erasure, graph, namespaces, people, rebuild, records, suspensions
from identity.errors import SuspensionNotFound
from identity.graph import Evidence
from identity.identifiers import Namespace

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
#: Small bounds, so that a small world is full of crowds, kiosks and former owners.
RULES = {
    "user_id": Namespace("user_id", 1, limit=1, unique=True, most_links=5),
    "loyalty_id": Namespace("loyalty_id", 2, limit=1, unique=True, most_links=4),
    "crm_id": Namespace("crm_id", 3, most_links=4),
    "email": Namespace("email", 4, limit=2, most_links=5),
    "device_id": Namespace("device_id", 7, limit=3, most_links=4, owner_days=60),
    "anonymous_id": Namespace("anonymous_id", 8, limit=4, most_links=4, owner_days=30,
                              last_owner=True),
}  # fmt: skip
SPACES = ("user_id", "user_id", "user_id", "loyalty_id", "crm_id", "email", "device_id",
          "device_id", "anonymous_id", "anonymous_id")  # fmt: skip
#: More of everything where there is time for it: `make test-identity`.
LONG = int(os.environ.get("PARCOURS_LONG_TESTS", "1"))


class World:
    """Identifiers, and what can happen to them."""

    def __init__(self, session: Session, dice: random.Random, *, shop: bool = False) -> None:
        self.session, self.dice = session, dice
        tag = dice.getrandbits(64)
        names = [(dice.choice(SPACES), f"{tag}-{n}") for n in range(26)]
        if shop:
            names += [
                ("device_id", f"{tag}-kiosk"),
                *(("email", f"{tag}-m{n}") for n in range(4)),
                ("user_id", f"{tag}-agent"),
                *(("email", f"{tag}-c{n}") for n in range(4)),
                ("device_id", f"{tag}-home"),
                *(("email", f"{tag}-{who}") for who in ("ada", "bob")),
                *(("user_id", f"{tag}-{who}") for who in ("ada", "bob")),
            ]
        self.ids = [graph.identify(session, [name])[name] for name in names]
        self.kiosk, self.agent, self.couple = self.ids[26:31], self.ids[31:36], self.ids[36:]
        self.names = dict(zip(self.ids, names, strict=True))
        graph.settle(session, self.ids)
        for rules in RULES.values():
            namespaces.put(session, namespaces.Setting(rules), by="test")

    def pair(self) -> tuple[int, int]:
        one, other = sorted(self.dice.sample(self.ids, 2))
        return one, other

    def event(self) -> Evidence:
        at = NOW - self.dice.randrange(200) * DAY
        return Evidence(*self.pair(), "event", self.dice.choice(("identify", "alias")), at)

    def visits(self) -> list[Evidence]:
        """Four leave an address at a device, twice as many as one has, and are known elsewhere."""
        return self._shown(*self.kiosk)

    def calls(self) -> list[Evidence]:
        """A login shows the addresses of four who are known elsewhere, twice as many as one has."""
        return self._shown(*self.agent)

    def homes(self) -> list[Evidence]:
        """Two leave an address at a device, and show it under a login of their own elsewhere."""
        home, ada, bob, *logins = self.couple
        at = NOW - self.dice.randrange(200) * DAY
        pairs = [(home, ada), (home, bob), *zip((ada, bob), logins, strict=True)]
        return [Evidence(*pair, "event", self.dice.choice(("identify", "alias")), at)
                for pair in pairs]  # fmt: skip

    def _shown(self, hub: int, *mails: int) -> list[Evidence]:
        at = NOW - self.dice.randrange(200) * DAY
        known = zip(self.dice.sample(self.ids[:26], len(mails)), mails, strict=True)
        return [Evidence(*pair, "event", self.dice.choice(("identify", "alias")), at)
                for pair in [*((hub, mail) for mail in mails), *known]]  # fmt: skip

    def match(self) -> Evidence:
        score = self.dice.choice((0.96, 0.97, 0.995))
        return Evidence(*self.pair(), "match", "splink", NOW, probability=score,
                        evidence_id=self.dice.randrange(3))  # fmt: skip

    def happen(self) -> str:
        kinds = {
            "events": 8, "matches": 3, "consent": 2, "names": 2, "must_link": 1, "keep_apart": 1,
            "undo": 3, "rules": 2, "suspend": 1, "resume": 1, "visits": 1, "calls": 1,
            "homes": 1,
        }  # fmt: skip
        kind = self.dice.choices(list(kinds), list(kinds.values()))[0]
        touched = getattr(self, f"_{kind}")()
        if touched:
            graph.reconsider(self.session, touched, at=NOW)
        return kind

    def _events(self) -> set[int]:
        return graph.observe(self.session, [self.event() for _ in range(self.dice.randrange(1, 6))])

    def _visits(self) -> set[int]:
        return graph.observe(self.session, self.visits())

    def _calls(self) -> set[int]:
        return graph.observe(self.session, self.calls())

    def _homes(self) -> set[int]:
        return graph.observe(self.session, self.homes())

    def _matches(self) -> set[int]:
        return graph.observe(self.session, [self.match()])

    def _consent(self) -> set[int]:
        said = self.dice.choice(("given", "given", "refused", "unknown"))
        return graph.set_link_consent(
            self.session, dict.fromkeys(self.dice.sample(self.ids, 3), said)
        )

    def _names(self) -> set[int]:
        """Somebody's name is told, or corrected: now, or by an event that comes late."""
        said = records.Said(NOW - self.dice.randrange(9) * DAY, self.dice.choice(("ada", "bob")))
        return records.fold(self.session, {self.dice.choice(self.ids): {"first_name": said}})

    def _must_link(self) -> None:
        people.must_link(self.session, *self.pair(), by="ada", at=NOW)

    def _keep_apart(self) -> tuple[int, int]:
        pair = self.pair()
        people.keep_apart(self.session, *pair, by="ada", reason="told so")
        return pair

    def _undo(self) -> None:
        mine = set(self.ids)
        standing = [m.id for m in people.merges(self.session, limit=9999)
                    if m.undone_at is None and m.survivor_id in mine]  # fmt: skip
        if standing:
            people.undo(self.session, self.dice.choice(standing), by="ada", at=NOW)

    def erase(self) -> None:
        """Erase one or two, who come back later as if they had never been there."""
        gone = self.dice.sample(self.ids[:26], self.dice.randrange(1, 3))
        erasure.forget(self.session, gone, at=NOW)
        for old in gone:
            name = self.names.pop(old)
            new = graph.identify(self.session, [name])[name]
            self.ids[self.ids.index(old)] = new
            self.names[new] = name
            graph.settle(self.session, [new])

    def _rules(self) -> None:
        name = self.dice.choice(sorted(RULES))
        changed = self.dice.choice((RULES[name], Namespace(name, 3, 1, unique=True, most_links=3),
                                    Namespace(name, 3, 3, most_links=8)))  # fmt: skip
        blocked = [self.names[i][1] for i in self.dice.sample(self.ids, 2)]
        setting = namespaces.Setting(
            changed,
            tuple(blocked) if self.dice.random() < 0.5 else (),
            (f"-{self.dice.randrange(9)}$",) if self.dice.random() < 0.5 else (),
        )
        namespaces.put(self.session, setting, by="ada")
        self.again(namespaces.touched(self.session, name, portion=self.dice.choice((1, 3, 100))))

    def _suspend(self) -> None:
        run_id, rule = self.dice.choice(((1, None), (None, "alias")))
        suspensions.suspend(self.session, run_id=run_id, rule=rule, by="ada")
        self.again(suspensions.touched(self.session, run_id=run_id, rule=rule, portion=2))

    def _resume(self) -> None:
        for what in suspensions.list_all(self.session):
            suspensions.resume(self.session, run_id=what.run_id, rule=what.rule)
            self.again(suspensions.touched(self.session, run_id=what.run_id, rule=what.rule))

    def again(self, portions: Iterator[list[int]]) -> None:
        """As the worker does it: portion by portion, all of them known before the first."""
        for portion in list(portions):
            graph.reconsider(self.session, portion, at=NOW)

    def table(self, query: str) -> list[tuple[object, ...]]:
        found = self.session.execute(sa.text(query), {"ids": self.ids})
        return [tuple(row) for row in found]

    def state(self) -> list[tuple[object, ...]]:
        return self.table(
            "SELECT id, group_id, person_id, reach_id, closed FROM identity.identifier "
            "WHERE id = ANY(:ids) ORDER BY id"
        )

    def why(self) -> list[tuple[object, ...]]:
        return self.table(
            "SELECT left_id, right_id, kind, held FROM identity.link WHERE left_id = ANY(:ids) "
            "AND revoked_at IS NULL ORDER BY left_id, right_id, kind"
        )


def invariants(world: World) -> None:
    """Nothing but the links decides, who must be apart is, and who refused is alone."""
    found = rebuild.rebuild(world.session, check=True)
    assert (found.identifiers_differing, found.links_differing) == (0, 0)
    person = people.people_of(world.session, world.ids)
    apart = world.table("SELECT left_id, right_id FROM identity.cannot_link "
                        "WHERE left_id = ANY(:ids)")  # fmt: skip
    assert all(person[int(str(a))] != person[int(str(b))] for a, b in apart)
    refused = world.table("SELECT id FROM identity.identifier WHERE id = ANY(:ids) "
                          "AND link_consent = 'refused'")  # fmt: skip
    members = list(person.values())
    assert all(members.count(person[int(str(i))]) == 1 for (i,) in refused)
    assert not world.table(
        "SELECT l.id FROM identity.link l JOIN identity.identifier i ON i.id IN (left_id, right_id)"
        " WHERE left_id = ANY(:ids) AND kind = 'match' AND revoked_at IS NULL AND held IS NULL"
        " AND closed IS NOT NULL"
    ), "what is nobody's is made somebody's by a match"


@pytest.mark.parametrize("seed", range(4 * LONG))
def test_after_each_of_many_merges_splits_constraints_rules_and_undos_the_people_are_the_links(
    session: Session, seed: int
) -> None:
    world = World(session, random.Random(seed), shop=True)  # noqa: S311 -- a seeded test, no secret
    shown = [*world.visits(), *world.calls(), *world.homes()]
    graph.reconsider(session, graph.observe(session, shown), at=NOW)
    happened, why = set(), {row[3] for row in world.why()}
    refusing = graph.set_link_consent(session, {world.couple[-1]: "refused"})
    graph.reconsider(session, refusing, at=NOW)
    invariants(world)
    why |= {row[3] for row in world.why()}
    for _ in range(250):
        happened.add(world.happen())
        invariants(world)
        why |= {row[3] for row in world.why()}
    assert {"undo", "rules", "suspend", "must_link", "keep_apart"} <= happened
    assert why >= {None, "undone", "frequency", "shared", "consent:refused", "visitors", "agent"}


@pytest.mark.parametrize("seed", range(6 * LONG))
def test_any_order_and_any_portions_of_the_same_evidence_end_in_the_same_people(
    session: Session, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
    world = World(session, dice, shop=True)
    graph.set_link_consent(
        session,
        {i: dice.choice(("given", "refused", "given")) for i in world.ids}
        | dict.fromkeys(world.ids[26:], "given"),
    )
    records.keep(session, {i: {"first_name": dice.choice(("ada", "bob"))} for i in world.ids[::3]})
    evidence = [world.event() for _ in range(60)] + [world.match() for _ in range(8)]
    # Of a kiosk among crowds it would be the crowd that counts.
    calm = set(world.ids[26:])
    evidence = [e for e in evidence if calm.isdisjoint((e.left, e.right))]
    evidence += world.visits() + world.calls() + world.homes()
    seen = {}
    for item in evidence:  # of matches the last score counts: one of each pair
        seen[(item.left, item.right) if item.kind == "match" else id(item)] = item
    ends = []
    for portion in (1000, 1, 7):
        with session.begin_nested() as point:
            items = list(seen.values())
            dice.shuffle(items)
            for at in range(0, len(items), portion):
                touched = graph.observe(session, items[at : at + portion])
                graph.reconsider(session, touched, at=NOW)
            invariants(world)
            ends.append((world.state(), world.why()))
            point.rollback()
    assert ends[0] == ends[1] == ends[2]
    closed = {row[0]: row[4] for row in ends[0][0]}
    hubs = [closed[hub] for hub, *_ in (world.kiosk, world.agent, world.couple)]
    assert hubs == ["visitors", "agent", "visitors"]
    assert len({row[2] for row in ends[0][0]}) < len(world.ids)


@pytest.mark.parametrize("seed", range(4 * LONG))
def test_after_each_of_many_erasures_the_people_are_the_links(session: Session, seed: int) -> None:
    """An address that somebody erased shared is whose else it is; a crowd of one less is none."""
    world = World(session, random.Random(seed), shop=True)  # noqa: S311 -- a seeded test, no secret
    shown = [*world.visits(), *world.calls(), *world.homes()]
    graph.reconsider(session, graph.observe(session, shown), at=NOW)
    why: set[object] = set()
    for _ in range(60):
        world.happen()
        why |= {row[3] for row in world.why()}
        world.erase()
        invariants(world)
    assert why >= {None, "frequency"}


def test_a_rebuild_mends_what_is_not_so(session: Session) -> None:
    world = World(session, random.Random(1))  # noqa: S311 -- a seeded test, no secret
    graph.reconsider(session, graph.observe(session, [world.event() for _ in range(40)]), at=NOW)
    before = world.state(), world.why()
    session.execute(
        sa.text("UPDATE identity.identifier SET person_id = id, reach_id = 1, closed = 'shared' "
                "WHERE id = ANY(:ids)"), {"ids": world.ids})  # fmt: skip
    session.execute(sa.text("UPDATE identity.link SET held = 'size' WHERE left_id = ANY(:ids)"),
                    {"ids": world.ids})  # fmt: skip
    found = rebuild.rebuild(session, check=True)
    assert found.identifiers_differing > 0
    assert found.links_differing > 0
    assert (world.state(), world.why()) != before
    steps: list[tuple[int, int]] = []
    rebuild.rebuild(session, check=False, progress=lambda *step: steps.append(step))
    assert (world.state(), world.why()) == before
    assert steps[-1][0] == steps[-1][1]
    invariants(world)


def test_taking_a_run_or_a_rule_back_and_letting_it_count_again_changes_nothing(
    session: Session,
) -> None:
    a, b, c, d = (graph.identify(session, [("crm_id", x)])["crm_id", x] for x in "abcd")
    ids = [a, b, c, d]
    graph.settle(session, ids)
    graph.set_link_consent(session, dict.fromkeys(ids, "given"))
    match = Evidence(a, b, "match", "splink", NOW, probability=0.97, evidence_id=7)
    items = [match, Evidence(c, d, "event", "alias", NOW), Evidence(b, c, "event", "identify", NOW)]
    graph.reconsider(session, graph.observe(session, items), at=NOW)
    assert people.people_of(session, ids) == dict.fromkeys(ids, a)
    for run_id, rule, parts in (7, None, [a, b, b, b]), (None, "alias", [a, a, a, d]):
        suspensions.suspend(session, run_id=run_id, rule=rule, by="ada")
        graph.reconsider(
            session, next(suspensions.touched(session, run_id=run_id, rule=rule)), at=NOW
        )
        assert [people.people_of(session, ids)[i] for i in ids] == parts
        suspensions.resume(session, run_id=run_id, rule=rule)
        graph.reconsider(
            session, next(suspensions.touched(session, run_id=run_id, rule=rule)), at=NOW
        )
        assert people.people_of(session, ids) == dict.fromkeys(ids, a)
        with pytest.raises(SuspensionNotFound):
            suspensions.resume(session, run_id=run_id, rule=rule)
    suspensions.suspend(session, run_id=7, by="ada")
    graph.reconsider(session, next(suspensions.touched(session, run_id=7)), at=NOW)
    later = Evidence(a, b, "match", "splink", NOW, probability=0.98, evidence_id=8)
    graph.reconsider(session, graph.observe(session, [later]), at=NOW)
    assert people.people_of(session, ids)[b] == b, "weighed otherwise, of the same records"
    records.keep(session, {a: {"first_name": "ada"}})
    graph.reconsider(session, graph.observe(session, [later]), at=NOW)
    assert people.people_of(session, ids) == dict.fromkeys(ids, a)


@pytest.mark.parametrize("seed", range(3 * LONG))
def test_a_merge_and_its_undo_leave_every_table_as_it_was(session: Session, seed: int) -> None:
    """But for the history, the revoked link, and the decision that the two stay apart."""
    world = World(session, random.Random(seed), shop=True)  # noqa: S311 -- a seeded test, no secret
    graph.set_link_consent(session, dict.fromkeys(world.ids, "given"))
    items = [*(world.event() for _ in range(30)), *(world.match() for _ in range(4)),
             *world.visits(), *world.calls(), *world.homes()]  # fmt: skip
    graph.reconsider(session, graph.observe(session, items), at=NOW)
    undone = 0
    for _ in range(12):
        one, other = world.pair()
        persons = people.people_of(session, [one, other])
        last = max((m.id for m in people.merges(session, limit=9999)), default=0)
        before = tables(world)
        moved = people.must_link(session, one, other, by="ada", at=NOW)
        pair = sorted(persons.values())
        merges = [m.id for m in people.merges(session, after=last)
                  if [m.survivor_id, m.absorbed_id] == pair]  # fmt: skip
        if not moved.merged or not merges:
            continue
        assert tables(world) != before
        people.undo(session, merges[0], by="ada", at=NOW)
        after = tables(world)
        kept = {row[0] for row in after["link"]}
        gone = [row for row in before["link"] if row[0] not in kept]
        assert all(row[1] == "match" for row in gone)
        assert after == {**before, "link": [row for row in before["link"] if row[0] in kept]}
        invariants(world)
        undone += 1
    assert undone > 1


def tables(world: World) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of identity that is about this world, but for the history.

    Of links those that nobody revoked in the end: an undo revokes decisions and matches between
    the two, which would unite them again. Of identifiers all but `reach_id`, which follows those.
    """
    return {
        "identifier": world.table(
            "SELECT id, namespace, value, profile_id, group_id, person_id, closed, settled, "
            "link_consent, first_seen_at FROM identity.identifier WHERE id = ANY(:ids) ORDER BY id"
        ),
        "record": world.table(
            "SELECT * FROM identity.record WHERE identifier_id = ANY(:ids) ORDER BY identifier_id"
        ),
        "link": world.table(
            "SELECT id, kind, rule, evidence_id, first_at, last_week, weight, probability, "
            "evidence::text, held IS NULL FROM identity.link WHERE left_id = ANY(:ids) "
            "AND revoked_at IS NULL ORDER BY id"
        ),
    }
