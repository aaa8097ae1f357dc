"""The feed tells that a profile has changed where only a computed trait has."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.profiles import computing

PURPOSE = "service.operation"


def test_who_has_another_computed_value_is_in_the_feed_and_nobody_else(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=(PURPOSE,))

    def track(user: str, event: str) -> None:
        body = {"event": event, "userId": user, "writeKey": write_key}
        server.post("/v1/track", json=body).raise_for_status()
        with sessions.begin() as session:
            pipeline.step(session)

    def told() -> int:
        feed = server.get("/v1/changes?types=profile.updated", headers=header).json()
        return len(feed["data"])

    def advance(later: timedelta) -> None:
        while computing.advance(sessions, now=datetime.now(UTC) + later):
            pass

    track("ada", "Order")
    track("bea", "Seen")
    assert told() == 0
    definition = {"kind": "days_since", "event": "Order"}
    body = {"name": "Days", "purpose": PURPOSE, "definition": definition}
    server.put("/v1/computed-traits/days", json=body, headers=header).raise_for_status()
    advance(timedelta(0))
    assert told() == 1  # ada has a value now, bea none
    track("ada", "Order")  # since when has changed, and how many days ago it was has not
    track("bea", "Seen")
    assert told() == 1
    advance(timedelta(days=1, seconds=5))
    assert told() == 2
    track("bea", "Order")
    assert told() == 3
    body["definition"] = {"kind": "count", "event": "Seen"}
    server.put("/v1/computed-traits/days", json=body, headers=header).raise_for_status()
    mine = f"/v1/profiles/user_id:ada/computed?purpose={PURPOSE}"
    [shown] = server.get(mine, headers=header).json()["data"]
    assert (shown["value"], shown["state"]) == (None, "computing"), "of what it was nothing is read"
    advance(timedelta(0))
    assert told() == 5  # bea has another value now, ada none


def test_numbers_that_are_too_large_together_break_nobodys_profile(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    """A page may send them with its public key, and every list with that person in it failed."""
    header, numbers = token(purposes=(PURPOSE,)), [f"{'9' * 4_300}", f"{'9' * 4_300}", "1.5e308"]
    for number in (*numbers, "0.5"):
        body = (
            f'{{"event": "Order", "userId": "ada", "writeKey": "{write_key}",'
            f' "properties": {{"price": {number}}}}}'
        )
        server.post("/v1/track", content=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    kinds = ("sum", "average", "max", "rfm")
    for kind in kinds:
        definition = {"kind": kind, "event": "Order", "prop": "price"}
        wanted = {"name": kind, "purpose": PURPOSE, "definition": definition}
        server.put(f"/v1/computed-traits/{kind}", json=wanted, headers=header).raise_for_status()
    while computing.advance(sessions):
        pass
    asked = {"purpose": PURPOSE}
    listed = server.get("/v1/profiles", params=asked, headers=header)
    assert listed.status_code == 200
    [ada] = listed.json()["data"]
    assert sorted(ada["computed"]) == ["max", "rfm"]
    assert ada["computed"]["max"] == int(numbers[0])
    assert ada["computed"]["rfm"]["monetary"] is None
    assert ada["computed"]["rfm"]["frequency"] == 4
