"""What matching costs: a whole run over many people, then the run over 1,000 new ones.

    python -m benchmarks.matching --people 20000                     (a minute)
    python -m benchmarks.matching --people 50000 --beside 950000     (a quarter of an hour)

`--beside` are people who come after the whole run: only their blocking keys are noted, as runs over
new people have left them. (A whole run over 1,200,795 records took 13.6 GB and was killed.)

On a real PostgreSQL, through the functions that the worker calls, each run in a process of its own
so that its peak of memory is its own. The people are invented: names by Zipf's law, a fifth have a
second record with a typo and another address. Of the new records half are somebody who is there.
Beside each run stands Splink's own part of it (learning, comparing, weighing).
"""

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from api.cli.session import opened
from app import db, matching
from app.db import Sessions
from app.settings import Settings
from identity import candidates, reviews
from identity import matching as pairs

NEW = 1_000
AUTO, REVIEW = 0.95, 0.6
SYLLABLES = "ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu".split()

FILL = """
WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(value text, fields jsonb)),
made AS (
  INSERT INTO identity.identifier (namespace, value, group_id, person_id, reach_id, settled,
                                   link_consent)
  SELECT 'crm_id', value, 0, 0, 0, true, 'given' FROM given RETURNING id, value
)
INSERT INTO identity.record (identifier_id, fields)
SELECT made.id, given.fields FROM made JOIN given ON given.value = made.value
"""
THEMSELVES = "UPDATE identity.identifier SET group_id = id, person_id = id, reach_id = id"

Fields = dict[str, str]


def main() -> None:
    """Fill the database, run both, print what they cost."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=50_000)
    arguments.add_argument("--beside", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        with opened(Settings(data_dir=home)) as sessions:
            url = sessions.kw["bind"].url.render_as_string(hide_password=False)
            dice = random.Random(7)  # noqa: S311 -- an invented population, no secret
            there = list(population(chosen.people, dice))
            fill(sessions, "p", there)
            print(f"{len(there):,} records of {chosen.people:,} people")
            show("whole run", apart(url, reviews.ALL))
            others = list(population(chosen.beside, dice))
            fill(sessions, "o", others)
            note_keys(sessions)
            print(f"{len(others):,} records of {chosen.beside:,} people beside them", flush=True)
            again = [misspelt(dice.choice(there), dice) for _ in range(NEW // 2)]
            fill(sessions, "n", again + list(population(NEW // 2, dice, twice=0.0)))
            show(f"{NEW:,} new", apart(url, reviews.NEW))


def population(people: int, dice: random.Random, twice: float = 0.2) -> Iterator[Fields]:
    """Yield the records of so many people."""
    firsts = [word(dice, 2 + n % 2) for n in range(2_000)]
    lasts = [word(dice, 2 + n % 3) for n in range(20_000)]
    for number in range(people):
        person = {
            "first_name": firsts[zipf(dice, len(firsts))],
            "last_name": lasts[zipf(dice, len(lasts))],
            "birth_date": f"{dice.randint(1930, 2008)}-{dice.randint(1, 12):02}-"
            f"{dice.randint(1, 28):02}",
            "email": f"u{number}.{dice.getrandbits(32):x}@mail.net",
            "phone": f"33{dice.randint(600_000_000, 799_999_999)}",
            "address": f"{dice.randint(1, 200)} {lasts[zipf(dice, len(lasts))]} st",
            "postcode": f"{dice.randint(1_000, 95_999):05}",
        }
        yield person
        if dice.random() < twice:
            yield misspelt(person, dice)


def misspelt(person: Fields, dice: random.Random) -> Fields:
    """Return a second record of a person: a typo in the name, and another e-mail address."""
    name = person["last_name"]
    place = dice.randrange(len(name))
    changed = {"last_name": name[:place] + "x" + name[place + 1 :]}
    return {**person, **changed, "email": f"w{dice.getrandbits(48):x}@post.org"}


def word(dice: random.Random, syllables: int) -> str:
    """Return an invented name."""
    return "".join(dice.choice(SYLLABLES) for _ in range(syllables)) + dice.choice("nrstl")


def zipf(dice: random.Random, size: int) -> int:
    """Return a rank, the first of which are the most frequent."""
    return min(size - 1, int(size ** dice.random()) - 1)


def fill(sessions: Sessions, prefix: str, rows: list[Fields]) -> None:
    """Write records of people who gave profile.link, each a person of its own."""
    for start in range(0, len(rows), 20_000):
        part = [
            {"value": f"{prefix}{n}", "fields": fields}
            for n, fields in enumerate(rows[start : start + 20_000], start)
        ]
        with sessions.begin() as session:
            session.execute(sa.text(FILL), {"rows": json.dumps(part)})
            session.execute(sa.text(f"{THEMSELVES} WHERE person_id = 0"))
    with sessions.kw["bind"].connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
        raw.execute(sa.text("ANALYZE identity.identifier, identity.record"))


def note_keys(sessions: Sessions) -> None:
    """Note the blocking keys of all who have none yet."""
    while True:
        with sessions() as session:
            waiting = candidates.new(session, 50_000)
        if not len(waiting):
            break
        keys = candidates.keys_of(waiting)
        with sessions.begin() as session:
            candidates.keep_keys(session, waiting, keys)
    with sessions.kw["bind"].connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
        raw.execute(sa.text("VACUUM ANALYZE identity.record"))


def apart(url: str, scope: str) -> dict[str, Any]:
    """Do a run in a process of its own, and return what it did and cost."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:  # says so when its process is killed
        return pool.submit(do, url, scope).result()


def do(url: str, scope: str) -> dict[str, Any]:
    """Do a run here."""
    sessions = db.sessions(db.engine(url))
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "benchmark"}, scope=scope)
    idle = peak()
    splink = Timed()
    pairs.score, pairs.score_new = splink.of(pairs.score), splink.of(pairs.score_new)
    started = time.perf_counter()
    number = matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    seconds = time.perf_counter() - started
    with sessions() as session:
        result = dict(reviews.find_run(session, number or 0).result or {})
    return {**result, "seconds": seconds, "splink": splink.seconds, "mb": peak(), "idle": idle}


class Timed:
    """The seconds that go into some functions."""

    def __init__(self) -> None:
        """Begin at none."""
        self.seconds = 0.0

    def of(self, call: Any) -> Any:
        """Return a function that does the same, and is timed."""

        def timed(*values: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*values, **named)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def peak() -> int:
    """Return the most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def show(name: str, run: dict[str, Any]) -> None:
    """Print a line about a run."""
    print(
        f"{name:<12}{run['seconds']:>8.1f} s, of which Splink {run['splink']:.1f} s"
        f" ({run['seconds'] / max(run['splink'], 1e-9):.2f} x); {run['mb']:,} MB at most"
        f" ({run['idle']:,} before); {run['records']:,} records, {run['pairs']:,} pairs,"
        f" {run['linked']:,} linked, {run['merged']:,} merged",
        flush=True,
    )


if __name__ == "__main__":
    main()
