"""Sending one message: whatever an address or a receiver does is an outcome, never an error."""

from datetime import UTC, datetime

import httpx
import pytest

from app.destinations.kind import Record, Setup
from app.destinations.webhook import Webhook, WebhookSecrets
from app.destinations.wire import Wire

RECORD = Record("m", "segment.entered", datetime(2026, 11, 28, tzinfo=UTC), "p", "hold")


@pytest.mark.parametrize("url", ["http://a..b/", "http://xn--/", "http://[::1", "http://"])
def test_an_address_that_cannot_be_reached_is_a_failure_of_its_own(url: str) -> None:
    """An error here would end the job for every other destination, again and again."""
    secrets = WebhookSecrets(signing_secret="whsec_c2VjcmV0")
    setup = Setup(1, "crm", url, "marketing.email", ("s",), None, secrets)
    with httpx.Client(trust_env=False) as client:
        [outcome] = Webhook().send(setup, [RECORD], Wire(client))
    assert (outcome.state, outcome.status) == ("again", None)
    assert outcome.reason
