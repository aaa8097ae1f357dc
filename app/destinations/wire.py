"""The door to a receiver over HTTP: bounded in time and size, and never an exception."""

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from app.destinations.exchange import parts
from app.destinations.guard import Guard, public_address

#: Requests under way at once in one batch.
AT_ONCE = 8
#: Why a request was not sent: those before it took all the time there was.
NOT_TRIED = "not tried: the others took too long"
#: Most bytes of an answer that are read.
MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, as it will be sent."""

    method: str
    url: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: How `body` is written; text is sent as it is.
    form: bool = False
    #: Nothing is read of the answer but its status: a page of gigabytes is as good as none.
    status_alone: bool = False

    def encoded(self) -> tuple[bytes | None, dict[str, str]]:
        """Return the body as bytes, and all headers."""
        headers = {"user-agent": "parcours/1", **self.headers}
        if self.body is None:
            return None, headers
        if self.form:
            headers.setdefault("content-type", "application/x-www-form-urlencoded")
            return urlencode(self.body).encode(), headers
        headers.setdefault("content-type", "application/json")
        if isinstance(self.body, str):
            return self.body.encode(), headers
        text = json.dumps(self.body, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace"), headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered; `status` is None when it could not be reached."""

    status: int | None
    error: str = ""
    retry_after_seconds: float | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Only 2xx is success; a redirect is not followed, so it is none."""
        return self.status is not None and 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Wire:
    """Sends the requests of one batch; after `seconds` it sends no more of them."""

    def __init__(
        self, client: httpx.Client, *, seconds: float = 45.0, rate: float | None = None
    ) -> None:
        """`client` says how long one request may take and where it may go.

        `rate` are requests a second: those that would be too early wait.
        """
        self._client = client
        self._until = time.monotonic() + seconds
        self._pause = 1 / rate if rate else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    @property
    def pause(self) -> float:
        """How long to wait before the next request, in seconds."""
        return max(0.0, self._next - time.monotonic())

    @property
    def late(self) -> bool:
        """Say whether the time of the batch is over, for kinds that send by something else."""
        return time.monotonic() >= self._until

    def send(self, call: Call) -> Answer:
        """Send one request. Never raises for what a receiver or the network does."""
        if not self._turn():
            return Answer(None, NOT_TRIED)
        try:
            content, headers = call.encoded()
            request = self._client.build_request(
                call.method, call.url, content=content, headers=headers
            )
            answer = self._client.send(request, stream=True)
            try:
                body = b"" if call.status_alone else self._read(answer)
            finally:
                answer.close()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
            return Answer(None, type(error).__name__)
        return Answer(
            answer.status_code,
            "" if answer.is_success else f"HTTP {answer.status_code}",
            retry_after(answer.headers.get("retry-after"), datetime.now(UTC)),
            body,
            dict(answer.headers),
        )

    def address(self, host: str, port: int) -> str | None:
        """Return where a host may be reached by something else than HTTP; None where it wishes.

        Raises httpx.TransportError where it may not be, or has no address.
        """
        guarded = isinstance(self._client._transport, Guard)
        return public_address(host, port) if guarded else None

    def send_all(self, calls: Sequence[Call]) -> list[Answer]:
        """Send requests that do not depend on each other, some at once; answers in their order."""
        if len(calls) < 2:
            return [self.send(call) for call in calls]
        with ThreadPoolExecutor(min(AT_ONCE, len(calls))) as pool:
            return list(pool.map(self.send, calls))

    def _turn(self) -> bool:
        """Wait for the turn of a request; say whether it has one while there is time."""
        with self._lock:
            at = max(self._next, time.monotonic())
            if at >= self._until:
                return False
            self._next = at + self._pause
        time.sleep(max(0.0, at - time.monotonic()))
        return True

    def _read(self, answer: httpx.Response) -> bytes:
        """Read a body that ends in time: one that trickles would hold up everybody else."""
        read = bytearray()
        for chunk in parts(answer):
            read += chunk
            if len(read) > MOST_BYTES:
                raise httpx.DecodingError("the answer is too long")
            if time.monotonic() > self._until:
                raise httpx.ReadTimeout("the answer does not end")
        return bytes(read)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Read `Retry-After` (RFC 9110 10.2.3): seconds or a date; at most a day is believed."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic (RFC 7617)."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """Return the header of a bearer token (RFC 6750)."""
    return {"authorization": f"Bearer {token}"}
