"""The catalogue of consent: purposes and notices, versioned and immutable once written."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

import consent
from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app.consents import in_use
from consent.errors import (
    AssessmentMissing,
    LawfulBasisFixed,
    NoticeExists,
    PurposeExists,
    PurposeInvalid,
    PurposeNotFound,
)

router = Resource(tags=["consent"])
AUTH = (InvalidToken, InsufficientScope)
KEY = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$"


class Transfer(BaseModel):
    """Where data go outside the union, and what makes it lawful (GDPR art. 44 to 49)."""

    model_config = ConfigDict(extra="allow")

    country: str = Field(max_length=100, examples=["US"])
    tool: str = Field(max_length=200, examples=["standard contractual clauses 2021/914"])


class Declared(BaseModel):
    """What is told about a purpose and recorded (GDPR art. 13, 30, 35); it decides no use.

    What no purpose keeps by its `retention_days` is deleted.
    """

    model_config = ConfigDict(extra="allow")

    persons: list[str] = Field(default_factory=list, examples=[["customers"]])
    data_classes: list[str] = Field(default_factory=list, examples=[["contact", "behaviour"]])
    special_categories: list[str] = Field(default_factory=list)
    recipients: list[str] = Field(default_factory=list, examples=[["Mail provider SAS"]])
    storage_locations: list[str] = Field(default_factory=list, examples=[["FR"]])
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    proof_retention_days: int | None = Field(default=None, ge=0, le=36_500)
    ask_again_days: int | None = Field(
        default=None,
        ge=0,
        le=3_650,
        description="How long whoever refused is not to be asked again, 180 days where it is not "
        "said: `do_not_ask_before` of decisions.",
    )
    transfers: list[Transfer] = Field(default_factory=list)
    art9_condition: str | None = Field(default=None, max_length=200)
    dpia_required: bool = False
    dpia_ref: str | None = Field(default=None, max_length=500)
    lia_ref: str | None = Field(default=None, max_length=500)
    mappings: dict[str, Any] = Field(default_factory=dict)


class PurposeModel(BaseModel):
    """One version of a purpose."""

    model_config = ConfigDict(
        extra="forbid",  # what is misspelt would be left out of a version that never changes
        from_attributes=True,
        json_schema_extra={
            "example": {
                "key": "marketing.post",
                "version": 1,
                "lawful_basis": "consent",
                "mode": "most_restrictive",
                "title": {"en": "Send you offers by post"},
                "description": {},
                "valid_days": 395,
                "parent": "marketing",
                "direct_marketing": True,
                "declared": {"data_classes": ["contact"], "retention_days": 1095},
            }
        },
    )

    key: str = Field(pattern=KEY, max_length=100)
    version: int = Field(default=1, ge=1, le=1_000_000)
    lawful_basis: Literal[
        "consent",
        "contract",
        "legal_obligation",
        "vital_interests",
        "public_task",
        "legitimate_interests",
    ] = "consent"
    mode: Literal["most_restrictive", "per_identifier", "latest_explicit"] = "most_restrictive"
    title: dict[str, str] = Field(default_factory=dict)
    description: dict[str, str] = Field(default_factory=dict)
    valid_days: int | None = Field(default=None, ge=1, le=36_500)
    parent: str | None = Field(
        default=None, pattern=KEY, max_length=100, description="Who refuses it refuses this too."
    )
    regime: Literal["eu_optin", "us_optout", "exempt_measurement"] = "eu_optin"
    renews: bool = Field(
        default=False,
        description="Grants of earlier versions are stale from `effective_from` on.",
    )
    explicit: bool = Field(
        default=False, description="The consent that events carry along is not enough."
    )
    direct_marketing: bool = Field(
        default=False, description="Ends by an objection, on every basis (GDPR art. 21(3))."
    )
    linkable: bool = Field(
        default=True,
        description="False: only counted; never read by person, in a segment, joined or sent.",
    )
    adults_only: bool = Field(
        default=False, description="Refused to who is known to be under 18, whoever agrees."
    )
    link_confidence: Literal["probable", "deterministic"] = Field(
        default="probable",
        description="`deterministic`: identifiers that are only matched count as two people.",
    )
    effective_from: Moment | None = Field(
        default=None, description="Not in the past; now, when left out."
    )
    declared: Declared = Field(default_factory=Declared)


@router.get("/v1/purposes", summary="List the purposes", responses=documented(*AUTH))
def list_purposes(
    session: Db,
    caller: Annotated[Caller, requires("consents:read")],
    at: Annotated[Moment | None, Query(description="As in effect then.")] = None,
) -> dict[str, list[PurposeModel]]:
    """Return of every purpose of the catalogue the version in effect."""
    found = consent.catalogue.purposes(session, at=at).values()
    return {"data": [PurposeModel.model_validate(p) for p in found]}


@router.get(
    "/v1/purposes/{key}/versions",
    summary="List the versions of a purpose",
    responses=documented(*AUTH, PurposeNotFound),
)
def list_purpose_versions(
    session: Db, caller: Annotated[Caller, requires("consents:read")], key: str
) -> dict[str, list[PurposeModel]]:
    """Return every version there was and will be, oldest first."""
    found = consent.catalogue.versions(session, key)
    return {"data": [PurposeModel.model_validate(p) for p in found]}


@router.post(
    "/v1/purposes",
    status_code=201,
    summary="Add a purpose, or a next version of one",
    responses=documented(*AUTH, PurposeExists, LawfulBasisFixed, PurposeInvalid, AssessmentMissing),
)
def add_purpose(
    session: Db, caller: Annotated[Caller, requires("privacy:process")], wanted: PurposeModel
) -> PurposeModel:
    """Add a version; versions never change, and neither does a purpose's lawful basis.

    A scope of its own, because whoever changes the catalogue decides for everybody.
    """
    now = consent.catalogue.lock(session)
    start = wanted.effective_from or now
    if start < now and wanted.effective_from is not None:
        raise PurposeInvalid("a version takes effect now or later, not in the past")
    new = consent.Purpose(**wanted.model_dump(exclude={"effective_from"}), effective_from=start)
    made = PurposeModel.model_validate(consent.catalogue.add_purpose(session, new))
    in_use.wait_for_all(session)  # what is being sent rests on the version before
    return made


class NoticeModel(BaseModel):
    """One version of a notice in one language."""

    model_config = ConfigDict(
        extra="forbid",  # what is misspelt would be left out of a version that never changes
        from_attributes=True,
        json_schema_extra={
            "example": {
                "key": "web-banner",
                "version": 1,
                "language": "fr",
                "purposes": ["marketing.email"],
                "body": "Nous aimerions vous écrire …",
                "scope": "device",
            }
        },
    )

    key: str = Field(min_length=1, max_length=100, examples=["web-banner"])
    version: int = Field(ge=1, le=1_000_000, examples=[1])
    language: str = Field(default="en", max_length=35, examples=["fr"])
    purposes: list[str] = Field(
        default_factory=list,
        max_length=100,
        examples=[["marketing.email"]],
        description="What it asks for: these and what is below them can be granted on it.",
    )
    body: str = Field(max_length=500_000, examples=["Nous aimerions vous écrire …"])
    scope: Literal["device", "account"] = Field(
        default="device",
        description="For what it asks. What an account says on a notice for the account outranks, "
        "for purposes in the mode `latest_explicit`, what its devices said before.",
    )
    conditional_on_service: bool = Field(
        default=False, description="The service depends on it (GDPR art. 7(4)); reported."
    )
    screenshot_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    collector_code_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    body_sha256: str | None = Field(default=None, description="Computed by the server.")


@router.get("/v1/notices", summary="List the notices", responses=documented(*AUTH))
def list_notices(
    session: Db, caller: Annotated[Caller, requires("consents:read")]
) -> dict[str, list[NoticeModel]]:
    """Return all notice versions with their hashes."""
    return {"data": [NoticeModel.model_validate(n) for n in consent.catalogue.notices(session)]}


@router.post(
    "/v1/notices",
    status_code=201,
    summary="Add a notice version",
    responses=documented(*AUTH, NoticeExists, PurposeNotFound),
)
def add_notice(
    session: Db, caller: Annotated[Caller, requires("privacy:process")], wanted: NoticeModel
) -> NoticeModel:
    """Add a notice version; its SHA-256 is computed here and stands in every record made on it."""
    known = consent.catalogue.announced(session)
    if missing := [key for key in wanted.purposes if key not in known]:
        raise PurposeNotFound(missing[0])
    made = consent.catalogue.add_notice(session, **wanted.model_dump(exclude={"body_sha256"}))
    return NoticeModel.model_validate(made)
