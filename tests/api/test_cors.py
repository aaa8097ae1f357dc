"""Which routes a page of any origin may call, and what it may read there."""

from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.routes import calls
from app.settings import Settings

ORIGIN = {"Origin": "https://shop.example"}
ASKED = "authorization,content-type,x-retry-count,anonymousid,sentat,x-write-key"
OPEN = [
    *calls.PATHS,
    "/v1/m",
    "/v1/projects/wk_x/settings",
    "/customerio/v1/projects/wk_x/settings",
    "/sourceConfig",
    "/sourceConfig/",
    "/v1/pixel/track.gif",
    "/v1/consents",
    "/v1/batch/",
    "/v1//t",
]
CLOSED = [
    ("GET", "/v1/profiles"), ("GET", "/v1/consents"), ("GET", "/v1/consents/decision"),
    ("POST", "/oauth/token"), ("GET", "/v1/segments"), ("GET", "/openapi.json"), ("GET", "/readyz"),
]  # fmt: skip


def test_a_preflight_of_a_tracking_path_allows_all_that_sdks_send(server: TestClient) -> None:
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ASKED + ",x-new-in-next-version",
    }
    for path in OPEN:
        answer = server.options(path, headers=asked)
        assert answer.status_code == 204, path
        assert answer.content == b""
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = set(answer.headers["access-control-allow-headers"].split(", "))
        assert allowed >= {*ASKED.split(","), "x-new-in-next-version"}
        assert int(answer.headers["access-control-max-age"]) >= 60


def test_a_preflight_mirrors_nothing_that_is_no_header_name(server: TestClient) -> None:
    answer = server.options(
        "/v1/t",
        headers={
            **ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": 'content-type, "<script>"',
        },
    )
    assert answer.status_code == 204
    assert "script" not in answer.headers["access-control-allow-headers"]


def test_no_page_of_another_origin_can_read_the_rest_of_the_api(server: TestClient) -> None:
    for method, path in CLOSED:
        asked = server.options(path, headers={**ORIGIN, "Access-Control-Request-Method": method})
        answer = server.request(method, path, headers=ORIGIN)
        for found in (asked, answer):
            assert not [name for name in found.headers if name.startswith("access-control-")], path


def test_every_error_of_a_tracking_route_can_be_read_and_has_code_and_message(
    server: TestClient, settings: Settings, write_key: str
) -> None:
    batch = {"batch": [{"type": "track", "event": "x", "userId": "u"}]}
    requests: list[tuple[int, str, str, Any]] = [
        (404, "GET", "/v1/projects/wk_wrong/settings", {}),
        (404, "POST", "/v1/nothing", {"json": batch}),
        (405, "GET", "/v1/batch", {}),
        (405, "DELETE", "/v1/t", {}),
        (401, "POST", "/v1/batch", {"json": batch}),
        (400, "POST", "/v1/batch", {"content": b"{", "auth": (write_key, "")}),
        (422, "POST", "/v1/consents", {"content": b"{}", "auth": (write_key, "")}),
        (413, "POST", "/v1/b", {"content": b" " * (settings.max_body_bytes + 1)}),
    ]
    for status, method, path, more in requests:
        answer = server.request(method, path, headers=ORIGIN, **more)
        assert answer.status_code == status, path
        assert answer.headers["access-control-allow-origin"] == "*", path
        exposed = answer.headers["access-control-expose-headers"]
        assert "Retry-After" in exposed
        body = answer.json()
        assert body["code"]
        assert body["message"]


def test_an_error_that_nobody_foresaw_can_be_read_too(
    server: TestClient, write_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("api.routes.collect.parse", fails)
    answer = server.post("/v1/t", json={}, headers=ORIGIN, auth=(write_key, ""))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "inside" not in answer.text


def test_a_database_that_is_away_is_said_with_retry_after(
    server: TestClient, write_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr("app.access.sources.find_by_hashes", away)
    answer = server.post("/v1/t", json={}, headers=ORIGIN, auth=(write_key, ""))
    assert answer.status_code == 503
    assert answer.headers["retry-after"].isdigit()
    assert answer.headers["access-control-allow-origin"] == "*"
