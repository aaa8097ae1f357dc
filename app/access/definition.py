"""What a source may be told: what it collects for, and what it may send; no database."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.access import origins
from app.errors import DefinitionInvalid

#: What events are collected for unless the source says otherwise: running the service that the
#: person asked for (GDPR art. 6(1)(b)). Every further use is decided for its own purpose.
DEFAULT_COLLECTION_PURPOSE = "service.operation"
#: No event may wait longer than this for an answer, in seconds: a month.
LONGEST_PENDING = 31 * 86_400
LONGEST_NAME = 200

Purpose = Annotated[str, Field(min_length=1, max_length=100)]


class SourceDefinition(BaseModel):
    """The settings of a source. None, where it is allowed, is the server's setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    collection_purpose: Purpose = Field(
        default=DEFAULT_COLLECTION_PURPOSE,
        description="The purpose events are collected for; decides what is stored.",
    )
    stamp_is_evidence: bool = Field(
        default=True, description="Whether the consent object of each event is recorded."
    )
    # A category without a purpose would look like an answer and decide nothing.
    categories: dict[
        Annotated[str, Field(min_length=1, max_length=200)],
        Annotated[list[Purpose], Field(min_length=1)],
    ] = Field(default={}, max_length=200, description="Consent categories of this source, by name.")
    allowed_origins: list[Annotated[str, AfterValidator(origins.normal)]] = Field(
        default=[],
        max_length=200,
        description="Origins whose pages may send, such as https://www.example.com or "
        "https://*.example.com; any when empty. Servers send none and pass.",
    )
    max_event_bytes: int | None = Field(
        default=None, ge=1_000, description="Largest event, in bytes of JSON."
    )
    max_batch_bytes: int | None = Field(
        default=None, ge=1_000, description="Largest request body, unpacked, in bytes."
    )
    max_batch_events: int | None = Field(
        default=None, ge=1, le=20_000, description="Most events in one request."
    )
    events_per_second: float | None = Field(
        default=None,
        ge=0.001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Events per second on average, in each server process; any when null.",
    )
    burst: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Events at once, beyond the average; those of one second when null.",
    )
    pending_seconds: int = Field(
        default=0,
        ge=0,
        le=LONGEST_PENDING,
        description="How long events wait, encrypted, for the visitor's answer; 0 holds none.",
    )

    tcf_collectors: list[Annotated[int, Field(ge=2, le=4095)]] = Field(
        default=[],
        max_length=50,
        description="Ids of the consent banners (CMP) whose TC strings are recorded even where "
        "stamps are not.",
    )
    tcf_policy_floor: int = Field(
        default=4, ge=0, le=63, description="Lowest TCF policy version of a string that counts."
    )
    tcf_own_purposes: Literal["publisher", "core"] = Field(
        default="publisher",
        description="Which bits of a TC string are about us: those for the publisher, or those "
        "for vendors.",
    )
    preference_snapshot: bool = Field(
        default=True,
        description="Whether the answer of a banner refuses what it does not name; if not, that "
        "stays as it was.",
    )
    server_side: bool = Field(
        default=False,
        description="Whether its write key is kept on servers that know whom they speak of: then "
        "what it says of a name is proved, and lifts that person's withdrawals.",
    )

    @property
    def purposes(self) -> set[str]:
        """Every purpose that is named."""
        return {self.collection_purpose, *(p for ps in self.categories.values() for p in ps)}

    def within(self, largest_body: int) -> None:
        """Check what a source may not raise above the server's own; raises DefinitionInvalid."""
        for name in ("max_event_bytes", "max_batch_bytes"):
            if (getattr(self, name) or 0) > largest_body:
                raise DefinitionInvalid(
                    f"#/{name}: this server takes at most {largest_body} bytes in one request "
                    "(PARCOURS_MAX_BODY_BYTES)"
                )
        if self.burst is not None and self.events_per_second is None:
            raise DefinitionInvalid("#/burst: says nothing without events_per_second")


def check_name(name: str) -> None:
    """Check that a source or client of this name can be written in an address and on one line.

    Raises DefinitionInvalid.
    """
    if not 0 < len(name) <= LONGEST_NAME:
        raise DefinitionInvalid(f"#/name: has {len(name)} characters; 1 to {LONGEST_NAME}")
    if not name.isprintable() or name != name.strip() or {".", ".."} & set(name.split("/")):
        raise DefinitionInvalid(
            f"#/name: {name!r} is no name; write one line without blanks at its ends, and no step "
            "of a path such as .."
        )


def read(settings: Mapping[str, Any]) -> SourceDefinition:
    """Read the settings of a source; raises DefinitionInvalid, which says where and why."""
    try:
        return SourceDefinition.model_validate(settings)
    except ValidationError as error:
        raise DefinitionInvalid(
            "; ".join(f"#/{'/'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        ) from error
