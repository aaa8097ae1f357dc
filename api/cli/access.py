"""`parcours source …` and `parcours client …`: who may send and who may read."""

from typing import Annotated, Any

import typer

import consent
from api.cli.session import AsJson, DataDir, opened, settings, show
from app.access import clients, sources
from app.access.tables import Client, Source

source = typer.Typer(help="Websites and apps that send events.", no_args_is_help=True)
client = typer.Typer(help="OAuth clients that read and administer.", no_args_is_help=True)


def _source(row: Source) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "collection_purpose": row.collection_purpose,
        "stamp_is_evidence": row.stamp_is_evidence,
        "created_at": row.created_at,
    }


@source.command("add")
def add_source(
    name: str,
    collection_purpose: Annotated[
        str, typer.Option(help="The purpose events are collected for; decides what is stored.")
    ] = sources.DEFAULT_COLLECTION_PURPOSE,
    stamp_is_evidence: Annotated[
        bool, typer.Option(help="Record what the consent object of each event says.")
    ] = True,
    category: Annotated[
        list[str] | None,
        typer.Option(help="A consent category of this source: NAME=PURPOSE[,PURPOSE…]."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a source and print its write key, once."""
    categories = {}
    for entry in category or []:
        key, _, purposes = entry.partition("=")
        categories[key] = [p.strip() for p in purposes.split(",") if p.strip()]
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        for purpose in [collection_purpose, *(p for ps in categories.values() for p in ps)]:
            consent.catalogue.purpose(session, purpose)
        made, key = sources.add(
            session,
            name,
            collection_purpose=collection_purpose,
            stamp_is_evidence=stamp_is_evidence,
            categories=categories,
        )
        answer = {"name": made.name, "id": made.id, "write_key": key}
    show(answer if as_json else [answer], as_json, "name", "id", "write_key")


@source.command("list")
def list_sources(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the sources."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [_source(row) for row in sources.list_all(session)]
    show(rows, as_json, "id", "name", "collection_purpose", "stamp_is_evidence", "created_at")


@source.command("rotate-key")
def rotate_key(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Give a source a new write key; the old one stops working within seconds."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        key = sources.rotate_key(session, name)
    answer = {"name": name, "write_key": key}
    show(answer if as_json else [answer], as_json, "name", "write_key")


@source.command("remove")
def remove_source(name: str, data_dir: DataDir = None) -> None:
    """Stop accepting events from a source; what it sent stays."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        sources.remove(session, name)


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
