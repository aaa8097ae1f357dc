"""The same events in any order of arrival and any batches give the same people and records.

Identifiers get their ids as they arrive, so nothing that decides who is who may hang on an id.
"""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.events.stream import Outline
from app.resolve import resolve
from identity import components, graph, namespaces, people, rebuild
from identity.identifiers import Namespace

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
#: Small bounds, so that guards cut at their limits all the time.
RULES = (
    Namespace("user_id", 1, limit=1, unique=True, most_links=4),
    Namespace("crm_id", 3, limit=2, most_links=6),
    Namespace("email", 4, limit=2, most_links=5),
    Namespace("device_id", 7, limit=2, most_links=5, owner_days=60),
    Namespace("anonymous_id", 8, limit=3, most_links=5, owner_days=30, last_owner=True),
)
Name = tuple[str, str]
TRAITS = (
    {"firstName": "ada"}, {"firstName": "Bob"}, {"firstName": "Adelaide"}, {"firstName": "Sadie"},
    {"firstName": "ada", "birthday": "1990-01-02"}, {"birthday": "1985-03-04"},
    {"lastName": "Byron", "city": "London"}, {"city": "Paris"},
)  # fmt: skip


@dataclass(frozen=True)
class Happened:
    """One event: who it names, acting first, and what it says of them."""

    names: tuple[Name, ...]
    at: datetime
    traits: dict[str, str] | None = None


@dataclass(frozen=True)
class Matched:
    """A match of two, with the score that counts."""

    names: tuple[Name, Name]
    probability: float


@dataclass(frozen=True)
class Decided:
    """A decision about two."""

    names: tuple[Name, Name]
    one: bool


Thing = Happened | Matched | Decided


def history(dice: random.Random) -> list[Thing]:
    """Return what happens: few identifiers and fewer times, so ties and conflicts abound."""
    made = {
        "user_id": 5, "crm_id": 3, "email": 5, "device_id": 4, "anonymous_id": 6,
    }  # fmt: skip
    everybody = [(space, f"{n}-{dice.getrandbits(30)}") for space, k in made.items()
                 for n in range(k)]  # fmt: skip
    things: list[Thing] = []
    for _ in range(70):
        names = tuple(dice.sample(everybody, dice.choice((1, 2, 2, 2, 3))))
        at = NOW - dice.choice((0, 1, 2, 24 * 40, 24 * 90)) * HOUR
        told = dice.choice(TRAITS) if dice.random() < 0.5 else None
        things.append(Happened(names, at, told))
    pairs = {tuple(sorted(dice.sample(everybody, 2))) for _ in range(12)}
    for pair in sorted(pairs):
        one, other = pair
        if dice.random() < 0.7:
            things.append(Matched((one, other), dice.choice((0.96, 0.96, 0.995))))
        else:
            things.append(Decided((one, other), dice.random() < 0.5))
    return things


class Arrival:
    """Takes what happened in, as it arrives, and says who everybody is."""

    def __init__(self, session: Session, refused: set[Name]) -> None:
        self.session, self.refused = session, refused
        self.ids: dict[Name, int] = {}
        self.events = 0

    def arrive(self, things: list[Thing]) -> None:
        wanted = sorted({name for thing in things for name in thing.names})
        made = graph.identify(self.session, wanted)
        new = made.keys() - self.ids.keys()
        self.ids |= made
        said = {made[n]: "refused" if n in self.refused else "given" for n in new}
        touched = graph.set_link_consent(self.session, said)
        outlines = [self._outline(t) for t in things if isinstance(t, Happened)]
        for thing in things:
            one, other = (made[n] for n in thing.names[:2]) if len(thing.names) > 1 else (0, 0)
            if isinstance(thing, Matched):
                evidence = graph.Evidence(one, other, "match", "splink", NOW,
                                          probability=thing.probability)  # fmt: skip
                touched |= graph.observe(self.session, [evidence])
            elif isinstance(thing, Decided) and thing.one:
                evidence = graph.Evidence(one, other, "manual", "must_link", NOW)
                touched |= graph.observe(self.session, [evidence])
            elif isinstance(thing, Decided):
                people.keep_apart(self.session, one, other, by="ada", reason="told so")
                touched |= {one, other}
        resolve(self.session, outlines, set(), now=NOW, again=touched)

    def _outline(self, event: Happened) -> Outline:
        self.events += 1
        traits = json.dumps(event.traits) if event.traits else None
        ids = [self.ids[n] for n in event.names]
        return Outline(self.events, "1", 1, "identify", ids, event.at, NOW, None, [], None, traits)

    def end(self) -> dict[str, object]:
        """Return who is with whom, why links are held, and what is known, by the names alone."""
        name = {i: n for n, i in self.ids.items()}

        def rows(query: str) -> list[sa.Row[tuple[object, ...]]]:
            return list(self.session.execute(sa.text(query), {"ids": list(name)}))

        where = rows("SELECT id, group_id, person_id, reach_id, closed FROM identity.identifier "
                     "WHERE id = ANY(:ids)")  # fmt: skip
        found: dict[str, object] = {"closed": {name[r.id]: r.closed for r in where}}
        for of in ("group_id", "person_id", "reach_id"):
            together: dict[int, set[Name]] = {}
            for r in where:
                together.setdefault(getattr(r, of), set()).add(name[r.id])
            found[of] = sorted(map(sorted, together.values()))
        found["held"] = {
            (*sorted((name[r.left_id], name[r.right_id])), r.kind): r.held
            for r in rows("SELECT left_id, right_id, kind, held FROM identity.link "
                          "WHERE left_id = ANY(:ids)")
        }  # fmt: skip
        found["said"] = {
            name[r.identifier_id]: r.fields
            for r in rows("SELECT identifier_id, fields FROM identity.record "
                          "WHERE identifier_id = ANY(:ids)")
        }  # fmt: skip
        return found


def end_of(session: Session, things: list[Thing], portion: int, refused: set[Name]) -> object:
    """Return where things end that arrive in portions; the tables are as before afterwards."""
    with session.begin_nested() as point:
        arrival = Arrival(session, refused)
        for at in range(0, len(things), portion):
            arrival.arrive(things[at : at + portion])
        again = rebuild.rebuild(session, check=True)
        assert (again.identifiers_differing, again.links_differing) == (0, 0)
        found = arrival.end()
        point.rollback()
    session.expire_all()
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_same_events_in_any_order_and_any_batches_give_the_same_people_and_records(
    session: Session, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 2:  # a small bound here too, so that bridges abound
        monkeypatch.setattr(components, "BIG", 2)
    dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
    for rules in RULES:
        namespaces.put(session, namespaces.Setting(rules), by="test")
    things = history(dice)
    names = sorted({name for thing in things for name in thing.names})
    refused = set(dice.sample(names, 2))
    first = end_of(session, things, len(things), refused)
    for portion in (1, 7, 1000):
        dice.shuffle(things)
        assert end_of(session, things, portion, refused) == first
