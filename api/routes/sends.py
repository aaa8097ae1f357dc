"""What was sent about one person, and the proof of one send with the consent it rests on."""

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime

from api.auth import Caller, requires
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.destinations import evidence
from app.errors import LedgerKeyUnusable, SendNotFound
from app.ledger.keystore import Keystore
from consent.errors import LedgerEntryNotSealed
from identity import identifiers
from identity.errors import IdentifierInvalid

router = Resource(tags=["consent"])

Subject = Annotated[str, Query(examples=["user_id:u-42"])]
Until = Annotated[AwareDatetime | None, Query(description="Only what was sent until then.")]
AUTH = (InvalidToken, InsufficientScope)
SEND: dict[str, Any] = {
    "message": "b7f1c7e2-0d53-4a55-b0a5-1b1f8f6f9c11",
    "kind": "segment.entered",
    "segment": "buyers",
    "destination": {"id": "3", "name": "crm", "host": "crm.example"},
    "purpose": "marketing.email",
    "purpose_version": "1",
    "lawful_basis": "consent",
    "reason": "given",
    "records": ["0f0e6c0c-8a39-4f5c-9d5f-0a4e4b0a1c11"],
    "decided_at": "2026-11-28T09:30:00+00:00",
    "sealed": True,
}


@router.get(
    "/v1/consents/sends",
    summary="List what was decided to be sent about one person",
    responses=documented(*AUTH, IdentifierInvalid, ok={"data": [SEND]}),
)
def list_sends(
    session: Db,
    caller: Annotated[Caller, requires("consents:read")],
    subject: Subject,
    destination: Annotated[str | None, Query(description="Its id or name.")] = None,
    until: Until = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return sends, the newest first, with the consent records that each rests on."""
    found = evidence.sends(
        session,
        *identifiers.parse(subject),
        until=until or datetime.now(UTC),
        destination=destination,
    )
    return {
        "data": [
            {
                **{name: evidence.said(row).get(name) for name in SEND},
                "sealed": row.manifest_id is not None,
            }
            for row in found
        ]
    }


@router.get(
    "/v1/consents/send-proof",
    summary="Prove the last send about one person to a destination",
    responses=documented(
        *AUTH, IdentifierInvalid, SendNotFound, LedgerEntryNotSealed, LedgerKeyUnusable
    ),
)
def prove_send(
    session: Db,
    configuration: Configuration,
    caller: Annotated[Caller, requires("consents:read", "ledger:read")],
    subject: Subject,
    destination: Annotated[str, Query(description="Its id or name.", examples=["crm"])],
    until: Until = None,
    purpose: Annotated[
        str | None,
        Query(description="Of several that it was sent for; else the destination's own."),
    ] = None,
) -> dict[str, Any]:
    """Return what `parcours ledger check` checks offline; it is personal data.

    A send is sealed within the minute; until then the answer is 409.
    """
    row = evidence.last(
        session,
        *identifiers.parse(subject),
        until=until or datetime.now(UTC),
        destination=destination,
        purpose=purpose,
    )
    with closing(Keystore(configuration)) as keystore:
        proof: dict[str, Any] = json.loads(evidence.prove(session, keystore, row))
    return proof
