"""A CRM that listens: receives the webhooks of the demonstration and checks each signature."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Receiver:
    """Counts verified messages by type; whatever cannot be verified is refused."""

    def __init__(self) -> None:
        """Start with nothing received and no secret known."""
        self.secret = ""
        self.received: Counter[str] = Counter()
        self.url = ""

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        """Verify one message and return the status to answer with."""
        try:
            message = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.received["not verified"] += 1
            return 400
        self.received[str(message["type"])] += 1
        return 204


@contextmanager
def listening() -> Iterator[Receiver]:
    """Yield a receiver on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {k.lower(): v for k, v in self.headers.items()}
            self.send_response(receiver.take(body, headers))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing per request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks/parcours"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
