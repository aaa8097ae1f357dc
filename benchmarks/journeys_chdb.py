# ruff: noqa: S608 - names of the benchmark become text
"""ClickHouse in a process (chdb) over the rows of `benchmarks.journeys`; benchmark-only.

    python -P benchmarks/journeys_chdb.py ROWS.parquet '{"steps": …, "stages": …, "channels": …}'

Imports nothing of the product, so that it runs in any interpreter that has chdb. The rows are put
into a MergeTree sorted by person and time first, which is not counted. Each question is asked five
times, the median counts. Prints a JSON object: kind -> `seconds`, `cpu`, `result`.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

ROUNDS = 5
WEEK = 7 * 86_400 * 1_000_000


def quoted(names: Sequence[str]) -> str:
    """Return names as a ClickHouse array; they are constants of the benchmark."""
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def questions(
    steps: Sequence[str], stages: dict[str, Sequence[str]], channels: Sequence[str]
) -> dict[str, str]:
    """Return the SQL of each question."""
    conditions = ", ".join(f"name = '{step}'" for step in steps)
    cases = ", ".join(
        f"has({quoted(names)}, name), {place}" for place, names in enumerate(stages.values())
    )
    columns = ", ".join(f"source = '{name}', {place}" for place, name in enumerate(channels))
    return {
        "funnel": (
            f"SELECT level, count() FROM (SELECT windowFunnel({WEEK})(toUInt64(t), {conditions})"
            " AS level FROM event GROUP BY person_id) GROUP BY level ORDER BY level"
        ),
        # Events, people, first contacts, stays, repeats and changes of channel by cell, as the
        # product gives them; how people leave a stage is left out.
        "matrix": f"""
            SELECT cell, count(), uniqExact(person_id), countIf(first),
                quantilesExactIf(0.5, 0.9)(next_t - t, starts AND next_t > 0),
                sumMap(map(next_cell % {len(channels)}, 1))
            FROM (SELECT person_id, cell, t, leadInFrame(t) OVER w AS next_t,
                    leadInFrame(cell) OVER w AS next_cell,
                    lagInFrame(cell, 1, 255) OVER w != cell AS starts,
                    row_number() OVER w = 1 AS first
                FROM (SELECT person_id, t, event_id,
                        multiIf({cases}, 99) * {len(channels)} + multiIf({columns}, 99) AS cell
                    FROM event)
                WINDOW w AS (PARTITION BY person_id ORDER BY t, event_id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
            GROUP BY cell ORDER BY cell""",
        # Ways of at most five steps after the first of a name, the most frequent of them.
        "paths": f"""
            SELECT route, count() AS n FROM (
                SELECT arraySlice(arrayCompact(arraySlice(names, indexOf(names, '{steps[0]}'))),
                    1, 6) AS route
                FROM (SELECT arrayMap(e -> e.3, arraySort(groupArray((t, event_id, name)))) AS names
                    FROM event GROUP BY person_id)
                WHERE has(names, '{steps[0]}'))
            GROUP BY route ORDER BY n DESC, route LIMIT 50""",
    }


def main() -> None:
    """Load, ask and print."""
    from chdb import session  # noqa: PLC0415 -- not every interpreter has it

    rows, asked = sys.argv[1], json.loads(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="parcours-chdb-") as scratch:
        server = session.Session(scratch)
        server.query("CREATE DATABASE bench ENGINE = Atomic")
        server.query("USE bench")
        server.query("SET max_threads = 2")
        server.query(
            "CREATE TABLE event (person_id Int64, event_id Int64, name LowCardinality(String),"
            " source LowCardinality(String), t Int64)"
            " ENGINE = MergeTree ORDER BY (person_id, t, event_id)"
        )
        server.query(
            "INSERT INTO event SELECT person_id, event_id, name, source, t"
            f" FROM file('{rows}', Parquet)"
        )
        server.query("OPTIMIZE TABLE event FINAL")
        found: dict[str, Any] = {}
        for kind, query in questions(**asked).items():
            seconds, cpu, text = [], [], ""
            for _ in range(ROUNDS):
                began, before = time.perf_counter(), time.process_time()
                text = str(server.query(query, "JSONCompactEachRow"))
                seconds.append(time.perf_counter() - began)
                cpu.append(time.process_time() - before)
            lines = [json.loads(line) for line in text.splitlines()]
            found[kind] = {
                "seconds": statistics.median(seconds),
                "cpu": statistics.median(cpu),
                "result": None,
            }
            if kind == "funnel":
                levels = {int(level): int(n) for level, n in lines}
                found[kind]["result"] = [
                    sum(n for level, n in levels.items() if level >= step)
                    for step in range(1, len(asked["steps"]) + 1)
                ]
        server.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
