"""Connections on which a request and its answer end in time, however slowly the other side goes on.

Timeouts of httpx are of one read each. A receiver that sends another byte of its headers now and
then keeps all of them, and would hold a worker, and whom it has in use, for days.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import Any

import httpcore
import httpx

#: How answers may be packed: `parts` unpacks these.
CODINGS = {"accept-encoding": "gzip"}
#: How they may be packed, too, although they were not asked to.
OTHERS = frozenset({"deflate", "br", "zstd", "compress", "x-compress"})
#: Bytes of one part of an answer.
PART_BYTES = 65_536
#: When the exchange of this thread has to be over; it is read where the exchange was begun.
_until: ContextVar[float] = ContextVar("until", default=inf)


class Transport(httpx.HTTPTransport):
    """Sends requests, each of which is over with its answer after so many seconds."""

    def __init__(self, seconds: float, **options: Any) -> None:
        """`options` are those of `httpx.HTTPTransport`."""
        super().__init__(**options)
        self._seconds = seconds
        # httpx has no way to hand one over (encode/httpx, `HTTPTransport.__init__`).
        self._pool._network_backend = _Backend(self._pool._network_backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its body, too, is to be read in this time. Raises `httpx.ReadTimeout`."""
        _until.set(monotonic() + self._seconds)
        return super().handle_request(request)


def parts(answer: httpx.Response) -> Iterator[bytes]:
    """Yield the body of an answer, unpacked, in parts that are never large.

    httpx unpacks at once what has come: 1.7 KB of gzip in gzip took 3.8 GB. Raises
    `httpx.DecodingError` for what is packed otherwise than `CODINGS` asks. What is no coding, such
    as `utf-8`, says nothing: httpx passes it over, too.
    """
    said = answer.headers.get("content-encoding", "").lower().split(",")
    codings = [one for one in map(str.strip, said) if one not in ("", "identity")]
    if len(codings) > 1 or not OTHERS.isdisjoint(codings):
        raise httpx.DecodingError("the answer is packed in a way that was not asked for")
    if not codings or codings[0] not in ("gzip", "x-gzip"):
        yield from answer.iter_bytes(PART_BYTES)
        return
    unpacker = zlib.decompressobj(wbits=31)
    for packed in answer.iter_raw():
        while packed and not unpacker.eof:
            try:
                yield unpacker.decompress(packed, PART_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError("the answer is no gzip") from error
            packed = unpacker.unconsumed_tail


class _Backend(httpcore.NetworkBackend):
    """Opens connections of which each read and write knows how much time is left."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    left = _until.get() - monotonic()
    if left <= 0:
        raise late("the exchange takes too long")
    return min(left, inf if timeout is None else timeout) if left < inf else timeout
