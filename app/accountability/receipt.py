"""Gathers what a receipt of one consent record says."""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy.orm import Session

import consent
from app.destinations import registry
from consent import party, receipts, records
from consent.errors import ControllerNotFound, ReceiptIncomplete

#: What a person has agreed to as it was told, or not at all: no later version adds to it.
AS_TOLD = ("special_categories", "art9_condition", "transfers", "recipients")

Format = Literal["kantara", "dpv"]


def receipt(session: Session, record_id: UUID, form: Format, *, address: str) -> dict[str, Any]:
    """Return the receipt of a consent record.

    What the record's own version of the purpose did not declare, the newest one does, but for
    special categories, transfers and recipients. Raises
    ConsentRecordNotFound, ReceiptIncomplete (also where nobody said who the controller is) and
    ReceiptNotPossible.
    """
    row = records.find(session, record_id)
    try:
        controller = party.controller(session)
    except ControllerNotFound as error:
        raise ReceiptIncomplete(f"the controller: {error}") from error
    versions = consent.catalogue.versions(session, row.purpose)
    purpose = next((v for v in versions if v.version == row.purpose_version), versions[-1])
    declared = _told(versions[-1].declared, purpose.declared, controller)
    facts = receipts.Facts(
        record_id=row.id,
        subject=f"{row.namespace}:{row.value}",
        state=row.state,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        valid_until=row.valid_until,
        notice=row.notice,
        method=_method(row),
        purpose=purpose,
        declared=declared,
        recipients=tuple(dict.fromkeys([*declared["recipients"], *_sent_to(session, row.purpose)])),
        controller=controller,
        address=address,
        guardian=_guardian(row),
    )
    return receipts.kantara(facts) if form == "kantara" else receipts.dpv(facts)


def _told(newest: dict[str, Any], then: dict[str, Any], controller: dict[str, Any]) -> Any:
    """Return what is told of a purpose: as it was then, where something was."""
    found = {name: value for name, value in newest.items() if name not in AS_TOLD}
    found |= {name: value for name, value in then.items() if value}
    found.setdefault("recipients", [])
    if not found.get("storage_locations"):
        found["storage_locations"] = controller.get("storage_locations", [])
    return found


def _sent_to(session: Session, purpose: str) -> list[str]:
    """Return to whom data are sent for a purpose."""
    found = [one for one in registry.receiving(session, purpose) if one.removed_at is None]
    found.sort(key=lambda one: one.name)
    return [destination.declared.get("recipient") or destination.name for destination in found]


def _guardian(row: consent.ConsentRecord) -> str | None:
    """Say how the guardian was checked who said it; None where the person did."""
    if not row.guardian:
        return None
    return str((row.evidence.get("guardian") or {}).get("verified_by") or "nobody knows how")


def _method(row: consent.ConsentRecord) -> str:
    """Say how the choice was made, as far as the evidence tells."""
    for name in ("channel", "ui_component"):
        if isinstance(row.evidence.get(name), str):
            return str(row.evidence[name])
    return "carried by an event" if row.stamp else row.collected_by
