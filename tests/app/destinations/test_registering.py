"""Registering a destination: for one purpose, the one that its segments are for."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from tests.app.destinations.world import World

TABLE = {"host": "db.test", "database": "d", "user": "u"}


def test_a_destination_hears_only_of_segments_that_are_for_its_own_purpose(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    """Else a withdrawal of the destination's purpose moves no segment, and it is never told."""
    header = token(purposes=("marketing.email", "analytics.audience"))
    rule = {"event": "Order Completed"}
    body = {"key": "buyers", "name": "Buyers", "purpose": "analytics.audience", "rule": rule}
    misspelt = server.post("/v1/segments", json={**body, "purposes": []}, headers=header)
    assert (misspelt.status_code, misspelt.json()["errors"][0]["pointer"]) == (422, "#/purposes")
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
    for wrong in ("tcf_vendor_id", "mappings"):
        refused = server.post("/v1/destinations", json={**same, wrong: 755}, headers=header)
        pointers = [error["pointer"] for error in refused.json()["errors"]]
        assert (refused.status_code, pointers) == (422, [f"#/{wrong}"])
    open_ = server.post(
        "/v1/destinations", json={**same, "url": "https://us:pw@crm.test/"}, headers=header
    )
    assert (open_.status_code, "pw" in open_.text) == (422, False), "an address is in every answer"
    pasted = {**same, "kind": "hubspot", "secrets": {"access_token": "pat-1\n"}}
    del pasted["url"]
    cut = server.post("/v1/destinations", json=pasted, headers=header)
    assert (cut.status_code, "pat-1" in cut.text) == (422, False), "it would never be sent"
    assert cut.json()["detail"].startswith("#/secrets/access_token: ")
    assert server.post("/v1/destinations", json=same, headers=header).status_code == 201


@pytest.mark.parametrize("name", ["profile_id", "identifiers", "segments", "updated_at"])
@pytest.mark.parametrize(
    ("kind", "where", "secrets"),
    [("file", {"directory": "here"}, {}), ("postgres", TABLE, {"password": "p"})],
)
def test_a_field_that_a_store_writes_itself_is_mapped_by_nobody(
    people: World, kind: str, where: dict[str, str], secrets: dict[str, str], name: str
) -> None:
    """Else every record fails, one by one and for ever."""
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    body = {"name": "store", "kind": kind, "purpose": "marketing.email", "segments": ["pros"],
            "settings": where, "secrets": secrets}  # fmt: skip
    wrong = {"mapping": {name: {"value": 1}}}
    path = "/v1/destinations"
    refused = [people.server.post(path, json={**body, **wrong}, headers=people.header)]
    path = f"{path}/{people.post(path, body)['id']}"
    refused.append(people.server.patch(path, json=wrong, headers=people.header))
    for answer in refused:
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(f"#/mapping/{name}: ")


def test_a_mapping_from_before_a_rule_keeps_nobody_from_switching_off(people: World) -> None:
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = people.destination(kind="file", settings={"directory": "here"}, segments=["pros"])
    change = """UPDATE app.destination SET mapping = '{"segments": {"value": 1}}'"""
    with people.sessions.begin() as session:
        session.execute(sa.text(change))
    shown = people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    assert shown["enabled"] is False
