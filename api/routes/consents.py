"""Consent: recording choices, and the decision with its reasons."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

import consent
from api import write_key
from api.auth import Caller, client_limits, requires, token_keys, verify
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken, WriteKeyNotEnough
from api.known_sources import Known, KnownSources
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app.consents import explain, record
from app.destinations import disclosures
from app.errors import (
    BodyTooLarge,
    OriginNotAllowed,
    ProfileNotFound,
    RateLimited,
    UnknownWriteKey,
)
from app.profiles import read
from consent.errors import (
    AgeNotStated,
    ConsentRecordNotFound,
    GuardianNeeded,
    NoticeDoesNotAsk,
    NoticeNotFound,
    PurposeNotFound,
)
from identity import identifiers
from identity.errors import IdentifierInvalid

router = Resource(tags=["consent"])
AUTH = (InvalidToken, InsufficientScope)
#: Bytes of evidence, as JSON: it stands in the record of every purpose that is decided, for ever.
LONGEST_EVIDENCE = 4_096
#: Levels of objects and lists in it: of 255 the records of its person could be listed no more.
DEEPEST_EVIDENCE = 32


def _short(evidence: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [evidence]
    for _ in range(DEEPEST_EVIDENCE):
        inner = [i for o in level for i in (o.values() if isinstance(o, dict) else o)]
        level = [one for one in inner if isinstance(one, dict | list)]
    if level:
        raise ValueError(f"has more than {DEEPEST_EVIDENCE} levels: keep it elsewhere and name it")
    if len(json.dumps(evidence, ensure_ascii=False).encode(errors="replace")) > LONGEST_EVIDENCE:
        raise ValueError(f"has more than {LONGEST_EVIDENCE} bytes: keep it elsewhere and name it")
    return evidence


Evidence = Annotated[dict[str, Any], AfterValidator(_short)]


class SubjectIn(BaseModel):
    """Whose choice it is: one identifier."""

    model_config = ConfigDict(extra="forbid")

    namespace: str = Field(examples=["user_id"], max_length=63)
    value: str = Field(examples=["u-42"], max_length=1024)


class DecisionIn(BaseModel):
    """One choice about one purpose."""

    model_config = ConfigDict(extra="forbid")

    purpose: str = Field(examples=["marketing.email"], max_length=200)
    state: Literal["given", "refused", "withdrawn"]
    overrides_universal_opt_out: bool = Field(
        default=False,
        description="Whether it was given on a notice that names the signal by which the browser "
        "opts out, such as Global Privacy Control; only then does it lift that opt-out. With the "
        "write key of a website, for the device (`anonymous_id`) alone.",
    )


class NoticeRef(BaseModel):
    """Which notice the person saw."""

    model_config = ConfigDict(extra="forbid")

    key: str
    version: int = Field(ge=1)
    language: str = Field(default="en", max_length=35)


class PartnerIn(BaseModel):
    """Who collected it in our place; without the proof they hold nothing is allowed."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, examples=["Partner SA"])
    proof: Evidence | None = Field(
        default=None, examples=[{"record": "KI-CR-v1.1.0 c1befd3e", "sha256": "9f86d081884c7d65"}]
    )


class GuardianIn(BaseModel):
    """A holder of parental responsibility, and how that was checked (GDPR art. 8(2))."""

    model_config = ConfigDict(extra="forbid")

    verified_by: str = Field(
        min_length=1, max_length=200, examples=["e-mail to the parent, confirmed"]
    )
    reference: str | None = Field(
        default=None, max_length=200, description="Where the evidence is kept; name nobody."
    )


class ConsentIn(BaseModel):
    """Explicit consent decisions of one identifier."""

    model_config = ConfigDict(
        extra="forbid",  # what is misspelt may be when it was withdrawn, or on which notice
        json_schema_extra={
            "example": {
                "subject": {"namespace": "user_id", "value": "u-42"},
                "decisions": [{"purpose": "marketing.email", "state": "withdrawn"}],
                "evidence": {"channel": "preference centre"},
            }
        },
    )

    subject: SubjectIn
    decisions: list[DecisionIn] = Field(min_length=1, max_length=100)
    notice: NoticeRef | None = None
    effective_at: Moment | None = None
    evidence: Evidence = Field(
        default_factory=dict,
        description="What proves it: `served_notice_id` says that the notice was shown. At most "
        f"{LONGEST_EVIDENCE} bytes, in {DEEPEST_EVIDENCE} levels.",
    )
    partner: PartnerIn | None = None
    guardian: GuardianIn | None = Field(
        default=None, description="Of a child; only from a client with `consents:write`."
    )

    @model_validator(mode="after")
    def _each_purpose_once(self) -> "ConsentIn":
        """Check that nothing is both given and refused: nobody could say which of them counts."""
        purposes = [decision.purpose for decision in self.decisions]
        if twice := sorted({purpose for purpose in purposes if purposes.count(purpose) > 1}):
            raise ValueError(f"decided more than once: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _overrides_on_a_notice(self) -> "ConsentIn":
        """Check that what overrides a universal opt-out is a grant made on a notice of its own."""
        for decision in self.decisions:
            if decision.overrides_universal_opt_out and (
                decision.state != "given" or self.notice is None
            ):
                raise ValueError("only a grant made on a notice overrides a universal opt-out")
        return self


class WrittenOut(BaseModel):
    """The records that were written."""

    records: list[dict[str, str]]


class Collected(NamedTuple):
    """Who says so, and whether by a source whose write key is a secret."""

    by: str
    server_side: bool = False

    def proves(self, namespace: str) -> bool:
        """Say whether it is proved whose word it is: a device's own, or one that a key proves."""
        source = self.by.startswith("source:") and not self.server_side
        return not source or namespace == "anonymous_id"


async def sender(request: Request) -> Known | None:
    """Return the source of a write key (Basic); None where there is none of it to look at.

    Raises UnknownWriteKey, OriginNotAllowed.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    known_sources: KnownSources = request.app.state.sources
    known = await known_sources.find(write_key.basic_user(value) or "")
    known.door.admit_origin(request.headers.get("origin"))
    return known


Sender = Annotated[Known | None, Depends(sender)]


def collector(request: Request, known: Sender, session: Db, settings: Configuration) -> Collected:
    """Return who says so: a source by its write key (Basic), or a client with `consents:write`.

    Raises UnknownWriteKey, OriginNotAllowed, InvalidToken, InsufficientScope.
    """
    if known is not None:
        return Collected(f"source:{known.source.name}", known.source.server_side)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidToken("Send a write key as Basic user name, or an access token as Bearer.")
    caller, _ = verify(value, known=token_keys(request), session=session, settings=settings)
    client_limits(request).admit(caller.client_id, caller.requests_per_second, caller.burst)
    if "consents:write" not in caller.scopes:
        raise InsufficientScope("The access token lacks the scope consents:write.")
    return Collected(f"client:{caller.client_id}")


Collector = Annotated[Collected, Depends(collector)]


async def admitted(
    request: Request, known: Sender, collected: Collector, wanted: ConsentIn
) -> tuple[Collected, ConsentIn]:
    """Let it in by the door of the source, as its events: each decision counts for one.

    Raises OriginNotAllowed, BodyTooLarge, RateLimited.
    """
    if known is not None:
        known.door.admit(
            origin=request.headers.get("origin"),
            size=len(await request.body()),
            events=len(wanted.decisions),
            now=time.monotonic(),
        )
    return collected, wanted


Admitted = Annotated[tuple[Collected, ConsentIn], Depends(admitted)]


@router.post(
    "/v1/consents",
    summary="Record explicit consent decisions",
    openapi_extra={"security": [{"WriteKey": []}, {"OAuth2": ["consents:write"]}]},
    responses=documented(
        InvalidToken,
        UnknownWriteKey,
        OriginNotAllowed,
        BodyTooLarge,
        RateLimited,
        InsufficientScope,
        PurposeNotFound,
        NoticeNotFound,
        NoticeDoesNotAsk,
        GuardianNeeded,
        AgeNotStated,
        IdentifierInvalid,
    ),
)
def record_consents(admitted: Admitted, session: Db) -> WrittenOut:
    """Record decisions with a source's write key (Basic) or a token with `consents:write`.

    A source has its limits here as on its events, of which each decision is one.
    In force for every decision from the answer on; who leaves a segment by it, and the
    destinations that must hear of it, follow within seconds.
    """
    collected, wanted = admitted  # read here, too, the body would be checked twice
    if wanted.guardian is not None and not collected.by.startswith("client:"):
        raise InsufficientScope("A write key is in every page: a guardian speaks by a client.")
    by_a_page = collected.by.startswith("source:") and not collected.server_side
    if wanted.partner is not None and by_a_page:
        raise InsufficientScope("A write key is in every page: a partner speaks by a client.")
    subject = f"{wanted.subject.namespace}:{wanted.subject.value}"
    namespace, value = identifiers.parse(subject)
    overriding = {d.purpose for d in wanted.decisions if d.overrides_universal_opt_out}
    if overriding and not collected.proves(namespace):
        raise WriteKeyNotEnough("A write key is in every page: of a name a client overrides that.")
    written = record.record(
        session,
        namespace,
        value,
        {d.purpose: d.state for d in wanted.decisions},
        collected_by=collected.by,
        server_side=collected.server_side,
        received_at=datetime.now(UTC),
        effective_at=wanted.effective_at,
        notice=wanted.notice.model_dump() if wanted.notice else None,
        evidence=wanted.evidence,
        partner=wanted.partner.model_dump() if wanted.partner else None,
        guardian=wanted.guardian.model_dump(exclude_none=True) if wanted.guardian else None,
        overriding=overriding,
    )
    return WrittenOut(
        records=[{"id": w.record_id, "purpose": w.purpose, "state": w.state} for w in written]
    )


@router.get(
    "/v1/consents",
    summary="List consent records of one person",
    responses=documented(*AUTH, ProfileNotFound, IdentifierInvalid),
)
def list_records(
    session: Db,
    caller: Annotated[Caller, requires("consents:read")],
    subject: Annotated[str, Query(examples=["user_id:u-42"])],
    purpose: Annotated[str | None, Query()] = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return who agreed to what, when, on which notice, and the evidence; oldest first."""
    found = read.find(session, subject)
    records = explain.records(session, found.person_id, purpose=purpose)
    return {
        "data": [
            {
                "id": str(r.id),
                "seq": r.seq,
                "subject": {"namespace": r.namespace, "value": r.value},
                "purpose": r.purpose,
                "purpose_version": r.purpose_version,
                "state": r.state,
                "effective_at": r.effective_at.isoformat(),
                "recorded_at": r.recorded_at.isoformat(),
                "valid_until": r.valid_until.isoformat() if r.valid_until else None,
                "notice": r.notice,
                "collected_by": r.collected_by,
                "evidence": r.evidence,
            }
            for r in records
        ]
    }


@router.get(
    "/v1/consents/decision",
    summary="Decide whether a person's data may be used, and say why",
    responses=documented(*AUTH, ProfileNotFound, PurposeNotFound, IdentifierInvalid),
)
def decide(
    session: Db,
    caller: Annotated[Caller, requires("consents:read")],
    subject: Annotated[str, Query(examples=["user_id:u-42"])],
    purpose: Annotated[str, Query(examples=["marketing.email"])],
    at: Annotated[Moment | None, Query()] = None,
    known_at: Annotated[Moment | None, Query()] = None,
) -> dict[str, Any]:
    """Answer allow or deny with the reason and the records: now, then, or as known then."""
    now = datetime.now(UTC)
    found = read.find(session, subject)
    [answer] = explain.explain(
        session,
        found.person_id,
        found.acting_id,
        at=at or now,
        known_at=known_at or now,
        purpose=purpose,
    )
    return {"at": (at or now).isoformat(), **explain.as_json(answer)}


@router.get(
    "/v1/consents/denials",
    summary="Count the uses that were denied",
    responses=documented(*AUTH),
)
def list_denials(
    session: Db, caller: Annotated[Caller, requires("consents:read")]
) -> dict[str, list[dict[str, Any]]]:
    """Return how often each use was denied, by purpose and reason."""
    return {"data": consent.denials(session)}


@router.get(
    "/v1/consents/evidence",
    summary="Count the grants by what proves them",
    responses=documented(*AUTH),
)
def count_evidence(
    session: Db, caller: Annotated[Caller, requires("consents:read")]
) -> dict[str, int]:
    """Return how many grants name no notice, or one that nobody proved to have been shown."""
    return consent.proof(session)


@router.get(
    "/v1/consents/{record_id}/disclosures",
    summary="List what was sent after a refusal that was learned of late",
    responses=documented(*AUTH, ConsentRecordNotFound),
)
def list_disclosures(
    session: Db, caller: Annotated[Caller, requires("consents:read")], record_id: UUID
) -> dict[str, list[dict[str, Any]]]:
    """Return what destinations got of the person for the purpose since the refusal counts.

    And what became of telling each that the person has left.
    """
    return {"data": disclosures.since_refused(session, record_id)}
