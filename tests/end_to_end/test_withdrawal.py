"""A withdrawn consent reaches segment, receiver and reader; webhooks keep their promises."""

import json
import subprocess
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.end_to_end.conftest import Measure, Received, Receiver
from tests.end_to_end.product import Product, Sender, wait_until

EMAIL = {"purpose": "marketing.email"}


@pytest.fixture(scope="module")
def client(product: Product) -> httpx.Client:
    return product.add_client()


@pytest.fixture(scope="module")
def sender(product: Product) -> Sender:
    return Sender(product, product.add_source())


def buyer(sender: Sender, user: str) -> None:
    """Somebody who agreed to e-mails and bought something."""
    sender.consent(f"user_id:{user}", marketing__email="given")
    sender.batch(
        {"type": "identify", "userId": user, "traits": {"email": f"{user}@example.com"}},
        {"type": "track", "userId": user, "event": f"Order of {user}"},
    )


def segment(client: httpx.Client, user: str) -> str:
    """A segment of purpose marketing.email in which only this buyer is."""
    answer = client.post(
        "/v1/segments",
        json={"key": f"s-{user}", "name": user, **EMAIL, "rule": {"event": f"Order of {user}"}},
    )
    assert answer.status_code == 201, answer.text
    return f"s-{user}"


def listening(client: httpx.Client, receiver: Receiver, key: str) -> tuple[int, str]:
    """Register the receiver for a segment; its id and its secret."""
    answer = client.post(
        "/v1/destinations",
        json={"name": f"to {key}", "url": receiver.url, **EMAIL, "segments": [key]},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["secret"]


def verified(received: Received, secret: str) -> dict[str, Any]:
    """The message, if the published library accepts its signature."""
    message: dict[str, Any] = Webhook(secret).verify(received.body, received.headers)
    return message


def members(client: httpx.Client, key: str) -> list[str]:
    return [m["profile_id"] for m in client.get(f"/v1/segments/{key}/members").json()["data"]]


def test_who_withdraws_has_left_the_segment_the_receiver_and_the_reader_within_two_seconds(
    client: httpx.Client, sender: Sender, receiver: Receiver, measure: Measure
) -> None:
    buyer(sender, "ada")
    key = segment(client, "ada")
    [profile] = wait_until(lambda: members(client, key), 10)
    _, secret = listening(client, receiver, key)
    wait_until(lambda: receiver.received, 10)
    entered = verified(receiver.received[0], secret)
    assert entered["type"] == "segment.entered"
    assert entered["data"]["profile_id"] == profile
    assert entered["data"]["identifiers"] == {"user_id": ["ada"], "email": ["ada@example.com"]}
    before = client.get("/v1/profiles/user_id:ada", params=EMAIL).json()
    assert (before["withheld"], len(before["identifiers"])) == ([], 2)

    withdrawn = monotonic()
    sender.consent("user_id:ada", marketing__email="withdrawn")
    read = client.get("/v1/profiles/user_id:ada", params=EMAIL)
    empty_after = monotonic() - withdrawn
    wait_until(lambda: not members(client, key), 10)
    left_after = monotonic() - withdrawn
    wait_until(lambda: len(receiver.received) == 2, 10)
    told_after = receiver.received[1].at - withdrawn

    measure("read empty after s", round(empty_after, 3))
    measure("left the segment after s", round(left_after, 3))
    measure("receiver told after s", round(told_after, 3))
    exited = verified(receiver.received[1], secret)
    assert exited["type"] == "segment.exited"
    assert exited["data"] == {
        "profile_id": profile,
        "segment": key,
        "reason": "consent:withdrawn",
        "segments": [],
    }
    assert read.status_code == 200
    said = read.json()
    assert [said[part] for part in ("traits", "identifiers", "segments", "journeys")] == [
        {}, [], [], [],
    ]  # fmt: skip
    assert said["withheld"] == [{"what": "everything", "reason": "withdrawn", "identifiers": 2}]
    assert max(empty_after, left_after, told_after) < 2.0
    timeline = client.get("/v1/profiles/user_id:ada/events", params=EMAIL).json()
    assert timeline["data"] == []
    assert timeline["withheld"] == said["withheld"]


def test_a_receiver_that_fails_once_gets_the_same_message_again(
    client: httpx.Client, sender: Sender, receiver: Receiver, measure: Measure
) -> None:
    receiver.answers = [500, 200]
    buyer(sender, "bob")
    key = segment(client, "bob")
    destination, secret = listening(client, receiver, key)
    wait_until(lambda: len(receiver.received) == 2, 20, what="the second attempt")
    one, two = receiver.received
    measure("tried again after s", round(two.at - one.at, 2))
    assert one.headers["webhook-id"] == two.headers["webhook-id"]
    assert verified(one, secret) == verified(two, secret)

    def delivered() -> list[dict[str, Any]]:
        rows = client.get(f"/v1/destinations/{destination}/deliveries").json()["data"]
        return [row for row in rows if row["state"] == "delivered"]

    [row] = wait_until(delivered, 5)
    assert (row["attempts"], row["last_status"]) == (2, 200)
    assert row["message_id"] == one.headers["webhook-id"]


def test_a_receiver_that_is_gone_is_not_asked_again(
    client: httpx.Client, sender: Sender, receiver: Receiver
) -> None:
    receiver.answers = [410]
    buyer(sender, "cyd")
    key = segment(client, "cyd")
    destination, _ = listening(client, receiver, key)

    def disabled() -> list[dict[str, Any]]:
        rows = client.get("/v1/destinations").json()["data"]
        return [row for row in rows if row["id"] == destination and not row["enabled"]]

    [row] = wait_until(disabled, 10)
    assert row["why_disabled"] == "the receiver answered 410 Gone"
    sender.consent("user_id:cyd", marketing__email="withdrawn")
    wait_until(lambda: not members(client, key), 10)
    queued = client.get(f"/v1/destinations/{destination}/deliveries").json()["data"]
    # Another may wait beside it: the look of the first sync, if that came by after the person did.
    [delivery] = [one for one in queued if one["last_status"] is not None]
    assert (delivery["state"], delivery["last_status"]) == ("waiting", 410)
    assert len(receiver.received) == 1


def test_the_published_javascript_library_accepts_the_signature(
    client: httpx.Client, sender: Sender, receiver: Receiver, node_packages: Path
) -> None:
    buyer(sender, "dëë")
    answer = client.post(
        "/v1/segments",
        json={"key": "unicode", "name": "ü", **EMAIL, "rule": {"event": "Order of dëë"}},
    )
    assert answer.status_code == 201, answer.text
    _, secret = listening(client, receiver, "unicode")
    [message] = wait_until(lambda: receiver.received[:1], 10)
    for body, accepted in ((message.body, True), (message.body + b" ", False)):
        done = subprocess.run(
            ["node", "verify.mjs"],
            cwd=node_packages,
            input=json.dumps({"secret": secret, "headers": message.headers, "body": body.decode()}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode == 0) is accepted, done.stderr
