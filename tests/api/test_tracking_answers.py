"""Every kind of answer of a tracking call, to the byte: SDKs in the field read each part of it."""

import gzip
import json
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.request_body import Budget
from app.access import sources
from app.db import Sessions
from app.settings import Settings

KEY = "KEY"  # stands for the write key of the source below
EVENT = {"type": "track", "event": "Seen", "userId": "u-1", "messageId": "m-1", "writeKey": KEY}
OPEN = [
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "Retry-After, Request-Id, Event-Outcome"),
    ("cross-origin-resource-policy", "cross-origin"),
]
JSON, PROBLEM = "application/json", "application/problem+json"
LARGEST = 20_000


def body(**fields: Any) -> bytes:
    return json.dumps({**EVENT, **fields}).encode()


def batch(*events: Any, **fields: Any) -> bytes:
    return json.dumps({"batch": list(events), "writeKey": KEY, **fields}).encode()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A server that takes small bodies only."""
    return settings.model_copy(update={"max_body_bytes": LARGEST})


@pytest.fixture
def write_key(sessions: Sessions) -> str:
    """The key of a source that takes three events at once, from one origin."""
    with sessions.begin() as session:
        limits = {"events_per_second": 1, "burst": 3, "max_batch_bytes": 10_000}
        return sources.add(session, "web", allowed_origins=["https://a.example"], **limits)[1]


class Client:
    """Speaks ASGI to the server: what an HTTP client would tidy up arrives as it is."""

    def __init__(self, server: TestClient, write_key: str) -> None:
        """Send with this key."""
        self._server = server
        self._key = write_key.encode()

    def send(
        self,
        *chunks: bytes,
        path: str = "/v1/track",
        method: str = "POST",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        query: bytes = b"",
        leaves: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the messages of the answer."""
        bodies = [self._with_key(chunk) for chunk in chunks]
        parts = [{"type": "http.request", "body": part, "more_body": True} for part in bodies]
        if leaves:
            parts.append({"type": "http.disconnect"})
        elif parts:
            parts[-1]["more_body"] = False
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": self._with_key(query),
            "root_path": "",
            "headers": [(name, self._with_key(value)) for name, value in headers],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        answer: list[dict[str, Any]] = []

        async def receive() -> Any:
            return parts.pop(0)

        async def send(message: Any) -> None:
            answer.append(message)

        assert self._server.portal is not None
        self._server.portal.call(self._server.app, scope, receive, send)
        return answer

    def _with_key(self, text: bytes) -> bytes:
        return text.replace(KEY.encode(), self._key)


@pytest.fixture
def client(server: TestClient, write_key: str) -> Client:
    """A client of the server."""
    return Client(server, write_key)


def good(received: int = 1, accepted: int = 1, **more: Any) -> dict[str, Any]:
    """What is said of events that were looked at one by one."""
    counts = {"received": received, "accepted": accepted, "duplicates": 0, "held": 0}
    return {"success": True, **counts, "rejected": [], **more}


class Refused:
    """What is said of a request that is refused whole."""

    def __init__(self, code: str, detail: str = "", *, after: str = "") -> None:
        """`detail` may be left out where it is another module's sentence."""
        self.code, self.detail, self.after = code, detail, after


PROBLEMS = {
    "body-unreadable": (400, "The request body is not a JSON object of the tracking API."),
    "unknown-write-key": (401, "The write key is missing or unknown."),
    "origin-not-allowed": (403, "Pages of this origin may not send for this source."),
    "body-too-large": (413, "The request body is larger than this server accepts."),
    "rate-limited": (
        429,
        "This is more than the source or client may send; send it again after Retry-After seconds.",
    ),
}
NO_KEY = Refused(
    "unknown-write-key", "send the write key as Basic user name or as writeKey in the body"
)
WRONG_KEY = Refused("unknown-write-key", "the write key is missing or unknown")
TOO_LARGE = Refused("body-too-large", f"more than {LARGEST} bytes")
TOO_OFTEN = Refused(
    "rate-limited",
    "this source may send 1 events per second and 3 at once; send these again later",
    after="3",
)
NOT_UTF_8 = Refused("body-unreadable", "the body is not UTF-8")
GZIP = (b"content-encoding", b"gzip")
CAFE = json.dumps({**EVENT, "event": "café"}, ensure_ascii=False)

CASES: dict[str, tuple[list[bytes], dict[str, Any], dict[str, Any] | Refused]] = {
    "one call": ([body()], {}, good()),
    "a batch": ([batch(EVENT)], {"path": "/v1/batch"}, good()),
    "an empty batch": ([batch()], {"path": "/batch"}, good(0, 0)),
    "doubled slashes": ([batch(EVENT)], {"path": "/v1//batch/"}, good()),
    "three chunks": ([body()[:9], b"", body()[9:]], {"path": "/v1/t"}, good()),
    "a last chunk that is empty": ([body(), b""], {}, good()),
    "gzip": (
        [gzip.compress(body(writeKey=None))],
        {"headers": (GZIP,), "query": b"writeKey=KEY"},
        good(),
    ),
    "another charset named": (
        [CAFE.encode()],
        {"headers": ((b"content-type", b"text/plain; charset=latin-1"),)},
        good(),
    ),
    "the limit declared": ([body()], {"headers": ((b"content-length", b"20000"),)}, good()),
    "an allowed origin": ([body()], {"headers": ((b"origin", b"https://a.example"),)}, good()),
    "no JSON": ([b"{"], {}, Refused("body-unreadable")),
    "nothing": ([b""], {}, Refused("body-unreadable")),
    "a list": ([b"[]"], {}, Refused("body-unreadable", "the body must be a JSON object")),
    "no list": (
        [batch().replace(b"[]", b"{}")],
        {"path": "/v1/b"},
        Refused("body-unreadable", "batch must be a list of messages"),
    ),
    "UTF-16": ([CAFE.encode("utf-16")], {}, NOT_UTF_8),
    "Latin-1": ([CAFE.encode("latin-1")], {}, NOT_UTF_8),
    "no gzip": (
        [body()],
        {"headers": (GZIP,)},
        Refused("body-unreadable", "the body is not gzip, although its coding says so"),
    ),
    "half of a gzip": (
        [gzip.compress(body())[:-9]],
        {"headers": ((b"content-encoding", b"x-GZIP "),)},
        Refused("body-unreadable", "the gzip body is cut short"),
    ),
    "another coding": (
        [body()],
        {"headers": ((b"content-encoding", b"b\xe9r"),)},
        Refused("body-unreadable", "Content-Encoding 'bér' is not understood; gzip is"),
    ),
    "no key": ([b"{}"], {}, NO_KEY),
    "a wrong key": ([body(writeKey="wrong")], {}, WRONG_KEY),
    "a key that is no text": ([b"{}"], {"headers": ((b"x-write-key", b"\xff\xfe"),)}, WRONG_KEY),
    "Basic that is no text": ([b"{}"], {"headers": ((b"authorization", b"Basic \xff"),)}, NO_KEY),
    "a query that is no text": ([b"{}"], {"query": b"writeKey=%ff"}, WRONG_KEY),
    "a host that is none": ([b"{}"], {"headers": ((b"host", b"a b/c"),)}, NO_KEY),
    "too large": ([b" " * (LARGEST + 1)], {}, TOO_LARGE),
    "too large in chunks": ([b" " * 15_000, b" " * 15_000], {}, TOO_LARGE),
    "too large declared": ([], {"headers": ((b"content-length", b"20001"),)}, TOO_LARGE),
    "too large unpacked": (
        [gzip.compress(b" " * (LARGEST + 1))],
        {"headers": (GZIP,)},
        Refused("body-too-large", f"more than {LARGEST} bytes unpacked"),
    ),
    "too large for the source": (
        [body(), b" " * (10_000 - len(body()))],
        {},
        Refused("body-too-large"),
    ),
    "a wrong origin": (
        [body()],
        {"headers": ((b"origin", b"https://b.example"),)},
        Refused("origin-not-allowed", "https://b.example is not among the origins of this source"),
    ),
}


def refused(answer: list[dict[str, Any]], path: str, expected: Refused) -> None:
    """Compare an answer with the problem document that is expected."""
    start, end = answer
    status, title = PROBLEMS[expected.code]
    said = json.loads(end["body"])
    detail = expected.detail or said["detail"]
    document = {
        "type": f"/problems/{expected.code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
        "code": expected.code,
        "message": detail,
        "request_id": said["request_id"],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    assert (start["status"], end["body"]) == (status, text)
    assert detail
    after = [("retry-after", expected.after)] if expected.after else []
    assert headers_of(start) == headers(len(text), said["request_id"], after, PROBLEM)


def headers(
    length: int, request_id: str, first: list[tuple[str, str]], kind: str = JSON
) -> list[tuple[str, str]]:
    """Return all headers of an answer, in their order."""
    own = [("content-length", str(length)), ("content-type", kind), ("request-id", request_id)]
    return [*first, *own, *OPEN]


def headers_of(start: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the headers as text."""
    assert start["type"] == "http.response.start"
    return [(name.decode(), value.decode()) for name, value in start["headers"]]


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_request_has_its_answer(client: Client, name: str) -> None:
    chunks, more, expected = CASES[name]
    answer = client.send(*chunks, **more)
    path = "/" + "/".join(part for part in more.get("path", "/v1/track").split("/") if part)
    if isinstance(expected, Refused):
        refused(answer, path, expected)
        return
    start, end = answer
    text = json.dumps(expected, separators=(",", ":")).encode()
    assert (start["status"], end["body"]) == (200, text)
    [request_id] = [value for key, value in headers_of(start) if key == "request-id"]
    assert len(request_id) == 32
    assert headers_of(start) == headers(len(text), request_id, [])


def test_what_comes_too_often_is_told_when_to_come_again(client: Client) -> None:
    assert client.send(batch(EVENT, 7, 7), path="/v1/batch")[0]["status"] == 200
    refused(client.send(batch(1, 2, 3, 4), path="/v1/b"), "/v1/b", TOO_OFTEN)


def test_a_client_that_leaves_is_not_answered(client: Client) -> None:
    assert client.send(body()[:9], leaves=True) == []
    assert client.send(body())[0]["status"] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_another_method_is_told_that_it_is_none(client: Client, method: str) -> None:
    start, end = client.send(b"", method=method)
    assert (start["status"], json.loads(end["body"])["code"]) == (405, "method-not-allowed")
    assert headers_of(start)[0] == ("allow", "POST")
    assert headers_of(start)[-3:] == OPEN


def test_bytes_that_have_no_room_are_refused_until_they_have(
    client: Client, server: TestClient
) -> None:
    assert isinstance(server.app, FastAPI)
    budget = server.app.state.budget = Budget(400_000)
    budget.take(800_000, 0)
    start, end = client.send(body())
    assert (start["status"], json.loads(end["body"])["code"]) == (503, "over-capacity")
    assert headers_of(start)[0] == ("retry-after", "1")
    assert headers_of(start)[-3:] == OPEN
    budget.give_back(800_000)
    assert client.send(body())[0]["status"] == 200


def test_a_database_that_is_away_is_said_without_details(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr("app.access.sources.find_by_hashes", away)
    start, end = client.send(body())
    assert (start["status"], json.loads(end["body"])["code"]) == (503, "database-unavailable")
    assert headers_of(start)[0] == ("retry-after", "1")
    assert headers_of(start)[-3:] == OPEN
    assert b"SELECT" not in end["body"]
