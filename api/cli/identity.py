"""`parcours identity …`: run matching, and measure it against a truth."""

import time
from dataclasses import asdict
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import labelled
from api.cli.evaluation import Evaluation, throw_away
from api.cli.identity_explanations import explain
from api.cli.identity_merges import commands as merge_commands
from api.cli.identity_models import commands as model_commands
from api.cli.identity_previews import preview
from api.cli.identity_reviews import commands as review_commands
from api.cli.identity_reviews import drift, held
from api.cli.identity_rules import PATIENCE, rebuild, respell
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app import work
from app.errors import ImportFailed
from app.imports import files
from app.settings import Settings
from identity import assignments, identifiers, reviews
from identity.explain import describe_run
from identity.quality import Quality, pairwise

identity = typer.Typer(
    help="Identity resolution: matching runs, rebuild and quality.", no_args_is_help=True
)

identity.command("rebuild")(rebuild)
identity.command("respell")(respell)
identity.command("explain")(explain)
identity.command("drift")(drift)
identity.command("held")(held)
identity.command("preview")(preview)
identity.add_typer(merge_commands, name="merges")
identity.add_typer(review_commands, name="reviews")
identity.add_typer(model_commands, name="models")


class Engine(StrEnum):
    """What compares."""

    duckdb = reviews.DUCKDB
    spark = reviews.SPARK


@identity.command("run")
def run(
    new: Annotated[
        bool, typer.Option("--new", help="Compare only who is new or changed since the last run.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option(help="What compares everybody: the worker, or a Spark cluster.")
    ] = Engine.duckdb,
    master: Annotated[
        str | None, typer.Option(help="With Spark: the cluster, as spark://host:7077 or local[4].")
    ] = None,
    exchange: Annotated[
        Path | None,
        typer.Option(help="With Spark: a folder that the worker and all executors see alike."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask the running server's worker for a matching run and wait for it.

    Without a worker the run waits for one, and the command ends with status 1.
    """
    scope = reviews.NEW if new else reviews.ALL
    wanted = {"asked_by": "command line", **_where(engine, master, exchange, new=new)}
    with opened(settings(data_dir)) as sessions:
        with sessions.begin() as session:
            wanted_id = reviews.request_run(session, wanted, scope=scope).id
            work.wake(session)
        since = time.monotonic()
        while True:
            with sessions() as session:
                answer = describe_run(reviews.find_run(session, wanted_id))
                alive = work.alive(session)
            if answer["state"] in ("done", "failed"):
                break
            if not alive and time.monotonic() - since > PATIENCE:
                err.print("no worker is running: the run is done when one is")
                break
            time.sleep(0.5)
    show(answer if as_json else [answer], as_json, "id", "state", "finished_at", "result")
    if answer["state"] != "done":
        raise typer.Exit(1)


def _where(
    engine: Engine, master: str | None, exchange: Path | None, *, new: bool
) -> dict[str, str]:
    """Return the parameters that say where a run is done; those of a cluster belong to Spark."""
    if engine is Engine.duckdb:
        if master or exchange:
            raise typer.BadParameter("--master and --exchange go with --engine spark")
        return {}
    if new:
        raise typer.BadParameter(
            "who is new is compared by the worker: leave out --new or --engine"
        )
    if not master:
        raise typer.BadParameter("--engine spark needs --master")
    if find_spec("pyspark") is None:
        raise typer.BadParameter("PySpark is not installed: pip install 'parcours[spark]'")
    where = {"engine": str(engine), "master": master}
    return {**where, "exchange": str(exchange.absolute())} if exchange else where


@identity.command("evaluate")
def evaluate(
    people: Annotated[
        Path | None, typer.Option(help="A labelled people file (CSV, NDJSON, Parquet).")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Its column that says who is who, if it is not found by name."),
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="Its column that names the record.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="A column's meaning: given_name=first_name; repeatable."),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="With --people: also at other merge thresholds.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of people that are loaded: columns namespace, value, cluster."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure identity resolution: pairs, B-cubed, exact clusters, calibration, time and memory.

    With --people the file is imported through the HTTP API into a throw-away server and resolved
    with the default model and thresholds; nothing of the labels reaches it. With --labels the
    people that the data directory holds are measured as they are, without calibration.
    """
    if (people is None) == (labels is None):
        raise ImportFailed("state --people FILE or --labels FILE")
    if people is None:
        started = time.perf_counter()
        quality = _as_it_is(labels or Path(), truth or "cluster", settings(data_dir))
        found = {**asdict(quality), "seconds": round(time.perf_counter() - started, 1)}
        show(found if as_json else _figures(found), as_json, "figure", "value")
        return
    file = labelled.read(people, truth, id_column, map_ or [])
    err.print("columns used: " + ", ".join(f"{k} = {v}" for k, v in file.meaning.items()))
    err.print("columns ignored: " + (", ".join(file.ignored) or "none"))
    err.print(f"records named by: {file.named or 'their number'}; who is who: {file.truth}")
    if file.shows_nothing():
        err.print(f"{file.truth} says of no two records that they are one person's")
    if file.encoding != files.UTF_8:
        err.print(f"not UTF-8: read as {file.encoding}")
    _tell(file, throw_away(file, sweep=sweep), as_json)


def _tell(file: labelled.Labelled, found: Evaluation, as_json: bool) -> None:
    """Print an evaluation: figures, deciles of calibration, and the sweep if there was one."""
    answer = asdict(found)
    figures = {**answer.pop("quality"), **answer}
    if as_json:
        show({**figures, "file": file.about()}, as_json)
        return
    steps, sweep = figures.pop("calibration"), figures.pop("sweep")
    show(_figures(figures), as_json, "figure", "value")
    named = [
        {"probability": f"{s['low']:.1f} to {s['high']:.1f}", "pairs": s["pairs"],
         "predicted": _short(s["predicted"]), "observed": _short(s["observed"])}
        for s in steps["deciles"]
    ]  # fmt: skip
    band = f"{steps['band_low']:.3f} to {steps['band_high']:.3f}"
    errors = [("all", steps["pairs"], steps["error"])]
    errors.append((f"around the merge threshold: {band}", steps["band_pairs"], steps["band_error"]))
    show(named, as_json, "probability", "pairs", "predicted", "observed")
    rows = [{"pairs of": of, "pairs": n, "calibration error": _short(e)} for of, n, e in errors]
    show(rows, as_json, "pairs of", "pairs", "calibration error")
    if sweep:
        tried = [{"merge threshold": at, **_rounded(quality)} for at, quality in sweep.items()]
        show(tried, as_json, "merge threshold", "precision", "recall", "f1", "b3_f1")


def _figures(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"figure": name, "value": value} for name, value in _rounded(found).items()]


def _rounded(found: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in found.items()}


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


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
