"""A server that computes enough already says so, and answers from memory all the same."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.lake import turns
from app.lake.turns import Bounds, Turns

ASKED = {"steps": [{"event": "Viewed"}, {"event": "Ordered"}]}


def test_beyond_its_bounds_a_server_answers_503_with_retry_after(
    server: TestClient, token: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_turns", Turns(Bounds(at_once=1, waiting=0, seconds=40)))
    header = token("journeys:read", "profiles:read", purposes=("analytics.audience",))
    with turns.turn():
        busy = server.post("/v1/analyses/funnel", json=ASKED, headers=header)
    assert (busy.status_code, busy.json()["code"]) == (503, "analyses-busy")
    assert busy.headers["retry-after"] == "20"
    free = server.post("/v1/analyses/funnel", json=ASKED, headers=header)
    assert free.status_code == 200
    with turns.turn():
        # What was just computed is remembered: nobody waits for it; who is behind it is not.
        again = server.post("/v1/analyses/funnel", json=ASKED, headers=header)
        assert again.status_code == 200
        url = f"/v1/analyses/{again.json()['query_id']}/profiles?bucket=step:1"
        assert server.get(url, headers=header).status_code == 503
    assert server.get(url, headers=header).status_code == 200
