"""What one can ask of a matrix; pure."""

from pydantic import Field

from app.journeys.definition import Frozen, Journey
from app.journeys.friction_request import FrictionRules
from app.journeys.funnel_request import TimeRange
from app.journeys.survey import Survey


class MatrixChoices(Frozen):
    """A matrix, and by what its cells are judged: the answers to `surveys`, and `friction`."""

    range: TimeRange = TimeRange()
    surveys: tuple[Survey, ...] = Field(default=(), max_length=20)
    friction: FrictionRules | None = None


class MatrixQuery(MatrixChoices):
    """What identifies a matrix, apart from when it is asked: the journey and the choices."""

    journey: Journey
