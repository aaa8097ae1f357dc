"""What matching costs: a whole run over many people, Splink alone on the same, and 1,000 new ones.

    python -m benchmarks.matching --people 20000                     (minutes)
    python -m benchmarks.matching --people 1000000 --alone           (half an hour)
    python -m benchmarks.matching --people 30000 --beside 970000     (ten minutes)

`--beside` are people who come after the whole run and have been compared already. On a real
PostgreSQL, through the functions that the worker calls, each run in a process of its own so that
its peak of memory is its own. Of the new records half are somebody who is there.

`--alone` is Splink by itself, on a Parquet file of the same records: the same comparisons and
blocking rules, u by random sampling, two rounds of expectation maximisation, prediction, clusters.
Nothing is read from a database and nothing is written to one.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from api.cli.session import opened
from app import db, matching
from app.db import Sessions
from app.settings import Settings
from benchmarks import cpu, crowd, splink_alone
from identity import candidates, reviews
from identity.whole import MEGABYTES

NEW = 1_000
AUTO, REVIEW = 0.95, 0.6


def main() -> None:
    """Fill the database, do the runs, print what they cost."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=50_000)
    arguments.add_argument("--beside", type=int, default=0)
    arguments.add_argument("--megabytes", type=int, default=MEGABYTES)
    arguments.add_argument("--alone", action="store_true", help="Splink by itself, too")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        with opened(Settings(data_dir=home)) as sessions:
            measure(sessions, home, chosen)


def measure(sessions: Sessions, home: Path, chosen: argparse.Namespace) -> None:
    """Do all of it."""
    dice = random.Random(7)  # noqa: S311 -- an invented population, no secret
    there: list[crowd.Fields] = []
    people = remembered(crowd.population(chosen.people, dice), there)
    loaded = timed("loaded", lambda: crowd.load(sessions, people, prefix="p", compared=False))
    print(f"{loaded:,} records of {chosen.people:,} people")
    run = Run(sessions, home, chosen.megabytes)
    whole = run.apart(reviews.ALL)
    show("whole run", whole)
    if chosen.alone:
        file = home / "records.parquet"
        export(sessions, file)
        alone = separately(splink_alone.run, str(file), str(home / "alone"), chosen.megabytes)
        print(splink_alone.line(alone))
        print(
            f"whole run / Splink alone: {whole['seconds'] / alone['seconds']:.2f} x in time,"
            f" {whole['cpu'] / alone['cpu']:.2f} x in CPU of the worker,"
            f" {(whole['cpu'] + whole['postgres']) / alone['cpu']:.2f} x with PostgreSQL's"
        )
        file.unlink()
    if chosen.beside:
        others = crowd.population(chosen.beside, dice)
        loaded = timed("loaded", lambda: crowd.load(sessions, others, prefix="o", compared=True))
        print(f"{loaded:,} records of {chosen.beside:,} people beside them")
    again = [crowd.misspelt(dice.choice(there), dice) for _ in range(NEW // 2)]
    fresh = again + list(crowd.population(NEW // 2, dice, twice=0.0))
    crowd.load(sessions, fresh, prefix="n", compared=False)
    for name in (f"{NEW:,} new", "none new"):
        show(name, run.apart(reviews.NEW))


def remembered(rows: Any, kept: list[crowd.Fields], most: int = 5_000) -> Any:
    """Pass rows on, and keep the first ones."""
    for row in rows:
        if len(kept) < most:
            kept.append(row)
        yield row


def timed(name: str, do: Any) -> Any:
    """Do it, print how long it took."""
    started = time.perf_counter()
    done = do()
    print(f"{name} in {time.perf_counter() - started:.0f} s", flush=True)
    return done


def export(sessions: Sessions, file: Path) -> None:
    """Write the records that matching sees into a file."""
    with sessions() as session:
        writer = None
        for some in candidates.every(session):
            writer = writer or pq.ParquetWriter(file, some.schema)
            writer.write_table(some)
        if writer is not None:
            writer.close()


def separately(function: Any, *arguments: Any) -> Any:
    """Do it in a process of its own; says so when that is killed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


class Run:
    """Matching runs, each in a process of its own."""

    def __init__(self, sessions: Sessions, home: Path, megabytes: int) -> None:
        """On this database."""
        self.sessions, self.home, self.megabytes = sessions, home, megabytes
        self.url = sessions.kw["bind"].url.render_as_string(hide_password=False)

    def apart(self, scope: str) -> dict[str, Any]:
        """Do a run, and return what it did and cost."""
        return dict(separately(do, self.url, scope, str(self.home / "spill"), self.megabytes))


def do(url: str, scope: str, spill: str, megabytes: int) -> dict[str, Any]:
    """Do a run here."""
    sessions = db.sessions(db.engine(url))
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "benchmark"}, scope=scope)
        before = cpu.of_backends(session)
    idle = memory()
    started, worker = time.perf_counter(), time.process_time()
    told: list[tuple[float, str]] = []

    def tell(message: str) -> None:
        told.append((time.perf_counter() - started, message))
        print(f"  {told[-1][0]:7.1f} s  {message}", flush=True)

    way = matching.Way(Path(spill), megabytes, tell)
    number = matching.run_waiting(sessions, auto=AUTO, review=REVIEW, way=way)
    seconds, worker = time.perf_counter() - started, time.process_time() - worker
    with sessions() as session:
        done = reviews.find_run(session, number or 0)
        result = dict(done.result or {})
        postgres = (cpu.of_backends(session) - before) / 1e9
    if done.state != "done":
        raise SystemExit(f"the run failed: {result}")
    return {
        **result, "seconds": seconds, "cpu": worker, "postgres": postgres,
        "mb": memory(), "idle": idle,
    }  # fmt: skip


def memory() -> int:
    """Return the most memory this process has had, in MB; a parent's is not counted in."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def show(name: str, run: dict[str, Any]) -> None:
    """Print what a run cost."""
    print(
        f"{name:<12}{run['seconds']:>8.1f} s (CPU: worker {run['cpu']:.1f} s,"
        f" PostgreSQL {run['postgres']:.1f} s); {run['mb']:,} MB at most ({run['idle']:,} before);"
        f" {run['records']:,} records, {run['pairs']:,} pairs, {run['linked']:,} linked,"
        f" {run['merged']:,} merged; {run['alone']:,} met nobody"
    )
    print(f"{'':12}left out: {json.dumps(run['left_out'])}", flush=True)


if __name__ == "__main__":
    main()
