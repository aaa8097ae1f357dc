"""`parcours partition …`: how the events are kept."""

from dataclasses import asdict

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.events import partitions

partition = typer.Typer(help="The partitions of the events.", no_args_is_help=True)


@partition.command("list")
def list_partitions(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the partitions: when each was open, and whether its message ids still count."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [asdict(row) for row in partitions.list_all(session)]
    show(rows, as_json, "part", "opened_at", "closed_at", "deduplicates", "events", "bytes")


@partition.command("roll-over")
def roll_over(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Close the open partition now and write into the next; the worker does so each month."""
    with opened(settings(data_dir)) as sessions:
        answer = {"part": partitions.close_open(sessions)}
    show(answer if as_json else [answer], as_json, "part")
