"""Drives `browse.mjs`: visits to a shop in a real Chromium, each by one SDK."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from app.access import sources
from tests.end_to_end.product import Product
from tests.end_to_end.sdk import install
from tests.end_to_end.sdk.scenario import STORED

#: One step of a visit: `open`, `leave`, `run`, `wait`, or a method of the SDK; then what it takes.
Step = list[Any]
#: Visits at once: more make a machine of two cores slower, not faster.
AT_ONCE = 3


@dataclass(slots=True)
class Visit:
    """One person's visit, and what the browser saw of it."""

    name: str
    script: str
    host: str
    key: str
    source_id: int
    person: str
    #: A script that runs in each page before its own.
    before: str = ""
    steps: list[Step] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)


def prepare(
    product: Product, names: Sequence[tuple[str, str]], what: str, **source: Any
) -> list[Visit]:
    """Give each (name, script) a source of its own."""
    visits = []
    with product.tables() as session:
        for number, (name, script) in enumerate(names):
            made, key = sources.add(session, f"{what}: {name}", **source)
            visits.append(
                Visit(f"{what}: {name}", script, product.url, key, made.id, f"{what}-{number}")
            )
        session.commit()
    return visits


@contextmanager
def visited(visits: Sequence[Visit]) -> Iterator[None]:
    """Make the visits; inside the block all are done but their pages are still open."""
    folder, chromium = install.node_packages(), install.chromium()
    told = {
        "chromium": chromium,
        "atOnce": AT_ONCE,
        "visits": [
            {
                "name": v.name,
                "script": v.script,
                "host": v.host,
                "key": v.key,
                "before": v.before,
                "steps": v.steps,
            }
            for v in visits
        ],
    }
    by_name = {visit.name: visit for visit in visits}
    with (
        (folder / "browse.err").open("w+") as errors,
        subprocess.Popen(
            ["node", "browse.mjs"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        for _ in visits:
            line = process.stdout.readline()
            if not line:
                raise AssertionError((folder / "browse.err").read_text()[-2000:])
            done = json.loads(line)
            visit = by_name[done["name"]]
            visit.elsewhere, visit.errors = done["elsewhere"], done["errors"]
            visit.said = done["said"]
        yield
        process.stdin.close()
        process.wait(timeout=30)


def stored(product: Product, visit: Visit) -> list[dict[str, Any]]:
    """Return what was stored of a visit."""
    with product.tables() as session:
        rows = session.execute(sa.text(STORED), {"source": visit.source_id})
        return [dict(row._mapping) for row in rows]
