"""Consent receipts, and the controller whom they name."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from api.auth import Caller, requires
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.accountability import controller as controllers
from app.accountability.controller import Controller
from app.accountability.receipt import Format
from app.accountability.receipt import receipt as made_of
from consent import party
from consent.errors import (
    ConsentRecordNotFound,
    ControllerNotFound,
    ReceiptIncomplete,
    ReceiptNotPossible,
)

router = Resource(tags=["consent"])

Reader = Annotated[Caller, requires("consents:read")]
Officer = Annotated[Caller, requires("privacy:process")]
AUTH = (InvalidToken, InsufficientScope)


@router.get(
    "/v1/consents/{record_id}/receipt",
    summary="Get the receipt of a consent record",
    responses=documented(
        *AUTH,
        ConsentRecordNotFound,
        ReceiptIncomplete,
        ReceiptNotPossible,
        ok={"version": "KI-CR-v1.1.0", "jurisdiction": "FR", "consentTimestamp": 1_795_858_200},
    ),
)
def get_receipt(
    session: Db,
    settings: Configuration,
    caller: Reader,
    record_id: UUID,
    form: Annotated[
        Format,
        Query(
            alias="format",
            description="`kantara`: Consent Receipt 1.1; `dpv`: ISO/IEC TS 27560 in JSON-LD.",
        ),
    ] = "kantara",
) -> dict[str, Any]:
    """Return a receipt for the person, the same at each call until what is told changes.

    It holds the identifier that chose, hence personal data. A receipt that lacks something that
    it must say is refused with 409, which names all that is missing.
    """
    return made_of(session, record_id, form, address=settings.public_url.rstrip("/"))


@router.get(
    "/v1/controller",
    summary="Read who the controller is",
    responses=documented(*AUTH, ControllerNotFound),
)
def get_controller(session: Db, caller: Reader) -> Controller:
    """Return the controller, as receipts and the record of processing name it."""
    return Controller.model_validate(party.controller(session))


@router.put("/v1/controller", summary="Say who the controller is", responses=documented(*AUTH))
def put_controller(session: Db, caller: Officer, wanted: Controller) -> Controller:
    """Say who answers for the processing, in place of what was said; the ledger notes a hash."""
    return Controller.model_validate(controllers.set_controller(session, wanted))
