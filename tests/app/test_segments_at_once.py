"""Segments that are defined at the same time: none comes to be made of itself, or of what goes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.segments import looking, uses

PURPOSE = "marketing.email"
PLAN = {"trait": "plan", "value": "pro"}


@pytest.fixture
def header(token: Callable[..., dict[str, str]]) -> dict[str, str]:
    return token(purposes=(PURPOSE,))


def segment(server: TestClient, header: dict[str, str], key: str, rule: dict[str, Any]) -> None:
    body = {"key": key, "name": key, "purpose": PURPOSE, "rule": rule}
    server.post("/v1/segments", json=body, headers=header).raise_for_status()


def together(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let two requests look at what segments are made of, before either has said anything."""
    real, met = getattr(uses, name), Barrier(2)

    def looks(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        try:
            met.wait(0.5)
        except BrokenBarrierError:
            pass  # the other waits for this one
        return found

    monkeypatch.setattr(uses, name, looks)


def test_two_that_begin_to_be_made_of_each_other_are_not(
    server: TestClient, header: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever looks through such a ring never ends: no segment of the purpose would go on."""
    segment(server, header, "a", PLAN)
    segment(server, header, "b", PLAN)
    monkeypatch.setattr(looking, "few", lambda _: False)
    together(monkeypatch, "check")

    def change(key: str, other: str) -> int:
        body = {"name": key, "purpose": PURPOSE, "rule": {"segment": other}}
        return server.put(f"/v1/segments/{key}", json=body, headers=header).status_code

    with ThreadPoolExecutor(2) as pool:
        codes = sorted(pool.map(change, "ab", "ba"))
    assert codes == [200, 422]
    assert server.get("/v1/segments", headers=header).status_code == 200


def test_one_that_is_deleted_while_another_begins_to_be_made_of_it_stays(
    server: TestClient, header: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    segment(server, header, "a", PLAN)
    monkeypatch.setattr(looking, "few", lambda _: False)
    together(monkeypatch, "check")
    with ThreadPoolExecutor(2) as pool:
        made = pool.submit(segment, server, header, "b", {"segment": "a"})
        gone = pool.submit(server.delete, "/v1/segments/a", headers=header)
        code = gone.result().status_code
        assert (made.exception() is None) == (code == 409)
    keys = {one["key"] for one in server.get("/v1/segments", headers=header).json()["data"]}
    assert keys in ({"a", "b"}, set())
