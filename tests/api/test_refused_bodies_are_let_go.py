"""What a refused request sent is gone with its answer, not when the collector of cycles comes by.

An error whose traceback holds a frame that holds the error keeps all that the frame knows: bodies,
beyond every limit. The collector comes by after 100,000 new objects.
"""

import gc
import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.main import RESOURCES, create_app
from app import db
from app.settings import Settings

#: As long as nothing but a body is.
LONG = 300_000
TEXT = b"x" * LONG
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
GZIP = {"content-encoding": "gzip"}
WRITES = [
    (method, re.sub(r"{[^}]+}", "1", route.path))
    for module in RESOURCES
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in sorted({"POST", "PUT", "PATCH"} & (route.methods or set()))
]


@contextmanager
def _holding(held: set[str]) -> Iterator[None]:
    """Find the functions whose frames still hold a body at the end, though nobody reaches them."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        held |= {
            f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"
            for frame in gc.garbage
            if isinstance(frame, FrameType)
            for value in gc.get_referents(frame)
            if isinstance(value, bytes | bytearray | str) and len(value) >= LONG
        }
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[" + TEXT, {}),
        (b'{"x":"\xff' + TEXT + b'"}', {}),
        (b'"' + TEXT + b'"', {}),
        (b'{"batch":1,"x":"' + TEXT + b'"}', {}),
        (TEXT * 20, {}),
        (gzip.compress(TEXT * 20), GZIP),
        (gzip.compress(TEXT)[:-2], GZIP),
        (TEXT, {"content-encoding": "br"}),
        (b'{"batch":[],"x":"' + TEXT + b'"}', {"x-write-key": "wk_nobody"}),
    ],
    ids=["json", "utf-8", "object", "batch", "large", "gzip-large", "gzip-cut", "coding", "key"],
)
def test_a_tracking_request_that_is_refused(
    server: TestClient, write_key: str, body: bytes, headers: dict[str, str]
) -> None:
    held: set[str] = set()
    with _holding(held):
        for path in ("/v1/batch", "/v1/identify"):
            answer = server.post(path, content=body, headers={"x-write-key": write_key, **headers})
            assert answer.is_client_error or path == "/v1/identify", answer.text
    assert held == set()


@pytest.mark.parametrize(
    "body",
    [b"[" + TEXT, b'{"x":"\xff' + TEXT + b'"}', b'"' + TEXT + b'"', b'{"x":"' + TEXT + b'"}',
     TEXT * 20],
    ids=["json", "utf-8", "object", "members", "large"],
)  # fmt: skip
@pytest.mark.parametrize("known", [True, False])
def test_whatever_else_is_refused(
    server: TestClient, token: Callable[..., dict[str, str]], body: bytes, *, known: bool
) -> None:
    headers = {**JSON, **(token() if known else {})}
    held: set[str] = set()
    statuses = set()
    with _holding(held):
        for method, path in WRITES:
            answer = server.request(method, path, content=body, headers=headers)
            assert answer.status_code < 500, answer.text
            statuses.add(answer.status_code)
    assert held == set()
    assert statuses & {401, 413, 422}
    assert len(WRITES) > 60


@pytest.mark.parametrize("body", [b"grant_type=" + TEXT, b"\xff=" + TEXT], ids=["form", "utf-8"])
def test_a_form_that_is_refused(server: TestClient, body: bytes) -> None:
    held: set[str] = set()
    with _holding(held):
        for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
            assert server.post(path, content=body, headers=FORM).is_client_error
    assert held == set()


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/segments"])
def test_what_is_sent_while_the_database_is_away(settings: Settings, path: str) -> None:
    """Its error came from far inside, and who answered it made another one."""
    away = db.sessions(db.engine("postgresql://nobody@127.0.0.1:9/nothing"))
    held: set[str] = set()
    headers = {**JSON, "authorization": "Bearer wk_any"}
    with TestClient(create_app(settings, away)) as server, _holding(held):
        body = b'{"writeKey":"wk_any","batch":[],"x":"' + TEXT + b'"}'
        answers = [server.post(path, content=body, headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {503}
    assert held == set()
