"""HEAD is GET without the body, wherever GET is answered; a look at an image is no event."""

from collections.abc import Callable

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions


def test_head_is_answered_as_get_is(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
) -> None:
    bearer = token()
    for path, status in (
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        (f"/v1/projects/{write_key}/settings", 200),
        ("/v1/projects/wk_wrong/settings", 404),
        ("/v1/sources", 200),
        ("/v1/nothing", 404),
        ("/v1/batch", 405),
    ):
        headers = bearer if path.startswith("/v1/sources") else {}
        got, head = (server.request(m, path, headers=headers) for m in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (status, b""), path
        same = ("content-type", "cache-control", "access-control-allow-origin", "allow")
        assert [head.headers.get(n) for n in same] == [got.headers.get(n) for n in same], path
    assert server.head("/v1/sources").status_code == 401
    assert server.head("/v1/pixel/track.gif").headers["event-outcome"] == "none"
    with sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.event")) == 0


def test_a_405_names_every_method_that_its_path_takes(server: TestClient) -> None:
    for method, path, allowed in (
        ("PATCH", "/healthz", "GET, HEAD"),
        ("DELETE", "/v1/segments", "GET, HEAD, POST"),
        ("POST", "/v1/segments/x", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v1/batch", "POST"),
    ):
        answer = server.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path
