"""Webhooks, signed as Standard Webhooks 1.0 asks (www.standardwebhooks.com)."""

import base64
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from standardwebhooks.webhooks import Webhook as Signer

from app.destinations.kind import Kind, Options, Outcome, Record, Setup
from app.destinations.wire import Answer, Call, Wire


class WebhookSettings(Options):
    """Where a webhook goes."""

    url: str = Field(max_length=2048, pattern="^https?://", description="An http or https address.")


class WebhookSecrets(Options):
    """What a webhook is signed with."""

    signing_secret: str = Field(pattern="^whsec_", description="`whsec_` and base64; made for you.")


class Webhook(Kind):
    """Tells an address who enters and leaves, and by what they are known, a message a request."""

    name = "webhook"
    about = "Signed messages (Standard Webhooks): who enters and leaves, by what they are known."
    settings = WebhookSettings
    secrets = WebhookSecrets
    holds_records = False
    secrets_are_sent = False
    #: Whoever listens there may move: it is told by profile, of nothing that is at an address.
    places = frozenset()
    #: As many as are sent at once: one that waited its turn would go out on an old decision.
    batch = 8

    def address(self, settings: Any) -> str:
        """Return the address itself."""
        return str(settings.url)

    def new_secrets(self) -> dict[str, str]:
        """Return 256 random bits as Standard Webhooks writes them."""
        return {"signing_secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()}

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the bodies."""
        return [_body(record) for record in records]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Post each message; the id is the same on every attempt, so that duplicates are known."""
        secret = str(setup.secrets.signing_secret)
        calls = [_call(setup.url, secret, record, datetime.now(UTC)) for record in records]
        answers = wire.send_all(calls)
        return [_outcome(a, record) for a, record in zip(answers, records, strict=True)]


def _body(record: Record) -> dict[str, Any]:
    return {
        "type": record.type,
        "timestamp": record.occurred_at.isoformat(),
        "data": dict(record.data),
    }


def _call(url: str, secret: str, record: Record, now: datetime) -> Call:
    body = json.dumps(_body(record), ensure_ascii=False, separators=(",", ":"))
    headers = {
        "content-type": "application/json",
        "user-agent": "parcours-webhook/1",
        "webhook-id": record.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(record.message_id, now, body),
    }
    return Call("POST", url, body, headers, status_alone=True)


def _outcome(answer: Answer, record: Record) -> Outcome:
    """2xx alone is success; 410 ends it; anything else is tried again (Standard Webhooks)."""
    if answer.ok:
        nobody = record.intent == "release" and not record.segments
        return Outcome("taken", status=answer.status, remote="" if nobody else None)
    if answer.status == 410:
        return Outcome("gone", "the receiver answered 410 Gone", 410)
    return Outcome("again", answer.error, answer.status, answer.retry_after_seconds)
