"""The voice of the customer along a journey and in the cells of its matrix, on tables by hand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys import matrix as matrices
from app.journeys import voice as voices
from app.journeys.friction import friction
from app.journeys.friction_request import FrictionQuery, VoiceQuery
from app.journeys.matrix import matrix
from app.journeys.matrix_answer import MatrixResult
from app.journeys.matrix_request import MatrixQuery
from app.journeys.survey import Survey
from app.journeys.voice import voice

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 5, tzinfo=UTC)
LATER = START + timedelta(days=365)
JOURNEY: dict[str, Any] = {
    "key": "help",
    "name": "Help",
    "stages": [{"id": "ask", "order": 1}, {"id": "solve", "order": 2}],
    "channels": [{"id": "web"}, {"id": "phone"}],
    "touchpoints": [
        {"id": "page", "stage": "ask", "channel": "web", "match": {"event": "page"}},
        {"id": "form", "stage": "ask", "channel": "web", "match": {"event": "form"}},
        {"id": "call", "stage": "ask", "channel": "phone", "match": {"event": "call"}},
        {"id": "visit", "stage": "solve", "channel": "phone", "match": {"event": "visit"}},
    ],
}
CALL = {"instrument": "sentiment", "match": {"event": "call"}, "prop": "said.sentiment"}


def row(person: int, name: str, at: float, properties: str | None = None) -> dict[str, Any]:
    moment = START + timedelta(hours=at)
    return {"person_id": person, "name": name, "occurred_at": moment, "properties": properties}


def query(*surveys: Mapping[str, Any]) -> VoiceQuery:
    return VoiceQuery.model_validate({"journey": JOURNEY, "surveys": surveys})


def test_sentiment_is_of_the_contact_it_came_with_or_of_the_one_before(history: History) -> None:
    felt = ["-0.5", "0.1", '"POSITIVE"', '" négatif "', '"furious"', "2", "true"]
    said = []
    for person, value in enumerate(felt):
        said.append(row(person, "page", 0))
        said.append(row(person, "call", 1, f'{{"said": {{"sentiment": {value}}}}}'))
    # A post in public is no touchpoint: it is about the last one, and after a week about none.
    said += [row(0, "post", 5, '{"mood": "negative"}'), row(1, "post", 500, '{"mood": 1}')]
    post = {"instrument": "sentiment", "match": {"event": "post"}, "prop": "mood"}
    calls, posts = voice(history(said), query(CALL, post), as_of=LATER).surveys
    assert calls.scale == (-1, 1)
    here = {one.touchpoint: one for one in calls.touchpoints}
    assert (here["page"].n, here["call"].n, calls.off_scale) == (0, 4, 3)
    assert here["call"].value == pytest.approx((-0.5 + 0.1 + 1 - 1) / 4)
    assert (here["call"].high, here["call"].low) == (1, 2)
    listed = voices.people(
        history(said), query(CALL, post), as_of=LATER, number=here["call"].buckets["low"]
    )
    assert listed == [0, 3]
    assert posts.unlinked == 1
    assert [(one.touchpoint, one.value) for one in posts.touchpoints if one.n] == [("call", -1.0)]
    # Linked as answers are, it is about what came before the call.
    [before] = voice(history(said), query({**CALL, "link": "before"}), as_of=LATER).surveys
    assert [one.touchpoint for one in before.touchpoints if one.n] == ["page"]


def test_an_answer_after_a_contact_with_sentiment_is_about_that_contact(history: History) -> None:
    said = [row(1, "page", 0), row(1, "call", 1, '{"said": {"sentiment": -1}}'),
            row(1, "solved", 2, '{"first_time": "Oui"}'),
            row(2, "page", 0), row(2, "solved", 2, '{"first_time": false}')]  # fmt: skip
    first = {"instrument": "fcr", "match": {"event": "solved"}, "prop": "first_time"}
    _, resolved = voice(history(said), query(CALL, first), as_of=LATER).surveys
    found = {one.touchpoint: (one.value, one.low) for one in resolved.touchpoints if one.n}
    assert found == {"call": (1.0, 0), "page": (0.0, 1)}
    assert resolved.overall.value == 0.5
    assert resolved.overall.interval == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_words_stand_for_scores_of_the_scale_alone(history: History) -> None:
    said = [row(1, "page", 0), row(1, "rated", 1, '{"score": "Very happy"}'),
            row(2, "page", 0), row(2, "rated", 1, '{"score": "happy"}')]  # fmt: skip
    rated = {"instrument": "csat", "match": {"event": "rated"}, "labels": {"very happy": 5}}
    [one] = voice(history(said), query(rated), as_of=LATER).surveys
    assert (one.overall.n, one.overall.mean, one.off_scale) == (1, 5.0, 1)
    for wrong in (
        {"instrument": "fcr", "scale": (0, 2)},
        {"instrument": "sentiment", "labels": {"good": 5}},
        {"instrument": "csat", "labels": {"": 5}},
    ):
        with pytest.raises(ValidationError):
            Survey.model_validate({"match": {"event": "x"}, **wrong})
    # Other scales have no words of their own.
    assert Survey.model_validate({**CALL, "scale": (0, 100)}).words == {}


def judged(connection: duckdb.DuckDBPyConnection, asked: MatrixQuery) -> MatrixResult:
    return matrix(
        connection, asked.journey, as_of=LATER, surveys=asked.surveys, friction=asked.friction
    )


def test_cells_are_measured_and_judged_beside_what_was_planned(history: History) -> None:
    rated = {"instrument": "nps", "match": {"event": "rated"}}
    said = []
    for person in range(60):
        after = "form" if person < 20 else "page"
        said += [row(person, "page", 0), row(person, after, 1),
                 row(person, "rated", 2, f'{{"score": {10 if person < 20 else 0}}}')]  # fmt: skip
        if person < 40:
            said.append(row(person, "visit", 30))
    asked = MatrixQuery.model_validate({
        "journey": JOURNEY, "surveys": [CALL, rated],
        "friction": {"least": 10, "weights": {"voice": 3}},
    })  # fmt: skip
    cells = {(one.stage, one.channel): one for one in judged(history(said), asked).cells}
    ask = cells["ask", "web"]
    [nps] = ask.voice
    assert (nps.survey, nps.instrument, nps.n) == (2, "nps", 60)
    assert nps.value == pytest.approx(100 * (20 - 40) / 60)
    low = nps.buckets["low"]
    listed = matrices.people(history(said), asked, as_of=LATER, number=low)
    assert listed == list(range(20, 60))
    with pytest.raises(BucketInvalid):
        matrices.people(history(said), asked, as_of=LATER, number='low:[2,"solve","web"]')
    # The friction of a cell is that of its touchpoints, by how often they are visited.
    whole = FrictionQuery.model_validate({
        "journey": JOURNEY, "surveys": [CALL, rated], "least": 10, "weights": {"voice": 3},
    })  # fmt: skip
    points = [
        (one.score, one.visits)
        for one in friction(history(said), whole, as_of=LATER).touchpoints
        if one.channel == "web" and one.score is not None
    ]
    visits = sum(n for _, n in points)
    assert len(points) == 2
    assert ask.friction == pytest.approx(sum(score * n for score, n in points) / visits)
    assert 0 < (ask.friction or 0) < 100
    assert cells["solve", "web"].voice == ()
    # Unasked, a matrix is what it was.
    plain = judged(history(said), MatrixQuery.model_validate({"journey": JOURNEY}))
    assert {one.friction for one in plain.cells} == {None}
    assert all(one.voice == () for one in plain.cells)
