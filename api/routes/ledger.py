"""The ledger of consent: what was signed, what is in it, and proofs that anybody can check."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query
from fastapi.responses import Response

from api.auth import Caller, requires
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import cursors
from app.errors import CursorInvalid
from consent.errors import CheckpointNotFound, LedgerEntryNotFound, LedgerEntryNotSealed
from consent.ledger import LedgerCheckpoint, store

router = Resource(tags=["ledger"])

Reader = Annotated[Caller, requires("ledger:read")]
Size = Annotated[int | None, Query(ge=1, le=2**62, description="A size that was signed.")]
AUTH = (InvalidToken, InsufficientScope)
#: C2SP's own examples: of a checkpoint, and of a proof.
NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcy"
    "v2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
PROOF = (
    "c2sp.org/tlog-proof@v1\nextra eyJib2R5Ijoi…\nindex 73894\ngSKyXoYZUgZ6jduWYrkDOARinOMG…\n\n"
    + NOTE
)
CHECKPOINT: dict[str, Any] = {
    "size": 20_852_163,
    "root": "0ac5186a91863e8e1d90c8080149a89bf5da8e3ee1d9f07630f0378f68f1ab62",
    "note": NOTE,
    "created_at": "2026-11-28T09:30:00Z",
}
ENTRY = {
    "v": "1", "type": "consent", "index": "73894", "logged": "2026-11-28T09:30Z",
    "subject": "aQc…=", "purpose": "marketing.email", "purpose_version": "1", "state": "withdrawn",
    "order_time": "2026-11-28T09:29Z", "source": "source:shop", "body": "Zx0…=",
}  # fmt: skip
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A .tlog-proof file.", "content": {"text/plain": {"example": PROOF}}}
}


def _checkpoint(row: LedgerCheckpoint) -> dict[str, Any]:
    return {
        "size": row.size,
        "root": row.root.hex(),
        "note": row.note,
        "created_at": row.created_at.isoformat(),
    }


def _file(session: Db, index: int, size: int | None) -> Response:
    proof = store.prove(session, index, size=size)
    name = f'attachment; filename="{index}.tlog-proof"'
    return Response(proof.write(), media_type="text/plain", headers={"Content-Disposition": name})


@router.get(
    "/v1/ledger/checkpoints",
    summary="List what was signed, and by which keys",
    responses=documented(
        *AUTH,
        CursorInvalid,
        ok={"vkeys": ["example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"],
            "data": [CHECKPOINT], "next_cursor": None},
    ),
)  # fmt: skip
def list_checkpoints(
    session: Db, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return signed checkpoints (C2SP tlog-checkpoint), the newest first, and the public keys.

    Keep some where the operator of this server cannot change them: a ledger that was rewritten
    does not fit them.
    """
    before = cursors.decode(cursor, int)[0] if cursor else None
    rows = store.checkpoints(session, limit=limit + 1, before=before)
    more = cursors.encode(rows[limit - 1].size) if len(rows) > limit else None
    return {
        "vkeys": store.vkeys(session),
        "data": [_checkpoint(row) for row in rows[:limit]],
        "next_cursor": more,
    }


@router.get(
    "/v1/ledger/entries",
    summary="List entries of the ledger",
    responses=documented(
        *AUTH, ok={"data": [{"index": 73894, "entry": ENTRY, "text": "{…}"}], "next": 73895}
    ),
)
def list_ledger_entries(
    session: Db,
    caller: Reader,
    start: Annotated[int, Query(ge=0, le=2**62, description="The first index.")] = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Return entries in the order of the ledger; `text` is what is hashed, byte for byte.

    They hold no personal data: keyed references that differ from entry to entry, and commitments.
    `next` is the index to go on with, null at the end.
    """
    rows = store.entries(session, start=start, limit=limit)
    return {
        "data": [{"index": r.leaf_index, "entry": store.said(r), "text": r.entry} for r in rows],
        "next": rows[-1].leaf_index + 1 if len(rows) == limit else None,
    }


@router.get(
    "/v1/ledger/entries/{index}/proof",
    summary="Prove that an entry is in the ledger",
    response_class=Response,
    responses={**documented(*AUTH, LedgerEntryNotFound, CheckpointNotFound), **FILE},
)
def prove_entry(
    session: Db,
    caller: Reader,
    index: Annotated[int, Path(ge=0, le=2**62)],
    size: Size = None,
) -> Response:
    """Return the proof as a file (C2SP tlog-proof@v1), against the newest checkpoint or `size`.

    It is checked without this server: `parcours ledger check FILE --vkey KEY`.
    """
    return _file(session, index, size)


@router.get(
    "/v1/ledger/consistency",
    summary="Prove that the ledger only grew",
    responses=documented(
        *AUTH,
        CheckpointNotFound,
        ok={"old": 20_000_000, "new": 20_852_163, "hashes": ["07de650daf11f37952f27d1e1bea346e…"]},
    ),
)
def prove_consistency(
    session: Db,
    caller: Reader,
    old: Annotated[int, Query(ge=1, le=2**62, description="The size of the older checkpoint.")],
    new: Annotated[int, Query(ge=1, le=2**62, description="The size of the newer checkpoint.")],
) -> dict[str, Any]:
    """Return the consistency proof between two sizes (RFC 9162 section 2.1.4), in hexadecimal."""
    hashes = store.consistency(session, old, new)
    return {"old": old, "new": new, "hashes": [found.hex() for found in hashes]}


@router.get(
    "/v1/consents/{record_id}/proof",
    summary="Prove that a consent record is in the ledger",
    response_class=Response,
    responses={**documented(*AUTH, LedgerEntryNotFound, LedgerEntryNotSealed), **FILE},
)
def prove_record(session: Db, caller: Reader, record_id: UUID) -> Response:
    """Return the proof of a record as a file (C2SP tlog-proof@v1); it holds no personal data.

    A record is sealed within the minute; until then the answer is 409.
    """
    return _file(session, store.index_of(session, record_id), None)
