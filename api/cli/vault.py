"""`parcours privacy vault …`: what is kept against legal claims, opened by two people.

Whoever has a shell here shows who they are as a client does, by id and secret: two people at one
machine stay two.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.access import clients, credentials
from app.db import Sessions
from app.errors import ClientNotFound, VaultOpeningDenied
from app.privacy import vault as proof_vault
from app.privacy import vault_openings
from identity import identifiers

vault = typer.Typer(help="Proofs that outlive an erasure, for two people.", no_args_is_help=True)

Subject = Annotated[list[str], typer.Argument(help="Identifiers as namespace:value, all theirs.")]
Opening = Annotated[UUID, typer.Argument(help="The id of an opening.")]
Client = Annotated[str, typer.Option("--client", help="Your client, with the scope proof:open.")]
SecretFile = Annotated[
    Path | None,
    typer.Option("--secret-file", help="The file with its secret; you are asked when left out."),
]
COLUMNS = ("id", "state", "reason", "requested_by", "agree_by", "decided_by", "open_until")
ENTRIES = ("id", "purpose", "records", "kept_at", "kept_until")


def _now() -> datetime:
    return datetime.now(UTC)


def _officer(sessions: Sessions, client_id: str, secret_file: Path | None) -> str:
    """Return the client whose secret was shown; raises VaultOpeningDenied."""
    if secret_file is not None:
        secret = secret_file.read_text(encoding="utf-8").strip()
    else:
        secret = typer.prompt("Secret", hide_input=True)
    with sessions() as session:
        try:
            known = credentials.has_secret(session, clients.find(session, client_id), secret)
        except ClientNotFound:
            known = False
    if not known:
        raise VaultOpeningDenied("this is no client with this secret")
    return client_id


def _show(sessions: Sessions, opening_id: UUID, as_json: bool) -> None:
    with sessions() as session:
        found = vault_openings.find(session, opening_id)
        shown = vault_openings.describe(session, found, now=_now())
    show(shown if as_json else [shown], as_json, *COLUMNS)
    if not as_json:
        show(shown["events"], False, "at", "what", "by")


@vault.command("list")
def list_entries(subject: Subject, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List of which purposes proofs are kept of somebody, and until when; no contents."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = proof_vault.of(session, [identifiers.parse(one) for one in subject])
        rows = [vault_openings.describe_entry(row) for row in found]
    show(rows, as_json, *ENTRIES)


@vault.command("request")
def request_opening(
    subject: Subject,
    reason: Annotated[str, typer.Option(help="The claim; name nobody.")],
    client: Client,
    secret_file: SecretFile = None,
    purpose: Annotated[str | None, typer.Option(help="All, when left out.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask that the proofs of a person be opened; another client has 72 hours to agree."""
    with opened(settings(data_dir)) as sessions:
        opening_id = vault_openings.request(
            sessions,
            [identifiers.parse(one) for one in subject],
            reason=reason,
            by=_officer(sessions, client, secret_file),
            now=_now(),
            purpose=purpose,
        )
        _show(sessions, opening_id, as_json)


@vault.command("openings")
def list_openings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List openings, the newest first, with all that happened to each."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = vault_openings.list_all(session)
        rows = [vault_openings.describe(session, one, now=_now()) for one in found]
    show(rows, as_json, *COLUMNS)


@vault.command("approve")
def approve_opening(
    opening: Opening,
    client: Client,
    secret_file: SecretFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Agree to what another client asked for; for an hour the two may read."""
    with opened(settings(data_dir)) as sessions:
        by = _officer(sessions, client, secret_file)
        vault_openings.decide(sessions, opening, approve=True, by=by, now=_now())
        _show(sessions, opening, as_json)


@vault.command("refuse")
def refuse_opening(
    opening: Opening,
    reason: Annotated[str, typer.Option(help="Why; name nobody.")],
    client: Client,
    secret_file: SecretFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Refuse what another client asked for, or take back what you asked for."""
    with opened(settings(data_dir)) as sessions:
        by = _officer(sessions, client, secret_file)
        vault_openings.decide(sessions, opening, approve=False, by=by, now=_now(), reason=reason)
        _show(sessions, opening, as_json)


@vault.command("read")
def read_proofs(
    opening: Opening,
    client: Client,
    secret_file: SecretFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print the proofs that two clients agreed to open, as JSON: personal data. It is on record."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        by = _officer(sessions, client, secret_file)
        show(vault_openings.read(sessions, configuration, opening, by=by, now=_now()), True)
