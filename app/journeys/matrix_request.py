"""What one can ask of a matrix; pure."""

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import TimeRange


class MatrixQuery(Frozen):
    """What identifies a matrix, apart from when it is asked: the journey and the range."""

    journey: Journey
    range: TimeRange = TimeRange()
