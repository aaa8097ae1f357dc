"""Questions to the journeys of 500,000 people: how long, how it grows, and beside ClickHouse.

    python -m benchmarks.journeys                      (a million events; make bench)
    python -m benchmarks.journeys --millions 1 3 10    (make bench-scale)

Asked of `parcours serve` over loopback: a funnel of four steps within seven days, the matrix of
stages and channels, and the paths of most people. Every second person has a device beside the
login, one in five does not consent. `cold` is the first question of a server that has just begun,
`next` the same as of other moments, so that no answer is there to be given again (the median of
five, as of chdb's: one in seven takes half as long again), `again` the last once more. With
CHDB_PYTHON, an interpreter that has chdb (Apache-2.0), its own questions over the same rows run
beside it; there who somebody is and who consents is resolved beforehand. CPU seconds stand beside
the seconds, which say little of a machine that has other work.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from api.cli.product import free_port, running
from api.cli.session import opened
from app import db
from app.access import clients, sources
from app.db import Sessions
from app.events import partitions
from app.journeys import catalogue, counting
from app.journeys.definition import Journey
from app.lake.copy import compact, copy_new
from app.lake.duckdb_engine import open_lake
from app.settings import Settings
from benchmarks import cpu
from benchmarks.ingest import listener

PURPOSE = "analytics.audience"
PEOPLE = 500_000
#: Of how many next questions the median counts.
ROUNDS = 5
#: Reads of one person, and those before them that are not counted.
READS, WARM = 400, 40
MILLION = 1_000_000
CHANNELS = ("web", "app", "store", "phone")
STAGES = {
    "aware": ("Page Viewed", "Searched", "Email Opened"),
    "consider": ("Product Viewed", "Reviewed", "Email Clicked"),
    "decide": ("Product Added", "Cart Viewed", "Signed In"),
    "buy": ("Order Completed", "Order Refunded", "Support Called"),
}
NAMES = [name for names in zip(*STAGES.values(), strict=True) for name in names]
STEPS = ("Page Viewed", "Product Viewed", "Product Added", "Order Completed")

IDENTITIES = """
INSERT INTO identity.identifier
  (id, namespace, value, group_id, person_id, reach_id, settled, link_consent)
SELECT 2 * n + k, CASE k WHEN 0 THEN 'user_id' ELSE 'anonymous_id' END,
       CASE k WHEN 0 THEN 'u-' ELSE 'd-' END || n, 2 * n, 2 * n, 2 * n, true, 'given'
FROM generate_series(CAST(1 AS bigint), :people) n CROSS JOIN (VALUES (0), (1)) i(k)
WHERE k = 0 OR n % 2 = 0
"""
CONSENTS = """
INSERT INTO consent.record
  (namespace, value, purpose, purpose_version, state, effective_at, recorded_at, order_time,
   valid_until, collected_by, evidence)
SELECT 'user_id', 'u-' || n, :purpose, 1, CASE WHEN n % 5 = 0 THEN 'refused' ELSE 'given' END,
       at, at, at, at + interval '395 days', 'benchmark', '{}'
FROM generate_series(CAST(1 AS bigint), :people) n, (SELECT now() - interval '100 days') t(at)
"""
# In order of time, as events come; whose they are is spread over everybody.
EVENTS = """
INSERT INTO app.event
  (source_id, message_id, type, name, identifier_id, identifier_ids, user_id, occurred_at,
   received_at, refused, properties, context, part)
SELECT (CAST(:sources AS bigint[]))[1 + CAST(floor(power(d, 2) * 4) AS int)], 'e-' || n, 'track',
       (CAST(:names AS text[]))[1 + CAST(floor(power(c, 2) * 12) AS int)], who, ARRAY[who], NULL,
       at, at, '{}', json_build_object('product_id', n % 5000, 'price', n % 97, 'currency', 'EUR'),
       '{"locale": "fr-FR", "page": {"path": "/a/page", "title": "A page"}}',
       (SELECT max(part) FROM app.event_partition WHERE opened_at IS NOT NULL)
FROM (SELECT n, random() AS c, random() AS d,
        CASE WHEN who % 2 = 0 THEN 2 * who + n % 2 ELSE 2 * who END AS who,
        now() - interval '91 days' + interval '1 day' * (90.0 * n / :total) AS at
      FROM (SELECT n, 1 + CAST(floor(random() * :people) AS bigint) AS who
            FROM generate_series(CAST(:first AS bigint), :last) n) s) e
"""
JOURNEY = Journey.model_validate(
    {
        "key": "bench",
        "name": "Bench",
        "purpose": PURPOSE,
        "stages": [{"id": stage, "order": place} for place, stage in enumerate(STAGES)],
        "channels": list(CHANNELS),
        "touchpoints": [
            {"id": f"{stage}-{channel}", "stage": stage, "channel": channel,
             "match": {"source": channel, "any": [{"event": name} for name in names]}}
            for stage, names in STAGES.items()
            for channel in CHANNELS
        ],
    }
)  # fmt: skip
QUESTIONS: dict[str, dict[str, Any]] = {
    "funnel": {"steps": [{"event": name} for name in STEPS], "window": "P7D", "entry": "best"},
    "matrix": {"journey": "bench"},
    "paths": {"start": {"event": STEPS[0]}, "max_depth": 5, "inactivity": "P30D"},
}


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one question, CPU seconds of its first and next asking, the server's most MB."""

    cold: float
    began: float
    following: float
    again: float
    cpu: float
    peak: float


def main() -> None:
    """Load, ask, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--millions", type=int, nargs="+", default=[1], help="of events")
    arguments.add_argument("--people", type=int, default=PEOPLE)
    arguments.add_argument("--data-dir", type=Path, help="kept, and gone on with if it is there")
    chosen = arguments.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = chosen.data_dir or Path(scratch)
        home.mkdir(exist_ok=True)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        settings = Settings(data_dir=home)
        with opened(settings) as sessions:
            measure(sessions, settings, sorted(chosen.millions), chosen.people)


def measure(sessions: Sessions, settings: Settings, millions: list[int], people: int) -> None:
    """Ask at each size, the next one growing out of the one before."""
    header = f"{'':<10}{'cold s':>8}{'CPU':>7}{'next s':>8}{'again s':>9}{'CPU':>7}{'MB':>7}"
    header += f"{'chdb s':>8}{'CPU':>7}{'next/chdb':>11}{'CPU':>7}"
    first: dict[str, Taken] = {}
    for size in millions:
        load(sessions, settings, size, millions[-1], people)
        beside = rival(sessions, settings)
        counting.refresh(sessions, settings.lake_dir)
        print(f"{size} million events of {people:,} people\n{header}", flush=True)
        for kind, question in QUESTIONS.items():
            taken, answer = ask(sessions, settings, kind, question)
            theirs = beside.get(kind)
            if theirs and kind == "funnel":
                ours = [step["n"] for step in answer["result"]["steps"]]
                if ours != theirs["result"]:
                    raise RuntimeError(f"{ours} people by step, and by chdb {theirs['result']}")
            ratio = (
                f"{theirs['seconds']:>8.2f}{theirs['cpu']:>7.2f}"
                f"{taken.following / theirs['seconds']:>10.2f}x{taken.cpu / theirs['cpu']:>6.2f}x"
                if theirs
                else f"{'-':>8}"
            )
            grown = ""
            if kind in first:
                grown = f"  CPU {taken.cpu / first[kind].cpu:.1f} x of {millions[0]} million"
            first.setdefault(kind, taken)
            print(
                f"{kind:<10}{taken.cold:>8.2f}{taken.began:>7.2f}{taken.following:>8.2f}"
                f"{taken.again:>9.3f}{taken.cpu:>7.2f}{taken.peak:>7.0f}{ratio}{grown}",
                flush=True,
            )
        standing(sessions, settings, people)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


def load(sessions: Sessions, settings: Settings, size: int, most: int, people: int) -> None:
    """Write people and events, as far as they are not there, and have the lake copy them."""
    with sessions.begin() as session:
        there = session.scalar(sa.text("SELECT count(*) FROM app.event")) or 0
        if not there:
            ids = [sources.add(session, channel)[0].id for channel in CHANNELS]
            session.execute(sa.text(IDENTITIES), {"people": people})
            session.execute(sa.text(CONSENTS), {"people": people, "purpose": PURPOSE})
            catalogue.save(session, JOURNEY)
        else:
            found = session.execute(sa.text("SELECT id FROM app.source ORDER BY id"))
            ids = list(found.scalars())
    began = time.monotonic()
    said = {"sources": ids, "names": NAMES, "people": people, "total": most * MILLION}
    for start in range(there, size * MILLION, MILLION):
        with sessions.begin() as session:
            portion = {"first": start + 1, "last": start + MILLION}
            session.execute(sa.text(EVENTS), said | portion)
        partitions.close_open(sessions)
    stored = time.monotonic()
    copied = copy_new(sessions, settings.lake_dir)
    compact(sessions, settings.lake_dir)
    if size * MILLION > there:
        db.outside_transaction(sessions, ["VACUUM (ANALYZE)", "CHECKPOINT"])
    print(
        f"{max(0, size * MILLION - there):,} events stored in {stored - began:.0f} s, {copied:,}"
        f" copied into the lake in {time.monotonic() - stored:.0f} s",
        flush=True,
    )


@contextmanager
def server(sessions: Sessions, settings: Settings) -> Iterator[tuple[httpx.Client, int]]:
    """Yield a client of a server that has just begun, and the server's process."""
    with (
        running(settings.home, free_port(8000), arguments=("--no-worker",)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=300) as client,
    ):
        name, scopes = f"bench-{time.time_ns()}", ("journeys:read", "profiles:read")
        with sessions.begin() as session:
            made, secret = clients.add(session, name, scopes=scopes, purposes=[PURPOSE])
            client_id = made.client_id
        grant = {"grant_type": "client_credentials"}
        token = client.post("/oauth/token", data=grant, auth=(client_id, secret)).json()
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        yield client, listener(url)


def ask(
    sessions: Sessions, settings: Settings, kind: str, question: dict[str, Any]
) -> tuple[Taken, dict[str, Any]]:
    """Ask a server that has just begun: once, of other moments, and of the last of these again."""
    with server(sessions, settings) as (client, pid):
        now = datetime.now(UTC)
        seconds, spent, answers = [], [], []
        for back in (*range(ROUNDS + 1), ROUNDS):
            as_of = now - timedelta(seconds=back)
            body = {**question, "purpose": PURPOSE, "as_of": as_of.isoformat()}
            before = _cpu(sessions, pid)
            began = time.perf_counter()
            answer = client.post(f"/v1/analyses/{kind}", json=body)
            seconds.append(time.perf_counter() - began)
            spent.append(_cpu(sessions, pid) - before)
            answer.raise_for_status()
            answers.append(answer.json())
        if answers[-2]["result"] != answers[-1]["result"]:
            raise RuntimeError(f"{kind}: the same question had two answers")
        following, took = (statistics.median(of[1:-1]) for of in (seconds, spent))
        taken = Taken(seconds[0], spent[0], following, seconds[-1], took, _peak(pid))
        return taken, answers[0]


def standing(sessions: Sessions, settings: Settings, people: int) -> None:
    """Ask where single people stand, and print it beside `SELECT 1` of the same moments."""
    dice = random.Random(7)  # noqa: S311 -- a benchmark, no secret
    answers, bare = [], []
    with server(sessions, settings) as (client, pid), sessions() as session:
        for n in range(WARM + READS):
            began = time.perf_counter()
            session.execute(sa.text("SELECT 1"))
            bare.append(time.perf_counter() - began)
            if n == WARM:
                before = _cpu(sessions, pid)
            path = f"/v1/profiles/user_id:u-{dice.randint(1, people)}/journeys"
            began = time.perf_counter()
            client.get(path, params={"purpose": PURPOSE}).raise_for_status()
            answers.append(time.perf_counter() - began)
        spent = (_cpu(sessions, pid) - before) / READS
    for name, taken in (("a person's journeys", answers), ("SELECT 1", bare)):
        p50, p99 = (statistics.quantiles(taken[WARM:], n=100)[k] * 1e3 for k in (49, 98))
        print(f"{name:<22}p50 {p50:>6.1f} ms  p99 {p99:>6.1f} ms", flush=True)
    print(f"a person's journeys take {spent * 1e3:.1f} ms of CPU, PostgreSQL's included")


def rival(sessions: Sessions, settings: Settings) -> dict[str, dict[str, Any]]:
    """Have chdb answer over the same rows; nothing where there is no interpreter that has it."""
    python = os.environ.get("CHDB_PYTHON")
    if not python:
        return {}
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        rows = Path(scratch) / "rows.parquet"
        with (
            sessions() as session,
            open_lake(session, settings.lake_dir, PURPOSE) as lake,
        ):
            columns = "person_id, event_id, name, source, epoch_us(occurred_at) AS t"
            lake.connection.sql(f"SELECT {columns} FROM event").write_parquet(str(rows))  # noqa: S608 -- constants
        script = Path(__file__).with_name("journeys_chdb.py")
        asked = {"steps": STEPS, "stages": STAGES, "channels": CHANNELS}
        done = subprocess.run(
            [python, "-P", str(script), str(rows), json.dumps(asked)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found: dict[str, dict[str, Any]] = json.loads(done.stdout)
        return found


def _cpu(sessions: Sessions, pid: int) -> float:
    with sessions() as session:
        return (cpu.of_tree(pid) + cpu.of_backends(session)) / 1e9


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
