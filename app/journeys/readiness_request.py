"""What one can ask of the readiness of data; pure."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from app.journeys.definition import Frozen, Journey
from app.journeys.friction_request import Share
from app.journeys.funnel_request import Duration
from app.journeys.least import LEAST
from app.journeys.match import Match
from app.journeys.survey import Survey


class ReadinessChoices(Frozen):
    """How ready the data is: which feeds there are, what is blind, and what they bear.

    A feed is `silent` when nothing came of it for longer than `silent_after`. The shares are what
    each level asks for; `prompt` is within what time 95 of 100 events must come to be real time.
    `outcome` is what would be predicted: an arrival at the journey's last stage, where none is
    given. `surveys` are those of the voice of the customer; a touchpoint is covered by `least`
    answers.
    """

    outcome: Match | None = None
    surveys: tuple[Survey, ...] = Field(default=(), max_length=20)
    silent_after: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=7)
    prompt: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(hours=1)
    mapped_share: Share = 0.8
    known_share: Share = 0.5
    consent_share: Share = 0.5
    voice_share: Share = 0.5
    history: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(weeks=8)
    least: int = Field(default=LEAST, ge=1, le=1_000_000)


class ReadinessQuery(ReadinessChoices):
    """Readiness for a saved journey, by the name that other questions may call it by."""

    journey: Journey | None = None
    called: str | None = Field(default=None, max_length=200)
    purpose: str = Field(max_length=100)
