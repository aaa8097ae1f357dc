"""What the evidence graph costs where it is large, and where somebody wants it to be.

    python -m benchmarks.graph                     (adversarial shapes and a merge: under 2 minutes)
    python -m benchmarks.graph --people 1000000    (and stitching beside a million people)

In one process on a real PostgreSQL, without HTTP. Times are CPU of this process and of its backend,
one of which waits for the other: what a clock shows where nobody else works, but for the disk. Each
shape is printed as a ratio to a limit of the same run: inserting as many rows without index or
thought.

The shapes are those of research/performance.md B and what was found since: chains, also of records
with names and of logins; stars around a login, an address and a kiosk; bridges between full people.
Each is sent as 6,000 links in batches of 2,000, as the pipeline takes them, then as many single
cookies at its members. Printed are seconds per 5,000 links.
"""

import argparse
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.cli.session import opened
from app import pipeline
from app.db import Sessions
from app.settings import Settings
from identity import graph, people, rebuild, records
from identity.graph import Evidence

LINKS, BATCH, SMALL = 6_000, 2_000, 1_000
NOW = datetime(2026, 5, 1, tzinfo=UTC)
#: The goal: no stage slower than 1 s per 5,000 events.
GOAL = 1.0

EVENTS = """
INSERT INTO app.event (part, source_id, message_id, type, name, identifier_id, identifier_ids,
                       occurred_at, received_at, refused, properties, context)
SELECT max(p.part), 1, CAST(:tag AS text) || n, 'track', 'Seen', CAST(:user AS bigint),
       ARRAY[CAST(:user AS bigint)], now(), now(), '{}', '{}', '{}'
FROM generate_series(1, CAST(:events AS int)) n, app.event_partition p
WHERE p.opened_at IS NOT NULL AND p.closed_at IS NULL
GROUP BY n
"""

PEOPLE = """
INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id, settled)
SELECT CAST(:first AS bigint) + n, :space, 'p' || n, :base + n, :base + n, :base + n, true
FROM generate_series(0, CAST(:last AS int), CAST(:every AS int)) n
"""

Pair = tuple[tuple[str, str], tuple[str, str]]


def main() -> None:
    """Run and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=0, help="existing people to stitch beside")
    arguments.add_argument("--batches", type=int, default=20)
    chosen = arguments.parse_args()
    gc.set_threshold(100_000, 20, 20)  # as the server and the worker have it
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        with opened(Settings(data_dir=home)) as sessions:
            with sessions() as session:
                Spent.backend = session.scalar(sa.text("SELECT pg_backend_pid()")) or 0
            limit = plain(sessions)
            shapes(sessions, limit)
            analyze(sessions)
            merge(sessions)
            if chosen.people:
                stitch(sessions, chosen.people, chosen.batches, limit)


class Spent:
    """The CPU that this process and its backend have used, in seconds."""

    backend = 0

    @classmethod
    def now(cls) -> float:
        """Read it, as the kernel counts it."""
        there = int(Path(f"/proc/{cls.backend}/schedstat").read_text().split()[0])
        return (time.process_time_ns() + there) / 1e9


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of CPU that something takes."""
    started = Spent.now()
    work()
    return Spent.now() - started


def plain(sessions: Sessions) -> float:
    """Return the seconds of inserting a link's worth of row 5,000 times, in batches of 1,000."""
    with sessions.begin() as session:
        session.execute(sa.text("CREATE TABLE public.bare (a bigint, b bigint, kind text, "
                                "at timestamptz, evidence jsonb)"))  # fmt: skip
    rows = [{"a": n, "b": n + 1, "kind": "event", "at": NOW, "evidence": {}} for n in range(BATCH)]
    statement = sa.text(
        "INSERT INTO public.bare SELECT a, b, kind, at, evidence FROM json_to_recordset("
        "CAST(:rows AS json)) AS r(a bigint, b bigint, kind text, at timestamptz, evidence jsonb)"
    )

    def insert() -> None:
        for _ in range(LINKS // BATCH):
            with sessions.begin() as session:
                session.execute(statement, {"rows": graph.rows_of(rows)})

    return statistics.median(timed(insert) for _ in range(5))


def chain(space: str, tag: str) -> Iterator[Pair]:
    """Yield a chain of 5,000 links between values of one namespace."""
    for n in range(LINKS):
        yield (space, f"{tag}{n}"), (space, f"{tag}{n + 1}")


def star(middle: str, rim: str, tag: str) -> Iterator[Pair]:
    """Yield 5,000 links of one value."""
    for n in range(LINKS):
        yield (middle, tag), (rim, f"{tag}{n}")


def bridges(tag: str) -> Iterator[Pair]:
    """Yield 25 people of 100 devices, and links between the devices of each two."""
    for n in range(LINKS):
        person, device = divmod(n, 100)
        if person < 25:
            yield ("user_id", f"{tag}{person}"), ("device_id", f"{tag}{person}-{device}")
        else:
            one, other = random.Random(n).sample(range(25), 2)  # noqa: S311 -- no secret
            yield ("device_id", f"{tag}{one}-{device}"), ("device_id", f"{tag}{other}-{device}")


def families(tag: str) -> Iterator[Pair]:
    """Yield tablets in a ring, each used by the logins of two neighbours."""
    for n in range(LINKS):
        yield ("device_id", f"{tag}{n // 2}"), ("user_id", f"{tag}{(n + 1) // 2}")


SHAPES: dict[str, Callable[[], Iterator[Pair]]] = {
    "chain of records": lambda: chain("crm_id", "c"),
    "chain of records, backwards": lambda: reversed([*chain("crm_id", "r")]),
    "chain of records with names": lambda: chain("crm_id", "named"),
    "chain of cookies": lambda: chain("anonymous_id", "a"),
    "chain of logins": lambda: chain("user_id", "u"),
    "star: a login's cookies": lambda: star("user_id", "anonymous_id", "bot"),
    "star: an address of all": lambda: star("email", "anonymous_id", "info@shop.example"),
    "star: a kiosk's logins": lambda: star("device_id", "user_id", "kiosk"),
    "ring of family tablets": lambda: families("f"),
    "bridges between people": lambda: bridges("b"),
}


def shapes(sessions: Sessions, limit: float) -> None:
    """Print what each shape costs, at first and once it stands."""
    print(f"\n{LINKS:,} links in batches of {BATCH:,}; inserting bare rows takes {limit:.3f} s")
    print(f"{'shape':<30}{'s':>8}{'ratio':>8}{'then, s':>9}{'identify':>10}{'held':>7}")
    for name, make in SHAPES.items():
        pairs = list(make())
        lost = [0.0]
        first = sum(add(sessions, pairs[at : at + BATCH], at, lost, name.endswith("names"))
                    for at in range(0, LINKS, BATCH))  # fmt: skip
        dice = random.Random(name)  # noqa: S311 -- invented traffic, no secret
        more = [(dice.choice(pairs)[dice.randrange(2)], ("anonymous_id", f"{name}{n}"))
                for n in range(BATCH)]  # fmt: skip
        then = add(sessions, more, LINKS, [0.0]) * 5_000 / BATCH
        first *= 5_000 / LINKS
        with sessions() as session:
            held = sum(people.held_counts(session).values())
        verdict = "" if max(first, then) < GOAL else "  OVER 1 s"
        print(f"{name:<30}{first:>8.2f}{first / limit:>8.1f}{then:>9.2f}{lost[0]:>10.2f}"
              f"{held:>7,}{verdict}")  # fmt: skip


def add(
    sessions: Sessions, pairs: Sequence[Pair], at: int, lost: list[float], named: bool = False
) -> float:
    """Return the seconds of stitching some links; those of making identifiers are told apart."""
    with sessions.begin() as session:
        started = Spent.now()
        ids = graph.identify(session, (i for pair in pairs for i in pair))
        lost[0] += Spent.now() - started
        if named:
            records.keep(session, {i: {"first_name": _name(i)} for i in ids.values()})
    items = [
        Evidence(ids[a], ids[b], "event", "identify", NOW + (at + n) * timedelta(seconds=1))
        for n, (a, b) in enumerate(pairs)
    ]
    return timed(lambda: _observe(sessions, items, list(ids.values())))


def _name(i: int) -> str:
    return "".join(chr(97 + int(c) * 2) for c in str(i * 7919))


def _observe(sessions: Sessions, items: Sequence[Evidence], ids: Sequence[int]) -> None:
    with sessions.begin() as session:
        seen = graph.shown(session, items)
        graph.reconsider(session, seen.touched, at=NOW)
        graph.settle(session, set(ids) - seen.linked - seen.touched)


def merge(sessions: Sessions) -> None:
    """Print what joining two people costs by their events: nothing is moved but identifiers."""
    print(f"\n{'merge of two people with':<30}{'people, ms':>12}{'with feed':>11}{'undo, ms':>10}")
    for events in (10, 10_000):
        alone, whole, back = [], [], []
        for n in range(15):
            with sessions.begin() as session:
                a, b = _two(session, f"{events}-{n}", events)
                survivor = min(people.people_of(session, [a, b]).values())
            with sessions.begin() as session:
                started = Spent.now()
                moved = people.must_link(session, a, b, by="bench", at=NOW)
                alone.append(Spent.now() - started)
                pipeline.after_move(session, moved)
                whole.append(Spent.now() - started)
            with sessions() as session:
                last = people.merges(session, person=survivor)[-1].id
            with sessions.begin() as session:
                back.append(timed(lambda: people.undo(session, last, by="bench", at=NOW)))  # noqa: B023 -- run at once
        ms = [1000 * statistics.median(times[3:]) for times in (alone, whole, back)]
        print(f"{events:>8,} events each{'':<11}{ms[0]:>12.2f}{ms[1]:>11.2f}{ms[2]:>10.2f}")


def _two(session: Session, tag: str, events: int) -> tuple[int, int]:
    """Make two people of 10 identifiers, and rows of the events of each."""
    ends = []
    for side in "ab":
        names = [("user_id", f"m{tag}{side}")]
        names += [("anonymous_id", f"m{tag}{side}{n}") for n in range(9)]
        ids = graph.identify(session, names)
        user, *others = [ids[name] for name in names]
        links = [Evidence(user, other, "event", "identify", NOW) for other in others]
        graph.reconsider(session, graph.observe(session, links), at=NOW)
        values = {"user": user, "tag": f"{tag}{side}-", "events": events}
        session.execute(sa.text(EVENTS), values)
        ends.append(user)
    return ends[0], ends[1]


def stitch(sessions: Sessions, existing: int, batches: int, limit: float) -> None:
    """Print events stitched per second beside existing people, and what a rebuild of all takes."""
    seconds = timed(lambda: _populate(sessions, existing))
    print(f"\n{existing:,} people, {existing * 11 // 5:,} identifiers, in {seconds:.0f} s")
    dice = random.Random(5)  # noqa: S311 -- invented traffic, no secret
    naming, resolving = [], []
    for number in range(batches):
        pairs = _traffic(dice, existing, number)
        started = Spent.now()
        with sessions.begin() as session:
            ids = graph.identify(session, {i for pair in pairs for i in pair})
        naming.append(Spent.now() - started)
        started = Spent.now()
        items = [
            Evidence(ids[a], ids[b], "event", "identify", NOW + number * timedelta(seconds=n))
            for n, (a, b) in enumerate(pairs)
        ]
        _observe(sessions, items, list(ids.values()))
        resolving.append(Spent.now() - started)
    # Identifiers are looked up by the writers of events, links kept by the worker: two processes.
    ways = {
        "one after the other": [a + b for a, b in zip(naming, resolving, strict=True)],
        "on two cores": [max(pair) for pair in zip(naming, resolving, strict=True)],
        "of these, links by the worker": resolving,
    }
    for name, spent in ways.items():
        speeds = [SMALL / seconds for seconds in spent[3:]]
        print(f"{name:<30}{statistics.median(speeds):>9,.0f} events/s "
              f"({min(speeds):,.0f}-{max(speeds):,.0f})")  # fmt: skip
    print(f"goal 20,000; bare insertion of as many rows {LINKS / limit:,.0f}")
    with sessions.begin() as session:
        found: list[rebuild.Rebuilt] = []
        taken = timed(lambda: found.append(rebuild.rebuild(session, check=True)))
    print(f"rebuild --check: {taken:.0f} s, {found[0]}")


def _traffic(dice: random.Random, existing: int, number: int) -> list[Pair]:
    """Return the links of events: of ten, eight of a known pair, a new device, a new login."""
    pairs: list[Pair] = []
    for n in range(SMALL):
        who = f"p{dice.randrange(existing)}"
        if n % 10 < 8:
            pairs.append((("user_id", who), ("anonymous_id", who)))
        elif n % 10 == 8:
            pairs.append((("user_id", who), ("anonymous_id", f"new{number}-{n}")))
        else:
            pairs.append((("user_id", f"new{number}-{n}"), ("anonymous_id", f"login{number}-{n}")))
    return pairs


def _populate(sessions: Sessions, existing: int) -> None:
    """Write people as the product leaves them: a login, a cookie, every fifth an address."""
    with sessions.begin() as session:
        base = session.scalar(sa.text("SELECT nextval('identity.identifier_id_seq')")) or 0
        spaces = (("user_id", 1, base), ("anonymous_id", 1, base + existing),
                  ("email", 5, base + 2 * existing))  # fmt: skip
        for space, every, first in spaces:
            values = {"space": space, "every": every, "first": first, "base": base,
                      "last": existing - 1}  # fmt: skip
            session.execute(sa.text(PEOPLE), values)
        session.execute(
            sa.text("SELECT setval('identity.identifier_id_seq', :last)"),
            {"last": base + 3 * existing},
        )
        session.execute(
            sa.text(
                "INSERT INTO identity.link (kind, left_id, right_id, rule, first_at, last_week, "
                "evidence) SELECT 'event', person_id, id, 'identify', :at, "
                "floor(extract(epoch FROM CAST(:at AS timestamptz)) / 604800), '{}' "
                "FROM identity.identifier WHERE id <> person_id AND id >= :base"
            ),
            {"at": NOW, "base": base},
        )
    analyze(sessions)


def analyze(sessions: Sessions) -> None:
    """Do what autovacuum does within a minute or two."""
    bind: sa.Engine = sessions.kw["bind"]
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in ("identifier", "link", "merge"):
            connection.execute(sa.text(f"VACUUM ANALYZE identity.{table}"))


if __name__ == "__main__":
    main()
