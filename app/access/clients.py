"""Clients: the programs that read or administer, each with scopes, purposes and credentials."""

import secrets
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import credentials
from app.access.definition import check_name
from app.access.limits import at_once
from app.access.tables import Client, ClientAssertion, ClientCredential
from app.errors import ClientNotFound, DefinitionInvalid, RightsExceeded

#: What each scope lets a client do, in the words of the OpenAPI document.
MEANING: dict[str, str] = {
    "events:write": "Send events.",
    "consents:write": "Record consent decisions.",
    "consents:read": "Read consent records and ask for decisions.",
    "profiles:read": "Read profiles, for a stated purpose.",
    "segments:read": "Read segments and their members.",
    "segments:write": "Define segments.",
    "journeys:read": "Read journeys and run analyses.",
    "journeys:write": "Define journeys.",
    "programs:write": "Define and publish programs.",
    "destinations:write": "Define destinations and replay deliveries.",
    "identity:read": "Read links, merges and runs of identity resolution.",
    "identity:review": "Decide pairs that wait for review.",
    "identity:admin": "Train the model, set constraints, undo merges.",
    "privacy:read": "Read requests of data subjects.",
    "privacy:process": "Open and process requests of data subjects.",
    "proof:open": "Open the proof vault, together with a second client.",
    "ledger:read": "Read and verify the consent ledger.",
    "audit:read": "Read who read whom.",
    "sources:admin": "Administer sources and their write keys.",
    "clients:admin": "Administer clients; introspect every token.",
}
SCOPES: tuple[str, ...] = tuple(MEANING)
#: What no client gives another. Two have to agree before the vault opens: whoever registers the
#: second, or knows its secret, would be both.
BY_COMMAND_ALONE = frozenset({"proof:open"})


def add(
    session: Session, name: str, *, scopes: Iterable[str], purposes: Iterable[str]
) -> tuple[Client, str]:
    """Register a client and return it with its first secret, which is shown only this once.

    Raises DefinitionInvalid as `register` does.
    """
    client = register(session, name, scopes=scopes, purposes=purposes)
    return client, credentials.add_secret(session, client, now=datetime.now(UTC))


def register(
    session: Session, name: str, *, scopes: Iterable[str], purposes: Iterable[str]
) -> Client:
    """Register a client that cannot authenticate itself yet.

    The purposes are stored as they are: whether the catalogue knows them, the caller checks.

    Raises DefinitionInvalid when no scope is given, one is unknown, or the name is none.
    """
    check_name(name)
    client = Client(
        client_id="cl_" + secrets.token_hex(10),
        name=name,
        scopes=_known(scopes),
        purposes=sorted(set(purposes)),
    )
    session.add(client)
    session.flush()
    return client


def list_all(session: Session) -> list[Client]:
    """Return the clients in use, by name."""
    return list(
        session.scalars(
            sa.select(Client)
            .where(Client.removed_at.is_(None))
            .order_by(Client.name, Client.client_id)
        )
    )


def list_page(session: Session, *, after: int, limit: int) -> list[Client]:
    """Return clients in use in the order of their registration, those after an `id`."""
    query = sa.select(Client).where(Client.removed_at.is_(None), Client.id > after)
    return list(session.scalars(query.order_by(Client.id).limit(limit)))


def check_within(
    scopes: Collection[str],
    purposes: Collection[str],
    *,
    own_scopes: Collection[str],
    own_purposes: Collection[str],
) -> None:
    """Let rights be given only by who has them; raises RightsExceeded, which names the first.

    Those of BY_COMMAND_ALONE are given by nobody.
    """
    for scope in sorted(BY_COMMAND_ALONE.intersection(scopes)):
        raise RightsExceeded(
            f"the scope {scope!r}, and credentials of who has it, come from the command line alone"
        )
    for what, wanted, own in (
        ("scope", scopes, own_scopes),
        ("purpose", purposes, own_purposes),
    ):
        for one in sorted(set(wanted).difference(own)):
            raise RightsExceeded(f"the access token of this request lacks the {what} {one!r}")


def check_limits_within(
    rate: float | None, burst: int | None, *, own_rate: float | None, own_burst: int | None
) -> None:
    """Let who is limited give no more than that; raises RightsExceeded."""
    if own_rate is None:
        return
    most = at_once(own_rate, own_burst)
    if rate is None or rate > own_rate or at_once(rate, burst) > most:
        raise RightsExceeded(
            f"who gives limits is limited to {own_rate:g} requests per second and {most:g} at once"
        )


def describe(row: Client) -> dict[str, Any]:
    """Return what may be told of a client; its secrets are not even known."""
    return {
        "client_id": row.client_id,
        "name": row.name,
        "scopes": row.scopes,
        "purposes": row.purposes,
        "requests_per_second": row.requests_per_second,
        "burst": row.burst,
        "created_at": row.created_at,
    }


def find(session: Session, client_id: str, *, lock: bool = False) -> Client:
    """Return the client in use with this `client_id`, locked if wanted; raises ClientNotFound.

    Anybody may send a client_id, and PostgreSQL fails on text that holds a NUL: what cannot be
    an id of ours is not looked up.
    """
    query = sa.select(Client).where(Client.client_id == client_id, Client.removed_at.is_(None))
    if lock:
        query = query.with_for_update()
    client = session.scalar(query) if client_id.isprintable() else None
    if client is None:
        raise ClientNotFound(client_id)
    return client


def remove(session: Session, client_id: str) -> None:
    """Remove a client; its credentials and its tokens stop working at once.

    Raises ClientNotFound.
    """
    client = find(session, client_id)
    client.removed_at = sa.func.now()
    for table in (ClientCredential, ClientAssertion):
        session.execute(sa.delete(table).where(table.client_id == client.id))
    session.flush()


def _known(scopes: Iterable[str]) -> list[str]:
    """Return the scopes once each, in the order of SCOPES."""
    asked = set(scopes)
    if not asked:
        raise DefinitionInvalid("A client needs at least one scope.")
    for scope in sorted(asked.difference(SCOPES)):
        close = get_close_matches(scope, SCOPES, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"the scopes are {' '.join(SCOPES)}."
        raise DefinitionInvalid(f"There is no scope {scope!r}; {advice}")
    return [scope for scope in SCOPES if scope in asked]
