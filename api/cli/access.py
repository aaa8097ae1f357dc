"""`parcours client …`: who may read and administer, and what they authenticate themselves with."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

import consent
from api.cli.options import GREATEST, duration
from api.cli.session import AsJson, DataDir, opened, settings, show
from api.routes.reads import members_of
from app.access import administration, clients, credentials, public_keys, reads, roles
from app.access.administration import OPERATOR

client = typer.Typer(help="OAuth clients that read and administer.", no_args_is_help=True)

Keep = Annotated[str, typer.Option(help="How long the others go on: 30m, 24h, 7d.")]
AtOnce = Annotated[bool, typer.Option("--now", help="End the others at once.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        help="A public key (JWK, JWK Set or PEM) that it signs with, instead of a secret.",
        exists=True,
        dir_okay=False,
    ),
]


def _read(file: Path) -> list[dict[str, Any]]:
    return public_keys.read(file.read_text(encoding="utf-8", errors="replace"))


@client.command("add")
def add_client(
    name: str,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope it may use; repeat for more.")
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="A role whose scopes it gets; see `client roles`.")
    ] = None,
    purpose: Annotated[
        list[str] | None, typer.Option(help="A purpose it may state; repeat for more.")
    ] = None,
    key: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a client and print its id and secret, once."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        for one in purpose or []:
            consent.catalogue.purpose(session, one)
        wanted = [*(scope or []), *roles.scopes(role or [])]
        made, told = administration.register(
            session,
            name,
            scopes=wanted,
            purposes=purpose or [],
            keys=_read(key) if key else None,
            by=OPERATOR,
            now=datetime.now(UTC),
        )
        answer = {"client_id": made.client_id, **told}
    show(answer if as_json else [answer], as_json, *answer)


@client.command("roles")
def list_roles(as_json: AsJson = False) -> None:
    """List the roles, and the scopes that each is written out as."""
    rows = [{"role": name, "scopes": list(scopes)} for name, scopes in roles.ROLES.items()]
    show(rows, as_json, "role", "scopes")


@client.command("list")
def list_clients(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the clients."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [clients.describe(row) for row in clients.list_all(session)]
    show(rows, as_json, "client_id", "name", "scopes", "purposes", "requests_per_second")


@client.command("credentials")
def list_credentials(client_id: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the secrets and keys of a client; the hint is the end of a secret, or a key's kid."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = clients.find(session, client_id)
        rows = credentials.in_use(session, found, now=datetime.now(UTC))
        shown = [credentials.describe(row) for row in rows]
    show(shown, as_json, "id", "kind", "hint", "created_at", "expires_at")


@client.command("add-key")
def add_key(
    client_id: str,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JWK (Set) or PEM.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a client sign with one more key; what it has goes on."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found, at = clients.find(session, client_id, lock=True), datetime.now(UTC)
        told = administration.add_keys(session, found, _read(file), by=OPERATOR, now=at)
        answer = {"client_id": client_id, **told}
    show(answer if as_json else [answer], as_json, *answer)


@client.command("rotate")
def rotate_client(
    client_id: str,
    key: KeyFile = None,
    keep: Keep = "24h",
    now: AtOnce = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give a client a new secret, or key; those it has end after a while, its tokens do not."""
    kept = timedelta() if now else duration(keep)
    at = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found, keys = clients.find(session, client_id, lock=True), _read(key) if key else None
        told = administration.rotate(session, found, keys=keys, keep=kept, by=OPERATOR, now=at)
        answer = {"client_id": client_id, **told}
    show(answer if as_json else [answer], as_json, *answer)


@client.command("end-credential")
def end_credential(
    client_id: str,
    credential_id: Annotated[
        int, typer.Argument(min=1, max=GREATEST, help="The id that `client credentials` shows.")
    ],
    data_dir: DataDir = None,
) -> None:
    """End a secret or key of a client at once; tokens that it got go on until they expire."""
    at = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = clients.find(session, client_id, lock=True)
        administration.end_credential(session, found, credential_id, by=OPERATOR, now=at)


@client.command("revoke-tokens")
def revoke_tokens(client_id: str, data_dir: DataDir = None) -> None:
    """Let every token that a client has be void at once; it may ask for new ones."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = clients.find(session, client_id, lock=True)
        administration.revoke_tokens(session, found, by=OPERATOR, now=datetime.now(UTC))


@client.command("limit")
def limit_client(
    client_id: str,
    requests_per_second: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, help="How often it may ask each server process."),
    ] = None,
    burst: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="How often at once; a second's worth.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Limit how often a client may ask; without options it may as often as it likes."""
    if burst is not None and requests_per_second is None:
        raise typer.BadParameter("says nothing without --requests-per-second", param_hint="--burst")
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = clients.find(session, client_id, lock=True)
        administration.limit(session, found, requests_per_second, burst, by=OPERATOR)
        answer = clients.describe(found)
    show(answer if as_json else [answer], as_json, "client_id", "requests_per_second", "burst")


@client.command("reads")
def list_reads(
    subject: Annotated[str | None, typer.Option(help="Whom they are of: user_id:u-42.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Who read.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What for.")] = None,
    since: Annotated[datetime | None, typer.Option(help="In UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List who read whom, newest first."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        ids = None if subject is None else members_of(session, subject)
        from_ = None if since is None else since.replace(tzinfo=UTC)
        asked = reads.Asked(ids, client_id, purpose, since=from_)
        rows, _ = reads.page(session, asked, cursor=None, limit=limit)
    show(rows, as_json, "at", "client", "operation", "purpose", "identifiers", "profile_ids")


@client.command("remove")
def remove_client(client_id: str, data_dir: DataDir = None) -> None:
    """Remove a client; its tokens stop working at once."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        administration.remove(session, client_id, by=OPERATOR)
