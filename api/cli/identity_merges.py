"""`parcours identity merges …`: how people were put together, and taking one merge back."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from api.cli.session import AsJson, DataDir, opened, say, settings, show
from app.identities import reviewing
from app.profiles import read
from identity import explain, people
from identity.words import Language

commands = typer.Typer(
    help="How people were put together, why, and taking one merge back.", no_args_is_help=True
)

BY = "command line"
Number = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="As the list names it.")]
In = Annotated[Language, typer.Option("--language", help="Of the words: en or fr.")]


@commands.command("list")
def list_merges(
    of: Annotated[
        str | None, typer.Option(help="Of one person: a profile id, or namespace:value.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    language: In = "en",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List merges, the newest first, with the links that caused them."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        person = read.find(session, of).person_id if of else None
        found = people.merges(session, person=person, limit=limit, newest=True)
        rows = [explain.describe_merge(session, merge, language) for merge in found]
    if not as_json:
        rows = [{**row, "links": [f"{link['left']} - {link['right']}" for link in row["links"]]}
                for row in rows]  # fmt: skip
    show(rows, as_json, "id", "at", "survivor", "absorbed", "links", "undone_at")


@commands.command("show")
def show_merge(
    merge: Number, language: In = "en", data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Say why two people were put together, link by link."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = explain.describe_merge(session, people.find_merge(session, merge), language)
    if as_json:
        show(found, as_json)
        return
    say(*found["text"])


@commands.command("undo")
def undo(merge: Number, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Take a merge back: both people answer as before it, and stay apart for good."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        moved = reviewing.undo(session, merge, by=BY, at=datetime.now(UTC))
    told = {"id": merge, "merged": len(moved.merged), "split": len(moved.split)}
    show(told if as_json else [told], as_json, *told)
