"""Sending one message: whatever an address or a receiver does is an answer, never an error."""

from datetime import UTC, datetime

import httpx
import pytest

from app.destinations import webhook


@pytest.mark.parametrize("url", ["http://a..b/", "http://xn--/", "http://[::1", "http://"])
def test_an_address_that_cannot_be_reached_is_a_failure_of_its_own(url: str) -> None:
    """An error here would end the job for every other destination, again and again."""
    now = datetime.now(UTC)
    with httpx.Client(trust_env=False) as client:
        answer = webhook.send(
            client,
            url=url,
            secret="whsec_c2VjcmV0",
            message_id="m",
            kind="segment.entered",
            occurred_at=now,
            data={},
            now=now,
        )
    assert answer.status is None
    assert answer.error
