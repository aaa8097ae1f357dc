"""Predictions over HTTP: nobody who refused the purpose is learnt from or scored."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.journeys import pictures, vega
from app.profiles import read

pytestmark = pytest.mark.long

PURPOSE = "analytics.audience"
DAYS = 60
QUESTION = {"outcome": {"event": "Buy"}, "horizon": "P10D", "lookback": "P15D", "snapshots": 2}


@pytest.fixture
def crowd(
    server: TestClient, sessions: Sessions, write_key: str
) -> dict[str, tuple[bool, list[float]]]:
    """People who buy the more the more they look, told with how many days ago they did anything;
    every third has refused."""
    chance = random.Random(11)  # noqa: S311 - reproducible histories, not a secret
    now = datetime.now(UTC)
    people: dict[str, tuple[bool, list[float]]] = {}
    batch: list[dict[str, Any]] = []
    for number in range(450):
        who, says, keen = f"u-{number}", number % 3 != 0, chance.random() ** 2
        context = {"consent": {"categoryPreferences": {PURPOSE: says}}}
        done = []
        for day in range(DAYS):
            for name, share in (("Look", 0.05 + 0.3 * keen), ("Buy", 0.1 * keen)):
                if chance.random() < share:
                    ago = day + 0.5
                    at = (now - timedelta(days=ago)).isoformat()
                    batch.append({"type": "track", "event": name, "userId": who, "timestamp": at,
                                  "context": context})  # fmt: skip
                    done.append(ago)
        people[who] = (says, done)
    for start in range(0, len(batch), 400):
        body = {"batch": batch[start : start + 400], "writeKey": write_key}
        server.post("/v1/batch", json=body).raise_for_status()
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle
    return people


def test_only_who_allows_the_purpose_is_learnt_from_and_scored(
    server: TestClient,
    sessions: Sessions,
    crowd: dict[str, tuple[bool, list[float]]],
    token: Callable[..., dict[str, str]],
) -> None:
    header = token(purposes=(PURPOSE,))
    answer = server.post("/v1/analyses/prediction", json=QUESTION, headers=header)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    result = said["result"]
    assert result["refused"] is None
    assert said["excluded"]["consent:refused"] == sum(not s for s, days in crowd.values() if days)

    def active(since: int, until: int) -> int:
        return sum(says and any(since <= d < until for d in days) for says, days in crowd.values())

    # Fifteen days back from now, and from the two moments that were learnt from.
    assert result["scored"] == active(0, 15)
    assert result["learnt_from"] == active(20, 35) + active(30, 45)
    assert result["quality"]["n"] == active(10, 25)
    with sessions() as session:
        persons = [
            read.find(session, f"user_id:{w}") for w, (s, days) in crowd.items() if s and days
        ]
    allowed, listed = {str(one.profile_id) for one in persons}, []
    for band in (result["bands"][0], result["bands"][-1]):
        url = f"/v1/analyses/{said['query_id']}/profiles"
        page = server.get(url, params={"bucket": band["bucket"]}, headers=header).json()
        assert page["n_profiles"] == band["n"]
        assert all(band["low"] <= one["score"] <= band["high"] for one in page["data"])
        assert all(len(one["reasons"]) == 3 for one in page["data"])
        listed += [one["profile_id"] for one in page["data"]]
    assert listed
    assert set(listed) <= allowed
    root = ElementTree.fromstring(pictures.draw(said))  # noqa: S314 - a text of our own
    assert "AUC" in " ".join(root.itertext())
    assert len(vega.specification(said)["data"]["values"]) == 10


def test_a_question_that_few_can_answer_is_refused_with_the_reason(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=(PURPOSE,))
    said = server.post("/v1/analyses/prediction", json=QUESTION, headers=header).json()
    assert said["result"]["refused"].startswith("too thin: 0 did and 0 did not")
    assert "No prediction" in pictures.draw(said)
    assert vega.specification(said)["data"]["values"] == []
