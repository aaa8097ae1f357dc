"""Sends one message to a webhook, signed as Standard Webhooks 1.0 asks."""

import json
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered; `status` is None when it could not be reached."""

    status: int | None
    error: str = ""
    retry_after_seconds: float | None = None

    @property
    def accepted(self) -> bool:
        """Only 2xx is success; a redirect is not followed, so it is a failure."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """410: the receiver wants no more of this."""
        return self.status == 410


def send(
    client: httpx.Client,
    *,
    url: str,
    secret: str,
    message_id: str,
    kind: str,
    occurred_at: datetime,
    data: dict[str, Any],
    now: datetime,
) -> Answer:
    """Post `{"type", "timestamp", "data"}` with id, timestamp and signature headers.

    Never raises for what a receiver or the network does. The id is the same on every retry, so
    that the receiver can drop what it has seen.
    """
    body = json.dumps(
        {"type": kind, "timestamp": occurred_at.isoformat(), "data": data},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    headers = {
        "content-type": "application/json",
        "user-agent": "parcours-webhook/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }
    try:
        answer = client.post(url, content=body.encode(), headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # IDNA: `http://a..b/`
        return Answer(None, type(error).__name__)
    return Answer(
        answer.status_code,
        "" if answer.is_success else f"HTTP {answer.status_code}",
        _retry_after(answer.headers.get("retry-after"), now),
    )


def _retry_after(value: str | None, now: datetime) -> float | None:
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
    return min(max(seconds, 0.0), 86_400.0)
