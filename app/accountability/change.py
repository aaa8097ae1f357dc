"""A change that somebody proposes: to a purpose, to a notice, or a new destination."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consent.purposes import LawfulBasis, Mode, Regime


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PurposeChange(_Strict):
    """A next version of a purpose, or a new purpose; what is left out stays as it is."""

    key: str = Field(max_length=100, examples=["marketing.email"])
    lawful_basis: LawfulBasis = "consent"
    mode: Mode = "most_restrictive"
    regime: Regime = "eu_optin"
    valid_days: int | None = Field(default=None, ge=1, le=36_500)
    parent: str | None = Field(default=None, max_length=100)
    renews: bool = Field(default=False, description="Grants of earlier versions are stale.")
    explicit: bool = False
    direct_marketing: bool = False
    linkable: bool = True
    adults_only: bool = False

    def said(self) -> dict[str, Any]:
        """Return what is proposed, without what was left out."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"key"}}


class NoticeChange(_Strict):
    """A next version of a notice: do those who agreed to an earlier one have to be asked anew?"""

    key: str = Field(max_length=100, examples=["web-banner"])
    purposes: list[str] | None = Field(
        default=None,
        max_length=200,
        description="What it asks for; as its newest version does, when left out.",
    )
    asks_anew: bool = Field(
        default=True,
        description="What it says differs so much that its purposes get a version that `renews`.",
    )


class DestinationChange(_Strict):
    """A new destination of some segments."""

    purpose: str = Field(max_length=100, examples=["marketing.email"])
    segments: list[str] = Field(min_length=1, max_length=100, examples=[["newsletter-buyers"]])
    also_for: list[str] = Field(
        default_factory=list, max_length=20, description="Purposes that must be allowed too."
    )
    tcf_vendor: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Its id, if it is a TCF vendor."
    )


class SegmentEvent(_Strict):
    """An event as Segment takes it, to see what Segment would send of it that this does not."""

    source: str = Field(max_length=200, description="By whose categories it is read here.")
    consent: Any = Field(default=None, description="Its `context.consent`, if it has one.")
    integrations: Any = Field(default=None, description="Its `integrations`, if it has them.")
    destinations: dict[str, list[str]] = Field(
        min_length=1,
        max_length=100,
        description="The categories that each destination is mapped to at Segment; none is [].",
        examples=[{"facebook": ["advertising"], "warehouse": []}],
    )


class Change(_Strict):
    """Exactly one proposed change, or an event to compare with Segment."""

    purpose: PurposeChange | None = None
    notice: NoticeChange | None = None
    destination: DestinationChange | None = None
    segment_event: SegmentEvent | None = None

    @property
    def kind(self) -> str:
        """Say what is to change."""
        return next(name for name in Change.model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one(self) -> "Change":
        if sum(getattr(self, name) is not None for name in Change.model_fields) != 1:
            raise ValueError(f"propose one of {', '.join(Change.model_fields)}")
        return self
