"""No client makes the server hold more than the limit, with or without a token."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings

PATHS = ["/v1/segments", "/v1/batch", "/v1/analyses/funnel", "/oauth/token", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_says_it_is_too_large_is_refused_unread(
    server: TestClient, settings: Settings, path: str
) -> None:
    answer = server.post(path, content=b"x" * (settings.max_body_bytes + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "body-too-large"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PATHS[:-1])
def test_a_body_that_does_not_say_how_large_it_is_is_cut_off(
    server: TestClient, settings: Settings, path: str
) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        while sent < settings.max_body_bytes * 3:
            sent += 100_000
            yield b" " * 100_000

    answer = server.post(path, content=chunks())
    assert answer.status_code in (401, 413)
    assert answer.json()["code"] in ("invalid-token", "body-too-large", "invalid_client")


def test_a_body_at_the_limit_is_read(
    server: TestClient, settings: Settings, write_key: str
) -> None:
    start = b'{"writeKey":"' + write_key.encode() + b'","batch":['
    body = start + b" " * (settings.max_body_bytes - len(start) - 2) + b"]}"
    answer = server.post("/v1/batch", content=body)
    assert answer.status_code == 200
    assert answer.json()["received"] == 0
