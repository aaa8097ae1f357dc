"""Global Vendor Lists of IAB Europe: what vendors have declared, kept here by version."""

from typing import Annotated, Any

import msgspec
from fastapi import Body

import consent
from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.destinations import syncing
from consent.errors import VendorListInvalid
from consent.vendors import VendorListVersion

router = Resource(prefix="/v1/vendor-lists", tags=["consent"])
AUTH = (InvalidToken, InsufficientScope)
EXAMPLE = {
    "vendorListVersion": 51,
    "vendors": {"10": {"purposes": [1], "legIntPurposes": [7], "flexiblePurposes": [7]}},
}


def _out(found: VendorListVersion) -> dict[str, Any]:
    return {
        "version": found.version,
        "vendors": len(found.vendors),
        "sha256": found.sha256,
        "added_at": found.added_at.isoformat(),
    }


@router.post(
    "",
    status_code=201,
    summary="Add a version of the Global Vendor List",
    responses=documented(*AUTH, VendorListInvalid),
)
def add_vendor_list(
    session: Db,
    caller: Annotated[Caller, requires("privacy:process")],
    document: Annotated[dict[str, Any], Body(examples=[EXAMPLE])],
) -> dict[str, Any]:
    """Add a list as IAB Europe publishes it (`vendor-list.json`); a version never changes.

    A vendor is denied wherever a TC string names a version that is not here. Who allowed one by
    this version is sent to it by a sync, which is asked for here.
    """
    found = consent.vendors.add_list(session, msgspec.json.encode(document))
    syncing.follow_vendors(session)
    return _out(found)


@router.get("", summary="List the vendor lists", responses=documented(*AUTH))
def list_vendor_lists(
    session: Db, caller: Annotated[Caller, requires("consents:read")]
) -> dict[str, Any]:
    """Return the versions that are here, the newest first."""
    return {"data": [_out(found) for found in consent.vendors.lists(session)]}
