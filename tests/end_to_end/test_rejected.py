"""Rejected events as an operator meets them: a running product, its command line, a kill."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, wait_until

pytestmark = pytest.mark.long

SERVICE = {"purpose": "service.operation"}
LARGE = {"padding": "x" * 40_000}


def send(product: Product, key: str, *events: dict[str, Any], **top: Any) -> Any:
    answer = httpx.post(
        f"{product.url}/v1/batch",
        json={"batch": events, **top},
        auth=(key, ""),
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def timeline(client: httpx.Client, user: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/profiles/user_id:{user}/events", params=SERVICE)
    return list(answer.json()["data"]) if answer.status_code == 200 else []


def test_what_was_rejected_survives_a_kill_and_is_corrected_and_replayed_by_command(
    own_product: Product,
) -> None:
    own_product.start()
    key = own_product.add_source()
    client = own_product.add_client()
    sent = datetime.now(UTC) - timedelta(hours=2)  # this clock is two hours slow
    bad = {"type": "track", "userId": "ada", "messageId": "m-1", "timestamp": sent.isoformat()}
    assert send(own_product, key, bad, sentAt=sent.isoformat())["rejected"]
    own_product.kill_everything()
    own_product.restart()
    [found] = own_product.cli("rejected", "list", "--source", "web", "--code", "event_missing")
    assert (found["state"], found["message_id"]) == ("open", "m-1")
    received = datetime.fromisoformat(found["received_at"])

    said = json.loads(own_product.run("rejected", "show", str(found["id"])).stdout)
    file = own_product.home / "corrected.json"
    file.write_text(json.dumps(said["payload"] | {"event": "Order Completed"}))
    [done] = own_product.cli("rejected", "replay", str(found["id"]), "--file", file)
    assert (done["state"], done["outcome"]) == ("replayed", "accepted")
    wait_until(lambda: bool(timeline(client, "ada")), 15, what="the event is on the profile")
    [event] = timeline(client, "ada")
    assert datetime.fromisoformat(event["occurred_at"]) == received

    again = own_product.run("rejected", "replay", str(found["id"]))
    assert again.returncode == 1
    assert "was replayed already" in again.stderr
    unknown = own_product.run("rejected", "show", "4711")
    assert (unknown.returncode, "No such rejected event." in unknown.stderr) == (1, True)
    [closed] = own_product.cli("rejected", "list", "--state", "replayed")
    assert closed["corrected_by"] == closed["closed_by"] == "command line"


def test_many_are_replayed_by_command_and_over_http_at_once_each_once(
    own_product: Product, measure: Measure
) -> None:
    own_product.start()
    key = own_product.add_source()
    client = own_product.add_client()
    for part in range(4):
        events = [
            {"type": "track", "event": "Big", "userId": "bob", "messageId": f"b-{part}-{n}",
             "properties": LARGE}
            for n in range(70)
        ]  # fmt: skip
        assert len(send(own_product, key, *events)["rejected"]) == 70
    send(own_product, key, {"type": "track", "userId": "bob"})
    own_product.stop()
    own_product.environment["PARCOURS_MAX_EVENT_BYTES"] = "100000"
    own_product.restart()
    started = time.monotonic()

    def by_http(_: int) -> int:
        wanted = {"code": "too_large", "limit": 50}
        return sum(
            int(client.post("/v1/rejected-events/replay", json=wanted).json()["accepted"])
            for _ in range(4)
        )

    with ThreadPoolExecutor(3) as pool:
        command = pool.submit(
            own_product.run, "rejected", "replay", "--code", "too_large", "--json"
        )
        accepted = sum(pool.map(by_http, range(2)))
        done = command.result()
    assert done.returncode == 0, done.stderr
    outcomes = [one["outcome"] for one in json.loads(done.stdout)]
    assert set(outcomes) <= {"accepted"}
    measure("replayed by HTTP and by command", (accepted, len(outcomes)))
    measure("replay of 280 s", round(time.monotonic() - started, 2))
    assert accepted + len(outcomes) == 280
    with own_product.tables() as session:
        stored = sa.text("SELECT count(*), count(DISTINCT message_id) FROM app.event")
        assert tuple(session.execute(stored).one()) == (280, 280)

    unfixed = own_product.run("rejected", "replay", "--source", "web", "--json")
    assert unfixed.returncode == 1
    [left] = json.loads(unfixed.stdout)
    assert (left["outcome"], left["code"]) == ("rejected", "event_missing")
    assert own_product.run("rejected", "discard", str(left["id"])).returncode == 0
    counts = {(c["code"], c["state"]): c["events"] for c in own_product.cli("rejected", "counts")}
    assert counts == {("too_large", "replayed"): 280, ("event_missing", "discarded"): 1}
    for wrong in ([], ["1", "--code", "x"], ["1", "--file", "not there"]):
        assert own_product.run("rejected", "replay", *wrong).returncode == 2, wrong


def test_the_worker_removes_what_is_old(own_product: Product) -> None:
    own_product.start()
    key = own_product.add_source()
    send(own_product, key, {"type": "track", "userId": "eve"}, {"type": "x"})
    own_product.stop()
    with own_product.tables() as session:
        session.execute(
            sa.text(
                "UPDATE app.rejected_event SET received_at = now() - '31 days'::interval "
                "WHERE code = 'unknown_type'"
            )
        )
        session.commit()
    own_product.restart()

    client = own_product.add_client()

    def codes() -> list[str]:
        return [one["code"] for one in client.get("/v1/rejected-events").json()["data"]]

    wait_until(lambda: codes() == ["event_missing"], 30, what="the old one is gone")
