"""`parcours saved-analysis …`: questions that are asked again and again, and what they found."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import json_file
from api.cli.options import AlwaysJson
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app import work
from app.db import Sessions
from app.journeys import saved
from app.journeys.saved_request import SavedAnalysis, asked

saved_analysis = typer.Typer(
    help="Saved analyses: asked again on a schedule, with alerts on what they find.",
    no_args_is_help=True,
)

Key = Annotated[str, typer.Argument(help="The key of a saved analysis.")]
COLUMNS = ("key", "name", "analysis", "every", "value", "open", "looked_at", "due_at", "error")
ALERTS = ("raised_at", "what", "found", "told_at", "ended_at", "because", "why_untold")
EXAMPLE = """
For instance, with `orders.json` holding

{"name": "Orders within a week", "analysis": "funnel", "last": "P30D", "every": "PT1H",
 "request": {"steps": [{"event": "Product Viewed"}, {"event": "Order Completed"}]},
 "alert": {"at": "/rates/closed", "below": 0.2}}

$ parcours saved-analysis create orders orders.json
"""


@saved_analysis.command("list")
def list_saved(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List saved analyses: the figure of each, its open alerts, when it is asked again."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = saved.list_all(session)
        heard = saved.heard(session, [one.key for one in found])
        rows = [saved.shown(one, heard[one.key]) for one in found]
    show(rows if as_json else [_line(row) for row in rows], as_json, *COLUMNS)


@saved_analysis.command("show")
def show_saved(key: Key, data_dir: DataDir = None, as_json: AlwaysJson = True) -> None:
    """Show a saved analysis: its question, its alert, and what was found when it was last asked."""
    with opened(settings(data_dir)) as sessions:
        show(_read(sessions, key), True)


@saved_analysis.command("alerts")
def list_alerts(
    key: Key,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="The newest so many.")] = 100,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what a saved analysis found, the newest first: since when, told to whom, over why."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [saved.alert_shown(one) for one in saved.alerts(session, key, most=limit)]
    if not as_json:
        rows = [{**row, "because": (row["ended"] or {}).get("because")} for row in rows]
    show(rows, as_json, *ALERTS)


@saved_analysis.command("create", epilog=EXAMPLE)
def create(
    key: Annotated[str, typer.Argument(help="What it is called: small letters, digits, - and _.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as for HTTP.")],
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Save the analysis of a file under a key, or change it; the worker asks it at once."""
    from app.journeys import alerting, analyses  # noqa: PLC0415  # DuckDB: loaded if needed

    wanted, now = json_file.model(SavedAnalysis, json_file.read(file)), datetime.now(UTC)
    with opened(settings(data_dir)) as sessions:
        with sessions.begin() as session:
            question, purpose = alerting.posed(session, asked(wanted, now))
            traits = bool(analyses.traits(wanted.analysis, question))
            saved.put(session, key, wanted, purpose=purpose, of_traits=traits, now=now)
            work.wake(session)
        show(_read(sessions, key), True)


@saved_analysis.command("run")
def run(key: Key, data_dir: DataDir = None, as_json: AlwaysJson = True) -> None:
    """Ask it now and note what it finds; webhooks are told by the worker. Status 1 if it fails."""
    from app.journeys import alerting  # noqa: PLC0415  # DuckDB: loaded if needed

    configuration, now = settings(data_dir), datetime.now(UTC)
    with opened(configuration) as sessions:
        with sessions.begin() as session:
            if saved.find(session, key).paused_at is not None:
                raise typer.BadParameter(f"{key} is paused; resume it first")
            saved.ask_now(session, key, now=now)
        if not alerting.advance(sessions, configuration.lake_dir, only=key, now=now):
            err.print("a worker asks saved analyses at this moment, this one next")
        found = _read(sessions, key)
    show(found, True)
    if "error" in found["state"]:
        raise typer.Exit(1)


@saved_analysis.command("pause")
def pause(key: Key, data_dir: DataDir = None) -> None:
    """Ask it no more until it is resumed; what it found stays."""
    _pause(key, data_dir, paused=True)


@saved_analysis.command("resume")
def resume(key: Key, data_dir: DataDir = None) -> None:
    """Have it asked again, and at once."""
    _pause(key, data_dir, paused=False)


@saved_analysis.command("remove")
def remove(key: Key, data_dir: DataDir = None) -> None:
    """Ask it no more and forget what it found; who was told of it is told that it is over."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        saved.remove(session, key, now=datetime.now(UTC))


def _pause(key: str, data_dir: Path | None, *, paused: bool) -> None:
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        saved.pause(session, key, paused=paused, now=datetime.now(UTC))
        work.wake(session)


def _read(sessions: Sessions, key: str) -> dict[str, Any]:
    with sessions() as session:
        return saved.shown(saved.find(session, key), saved.heard(session, [key])[key])


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a console shows of one: the figure, or why there is none."""
    state = row["state"]
    due = "paused" if row["paused_at"] else row["due_at"]
    return {**row, "value": state.get("value"), "error": state.get("error"), "due_at": due}
