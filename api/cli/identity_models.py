"""`parcours identity models …`: versions of what matching has learnt."""

from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.identities import versions
from identity import models

commands = typer.Typer(
    help="Versions of what matching has learnt: compare them, roll back.", no_args_is_help=True
)

BY = "command line"
COLUMNS = ("run_id", "learnt_at", "records", "match_prior", "in_force", "pinned_at", "pinned_by")
Run = Annotated[int, typer.Argument(min=1, help="The run that has learnt it.")]


@commands.command("list")
def list_models(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the versions that are kept, newest first."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        rows = [models.describe(version) for version in models.list_all(session)]
    show(rows, as_json, *COLUMNS)


@commands.command("show")
def show_model(
    run: Run,
    beside: Annotated[
        int | None, typer.Option(min=1, help="Another version; the one in force unless stated.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the match weights of a version beside another's, the most moved first."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = versions.compared(session, run, beside)
    if as_json:
        show(found, as_json)
        return
    rows: list[dict[str, Any]] = [
        {**row, **{c: _bits(row[c]) for c in ("match_weight", "beside", "difference")}}
        for row in found["weights"]
    ]
    show(rows, as_json, "comparison", "agreement", "match_weight", "beside", "difference")


@commands.command("rollback")
def roll_back(
    run: Annotated[
        int | None,
        typer.Argument(min=1, help="To which version; the one before the one in force."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Hold on to an earlier version; the worker scores everybody by it."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        told = versions.roll_back(session, run, by=BY)
    show(told if as_json else [told], as_json, *COLUMNS)


@commands.command("resume")
def resume(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let matching learn again; the worker does a whole run."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        told = versions.resume(session, by=BY)["run"]
    show(told if as_json else [told], as_json, "id", "state")


def _bits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
