"""A segment over the API: its members while no worker has been there, and rules too large."""

from collections.abc import Callable

from fastapi.testclient import TestClient


def test_who_withdrew_is_listed_no_more_although_no_worker_runs(
    server: TestClient, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=("marketing.email",))
    yes = {"consent": {"categoryPreferences": {"marketing.email": True}}}
    for user in ("ada", "bea"):
        event = {"event": "Order", "userId": user, "context": yes, "writeKey": write_key}
        server.post("/v1/track", json=event).raise_for_status()
    segment = {"key": "all", "name": "A", "purpose": "marketing.email", "rule": {"event": "Order"}}
    server.post("/v1/segments", json=segment, headers=header).raise_for_status()

    def members() -> int:
        return len(server.get("/v1/segments/all/members", headers=header).json()["data"])

    assert members() == 2
    withdrawal = {
        "subject": {"namespace": "user_id", "value": "ada"},
        "decisions": [{"purpose": "marketing.email", "state": "withdrawn"}],
    }
    server.post("/v1/consents", json=withdrawal, headers=header).raise_for_status()
    assert members() == 1


def test_a_rule_that_would_slow_every_step_is_refused(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    header = token()
    many = [{"prop": "p", "value": n} for n in range(51)]
    wide = {"any": [{"all": [{"event": "x"}] * 50}] * 5}
    for rule in ({"event": "x", "where": many}, wide):
        body = {"key": "wide", "name": "W", "purpose": "marketing.email", "rule": rule}
        assert server.post("/v1/segments", json=body, headers=header).status_code == 422
