"""`parcours signing-key …`: the keys that sign access tokens."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.access import keys
from app.access.tables import SigningKey

signing_key = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)
COLUMNS = ("kid", "signs", "signs_from", "retired_at")


def _key(row: SigningKey, current: SigningKey) -> dict[str, Any]:
    return {
        "kid": row.key_id,
        "signs": row.key_id == current.key_id,
        "signs_from": row.signs_from,
        "retired_at": row.retired_at,
    }


@signing_key.command("list")
def list_keys(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys whose tokens are accepted, the newest first."""
    now = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        current = keys.current(session, now=now)
        rows = [_key(row, current) for row in keys.known(session, now=now)]
    show(rows, as_json, *COLUMNS)


@signing_key.command("rotate")
def rotate_key(
    at_once: Annotated[
        bool, typer.Option("--now", help="The key was lost: every token that is out is void.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key; it signs in ten minutes, and tokens of the old one stay good until over."""
    now = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        keys.rotate(session, now=now, at_once=at_once)
        current = keys.current(session, now=now)
        rows = [_key(row, current) for row in keys.known(session, now=now)]
    show(rows, as_json, *COLUMNS)
