"""`parcours computed …`: traits that are computed from events, each for a purpose."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from api.cli import json_file
from api.cli.session import AsJson, DataDir, opened, settings, show
from app.errors import DefinitionInvalid
from app.profiles import computed_traits, computing
from app.segments import uses

computed = typer.Typer(help="Traits computed from events.", no_args_is_help=True)

COLUMNS = ("key", "purpose", "state", "share", "size", "waiting", "computed_at", "error")
MEMBERS = {"name", "purpose", "definition"}


@computed.command("list")
def list_traits(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List computed traits with state, progress, size and last error."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        now = datetime.now(UTC)
        listed = computed_traits.list_all(session)
        rows = [computing.describe(session, trait, now=now) for trait in listed]
    show(rows, as_json, *COLUMNS)


@computed.command("set")
def set_trait(
    key: str,
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="JSON: name, purpose and definition."),
    ],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Define a computed trait, or change it; the running server's worker computes it."""
    wanted = json_file.read(file)
    if set(wanted) != MEMBERS:
        raise DefinitionInvalid(f"{file} must have exactly {', '.join(sorted(MEMBERS))}")
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        trait = computed_traits.put(
            session,
            key=key,
            name=str(wanted["name"]),
            purpose=str(wanted["purpose"]),
            definition=wanted["definition"],
        )
        session.refresh(trait)
        answer = computing.describe(session, trait, now=datetime.now(UTC))
    show(answer if as_json else [answer], as_json, *COLUMNS)


@computed.command("remove")
def remove_trait(key: str, data_dir: DataDir = None) -> None:
    """Delete a computed trait and what was computed; refused while segments are defined by it."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        computed_traits.find(session, key)
        uses.free_trait(session, key)
        computed_traits.remove(session, key)
