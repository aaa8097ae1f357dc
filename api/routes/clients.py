"""Clients: the programs that read and administer, registered by one that has what it gives.

A client with `clients:admin` gives only scopes and purposes that its own token has, so that it
cannot raise its own rights by way of another client. To take away it needs no more than the scope.
Whoever rotates another client's credential can act as that client: so every act is stated in the
ledger with who did it, and the credential that the owner still uses ends within a day.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

import consent
from api.auth import Caller, requires
from api.deps import UNSTORED, Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import cursors
from app.access import administration, clients, credentials, public_keys
from app.access.tables import Client
from app.errors import (
    ClientNotFound,
    CredentialNotFound,
    CursorInvalid,
    DefinitionInvalid,
    RightsExceeded,
)
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/clients", tags=["clients"])

Admin = Annotated[Caller, requires("clients:admin")]
AUTH = (InvalidToken, InsufficientScope)
#: How long the credentials that are replaced go on unless it is said otherwise, and at most: the
#: owner of a client is to notice that somebody else has its new secret.
KEPT = timedelta(days=1)
#: The largest id of a row.
GREATEST = 2**63 - 1
CREATED_AT, ENDS_AT = "2026-11-28T10:00:00Z", "2026-11-29T10:00:00Z"
CLIENT: dict[str, Any] = {
    "client_id": "cl_2f6c1d0b9a8e7f6d5c4b",
    "name": "crm",
    "scopes": ["profiles:read"],
    "purposes": ["marketing.email"],
    "requests_per_second": 20.0,
    "burst": 100,
    "created_at": CREATED_AT,
}
CREDENTIAL: dict[str, Any] = {
    "id": 7,
    "kind": "secret",
    "hint": "x9Qa",
    "created_at": CREATED_AT,
    "expires_at": None,
}
SHOWN_ONCE = "cs_…"


class CredentialIn(BaseModel):
    """What a client authenticates itself with: keys that it signs with, else a new secret."""

    model_config = ConfigDict(extra="forbid")

    keys: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=public_keys.MOST_KEYS,
        description="Public keys (JWK); without any a secret is made, and shown only this once.",
    )

    def read_keys(self) -> list[dict[str, Any]] | None:
        """Return the keys as they are kept; raises DefinitionInvalid."""
        return None if self.keys is None else public_keys.read(json.dumps({"keys": self.keys}))


class ClientIn(CredentialIn):
    """A client to register."""

    name: str = Field(min_length=1, max_length=200)
    scopes: list[str] = Field(
        min_length=1, max_length=100, description="What it may do: scopes that you have yourself."
    )
    purposes: list[str] = Field(
        default=[], max_length=1000, description="What for: purposes that you have yourself."
    )
    requests_per_second: float | None = Field(default=None, ge=0.001, le=1e6)
    burst: int | None = Field(default=None, ge=1, le=10**6)


class CredentialRotationIn(CredentialIn):
    """A credential that replaces the others."""

    keep_seconds: int = Field(
        default=int(KEPT.total_seconds()),
        ge=0,
        le=int(KEPT.total_seconds()),
        description="How long the other credentials go on, a day at most; 0 ends them at once.",
    )


class LimitsIn(BaseModel):
    """How often a client may ask one server process; null is as often as it likes."""

    model_config = ConfigDict(extra="forbid")

    requests_per_second: float | None = Field(ge=0.001, le=1e6)
    burst: int | None = Field(default=None, ge=1, le=10**6, description="How often at once.")


ClientBody = Annotated[
    ClientIn,
    Body(
        examples=[
            {"name": "deputy", "scopes": ["clients:admin"], "purposes": ["marketing.email"]},
            {
                "name": "crm",
                "scopes": ["profiles:read"],
                "purposes": ["marketing.email"],
                "requests_per_second": 20,
                "burst": 100,
            },
        ]
    ),
]
RotationBody = Annotated[CredentialRotationIn | None, Body(examples=[{"keep_seconds": 86_400}])]
LimitsBody = Annotated[LimitsIn, Body(examples=[{"requests_per_second": 20, "burst": 100}])]


def _made(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {201: {"description": "Made.", "content": {"application/json": {"example": example}}}}


def _within(caller: Caller, row: Client) -> None:
    """Let nobody hold credentials of a client with more rights than their own."""
    clients.check_within(
        row.scopes, row.purposes, own_scopes=caller.scopes, own_purposes=caller.purposes
    )


def _limits_within(caller: Caller, rate: float | None, burst: int | None) -> None:
    """Let nobody undo their own limits by way of another client."""
    clients.check_limits_within(
        rate, burst, own_rate=caller.requests_per_second, own_burst=caller.burst
    )


@router.post(
    "",
    status_code=201,
    dependencies=UNSTORED,
    summary="Register a client",
    responses=documented(*AUTH, RightsExceeded, DefinitionInvalid, PurposeNotFound)
    | _made({**CLIENT, "client_secret": SHOWN_ONCE}),
)
def register_client(session: Db, caller: Admin, wanted: ClientBody) -> dict[str, Any]:
    """Register a client with at most your own rights; its secret is shown only this once.

    If you are limited so is it: as you are, unless it is said that it gets less.
    """
    clients.check_within(
        wanted.scopes, wanted.purposes, own_scopes=caller.scopes, own_purposes=caller.purposes
    )
    for purpose in wanted.purposes:
        consent.catalogue.purpose(session, purpose)
    rate, burst = wanted.requests_per_second, wanted.burst
    if rate is None and burst is None:
        rate, burst = caller.requests_per_second, caller.burst
    _limits_within(caller, rate, burst)
    row, told = administration.register(
        session,
        wanted.name,
        scopes=wanted.scopes,
        purposes=wanted.purposes,
        keys=wanted.read_keys(),
        rate=rate,
        burst=burst,
        by=caller.client_id,
        now=datetime.now(UTC),
    )
    return {**clients.describe(row), **told}


@router.get(
    "",
    summary="List clients",
    responses=documented(*AUTH, CursorInvalid, ok={"data": [CLIENT], "next_cursor": None}),
)
def list_clients(
    session: Db, caller: Admin, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return the clients in use, in the order of their registration."""
    after = cursors.decode(cursor, int)[0] if cursor else 0
    rows = clients.list_page(session, after=after, limit=limit + 1)
    more = cursors.encode(rows[limit - 1].id) if len(rows) > limit else None
    return {"data": [clients.describe(row) for row in rows[:limit]], "next_cursor": more}


@router.get(
    "/{client_id}",
    summary="Read a client",
    responses=documented(*AUTH, ClientNotFound, ok={**CLIENT, "credentials": [CREDENTIAL]}),
)
def read_client(session: Db, caller: Admin, client_id: str) -> dict[str, Any]:
    """Return a client and what tells its credentials apart."""
    row = clients.find(session, client_id)
    held = credentials.in_use(session, row, now=datetime.now(UTC))
    return {**clients.describe(row), "credentials": [credentials.describe(one) for one in held]}


@router.delete(
    "/{client_id}",
    status_code=204,
    summary="Remove a client",
    responses=documented(*AUTH, ClientNotFound),
)
def remove_client(session: Db, caller: Admin, client_id: str) -> None:
    """Remove a client; its credentials and tokens stop working with the next request."""
    administration.remove(session, client_id, by=caller.client_id)


@router.put(
    "/{client_id}/limits",
    summary="Limit a client",
    responses=documented(*AUTH, RightsExceeded, ClientNotFound, DefinitionInvalid, ok=CLIENT),
)
def limit_client(session: Db, caller: Admin, client_id: str, wanted: LimitsBody) -> dict[str, Any]:
    """Say how often a client may ask one server process; of itself nobody does.

    If you are limited, it gets no more than you have.
    """
    if client_id == caller.client_id:
        raise RightsExceeded("a client does not set its own limits")
    row = clients.find(session, client_id, lock=True)
    rate, burst = wanted.requests_per_second, wanted.burst
    _limits_within(caller, rate, burst)
    administration.limit(session, row, rate, burst, by=caller.client_id)
    return clients.describe(row)


@router.post(
    "/{client_id}/credentials/rotate",
    status_code=201,
    dependencies=UNSTORED,
    summary="Replace the credentials of a client",
    responses=documented(*AUTH, RightsExceeded, ClientNotFound, DefinitionInvalid)
    | _made(
        {"client_id": CLIENT["client_id"], "client_secret": SHOWN_ONCE, "others_end_at": ENDS_AT}
    ),
)
def rotate_credentials(
    session: Db, caller: Admin, client_id: str, wanted: RotationBody = None
) -> dict[str, Any]:
    """Give a client a new secret, or keys; those it has end after a while, its tokens do not.

    Who holds the secret has the client's rights: so it must have no more than yours. If the client
    is not your own, you can act as it from now on; the ledger says that you rotated it.
    """
    wanted, now = wanted or CredentialRotationIn(), datetime.now(UTC)
    row = clients.find(session, client_id, lock=True)
    _within(caller, row)
    told = administration.rotate(
        session,
        row,
        keys=wanted.read_keys(),
        keep=timedelta(seconds=wanted.keep_seconds),
        by=caller.client_id,
        now=now,
    )
    return {"client_id": client_id, **told}


@router.delete(
    "/{client_id}/credentials/{credential_id}",
    status_code=204,
    summary="End a credential",
    responses=documented(*AUTH, ClientNotFound, CredentialNotFound),
)
def end_credential(session: Db, caller: Admin, client_id: str, credential_id: int) -> None:
    """End a secret or key at once; tokens that it got go on until they expire."""
    row = clients.find(session, client_id, lock=True)
    if not 0 < credential_id <= GREATEST:
        raise CredentialNotFound(str(credential_id))
    administration.end_credential(
        session, row, credential_id, by=caller.client_id, now=datetime.now(UTC)
    )


@router.post(
    "/{client_id}/tokens/revoke",
    status_code=204,
    summary="Revoke the tokens of a client",
    responses=documented(*AUTH, ClientNotFound),
)
def revoke_tokens(session: Db, caller: Admin, client_id: str) -> None:
    """Let every token that a client has be void at once; it may ask for new ones."""
    row = clients.find(session, client_id, lock=True)
    administration.revoke_tokens(session, row, by=caller.client_id, now=datetime.now(UTC))
