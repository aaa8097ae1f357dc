"""How old people are, as far as it decides: children and teenagers."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.consents import ages as stated
from app.errors import SubjectSuppressed
from consent import ages
from identity import identifiers
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/ages", tags=["consent"])
AUTH = (InvalidToken, InsufficientScope, IdentifierInvalid)


class AgeIn(BaseModel):
    """How old the person of an identifier is: by date of birth and country, or as a band."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"subject": "user_id:u-42", "born": "2015-03-01", "country": "FR"}
        },
    )

    subject: str = Field(max_length=1_100, examples=["user_id:u-42"])
    born: date | None = Field(
        default=None, description="It is not kept: only until when each band holds."
    )
    country: str = Field(
        default="", pattern="^([A-Z]{2})?$", description="Whose law says from when on they agree."
    )
    band: Literal["child", "teen", "adult"] | None = Field(
        default=None, description="Where the date of birth is not known; until told otherwise."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.born is None) == (self.band is None):
            raise ValueError("say either when the person was born or the band")
        latest = datetime.now(UTC).date() + timedelta(days=1)  # it is tomorrow elsewhere
        if self.born is not None and not date(1900, 1, 1) <= self.born <= latest:
            raise ValueError("nobody is that old, or not born yet")
        return self

    def spans(self, at: datetime) -> list[ages.Span]:
        """Return the bands from now on."""
        if self.born is not None:
            return ages.spans(self.born, self.country, at=at)
        return [] if self.band in (None, "adult") else [ages.Span(str(self.band), at, None)]


def _shown(session: Db, who: tuple[str, str]) -> dict[str, Any]:
    return {
        "data": [
            {
                "band": row.band,
                "from": row.from_at.isoformat(),
                "to": row.to_at.isoformat() if row.to_at else None,
                "stated_by": row.stated_by,
            }
            for row in ages.of(session, [who])
        ]
    }


@router.put("", summary="State how old somebody is", responses=documented(*AUTH, SubjectSuppressed))
def state_age(
    session: Db, caller: Annotated[Caller, requires("consents:write")], wanted: AgeIn
) -> dict[str, Any]:
    """State the age of a person, instead of what was stated before. In force from the answer on.

    A child's consent counts only with a guardian's; who is under 18 is kept out of purposes for
    adults. Without a country the age of digital consent is 16. `entry_id` is the statement's in the
    ledger, which proves it.
    """
    who, now = identifiers.parse(wanted.subject), datetime.now(UTC)
    by = f"client:{caller.client_id}"
    entry = stated.state(session, *who, wanted.spans(now), stated_by=by, at=now)
    return {"entry_id": str(entry), **_shown(session, who)}


@router.get("", summary="Show what is known of somebody's age", responses=documented(*AUTH))
def show_age(
    session: Db,
    caller: Annotated[Caller, requires("consents:read")],
    subject: Annotated[str, Query(examples=["user_id:u-42"])],
) -> dict[str, Any]:
    """Return the bands of one identifier, oldest first; none of who is an adult or unknown."""
    return _shown(session, identifiers.parse(subject))
