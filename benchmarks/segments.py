"""Fifty segments of mixed kinds over many profiles and events: how long, and how soon.

    python -m benchmarks.segments --profiles 100000    (a million: --profiles 1000000)

Measured are a look through everybody for all segments (wall and CPU of PostgreSQL and of this
process) and, under a stream of events, the time from when an event is stored until the membership
that it changes can be read. Identities, consents, events and traits are written set-wise, as the
product leaves them; segments, memberships and the stream go through the product.
"""

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import consent
from api.cli.session import opened
from app import pipeline
from app.access import sources
from app.db import Sessions
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.jobs import PIPELINE_PAUSE_SECONDS
from app.segments import compile as compiled
from app.segments import looking, members
from app.settings import Settings
from benchmarks import cpu

MAIL, AUDIENCE, SERVICE = "marketing.email", "analytics.audience", "service.operation"
EVENTS_OF_EACH = 10
NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Cart Viewed", "Order Completed",
         "Order Refunded", "Signed In", "Support Called", "Email Opened", "Email Clicked",
         "Searched", "Reviewed")  # fmt: skip
PROBE = "Probe"
INTO = "INSERT INTO app.segment_member (segment_id, person_id, entered_at)"
EACH = (
    "SELECT s.id, met.person_id, :now FROM met"
    " JOIN unnest(CAST(:segments AS bigint[])) WITH ORDINALITY s(id, place)"
    " ON (words[1 + (place - 1) / :word] >> CAST((place - 1) % :word AS int)) & 1 = 1"
)
LOAD = (
    # A login for everybody, and a cookie for every other, asserted to be one.
    "INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id, settled)"
    " SELECT n, 'user_id', 'p' || n, n, n, n, true FROM generate_series(1, :people) n",
    "INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id, settled)"
    " SELECT :people + n, 'anonymous_id', 'p' || n, n, n, n, true"
    " FROM generate_series(2, :people, 2) n",
    "SELECT setval('identity.identifier_id_seq', :people * 2)",
    "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,"
    " recorded_at, order_time, valid_until, collected_by, evidence)"
    " SELECT 'user_id', 'p' || n, p.key, 1, CASE WHEN n % 10 < p.given THEN 'given' ELSE 'refused'"
    " END, at, at, at, at + interval '395 days', 'bench', '{}'"
    " FROM generate_series(1, :people) n, (VALUES ('marketing.email', 7),"
    " ('analytics.audience', 8)) p(key, given), (SELECT now() - interval '60 days' AS at) t"
    " WHERE n % 10 < p.given + 1",
    # In order of time, as events come; whose they are is spread over everybody.
    "INSERT INTO app.event (id, source_id, message_id, type, name, identifier_id, identifier_ids,"
    " occurred_at, received_at, refused, properties, context, part)"
    " SELECT n, :source, 'bench-' || n, 'track',"
    " (CAST(:names AS text[]))[1 + least(11, CAST(floor(power(random(), 2) * 12) AS int))],"
    " who, ARRAY[who], at, at, '{}', json_build_object('revenue', floor(random() * 500),"
    " 'category', 'c' || floor(random() * 20), 'sku', md5(CAST(n AS text)), 'currency', 'EUR'),"
    ' \'{"page": {"path": "/p/1"}, "locale": "fr-FR", "library": {"name": "bench"}}\','
    " (SELECT max(part) FROM app.event_partition WHERE opened_at IS NOT NULL)"
    " FROM (SELECT n, 1 + CAST(floor(random() * :people) AS bigint) AS who,"
    " now() - (:events - n) * (interval '90 days' / :events) AS at"
    " FROM generate_series(1, :events) n) e",
    "SELECT setval('app.event_id', :events)",
    "INSERT INTO app.trait (identifier_id, key, refused, value, occurred_at, received_at, event_id,"
    " message_id, source_id) SELECT n, k.key, '{}', CASE k.key WHEN 'age' THEN"
    " to_json(18 + n % 60) WHEN 'country' THEN to_json((ARRAY['FR','DE','ES','IT','BE'])"
    "[1 + n % 5]) ELSE to_json((ARRAY['free','gold','team'])[1 + n % 3]) END,"
    " t.at, t.at, 0, 'bench', :source"
    " FROM generate_series(1, :people) n, (VALUES ('age'), ('country'), ('plan')) k(key),"
    " (SELECT now() - interval '60 days' AS at) t",
    "UPDATE app.progress SET transaction = (SELECT max(transaction) FROM app.event),"
    " event_id = :events WHERE reader = 'pipeline'",
)


def rules() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return fifty rules of all kinds by key, each with its purpose."""
    found: dict[str, tuple[str, dict[str, Any]]] = {"probe": (MAIL, {"event": PROBE})}
    order: dict[str, Any] = {"event": "Order Completed"}
    purposes = (MAIL, AUDIENCE, SERVICE)
    for n in range(14):
        name = NAMES[n % len(NAMES)]
        count = {"gte": 1 + n % 3} if n % 4 else {"lte": n % 3}
        rule: dict[str, Any] = {"event": name, "count": count, "within_days": (7, 30, 90)[n % 3]}
        if n % 3 == 0:
            rule["where"] = [{"prop": "revenue", "op": "gte", "value": 100 + 20 * n}]
        found[f"event-{n}"] = (purposes[n % 3], rule)
    for n in range(12):
        traits = [{"trait": "age", "op": "gte", "value": 20 + 4 * n},
                  {"trait": "country", "op": "in", "value": ["FR", "BE"]},
                  {"trait": "plan", "value": "gold"}]  # fmt: skip
        found[f"trait-{n}"] = (purposes[n % 3], {"all": traits[: 1 + n % 3]})
    for n in range(9):
        both = {"all": [{"trait": "plan", "value": ("free", "gold", "team")[n % 3]},
                        {"any": [{**order, "within_days": 10 * (n + 1)},
                                 {"not": {"event": NAMES[n]}}]}]}  # fmt: skip
        found[f"mixed-{n}"] = (purposes[n % 3], both)
    for n in range(6):
        steps: dict[str, Any] = {"sequence": [{"event": NAMES[n]}, {"event": NAMES[n + 2]}],
                                 "within_days": 7, "since_days": 30}  # fmt: skip
        if n % 2:
            steps["without"] = [{"event": NAMES[n + 4]}]
        found[f"sequence-{n}"] = (purposes[n % 2], steps)
    for n in range(5):
        inner = {"all": [{"segment": f"event-{3 * (n % 4)}"}, {"not": {"segment": "trait-0"}}]}
        found[f"member-{n}"] = (MAIL, inner)
    found["consent-0"] = (MAIL, {"consent": AUDIENCE, "state": "denied"})
    found["consent-1"] = (SERVICE, {"consent": MAIL, "state": "allowed"})
    found["identity-0"] = (SERVICE, {"identity": "deterministic"})
    return found


def load(sessions: Sessions, people: int) -> int:
    """Write people, consents, events and traits; return the id of the source."""
    with sessions.begin() as session:
        source = sources.add(session, "bench")[0].id
    values = {"people": people, "events": people * EVENTS_OF_EACH, "names": list(NAMES),
              "source": source}  # fmt: skip
    for command in LOAD:
        started = time.perf_counter()
        with sessions.begin() as session:
            session.execute(sa.text(command), values)
        print(f"  {command.split('(')[0][:40]:<42}{time.perf_counter() - started:>8.1f} s")
    bind: sa.Engine = sessions.kw["bind"]
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("app.event", "app.trait", "identity.identifier", "consent.record"):
            connection.execute(sa.text(f"VACUUM ANALYZE {table}"))
    return source


@contextmanager
def timed(sessions: Sessions, what: str) -> Iterator[None]:
    """Print wall and CPU of a block."""

    def backends() -> int:  # in a transaction of its own, or the list of them is an old one
        with sessions() as session:
            return cpu.of_backends(session)

    started, own, theirs = time.perf_counter(), time.process_time(), backends()
    yield
    wall, mine = time.perf_counter() - started, time.process_time() - own
    spent = (backends() - theirs) / 1e9
    print(f"{what:<44}{wall:>8.1f} s, CPU {spent:>6.1f} s PostgreSQL, {mine:>5.1f} s Python")


class Stream:
    """Events at a rate, beside the jobs of the worker."""

    def __init__(self, sessions: Sessions, source_id: int, people: int) -> None:
        """Send to this database, as this source, about these people."""
        self.sessions, self.source_id, self.people = sessions, source_id, people
        self.stop = threading.Event()
        self.sent: dict[int, float] = {}
        self.seen: dict[int, float] = {}
        self.steps: list[tuple[float, int]] = []

    def run(self, rate: int, seconds: int) -> None:
        """Send; print how soon memberships followed."""
        threads = [
            threading.Thread(target=work)
            for work in (self._work, self._look, self._watch, lambda: self._send(rate, seconds))
        ]
        with timed(self.sessions, f"{rate} events/s for {seconds} s"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        waits = sorted(self.seen[who] - at for who, at in self.sent.items() if who in self.seen)
        median = statistics.median(taken for taken, _ in self.steps) * 1000
        events = sum(number for _, number in self.steps)
        print(f"{events:,} events in {len(self.steps)} steps, the median took {median:.0f} ms")
        if waits:
            print(
                f"event stored -> membership visible: {len(waits)} of {len(self.sent)}; p50"
                f" {waits[len(waits) // 2]:.2f} s, p95 {waits[int(len(waits) * 0.95)]:.2f} s,"
                f" worst {waits[-1]:.2f} s"
            )

    def _work(self) -> None:
        while not self.stop.is_set():
            started = time.perf_counter()
            with self.sessions.begin() as session:
                done = pipeline.step(session)
            if done.events:
                self.steps.append((time.perf_counter() - started, done.events))
            self.stop.wait(PIPELINE_PAUSE_SECONDS)

    def _look(self) -> None:
        while not self.stop.is_set():
            if not pipeline.refresh_next(self.sessions):
                self.stop.wait(5)

    def _watch(self) -> None:
        with self.sessions() as session:
            probe = members.find(session, "probe").id
        query = sa.text("SELECT person_id FROM app.segment_member WHERE segment_id = :id")
        while not self.stop.is_set():
            with self.sessions() as session:
                for person in session.scalars(query, {"id": probe}):
                    self.seen.setdefault(person, time.perf_counter())
            self.stop.wait(0.02)

    def _send(self, rate: int, seconds: int) -> None:
        with self.sessions() as session:
            settings = sources.settings_of(sources.find_by_id(session, self.source_id))
        memory, number = Memory(), 0
        dice = random.Random(3)  # noqa: S311 -- invented traffic, no secret
        beginning = time.perf_counter()
        while (passed := time.perf_counter() - beginning) < seconds:
            items, probes = [], []
            for _ in range(min(int(passed * rate) - number, 500)):
                number += 1
                # Of ten people seven agree to `marketing.email`: those whose number ends in 0 to 6.
                probing = number % 20 == 0
                who = number // 20 * 10 + 1 if probing else 1 + dice.randrange(self.people)
                items.append(_item(settings, who, PROBE if probing else dice.choice(NAMES), dice))
                probes += [who] if probing else []
            if items:
                with self.sessions.begin() as session:
                    append(session, items, memory)
                self.sent.update(dict.fromkeys(probes, time.perf_counter()))
            time.sleep(0.01)
        time.sleep(5)
        self.stop.set()


def _item(settings: Any, who: int, name: str, dice: random.Random) -> Item:
    now = datetime.now(UTC)
    message = {"type": "track", "event": name, "userId": f"p{who}",
               "properties": {"revenue": dice.randrange(500), "category": "c1"}}  # fmt: skip
    event = read(to_message(message), received_at=now, largest=9_999)
    if not isinstance(event, Envelope):
        raise TypeError("the benchmark's own event was refused")
    return Item(settings, event, now)


def fill(sessions: Sessions) -> None:
    """Open the stays that the rules say, by the statement of the product."""
    for key in (MAIL, AUDIENCE, SERVICE):
        with sessions.begin() as session:
            purpose = consent.catalogue.purpose(session, key)
            listed = [s for s in members.list_all(session) if s.purpose == key]
            asked = {segment.id: members.rule_of(segment) for segment in listed}
            now = datetime.now(UTC)
            met, values = compiled.met_query(session, asked, purpose, now=now)
            session.execute(sa.text("SET LOCAL enable_nestloop = off"))
            session.execute(sa.text("SET LOCAL work_mem = '256MB'"))
            session.execute(
                sa.text(f"{INTO} {met} {EACH}"),
                values,
            )
    bind: sa.Engine = sessions.kw["bind"]
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE app.segment_member"))


def measure(sessions: Sessions, people: int, rate: int, seconds: int) -> None:
    """Load, fill, look through everybody, and send a stream."""
    with timed(sessions, f"{people:,} profiles, {people * EVENTS_OF_EACH:,} events loaded"):
        source = load(sessions, people)
    with sessions.begin() as session:
        for key, (purpose, rule) in rules().items():
            members.create(session, key=key, name=key, purpose=purpose, rule=rule, by="bench")
    with timed(sessions, f"{len(rules())} segments filled set-wise, told to nobody"):
        fill(sessions)
    with timed(sessions, f"full refresh of {len(rules())} segments"):
        pipeline.refresh_all(sessions)
    with sessions() as session:
        sizes = sorted(members.size(session, s) for s in members.list_all(session))
        print(f"sizes {sizes[0]:,} to {sizes[-1]:,}, together {sum(sizes):,};"
              f" stuck: {looking.stuck(session)}")  # fmt: skip
    if seconds:
        Stream(sessions, source, people).run(rate, seconds)


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--profiles", type=int, default=100_000)
    arguments.add_argument("--rate", type=int, default=500, help="events a second")
    arguments.add_argument("--seconds", type=int, default=30)
    chosen = arguments.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL runs under another account when we are root
        with opened(Settings(data_dir=Path(scratch))) as sessions:
            measure(sessions, chosen.profiles, chosen.rate, chosen.seconds)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
