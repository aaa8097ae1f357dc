"""`parcours identity …`: run matching, and measure it against a truth."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from api.cli.identity_rules import rebuild, respell
from api.cli.product import add_sources, client, free_port, running
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.errors import ImportFailed
from app.imports import files, messages
from app.settings import Settings
from identity import assignments, identifiers, reviews
from identity.attributes import guess_columns
from identity.explain import describe_run
from identity.quality import Quality, pairwise

identity = typer.Typer(
    help="Identity resolution: matching runs, rebuild and quality.", no_args_is_help=True
)

identity.command("rebuild")(rebuild)
identity.command("respell")(respell)

#: The namespace of a labelled record: the record itself, which says nothing of the person.
RECORD = "record_id"
REQUEST = 200


@identity.command("run")
def run(
    new: Annotated[
        bool, typer.Option("--new", help="Compare only who is new or changed since the last run.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask the running server's worker for a matching run and wait for it."""
    scope = reviews.NEW if new else reviews.ALL
    with opened(settings(data_dir)) as sessions:
        with sessions.begin() as session:
            wanted = reviews.request_run(session, {"asked_by": "command line"}, scope=scope).id
        while True:
            with sessions() as session:
                answer = describe_run(reviews.find_run(session, wanted))
            if answer["state"] in ("done", "failed"):
                break
            time.sleep(0.5)
    show(answer if as_json else [answer], as_json, "id", "state", "finished_at", "result")
    if answer["state"] == "failed":
        raise typer.Exit(1)


@identity.command("evaluate")
def evaluate(
    people: Annotated[
        Path | None, typer.Option(help="A labelled people file (CSV, NDJSON, Parquet).")
    ] = None,
    truth: Annotated[str, typer.Option(help="Its column that says who is who.")] = "cluster",
    id_column: Annotated[str | None, typer.Option(help="Its column that names the record.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="A column's meaning: given_name=first_name; repeatable."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of people that are loaded: columns namespace, value, cluster."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure identity resolution: pairwise precision, recall, F1 and B-cubed.

    With --people the file is imported through the HTTP API into a throw-away server and resolved
    with the default model and thresholds; nothing of the labels reaches it. With --labels the
    people that the data directory holds are measured as they are.
    """
    if (people is None) == (labels is None):
        raise ImportFailed("state --people FILE or --labels FILE")
    started = time.perf_counter()
    if people is not None:
        quality = _throw_away(people, truth, id_column, map_ or [])
    else:
        quality = _as_it_is(labels or Path(), truth, settings(data_dir))
    answer = {**asdict(quality), "seconds": round(time.perf_counter() - started, 1)}
    rows = [{"figure": k, "value": round(v, 4)} for k, v in answer.items()]
    show(answer if as_json else rows, as_json, "figure", "value")


def _as_it_is(labels: Path, truth: str, configuration: Settings) -> Quality:
    """Compare the people of this data directory with labels."""
    wanted: dict[tuple[str, str], object] = {}
    for number, row in enumerate(files.rows(labels), 1):
        if not {"namespace", "value", truth} <= row.keys():
            raise ImportFailed(f"{labels.name}, row {number}: needs namespace, value and {truth}")
        space = identifiers.canonical_namespace(str(row["namespace"]))
        value = identifiers.normalise(space, row["value"])
        if value is not None:
            wanted[space, value] = row[truth]
    with opened(configuration) as sessions, sessions() as session:
        predicted = assignments.people(session)
    known = {key: label for key, label in wanted.items() if key in predicted}
    if len(known) < len(wanted):
        err.print(f"{len(wanted) - len(known)} of {len(wanted)} labelled identifiers are unknown")
    return pairwise({key: predicted[key] for key in known}, known)


def _throw_away(file: Path, truth: str, column: str | None, mapped: Iterable[str]) -> Quality:
    """Import a labelled file into a server of its own, resolve it, and compare."""
    rows = list(files.rows(file))
    if not rows:
        raise ImportFailed(f"{file.name}: no rows")
    names = dict.fromkeys(name for row in rows[:1000] for name in row)
    column = column or messages.id_column(names)
    if column is None or column not in names or truth not in names:
        raise ImportFailed(
            f"{file.name}: name the columns with --id-column and --truth; it has {', '.join(names)}"
        )
    meaning = guess_columns([n for n in names if n not in (column, truth)])
    meaning |= dict(_split(entry) for entry in mapped)
    err.print("columns: " + ", ".join(f"{k} = {v}" for k, v in meaning.items()))
    with tempfile.TemporaryDirectory(prefix="parcours-evaluate-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)
        quiet = {"PARCOURS_MATCHING_INTERVAL_SECONDS": "86400"}
        with (
            running(home, free_port(8000), environment=quiet) as url,
            opened(Settings(data_dir=home)) as sessions,
        ):
            key = add_sources(sessions, {"evaluation": "service.operation"})["evaluation"]
            _send(url, key, _records(rows, column, meaning))
            api = client(sessions, url, purposes=[])
            _resolve(api)
            with sessions() as session:
                predicted = assignments.people(session)
    labelled = {(RECORD, str(row[column])): row[truth] for row in rows}
    missing = [key for key in labelled if key not in predicted]
    if missing:
        err.print(f"{len(missing)} records were not accepted and count as nobody")
    found = {key: predicted.get(key, key) for key in labelled}
    return pairwise(found, labelled)


def _split(entry: str) -> tuple[str, str]:
    name, separator, meaning = entry.partition("=")
    if not separator:
        raise ImportFailed(f"--map {entry!r}: write column=meaning")
    return name, meaning


def _records(
    rows: Iterable[Mapping[str, Any]], column: str, meaning: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield an identify call per record, of people who gave profile.link."""
    named = (
        {column: row[column], **{meaning[k]: v for k, v in row.items() if k in meaning}}
        for row in rows
    )
    return messages.people(
        named,
        column=column,
        namespace=RECORD,
        now=datetime.now(UTC),
        consents=["profile.link"],
    )


def _send(url: str, key: str, calls: Iterator[dict[str, Any]]) -> None:
    """Post the calls to the tracking API; raises ImportFailed when one is refused."""
    with httpx.Client(base_url=url, timeout=120, trust_env=False, auth=(key, "")) as tracking:
        while batch := list(islice(calls, REQUEST)):
            answer = tracking.post("/v1/batch", json={"batch": batch}).raise_for_status().json()
            for refused in answer["rejected"]:
                err.print(f"refused: {refused['code']}: {refused['message']}")


def _resolve(api: httpx.Client) -> None:
    """Wait for the pipeline, run matching, wait for it."""
    while api.get("/readyz").json()["backlog"]:
        time.sleep(0.2)
    run_id = api.post("/v1/identity/runs").raise_for_status().json()["id"]
    while True:
        state = api.get(f"/v1/identity/runs/{run_id}").raise_for_status().json()
        if state["state"] == "done":
            return
        if state["state"] == "failed":
            raise ImportFailed(f"the matching run failed: {state['result']}")
        time.sleep(0.5)
