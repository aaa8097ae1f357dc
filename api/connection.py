"""Bounds what a client holds before it is a request, and after it has its answer."""

import json
from collections.abc import Sized
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import HeadTooLarge

#: Bytes of a request beside its body: a pixel's address has an event of 32 KB in base64.
MOST_HEAD_BYTES = 64 * 1024
#: Bytes around each one of the body: chunks of one byte have five.
MOST_AROUND = 8
#: So often is a connection looked at. What has not moved from one look to the next has had this
#: long at least, and at most twice as long.
LOOK_SECONDS = 30.0
#: Looks at one body that is not whole, or at an answer of which nothing is read: what reads a body
#: gives up after 60 s, and answers 408; a client that pauses for a minute may well go on.
MOST_LOOKS = 3
#: Requests that wait for those before them: of 256 KB, read at once, fewer that name a Host.
MOST_QUEUED = 10_000
_SAID = {
    "type": "/problems/head-too-large",
    "title": str(HeadTooLarge.__doc__).splitlines()[0],
    "status": 431,
    "code": "head-too-large",
    "message": f"more than {MOST_HEAD_BYTES} bytes beside the body",
}
_BODY = json.dumps(_SAID, separators=(",", ":")).encode()
#: As any answer is, before anybody knows what is asked.
REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/problem+json\r\n"
    b"access-control-allow-origin: *\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_BODY), _BODY)
)


class _Flow(FlowControl):
    """Reads on once no request waits.

    uvicorn reads on with each answer: 5 MB of short requests were 280,000 in its queue, 609 MB. The
    body that is not whole is that of the latest request, which waits no more when it is read.
    """

    def __init__(self, transport: Any, queued: Sized) -> None:
        super().__init__(transport)
        self._queued = queued

    def resume_reading(self) -> None:
        if not self._queued:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """One connection of a client, which ends when the client does not go on.

    uvicorn bounds neither a head nor its time: 48 MB of short headers were 910 MB in memory, and
    connections that said nothing stood until no file could be opened.
    """

    look_seconds = LOOK_SECONDS

    def connection_made(self, transport: Any) -> None:
        """Begin to look at it."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._around = self._inside = 0
        self._seen: tuple[object, ...] = ()
        self._looks = self._unread = 0
        self._drained = False
        self._answered: Any = None
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look at it no more, and let what is being answered know that nobody hears it.

        uvicorn tells the latest request alone: of one before it, which was sent together with it,
        the answer failed, and each was a page of traceback in the log.
        """
        self._timer.cancel()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and refuse a request of which too much is beside its body."""
        before = self.scope
        super().data_received(data)
        if len(self.pipeline) > MOST_QUEUED:
            self.transport.abort()
        if self.scope is not before:  # another request began in it: from here on
            self._around = self._inside = 0
            return
        self._around += len(data)
        if self._around - self._inside > MOST_HEAD_BYTES + MOST_AROUND * self._inside:
            self._refuse()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)
        self.flow.resume_reading()  # or that its client leaves would be seen by its answer alone

    def on_body(self, body: bytes) -> None:
        """Count a part of the body."""
        self._inside += len(body)
        super().on_body(body)

    def resume_writing(self) -> None:
        """Note that the client has read what was written."""
        self._drained = True
        super().resume_writing()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if self._waits:
            self.transport.write(REFUSAL)
            self.transport.close()
        else:  # after the body: an answer may be on its way
            self.transport.abort()

    @property
    def _waits(self) -> bool:
        """Whether no request is under way: its head has not come, or it was answered."""
        return self.cycle is None or self.cycle.response_complete

    def _look_again(self) -> None:
        self._timer = self.loop.call_later(self.look_seconds, self._look)

    def _look(self) -> None:
        """End the connection if its client has not gone on since the last look."""
        unread = self.transport.get_write_buffer_size()
        if unread:
            none_read = 0 < self._unread <= unread and not self._drained
            same = self._same("unread" if none_read else "read")
            if none_read and same and self._looks >= MOST_LOOKS - 1:
                self.transport.abort()
        elif self._waits:  # uvicorn's own timer ends one that is silent after an answer
            silent = self.timeout_keep_alive_task is None
            if silent and self._same("head"):
                self.transport.close()
        elif self.cycle.more_body and not self.pipeline:  # else it is not read: those before last
            if self._same("body") and self._looks >= MOST_LOOKS:
                self.transport.abort()
        self._unread, self._drained = unread, False
        self._look_again()

    def _same(self, state: str) -> bool:
        """Say whether the last look saw the same state of the same request."""
        seen = (state, self.cycle)
        same = seen == self._seen
        self._looks = self._looks + 1 if same else 0
        self._seen = seen
        return same
