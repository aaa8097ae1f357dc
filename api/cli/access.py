"""`parcours client …`: who may read."""

from typing import Annotated, Any

import typer

import consent
from api.cli.session import AsJson, DataDir, opened, settings, show
from app.access import clients
from app.access.tables import Client

client = typer.Typer(help="OAuth clients that read and administer.", no_args_is_help=True)


def _client(row: Client) -> dict[str, Any]:
    return {
        "client_id": row.client_id,
        "name": row.name,
        "scopes": row.scopes,
        "purposes": row.purposes,
        "created_at": row.created_at,
    }


@client.command("add")
def add_client(
    name: str,
    scope: Annotated[list[str], typer.Option(help="A scope it may use; repeat for more.")],
    purpose: Annotated[
        list[str] | None, typer.Option(help="A purpose it may state; repeat for more.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a client and print its id and secret, once."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        for key in purpose or []:
            consent.catalogue.purpose(session, key)
        made, secret = clients.add(session, name, scopes=scope, purposes=purpose or [])
        answer = {"client_id": made.client_id, "client_secret": secret}
    show(answer if as_json else [answer], as_json, "client_id", "client_secret")


@client.command("list")
def list_clients(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the clients."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [_client(row) for row in clients.list_all(session)]
    show(rows, as_json, "client_id", "name", "scopes", "purposes")


@client.command("rotate")
def rotate_client(client_id: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Give a client a new secret; the old one stops working at once."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        secret = clients.rotate(session, client_id)
    answer = {"client_id": client_id, "client_secret": secret}
    show(answer if as_json else [answer], as_json, "client_id", "client_secret")


@client.command("remove")
def remove_client(client_id: str, data_dir: DataDir = None) -> None:
    """Remove a client; its tokens stop working at once."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        clients.remove(session, client_id)
