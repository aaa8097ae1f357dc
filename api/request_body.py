"""Reads the body of a tracking request: bounded, unpacked, never more in memory than stated."""

import asyncio
import zlib
from types import TracebackType
from typing import Self

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Message, Receive

from app.errors import BodyTooLarge, BodyTooSlow, BodyUnreadable, OverCapacity

#: So long may a body take to come: who sends a byte now and then holds what came before it.
LONGEST_SECONDS = 60.0
#: A body up to this size is read whatever else is there: a request of any SDK.
SMALL = 64 * 1024
#: Above this a body is looked at before it is parsed: 4.5 MB of `[],[],…` would become 100 MB.
LOOKED_AT = 1024 * 1024
#: Two names of one coding (RFC 9110 §8.4.1.3).
GZIP = ("gzip", "x-gzip")
MOST_CONTAINERS = 250_000
MOST_VALUES = 600_000
#: What a body takes in all, in times its own size: received, parsed, and encoded for the database.
#: Of a body above SMALL also its messages are counted, at most one for each comma, or where it has
#: to be parsed its objects, lists and values.
TIMES = 4
CONTAINER_BYTES, VALUE_BYTES = 96, 48
#: What a message takes beside its text while it is text.
MESSAGE_BYTES = 80
#: Files that one gzip body may consist of.
MOST_MEMBERS = 20


class Budget:
    """Bytes that the requests of one process take at once, so that its memory stays flat.

    Counted are bodies from their first chunk until their answer, and what becomes of them. Beyond
    the limit a request is refused with 503, which the SDKs repeat; a small one passes as long as
    there is twice as much.
    """

    def __init__(self, largest: int) -> None:
        """Hold at most `largest` bytes."""
        self._largest = largest
        self._held = 0

    def take(self, size: int, own: int) -> None:
        """Count bytes of a request that holds `own` already; raises OverCapacity."""
        small = own + size <= 2 * TIMES * SMALL  # packed and unpacked
        limit = 2 * self._largest if small else self._largest
        if self._held + size > limit and self._held > own:
            raise OverCapacity("too many bytes are being received")
        self._held += size

    def give_back(self, size: int) -> None:
        """Count bytes that are held no longer."""
        self._held -= size


class Held:
    """The bytes that one request holds of the budget; given back on leaving the block."""

    def __init__(self, budget: Budget) -> None:
        """Hold nothing yet."""
        self._budget = budget
        self._size = 0
        #: The body as far as it was understood: to be looked into when that is not far enough.
        self.body = b""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back what was held."""
        self.give_back()

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._budget.give_back(self._size)
        self._size = 0

    def unpack(self, body: bytes) -> None:
        """Hold what the values of a body take beside their text.

        Refuses a body of very many tiny values before it becomes many times its size in memory:
        raises BodyTooLarge and OverCapacity.
        """
        if len(body) > SMALL:
            self.take(_values(body))

    def take(self, size: int) -> None:
        """Hold more; raises OverCapacity."""
        if not size:
            return
        self._budget.take(size, self._size)
        self._size += size


def declared(request: HTTPConnection) -> int:
    """Return how many bytes a request says that its body has; 0 when it does not say."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() else 0


async def read(request: Request, largest: int, held: Held) -> bytes:
    """Return the body, unpacked.

    Raises BodyTooLarge above `largest` bytes, unread when the request says so itself,
    BodyUnreadable for another coding than gzip and for gzip that is broken, OverCapacity when other
    bodies leave no room, BodyTooSlow, ClientDisconnect.
    """
    body = held.body = await _received(request, largest, held)
    codings = request.headers.get("content-encoding", "").lower().split(",")
    coding = ",".join(one for one in map(str.strip, codings) if one not in ("", "identity"))
    if coding in GZIP:
        body = held.body = _unzip(body, largest)
        held.take(TIMES * len(body))
    elif coding:
        raise BodyUnreadable(f"Content-Encoding {coding[:40]!r} is not understood; gzip is")
    if len(body) > LOOKED_AT:
        held.unpack(body)
    elif len(body) > SMALL:
        held.take(MESSAGE_BYTES * body.count(b","))
    return body


async def _received(request: Request, largest: int, held: Held) -> bytes:
    """Receive the body as it was sent."""
    if declared(request) > largest:
        raise BodyTooLarge(f"more than {largest} bytes")
    chunks: list[bytes] = []
    size, refused = 0, None
    # Mostly all of it is there: only what is not is given a time, which costs 5 µs.
    message, until = await request.receive(), 0.0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > largest:
            raise BodyTooLarge(f"more than {largest} bytes")
        if chunk and refused is None:
            try:
                held.take(TIMES * len(chunk))
                chunks.append(chunk)
            except OverCapacity as error:
                # The rest is read and forgotten: who still sends would not hear that it was refused
                # and when to come again, but that the connection broke.
                refused = error
                chunks.clear()
                held.give_back()
        if not more:
            break
        until = until or asyncio.get_running_loop().time() + LONGEST_SECONDS
        message = await next_part(request.receive, until)
    if refused is not None:
        raise refused
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def next_part(receive: Receive, until: float | None) -> Message:
    """Return what comes next of a body; raises BodyTooSlow when it has not come by then."""
    try:
        async with asyncio.timeout_at(until):
            return await receive()
    except TimeoutError:
        why = f"it was not there after {LONGEST_SECONDS:.0f} seconds"
        raise BodyTooSlow(why) from None


def _unzip(body: bytes, largest: int) -> bytes:
    """Unpack gzip, stopping at the limit: 200 KB can hold 200 MB."""
    out = b""
    for _ in range(MOST_MEMBERS):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            out += unpacker.decompress(body, largest + 1 - len(out))
        except zlib.error as error:
            raise BodyUnreadable("the body is not gzip, although its coding says so") from error
        if len(out) > largest:
            raise BodyTooLarge(f"more than {largest} bytes unpacked")
        if not unpacker.eof:
            raise BodyUnreadable("the gzip body is cut short")
        body = unpacker.unused_data.lstrip(b"\0")  # padding, which gzip(1) ignores as well
        if not body:
            return out
    raise BodyUnreadable(f"the gzip body consists of more than {MOST_MEMBERS} files")


def values_in(part: bytes) -> int:
    """Return how many bytes the values in a part of a body take once it is parsed."""
    containers = part.count(b"{") + part.count(b"[")
    return CONTAINER_BYTES * containers + VALUE_BYTES * part.count(b",")


def _values(body: bytes) -> int:
    """Return how many bytes the values of a body take beside their text.

    Refuses a body of very many tiny values before it becomes many times its size in memory.
    """
    containers = body.count(b"{") + body.count(b"[")
    values = body.count(b",")
    if len(body) > LOOKED_AT and (containers > MOST_CONTAINERS or values > MOST_VALUES):
        raise BodyTooLarge("too many values in one request")
    return values_in(body)


async def whole(request: Request) -> bytes:
    """Return a body as it came, for who must give it back byte by byte; `BodyLimit` bounds it."""
    return await request.body()
