"""Resolves a labelled people file in a server of its own, and compares with the labels."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import msgspec

from api.cli.labelled import RECORD, Key, Labelled
from api.cli.product import add_sources, client, free_port, running
from api.cli.scratch import scratch
from api.cli.session import err, opened
from app.errors import ImportFailed
from app.settings import Settings
from identity import assignments
from identity.calibration import Calibration, calibration
from identity.quality import Quality, pairwise

REQUEST = 200
#: The merge thresholds that `--sweep` tries.
SWEEP = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out, and what it cost.

    `merge_threshold` is the probability from which pairs were joined. `seconds` go from the first
    record sent to the last person resolved, `matching_seconds` are those of the matching run in it.
    `peak_mb` is the memory, in megabytes, of the largest process
    of the server: the worker. `sweep` is the quality at other merge thresholds, if asked for.
    """

    quality: Quality
    merge_threshold: float
    calibration: Calibration
    seconds: float
    matching_seconds: float
    peak_mb: float
    sweep: dict[float, Quality]


def throw_away(labelled: Labelled, *, sweep: bool) -> Evaluation:
    """Send a file to a new server, resolve it with the default model and thresholds, compare.

    Only `calls` reach the server; the labels stay here. What a running database is called in the
    environment is ignored. Raises ImportFailed when the matching run fails.
    """
    environment: dict[str, str | None] = {
        "PARCOURS_MATCHING_INTERVAL_SECONDS": "86400",
        "PARCOURS_DATABASE_URL": None,
    }
    with scratch("evaluate") as home:
        configuration = Settings(data_dir=home, database_url=None)
        with opened(configuration) as sessions:
            with running(home, free_port(0), environment=environment) as url:
                key = add_sources(sessions, {"evaluation": "service.operation"})["evaluation"]
                api = client(sessions, url, purposes=[])
                # The first run of a server is due at once: asked for now, it finds nobody. Else it
                # would learn from the part of the file that has arrived by then.
                _match(api)
                started = time.perf_counter()
                _send(url, key, labelled.calls())
                while api.get("/readyz").json()["backlog"]:
                    time.sleep(0.2)
                run = _match(api)
                # Who arrived while that ran, or was read too late for it, is in the next one.
                while _match(api, scope="new")["result"]["records"]:
                    run = _match(api)
                seconds = time.perf_counter() - started
            if alone := run["result"].get("alone"):
                err.print(
                    f"{alone} records were compared with nobody: "
                    "too many records share all that they share"
                )
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            with sessions() as session:
                predicted = assignments.people(session)
            scored = _scores(home, SWEEP if sweep else ())
    labels = labelled.labels()
    return Evaluation(
        quality=_compare(predicted, labels, tell=True),
        merge_threshold=run["result"]["merge_threshold"],
        calibration=calibration(
            _judged(scored["pairs"], labelled.known()), run["result"]["merge_threshold"]
        ),
        seconds=round(seconds, 1),
        matching_seconds=round(_lasted(run), 1),
        peak_mb=round(peak, 1),
        sweep={
            float(at): _compare({(RECORD, value): person for value, person in people}, labels)
            for at, people in scored["people"].items()
        },
    )


def _compare(
    predicted: Mapping[Key, int], labels: Mapping[Key, object], *, tell: bool = False
) -> Quality:
    """Compare people with labels; a record that was not accepted is a person of its own."""
    missing = [key for key in labels if key not in predicted]
    if missing and tell:
        err.print(f"{len(missing)} records were not accepted and count as nobody")
    return pairwise({key: predicted.get(key, key) for key in labels}, labels)


def _judged(pairs: Sequence[Any], known: Mapping[Key, object]) -> Iterator[tuple[float, bool]]:
    """Yield the probability of each pair whose identifiers are known, and whether it matches."""
    for probability, left, right in pairs:
        one, other = known.get(tuple(left)), known.get(tuple(right))
        if one is not None and other is not None:
            yield probability, one == other


def _scores(home: Path, at: Sequence[float]) -> dict[str, Any]:
    """Score the records that the server holds, in a process of its own (`api.scores`)."""
    wanted = [argument for t in at for argument in ("--at", str(t))]
    done = subprocess.run(  # noqa: S603  # ourselves
        [sys.executable, "-m", "api.scores", "--data-dir", str(home), "--namespace", RECORD,
         *wanted],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise ImportFailed(f"scoring failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _send(url: str, key: str, calls: Iterator[dict[str, Any]]) -> None:
    """Post the calls to the tracking API, and say which it rejects."""
    with httpx.Client(base_url=url, timeout=120, trust_env=False, auth=(key, "")) as tracking:
        while batch := list(islice(calls, REQUEST)):
            # Parquet has dates, decimals and NaN, which only this writes as JSON does.
            body = msgspec.json.encode({"batch": batch})
            answer = tracking.post("/v1/batch", content=body).raise_for_status().json()
            for refused in answer["rejected"]:
                err.print(f"refused: {refused['code']}: {refused['message']}")


def _match(api: httpx.Client, *, scope: str = "all") -> dict[str, Any]:
    """Ask for a matching run, wait for it, and return it."""
    asked = api.post("/v1/identity/runs", params={"scope": scope}).raise_for_status()
    run_id = asked.json()["id"]
    while True:
        state: dict[str, Any] = api.get(f"/v1/identity/runs/{run_id}").raise_for_status().json()
        if state["state"] == "done":
            return state
        if state["state"] == "failed":
            raise ImportFailed(f"the matching run failed: {state['result']}")
        time.sleep(0.5)


def _lasted(run: Mapping[str, Any]) -> float:
    started, finished = (
        datetime.fromisoformat(run[f"{end}_at"]) for end in ("started", "finished")
    )
    return (finished - started).total_seconds()
