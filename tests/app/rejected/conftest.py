"""A source that sends, and a client that looks after what was rejected."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

Send = Callable[..., Any]
Call = Callable[..., Any]


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


@pytest.fixture
def send(server: TestClient, write_key: str) -> Send:
    """Send a batch and return the answer; `key` is another source's, `top` stands beside it."""

    def post(*events: Any, key: str = write_key, **top: Any) -> Any:
        body = json.dumps({"batch": list(events), **top}).encode()
        answer = server.post("/v1/batch", content=body, headers=basic(key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
def call(server: TestClient, token: Callable[..., dict[str, str]]) -> Call:
    """Call `/v1/rejected-events` with the scope it needs: `call("GET", "/17")`."""
    headers = {**token("sources:admin"), "Content-Type": "application/json"}

    def ask(method: str, path: str = "", **more: Any) -> Any:
        return server.request(method, f"/v1/rejected-events{path}", headers=headers, **more)

    return ask
