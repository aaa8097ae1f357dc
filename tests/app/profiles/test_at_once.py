"""Events, steps, jobs, definitions, rules and undo at once end in what there would be in order."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app import pipeline
from app.access import sources
from app.db import Sessions
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.profiles import computed_traits, computing, history, trait_rules
from app.profiles.tables import ComputedValue
from app.segments import members
from identity import people

pytestmark = pytest.mark.long

PURPOSE = "service.operation"
SECONDS = 8
COMPUTED = sa.text(
    "SELECT t.key, v.subject_id, CAST(v.value AS text), v.events, v.basis"
    " FROM app.computed_value v JOIN app.computed_trait t ON t.id = v.trait_id ORDER BY 1, 2"
)
COUNTED = sa.text("SELECT * FROM app.trait_value ORDER BY 1, 2, 3, 4")


class Busy:
    """What goes on at once, each with dice of its own."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions, self.memory = sessions, Memory()
        self.stop = threading.Event()
        self.errors: list[Exception] = []
        with sessions.begin() as session:
            self.source = sources.settings_of(sources.add(session, "web")[0])

    def send(self, dice: random.Random) -> None:
        now = datetime.now(UTC)
        items = []
        for _ in range(30):
            user = dice.randrange(60)
            shared = dice.randrange(90) if dice.random() < 0.1 else user
            message: dict[str, Any] = {"userId": f"u{user}", "anonymousId": f"a{shared}"}
            if dice.random() < 0.3:
                message |= {"type": "identify", "traits": {"city": dice.choice("abc")}}
            else:
                named = {"event": f"E{dice.randrange(2)}", "properties": {"n": dice.randrange(9)}}
                message |= {"type": "track", **named}
            event = read(to_message(message), received_at=now, largest=9_999)
            assert isinstance(event, Envelope)
            items.append(Item(self.source, event, now))
        with self.sessions.begin() as session:
            append(session, items, self.memory)

    def step(self, dice: random.Random) -> None:
        with self.sessions.begin() as session:
            pipeline.step(session)

    def job(self, dice: random.Random) -> None:
        while history.advance(self.sessions) or computing.advance(self.sessions):
            pass

    def refresh(self, dice: random.Random) -> None:
        pipeline.refresh_all(self.sessions)

    def define(self, dice: random.Random) -> None:
        event = f"E{dice.randrange(2)}"
        with self.sessions.begin() as session:
            for key, more in (("count", {}), ("last", {"prop": "n"})):
                computed_traits.put(session, key=key, name=key, purpose=PURPOSE,
                                    definition={"kind": key, "event": event, **more})  # fmt: skip

    def rule(self, dice: random.Random) -> None:
        chosen = dice.choice(("latest", "first", "union"))
        with self.sessions.begin() as session:
            trait_rules.put(session, "city", chosen, (), by="test")

    def undo(self, dice: random.Random) -> None:
        with self.sessions.begin() as session:
            standing = [m for m in people.merges(session, limit=10_000) if m.undone_at is None]
            if standing:
                chosen = dice.choice(standing).id
                undone = people.undo(session, chosen, by="test", at=datetime.now(UTC))
                pipeline.after_move(session, undone)

    def again(self, work: Callable[[random.Random], None], pause: float, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
        while not self.stop.is_set():
            try:
                work(dice)
            except Exception as error:
                self.errors.append(error)
            self.stop.wait(pause)


def test_what_is_stored_in_the_end_is_what_is_computed_anew(sessions: Sessions) -> None:
    busy = Busy(sessions)
    busy.define(random.Random(0))  # noqa: S311 -- a seeded test, no secret
    with sessions.begin() as session:
        rule = {"computed": "count", "op": "gte", "value": 3}
        members.create(session, key="s", name="S", purpose=PURPOSE, rule=rule)
    jobs = [(busy.send, 0.05), (busy.step, 0.02), (busy.job, 0.1), (busy.refresh, 0.3),
            (busy.define, 0.7), (busy.rule, 0.5), (busy.undo, 0.5)]  # fmt: skip
    threads = [
        threading.Thread(target=busy.again, args=(work, pause, seed))
        for seed, (work, pause) in enumerate(jobs)
    ]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    busy.stop.set()
    for thread in threads:
        thread.join()
    assert busy.errors == []
    dice = random.Random(1)  # noqa: S311 -- a seeded test, no secret
    with sessions.begin() as session:
        trait_rules.put(session, "city", "union", (), by="test")
    more = True
    while more:
        with sessions.begin() as session:
            more = not pipeline.step(session).idle
    busy.job(dice)
    with sessions.begin() as session:
        computed, counted = session.execute(COMPUTED).all(), session.execute(COUNTED).all()
        for trait in computed_traits.list_all(session):
            assert computed_traits.state(trait) == "fresh"
            computed_traits.try_again(session, trait)
        session.execute(sa.delete(ComputedValue))
        everybody = session.scalars(sa.text("SELECT id FROM identity.identifier")).all()
        history.rebuild(session, everybody, ["city"])
        assert session.execute(COUNTED).all() == counted
    busy.job(dice)
    with sessions.begin() as session:
        assert session.execute(COMPUTED).all() == computed
    assert min(len(computed), len(counted)) > 50
