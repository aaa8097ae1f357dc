"""Members of random segments against a slow reference, while everything happens to people."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import pipeline, work
from app.db import Sessions
from app.privacy import subject
from app.privacy.erase import erase
from app.profiles import computed_traits, computing, history, trait_rules
from app.profiles.survivorship import NAMES
from app.segments import lists, looking, members, refreshing
from app.segments.tables import Segment, SegmentMember
from app.settings import Settings
from app.suppression import gate
from consent import Choice
from tests.app.profiles.histories import DAY, NOW, PURPOSE, Event, World
from tests.app.segment_reference import ALWAYS, COMPUTED, OTHER, Json, Reference, Rules


@dataclass
class Accounts(World):
    """A world in which some calls say that somebody is in an account, and what that is like."""

    def event(self, number: int) -> Event:
        event = super().event(number)
        if event.type == "track" and self.dice.random() < 0.3:
            event.type, event.name, event.group = "group", "", self.dice.choice(("g", "h"))
        return event


class Told:
    """A world whose people are in segments, and what a step and a job do to these."""

    def __init__(
        self, sessions: Sessions, session: Session, settings: Settings, seed: int, number: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        self.sessions, self.session, self.settings = sessions, session, settings
        told = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return told.now

        monkeypatch.setattr(pipeline, "datetime", Clock)
        self.dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
        self.world = Accounts(session, self.dice)
        self.apart = seed % 2 == 1  # a match makes nobody one person for the purpose
        if self.apart:
            known = consent.catalogue.purpose(session, PURPOSE)
            apart = replace(known, version=known.version + 1, link_confidence="deterministic")
            consent.catalogue.add_purpose(session, apart)
        self.world.begin(14)
        self.survives = self.trait_rules(random.Random(1_000 + seed))  # noqa: S311 -- a seeded test, no secret
        links = [Choice(*n, consent.LINK, "given", NOW - 40 * DAY, "test")
                 for n in self.world.names.values()]  # fmt: skip
        consent.record(session, links, received_at=NOW - 40 * DAY)
        for key, definition in COMPUTED.items():
            computed_traits.put(session, key=key, name=key, purpose=PURPOSE, definition=definition)
        self.rules: dict[str, Json] = {}
        self.lists = {}
        for chosen in (self.world.ids[:4], self.world.ids[3:9]):
            self.lists[lists.keep(session, chosen, PURPOSE)] = set(chosen)
        rules = Rules(self.dice, sorted(self.lists, key=lambda key: len(self.lists[key])))
        for n in range(number):
            key = f"s{n}-{seed}"
            rule = ALWAYS[n] if n < len(ALWAYS) else rules.rule(list(self.rules))
            members.create(session, key=key, name=key, purpose=PURPOSE, rule=rule)
            self.rules[key] = rule
        self.now = NOW
        self.compute()

    def trait_rules(self, dice: random.Random) -> dict[str, tuple[str, list[str]]]:
        """Set what survives of each trait: the rule, and the sources that it believes first."""
        names = "SELECT id, name FROM app.source"
        real = {row.id: row.name for row in self.session.execute(sa.text(names))}
        found = {}
        for key in "xy":
            rule = dice.choice(NAMES)
            first = ["shop", "crm"] if rule == "source_priority" else []
            named = tuple(str(real[self.world.sources[one]]) for one in first)
            trait_rules.put(self.session, key, rule, named, by="test")
            found[key] = (rule, first)
        return found

    def listed(self) -> list[Segment]:
        return [s for s in members.list_all(self.session) if s.key in self.rules]

    def compute(self) -> None:
        """What the job does that computes traits."""
        self.session.commit()
        while history.advance(self.sessions) or computing.advance(self.sessions, now=self.now):
            pass

    def step(self, events: int, touched: Iterable[int] = ()) -> None:
        """What the worker does: some events, and people who were touched otherwise."""
        if events:
            self.world.happen(events)
        work.touch(self.session, [(one, "consent", {}) for one in touched])
        while not pipeline.step(self.session).idle:
            pass

    def look(self) -> int:
        """What the jobs do; return how many the look at segments found."""
        self.compute()
        found = looking.look(self.session, self.listed(), now=self.now)
        refreshing.refresh(
            self.session, found.segments, now=self.now, people=found.people, settled=True
        )
        return len(found.people)

    def happen(self) -> None:
        """One of everything that can happen, and what follows it."""
        touched: list[int] = []
        kind = self.dice.choice(("move", "move", "consent", "other", "delete", "erase", "nothing"))
        who = self.dice.choice(self.world.ids)
        if kind == "move":
            pipeline.after_move(self.session, self.world.move())
        elif kind == "consent":
            self.world.say([who], self.dice.choice(("withdrawn", "given")), self.moment())
            touched = [who]
        elif kind == "other":
            state = self.dice.choice(("given", "refused"))
            said = Choice(*self.world.names[who], OTHER, state, self.moment(), "test")
            consent.record(self.session, [said], received_at=self.moment())
            touched = [who]
        elif kind == "erase":
            self.erase(who)
        elif kind == "delete":  # as retention leaves it
            for table in ("event", "trait", "trait_value", "account_member", "account_trait"):
                self.session.execute(
                    sa.text(f"DELETE FROM app.{table} WHERE identifier_id = :who"),  # noqa: S608 -- our own five names
                    {"who": who},
                )
            for event in self.world.events:  # they stay in the list: ids go by its length
                if event.identifier_id == who:
                    event.identifier_id = -1
            touched = [who]
        self.step(0, touched)
        self.step(self.dice.randrange(1, 6))  # of whom nothing else is known that is new

    def erase(self, who: int) -> None:
        """Erase the person who acted by an identifier, as a request does."""
        gate.use(self.settings)
        one = subject.find(self.session, [self.world.names[who]])
        self.session.commit()
        erase(
            self.sessions, self.settings, one, erasure_id=uuid4(), reason_ref="test",
            at=self.moment(),
        )  # fmt: skip
        assert who in one.ids
        for identifier in one.ids:
            self.world.ids.remove(identifier)
            del self.world.names[identifier]
        for event in self.world.events:  # they stay in the list: ids go by its length
            if event.identifier_id in one.ids:
                event.identifier_id = -1

    def moment(self) -> datetime:
        return NOW - DAY + timedelta(seconds=len(self.world.events))

    def compare(self, seen: Counter[str]) -> None:
        reference = Reference(self.world, self.rules, self.lists, self.now, self.survives)
        if self.apart:
            reference.by_group()
        query = sa.select(SegmentMember.segment_id, SegmentMember.person_id).where(
            SegmentMember.left_at.is_(None)
        )
        rows = self.session.execute(query).all()
        for segment in self.listed():
            assert segment.error is None
            found = {row.person_id for row in rows if row.segment_id == segment.id}
            wanted = reference.inside(self.rules[segment.key])
            assert found == wanted, (json.dumps(self.rules[segment.key]), self.now)
            self.session.refresh(segment)
            assert segment.members == len(found)
            seen["some" if 0 < len(wanted) < len(reference.persons) else "none or all"] += 1


@pytest.mark.parametrize(
    ("seed", "number", "rounds"),
    [(0, 9, 5), *(pytest.param(n, 10, 8, marks=pytest.mark.long) for n in range(1, 7))],
)
def test_members_are_whom_a_slow_reference_finds_whatever_happened(
    sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch, seed: int, number: int,
    rounds: int,
) -> None:  # fmt: skip
    """Late events, merges, undo, splits, withdrawals, deletions, erasures, time that passes.

    By any rule of what survives; of every other seed matching makes nobody one person.
    """
    with sessions() as session:
        told = Told(sessions, session, settings, seed, number, monkeypatch)
        told.step(70)
        told.look()  # who has no event at all meets rules, too
        seen: Counter[str] = Counter()
        for _ in range(rounds):
            told.happen()
            told.compare(seen)
            assert told.look() == 0  # whole or piece by piece ends in the same
            told.now += told.dice.choice((0.4, 1, 2.3)) * DAY
            told.look()
            told.compare(seen)
        assert seen["some"] > rounds, seen
