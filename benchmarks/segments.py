"""Fifty segments of mixed kinds over many profiles and events: how long, and how soon.

    python -m benchmarks.segments --profiles 100000    (a million: --profiles 1000000)

Measured are a look through everybody for all segments (wall and CPU of PostgreSQL and of this
process) and, under a mixed stream (`segment_stream.py`), the time from when an event is stored
until the membership that it changes can be read. Identities, consents, events and traits are
written set-wise, as the product leaves them; segments, memberships and the stream go through the
product.
"""

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import consent
from api.cli.session import opened
from app import pipeline
from app.access import sources
from app.db import Sessions
from app.segments import compile as compiled
from app.segments import looking, members
from app.settings import Settings
from benchmarks.segment_stream import NAMES, PROBE, Stream, timed

MAIL, AUDIENCE, SERVICE = "marketing.email", "analytics.audience", "service.operation"
EVENTS_OF_EACH = 10
INTO = "INSERT INTO app.segment_member (segment_id, person_id, entered_at)"
EACH = (
    "SELECT s.id, met.person_id, :now FROM met"
    " JOIN unnest(CAST(:segments AS bigint[])) WITH ORDINALITY s(id, place)"
    " ON (words[1 + (place - 1) / :word] >> CAST((place - 1) % :word AS int)) & 1 = 1"
)
COUNT = (
    "UPDATE app.segment s SET members = m.members FROM (SELECT segment_id, count(*) AS members"
    " FROM app.segment_member WHERE left_at IS NULL GROUP BY segment_id) m"
    " WHERE m.segment_id = s.id"
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
        connection.execute(sa.text(COUNT))
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
    # The first also counts whom consent keeps out, once for each new segment.
    for which in ("the first", "each later"):
        with timed(sessions, f"full refresh of {len(rules())} segments, {which}"):
            pipeline.refresh_all(sessions)
    with sessions() as session:
        sizes = sorted(segment.members for segment in members.list_all(session))
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
