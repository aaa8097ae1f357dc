"""What a writer remembers never changes what it writes: compared with one that forgets."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.access.sources import SourceSettings
from app.consents import record as consents
from app.db import Sessions
from app.events import envelope
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope
from app.events.item import Batch, Item
from app.events.memory import Memory
from app.events.writer import write
from consent.purposes import Purpose
from consent.signals.segment import PREFERENCE_EVENT

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEOPLE = 3
#: One that never lapses, one that lapses within the story, and one with other people's mode.
PURPOSES = ("test.lasting", "test.lapsing", "test.each")
LAPSES = timedelta(days=2)
Step = tuple[str, Any]


@dataclass(slots=True)
class World:
    """The same story told to its own sources and people; `forgets` says whether it remembers."""

    name: str
    forgets: bool
    sources: list[SourceSettings]
    writers: list[Memory] = field(default_factory=lambda: [Memory(), Memory()])
    outcomes: list[tuple[str, str]] = field(default_factory=list)

    def value(self, person: str) -> str:
        """Return a person's identifier as this world calls it."""
        return f"{self.name}-{person}"


def story(chance: random.Random, steps: int) -> list[Step]:
    """Return what happens: batches of events of two writers, explicit decisions, restarts."""
    now = START
    out: list[Step] = []
    for number in range(steps):
        now += timedelta(seconds=chance.choice((1, 30, 3_600, 40_000)))
        what = chance.random()
        if what < 0.12:
            out.append(("decide", (now, *_decision(chance, now))))
        elif what < 0.18:
            out.append(("restart", chance.randrange(2)))
        else:
            events = [_event(chance, now, f"{number}-{n}") for n in range(chance.randint(1, 6))]
            out.append(("batch", (now, 0 if chance.random() < 0.8 else 1, events)))
    return out


def _decision(chance: random.Random, now: datetime) -> tuple[str, dict[str, str], datetime]:
    state = chance.choice(("given", "refused"))
    purposes = chance.sample(PURPOSES, chance.randint(1, 2))
    return f"u{chance.randrange(PEOPLE)}", dict.fromkeys(purposes, state), _time(chance, now)


def _time(chance: random.Random, now: datetime) -> datetime:
    """Now, late, of a clock ahead, or of nobody's clock."""
    return now + timedelta(
        seconds=chance.choice((0, 0, 0, -1, 1, -20, -4_000, -90_000, -300_000, 5_000, 200_000))
    )


def _event(chance: random.Random, now: datetime, number: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "type": "track",
        "event": "Read",
        "messageId": f"m{number}",
        "timestamp": _time(chance, now).isoformat(),
        "source": chance.randrange(2),
    }
    who = chance.random()
    if who < 0.7:
        message["userId"] = f"u{chance.randrange(PEOPLE)}"
    if who > 0.5:
        message["anonymousId"] = f"a{chance.randrange(PEOPLE)}"
    said = chance.random()
    if said < 0.85:
        categories = chance.sample(PURPOSES, chance.choice((0, 1, 1, 2, 3)))
        answer = {key: chance.random() < 0.6 for key in categories}
        preferences = "odd" if said < 0.03 else answer
        message["context"] = {"consent": {"categoryPreferences": preferences}}
    if 0.6 < said < 0.75:
        message["event"] = PREFERENCE_EVENT
    return message


def make(sessions: Sessions, name: str, *, forgets: bool) -> World:
    """Add the two sources of a world: one collects as the service needs it, one on consent."""
    with sessions.begin() as session:
        made = [
            sources.add(session, f"{name}-{n}", collection_purpose=purpose)[0]
            for n, purpose in enumerate(("service.operation", "test.lapsing"))
        ]
        return World(name, forgets, [sources.settings_of(source) for source in made])


def tell(sessions: Sessions, world: World, step: Step) -> None:
    """Let one thing happen in a world."""
    kind, what = step
    if kind == "restart":
        world.writers[what] = Memory()
    elif kind == "decide":
        now, person, decisions, at = what
        with sessions.begin() as session:
            consents.record(
                session, "user_id", world.value(person), decisions,
                collected_by="test", received_at=now, effective_at=at,
            )  # fmt: skip
    else:
        now, writer, events = what
        memory = Memory() if world.forgets else world.writers[writer]
        with sessions.begin() as session:
            said = append(session, _items(world, now, events), memory, now=now)
        world.outcomes += [(o.state, o.code + o.message.rpartition(":")[2]) for o in said]


def _items(world: World, now: datetime, events: Iterable[dict[str, Any]]) -> list[Item]:
    items = []
    for place, event in enumerate(events):
        message = {k: v for k, v in event.items() if k != "source"}
        for key in ("userId", "anonymousId"):
            if key in message:
                message[key] = world.value(message[key])
        read = envelope.read(to_message(message), received_at=now, largest=100_000)
        if isinstance(read, Envelope):
            at = now + timedelta(microseconds=place)
            items.append(Item(world.sources[event["source"]], read, at))
    return items


Decisions = dict[tuple[str, str, datetime], str]


def decisions(session: Session, world: World, moments: Iterable[datetime]) -> Decisions:
    """Return what each identifier of a world says about each purpose at each of these times."""
    people = [("user_id", f"u{n}") for n in range(PEOPLE)]
    people += [("anonymous_id", f"a{n}") for n in range(PEOPLE)]
    names = {(space, world.value(person)): person for space, person in people}
    records = consent.history(session, sorted(names))
    end = max(moments, default=START)
    out: Decisions = {}
    for at in moments:
        for known_at in (at, end):
            found = consent.standings(records, at=at, known_at=known_at, purposes={})
            for key, (standing, *_) in found.items():
                if standing != "unknown":
                    suffix = "" if known_at == at else " as known at the end"
                    # A refusal of what was not given is the same as a withdrawal of what was.
                    said = "refused" if standing == "withdrawn" else standing
                    out[names[key[:2]] + suffix, key[2], at] = said
    return out


def moments_of(session: Session, *worlds: World) -> list[datetime]:
    """Return every time at which any record begins, counts or lapses, and the time after it."""
    found = {
        moment
        for row in session.scalars(sa.select(consent.ConsentRecord))
        for moment in (row.effective_at, row.recorded_at, row.order_time, row.valid_until)
        if moment is not None and row.value.partition("-")[0] in {w.name for w in worlds}
    }
    return sorted(found | {m + timedelta(seconds=0.5) for m in found})


def stored(session: Session, world: World) -> dict[str, list[str]]:
    """Return the events of a world, with what each may never be used for."""
    rows = session.execute(
        sa.text("SELECT message_id, refused FROM app.event WHERE source_id = ANY(:ids)"),
        {"ids": [source.id for source in world.sources]},
    )
    return {row.message_id: row.refused for row in rows}


@pytest.fixture
def purposes(sessions: Sessions) -> None:
    """Three purposes of the story's own."""
    with sessions.begin() as session:
        for key in PURPOSES:
            consent.catalogue.add_purpose(
                session,
                Purpose(
                    key,
                    mode="per_identifier" if key == "test.each" else "most_restrictive",
                    valid_days=LAPSES.days if key == "test.lapsing" else None,
                ),
            )


STORIES = 3


@pytest.mark.usefixtures("purposes")
def test_a_writer_that_remembers_writes_what_one_that_forgets_writes(sessions: Sessions) -> None:
    for seed in range(STORIES):
        remembers = make(sessions, f"r{seed}", forgets=False)
        forgets = make(sessions, f"f{seed}", forgets=True)
        for number, step in enumerate(story(random.Random(seed), 40)):  # noqa: S311  # repeatable
            for world in (remembers, forgets):
                tell(sessions, world, step)
            assert remembers.outcomes == forgets.outcomes, (seed, number, step)
        with sessions() as session:
            moments = moments_of(session, remembers, forgets)
            assert decisions(session, remembers, moments) == decisions(session, forgets, moments)
            assert stored(session, remembers) == stored(session, forgets)


@pytest.mark.usefixtures("purposes")
def test_events_of_one_batch_are_never_heard_to_give_what_they_would_not_singly(
    sessions: Sessions,
) -> None:
    for seed in range(STORIES):
        together = make(sessions, f"t{seed}", forgets=False)
        singly = make(sessions, f"s{seed}", forgets=True)
        for step in story(random.Random(seed), 40):  # noqa: S311  # repeatable
            tell(sessions, together, step)
            for part in _singly(step):
                tell(sessions, singly, part)
        with sessions() as session:
            moments = moments_of(session, together, singly)
            heard = decisions(session, together, moments)
            wanted = decisions(session, singly, moments)
        looser = {key for key, said in heard.items() if said == "given" != wanted.get(key)}
        assert looser == set(), seed
        assert sum(said == "given" for said in heard.values()) > len(heard) / 20


def test_a_withdrawal_while_a_slow_body_arrives_counts_for_the_events_in_it(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        made = sources.add(session, "slow", collection_purpose="analytics.audience")[0]
        source = sources.settings_of(made)
    began = datetime.now(UTC) - timedelta(minutes=1)
    for state, at in (("given", began - timedelta(days=1)), ("refused", began + timedelta(0, 30))):
        with sessions.begin() as session:
            consents.record(
                session, "user_id", "ada", {"analytics.audience": state},
                collected_by="test", received_at=at,
            )  # fmt: skip
    message = {"type": "track", "event": "Read", "userId": "ada"}
    read = envelope.read(to_message(message), received_at=began, largest=100_000)
    with sessions.begin() as session:
        [[outcome]] = write(session, [Batch(source, [read], began)], Memory())
    assert (outcome.state, outcome.code) == ("rejected", "consent_denied")


def test_a_banner_also_takes_back_a_grant_that_a_fast_clock_dates_in_the_future(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "fast")[0])
    memory, now = Memory(), START

    def say(name: str, at: datetime, received_at: datetime, **answers: bool) -> None:
        context = {"consent": {"categoryPreferences": answers}}
        message = {"type": "track", "event": name, "userId": "eve", "context": context}
        message["timestamp"] = at.isoformat()
        read = envelope.read(to_message(message), received_at=received_at, largest=100_000)
        assert isinstance(read, Envelope)
        with sessions.begin() as session:
            append(session, [Item(source, read, received_at)], memory, now=received_at)

    say("Read", now + timedelta(hours=3), now, **{"ads.share": True})
    say(
        PREFERENCE_EVENT,
        now + timedelta(0, 40),
        now + timedelta(0, 40),
        **{"ads.personalised": True},
    )
    with sessions() as session:
        later = now + timedelta(days=1)
        records = consent.history(session, [("user_id", "eve")])
        found = consent.standings(records, at=later, known_at=later, purposes={})
    assert found["user_id", "eve", "ads.share"][0] in ("refused", "withdrawn")


def _singly(step: Step) -> list[Step]:
    """Return a batch as one batch per event, in the order of their times."""
    kind, what = step
    if kind != "batch":
        return [step]
    now, writer, events = what
    return [
        ("batch", (now, writer, [event])) for event in sorted(events, key=lambda e: e["timestamp"])
    ]


def test_a_transaction_that_was_lost_is_not_taken_for_our_own(sessions: Sessions) -> None:
    """After a crash of PostgreSQL its number may be another writer's, whose records must count."""
    with sessions.begin() as session:
        added, _ = sources.add(session, "web")
        source = sources.settings_of(added)
    now = datetime.now(UTC)
    memory = Memory()

    def event(number: int, allowed: bool) -> Item:
        said = {"categoryPreferences": {"ads.share": allowed}}
        message = {
            "type": "track", "event": "x", "userId": "u-1", "messageId": str(number),
            "timestamp": now.isoformat(), "context": {"consent": said},
        }  # fmt: skip
        found = envelope.read(to_message(message), received_at=now, largest=9999)
        assert isinstance(found, Envelope)
        return Item(source, found, now)

    with sessions.begin() as session:
        append(session, [event(1, True)], memory)
    with sessions() as session:
        append(session, [event(2, False)], memory)
        lost = session.scalar(sa.text("SELECT pg_current_xact_id()::text"))
        session.rollback()
    with sessions.begin() as session:
        append(session, [event(3, True)], memory)
    assert memory.heard(("user_id", "u-1")) is not None
    with sessions.begin() as session:
        # A number that was given away again: here no trigger asks whose it is.
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        session.execute(
            sa.text(
                "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, "
                "effective_at, recorded_at, order_time, collected_by, evidence, transaction) "
                "VALUES ('user_id', 'u-1', 'ads.share', 1, 'refused', :now, :now, :now, 'test', "
                "'{}', CAST(CAST(:lost AS text) AS xid8))"
            ),
            {"now": now, "lost": lost},
        )
    with sessions.begin() as session:
        memory._mark = min(memory._mark, int(lost or 0))  # as a reader whose mark is still there
        memory.refresh(session)
    assert memory.heard(("user_id", "u-1")) is None


def test_a_version_is_heard_of_when_it_is_added_and_when_its_time_comes(
    session: Session,
) -> None:
    def told() -> int:
        return consent.changes_since(session, 0).purposes

    def add(version: int, at: datetime) -> None:
        consent.catalogue.add_purpose(session, Purpose("a.b", version, effective_from=at))

    seen = [told()]
    add(1, datetime.now(UTC))
    seen.append(told())
    soon = datetime.now(UTC) + timedelta(seconds=1)
    add(2, soon)
    seen.append(told())
    session.scalar(sa.text("SELECT pg_sleep_until(:soon)"), {"soon": soon})
    seen.append(told())
    assert sorted(set(seen)) == seen
