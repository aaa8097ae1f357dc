"""Registering a destination: for one purpose, the one that its segments are for."""

from collections.abc import Callable

from fastapi.testclient import TestClient


def test_a_destination_hears_only_of_segments_that_are_for_its_own_purpose(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    """Else a withdrawal of the destination's purpose moves no segment, and it is never told."""
    header = token(purposes=("marketing.email", "analytics.audience"))
    rule = {"event": "Order Completed"}
    body = {"key": "buyers", "name": "Buyers", "purpose": "analytics.audience", "rule": rule}
    server.post("/v1/segments", json=body, headers=header).raise_for_status()
    hook = {"name": "crm", "url": "https://crm.test/", "segments": ["buyers"]}
    other = server.post(
        "/v1/destinations", json={**hook, "purpose": "marketing.email"}, headers=header
    )
    assert other.status_code == 422
    assert "buyers serves analytics.audience" in other.text
    none = server.post("/v1/destinations", json=hook, headers=header)  # check 49
    assert (none.status_code, none.json()["errors"][0]["pointer"]) == (422, "#/purpose")
    same = {**hook, "purpose": "analytics.audience"}
    assert server.post("/v1/destinations", json=same, headers=header).status_code == 201
