"""How the cells of a matrix are judged: by what people say of them, and by their friction."""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from app.journeys import voice
from app.journeys.friction import friction
from app.journeys.friction_request import FrictionQuery, VoiceQuery
from app.journeys.matrix_answer import SaidAt
from app.journeys.matrix_request import MatrixQuery

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of the cells, and their friction, by stage and channel."""

    voice: dict[Place, tuple[SaidAt, ...]]
    friction: dict[Place, float]


def judged(connection: duckdb.DuckDBPyConnection, query: MatrixQuery, as_of: datetime) -> Judged:
    """Judge the cells by what was asked for. Read-only."""
    return Judged(
        voice.of_cells(connection, said(query), as_of=as_of) if query.surveys else {},
        _friction(connection, query, as_of),
    )


def said(query: MatrixQuery) -> VoiceQuery:
    """Return the question of a matrix about what people say."""
    return VoiceQuery(journey=query.journey, range=query.range, surveys=query.surveys)


def _friction(
    connection: duckdb.DuckDBPyConnection, query: MatrixQuery, as_of: datetime
) -> dict[Place, float]:
    if query.friction is None:
        return {}
    asked = FrictionQuery.model_validate({
        **query.friction.model_dump(by_alias=True, exclude_unset=True),
        "journey": query.journey, "range": query.range, "surveys": query.surveys,
    })  # fmt: skip
    weighed: dict[Place, tuple[float, int]] = {}
    for point in friction(connection, asked, as_of=as_of).touchpoints:
        if point.score is not None:
            total, visits = weighed.get((point.stage, point.channel), (0.0, 0))
            weighed[point.stage, point.channel] = (
                total + point.score * point.visits, visits + point.visits
            )  # fmt: skip
    return {place: total / visits for place, (total, visits) in weighed.items()}
