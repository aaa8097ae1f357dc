"""What is done to clients; each act is stated in the ledger, in the transaction that does it.

An entry names the act, the client and who acted, a client or `OPERATOR`. Which rights were given
is sealed beside it; of secrets nothing is said.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.access import clients, credentials, tokens
from app.access.tables import Client
from app.errors import DefinitionInvalid
from consent import ledger

#: Whoever has a shell on the server.
OPERATOR = "operator"
#: Public keys, as `public_keys.read` returns them.
Keys = Collection[Mapping[str, Any]]


def register(
    session: Session,
    name: str,
    *,
    scopes: Collection[str],
    purposes: Collection[str],
    by: str,
    now: datetime,
    keys: Keys | None = None,
    rate: float | None = None,
    burst: int | None = None,
) -> tuple[Client, dict[str, Any]]:
    """Register a client that signs with these keys, else has a new secret.

    Returns it with what to tell of its credentials, once. Raises DefinitionInvalid.
    """
    row = clients.register(session, name, scopes=scopes, purposes=purposes)
    _set_limits(row, rate, burst)
    told = _give(session, row, keys, now)
    session.flush()
    rights = {"scopes": row.scopes, "purposes": row.purposes}
    public = {"given": _kind(keys), **_limits(row)}
    _state(session, "registered", row, by, public=public, body=rights)
    return row, told


def add_keys(
    session: Session, row: Client, keys: Keys, *, by: str, now: datetime
) -> dict[str, Any]:
    """Let a client sign with more keys; what it has goes on. Raises DefinitionInvalid."""
    told = _give(session, row, keys, now)
    _state(session, "keys_added", row, by, public={"keys": str(len(keys))})
    return told


def rotate(
    session: Session,
    row: Client,
    *,
    keep: timedelta,
    by: str,
    now: datetime,
    keys: Keys | None = None,
) -> dict[str, Any]:
    """Give a client keys or else a new secret, and let what it has end after `keep`.

    Returns what to tell of it, once. Raises DefinitionInvalid.
    """
    ends = now + keep
    credentials.end(session, credentials.in_use(session, row, now=now), keep=keep, now=now)
    told = _give(session, row, keys, now)
    at = f"{ends.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='minutes')}Z"
    _state(session, "rotated", row, by, public={"given": _kind(keys), "others_end": at})
    return {**told, "others_end_at": ends}


def end_credential(
    session: Session, row: Client, credential_id: int, *, by: str, now: datetime
) -> None:
    """End a secret or key at once; raises CredentialNotFound."""
    found = credentials.find(session, row, credential_id, now=now)
    credentials.end(session, [found], keep=timedelta(), now=now)
    _state(session, "credential_ended", row, by, public={"credential": str(credential_id)})


def limit(session: Session, row: Client, rate: float | None, burst: int | None, *, by: str) -> None:
    """Say how often a client may ask; raises DefinitionInvalid for a burst without a rate."""
    _set_limits(row, rate, burst)
    session.flush()
    _state(session, "limited", row, by, public=_limits(row))


def revoke_tokens(session: Session, row: Client, *, by: str, now: datetime) -> None:
    """Let every token that a client has be void at once."""
    tokens.revoke_all(row, now=now)
    _state(session, "tokens_revoked", row, by)


def remove(session: Session, client_id: str, *, by: str) -> None:
    """Remove a client with its credentials and tokens; raises ClientNotFound."""
    row = clients.find(session, client_id, lock=True)
    clients.remove(session, client_id)
    _state(session, "removed", row, by)


def _give(session: Session, row: Client, keys: Keys | None, now: datetime) -> dict[str, Any]:
    if keys is None:
        return {"client_secret": credentials.add_secret(session, row, now=now)}
    credentials.add_keys(session, row, keys, now=now)
    return {"key_ids": [key["kid"] for key in keys]}


def _set_limits(row: Client, rate: float | None, burst: int | None) -> None:
    if burst is not None and rate is None:
        raise DefinitionInvalid("burst says nothing without requests_per_second")
    row.requests_per_second, row.burst = rate, burst


def _kind(keys: Keys | None) -> str:
    return "secret" if keys is None else "keys"


def _limits(row: Client) -> dict[str, str]:
    """Return the limits as the ledger has them; nothing where there is none."""
    both = {"requests_per_second": row.requests_per_second, "burst": row.burst}
    return {name: f"{value:g}" for name, value in both.items() if value is not None}


def _state(
    session: Session,
    what: str,
    row: Client,
    by: str,
    *,
    public: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> None:
    told = {"act": "client", "what": what, "client": row.client_id, "by": by, **(public or {})}
    ledger.append(session, "admin", told, body=body)
