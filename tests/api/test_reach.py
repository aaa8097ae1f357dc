"""A question about a time of which there is nothing says so."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.journeys.cautions import caution

PURPOSE = "analytics.audience"
BUY = {"event": "Buy"}
NOW = datetime.now(UTC)
FIRST = NOW - timedelta(days=10)
Ask = Callable[..., list[str]]


@pytest.fixture
def ask(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> Ask:
    """Ask of somebody who looked ten days ago and bought five days ago; return the warnings."""
    for name, at in (("Look", FIRST), ("Buy", NOW - timedelta(days=5))):
        event = {
            "event": name, "userId": "u", "timestamp": at.isoformat(), "writeKey": write_key,
            "context": {"consent": {"categoryPreferences": {PURPOSE: True}}},
        }  # fmt: skip
        server.post("/v1/track", json=event).raise_for_status()
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle
    header = token(purposes=(PURPOSE,))

    def asked(kind: str, **said: Any) -> list[str]:
        answer = server.post(f"/v1/analyses/{kind}", json=said, headers=header)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["warnings"])

    return asked


def test_a_look_back_beyond_the_first_event_is_warned_of(ask: Ask) -> None:
    touch = {"conversion": BUY, "label": "event"}
    assert ask("attribution", **touch, lookback="P9D") == []
    [said] = ask("attribution", **touch, lookback="P11D")
    assert said.startswith(f"the look-back begins on {(NOW - timedelta(days=11)).date()},")
    assert f"({FIRST.date()})" in said
    assert str(FIRST.date()) in caution(said, "fr")
    assert caution(said, "fr") != said
    span = {"from": (NOW - timedelta(days=6)).isoformat()}
    assert ask("attribution", **touch, lookback="P3D", range=span) == []
    assert len(ask("attribution", **touch, lookback="P5D", range=span)) == 1
    # Learnt from at two horizons ago, and looked back from there.
    learnt = {"outcome": BUY, "snapshots": 2}
    assert ask("prediction", **learnt, lookback="P6D", horizon="P1D") == []
    assert len(ask("prediction", **learnt, lookback="P8D", horizon="P1D")) == 1
    assert len(ask("prediction", **learnt, lookback="P9D", horizon="P300D")) == 1


def test_a_range_without_any_event_is_warned_of(ask: Ask) -> None:
    steps = [{"event": "Look"}, BUY]
    before = {"to": (NOW - timedelta(days=20)).isoformat()}
    between = {"from": (NOW - timedelta(days=9)).isoformat(),
               "to": (NOW - timedelta(days=6)).isoformat()}  # fmt: skip
    for span in (before, between, {"from": "9999-12-01"}):
        [said] = ask("funnel", steps=steps, range=span)
        assert said == (
            f"no event lies in the range; the first is of {FIRST.date()},"
            f" the last of {(NOW - timedelta(days=5)).date()}"
        )
        assert caution(said, "fr") != said
    around = {"from": (NOW - timedelta(days=11)).isoformat()}
    assert ask("funnel", steps=steps, range=around) == ask("funnel", steps=steps) == []
