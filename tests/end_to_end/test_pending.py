"""Events before the visitor's answer, on the product as it runs: in time, once, through kills."""

import os
import signal
import time
from base64 import b64encode
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, Sender, wait_until

PURPOSE = {"purpose": "analytics.audience"}
Json = dict[str, Any]


def site(product: Product, name: str, pending: str = "30m") -> Sender:
    """A source that waits for its visitors' answers."""
    options = ("--collection-purpose", PURPOSE["purpose"], "--pending", pending)
    return Sender(product, product.add_source(name, *options))


def views(who: str, count: int) -> list[Json]:
    return [
        {"type": "page", "anonymousId": who, "name": f"{who} {n}", "messageId": f"{who}-{n}"}
        for n in range(count)
    ]


def hold(sender: Sender, *events: Json) -> None:
    answer = sender.http.post("/v1/batch", json={"batch": events}).json()
    assert answer["held"] == len(events), answer


def stored(product: Product, who: str) -> list[str]:
    query = "SELECT name FROM app.event WHERE name ~ :who ORDER BY received_at, id"
    with product.tables() as session:
        return list(session.scalars(sa.text(query), {"who": f"^{who}"}))


def held(product: Product) -> int:
    with product.tables() as session:
        return session.scalar(sa.text("SELECT count(*) FROM app.held")) or 0


def fewer(product: Product, than: int) -> bool:
    now = held(product)
    return now < than or now == 0


def workers(product: Product) -> list[int]:
    """The process ids of the product's worker."""
    found = []
    for pid in product.processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended since the list was made
            if b"api.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_held_events_reach_the_profile_within_a_second_or_two_of_the_grant(
    product: Product, measure: Measure
) -> None:
    sender, reader = site(product, "first"), product.add_client(name="first")
    hold(sender, *views("ada", 3))
    hold(sender, *views("bob", 2))
    assert reader.get("/v1/profiles/anonymous_id:ada", params=PURPOSE).status_code == 404
    granted = time.monotonic()
    sender.consent("anonymous_id:ada", analytics__audience="given")
    sender.consent("anonymous_id:bob", analytics__audience="refused")

    def timeline() -> list[Json]:
        answer = reader.get("/v1/profiles/anonymous_id:ada/events", params=PURPOSE)
        return list(answer.json()["data"]) if answer.status_code == 200 else []

    seen = wait_until(timeline, 10, what="the released events")
    measure("readable after the grant s", round(time.monotonic() - granted, 2))
    assert [event["name"] for event in seen] == ["ada 2", "ada 1", "ada 0"]
    wait_until(lambda: held(product) == 0, 5, what="the refused events are destroyed")
    assert stored(product, "(ada|bob)") == ["ada 0", "ada 1", "ada 2"]
    key = product.data / "hold.key"
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.long
def test_a_worker_that_is_killed_while_it_releases_stores_each_event_once(
    product: Product, measure: Measure
) -> None:
    sender = site(product, "killed")
    for n in range(3):
        hold(sender, *views(f"v{n}", 2_000))
    for n in range(3):
        sender.consent(f"anonymous_id:v{n}", analytics__audience="given")
    kills = 0
    for _ in range(3):
        still = held(product)
        wait_until(partial(fewer, product, still), 120, what="something is released")
        for pid in workers(product):
            os.kill(pid, signal.SIGKILL)
            kills += 1
    measure("kills, held after the last", f"{kills}, {held(product)}")
    wait_until(lambda: held(product) == 0, 120, what="all are released")
    names = stored(product, "v[0-9]")
    assert len(names) == len(set(names)) == 6_000
    assert kills >= 2


def test_what_nobody_answered_for_is_gone_in_time(product: Product, measure: Measure) -> None:
    sender = site(product, "short", "2s")
    hold(sender, *views("cyd", 2))
    started = time.monotonic()
    wait_until(lambda: held(product) == 0, 10, what="the events expire")
    measure("gone after s, of 2", round(time.monotonic() - started, 2))
    sender.consent("anonymous_id:cyd", analytics__audience="given")
    hold(sender, *views("dee", 1))
    wait_until(lambda: held(product) == 0, 10)
    assert stored(product, "(cyd|dee)") == []


def test_a_lost_key_is_told_of_and_stops_nothing_else(product: Product) -> None:
    sender, reader = site(product, "key"), product.add_client(name="key")
    hold(sender, *views("eve", 2))
    [first] = wait_until(lambda: workers(product), 10)
    key = product.data / "hold.key"
    right = key.read_text()
    key.write_text(b64encode(os.urandom(32)).decode() + "\n")
    sender.consent("anonymous_id:eve", analytics__audience="given")
    checks = product.run("doctor", "--json")
    assert checks.returncode == 1
    assert "2 held events are sealed with a key that is not in" in checks.stdout
    accepted = sender.http.post(
        "/v1/batch", json={"batch": [{**views("eve", 1)[0], "messageId": "eve-later"}]}
    )
    assert accepted.json()["accepted"] == 1
    wait_until(
        lambda: reader.get("/v1/profiles/anonymous_id:eve", params=PURPOSE).is_success,
        10,
        what="the worker goes on with its other work",
    )
    assert workers(product) == [first]
    assert held(product) == 2
    key.write_text(key.read_text() + right)
    checks = product.run("doctor", "--json")
    assert "2 events held" in checks.stdout, checks.stdout
    with product.tables() as session, session.begin():  # a minute passes
        session.execute(sa.text("UPDATE app.held SET due_at = clock_timestamp()"))
    wait_until(lambda: held(product) == 0, 10, what="the right key opens them")
    assert len(stored(product, "eve")) == 3


def test_a_setting_that_is_no_key_ends_the_start_with_one_clear_line(own_product: Product) -> None:
    own_product.environment["PARCOURS_HOLD_KEY"] = "bm90IGEga2V5"
    process = own_product.launch()
    assert process.wait(timeout=60) == 1
    said = own_product.output("err").read_text()
    assert "key 1 of PARCOURS_HOLD_KEY is not 32 bytes in base64" in said
    assert "bm90" not in said
    assert "Traceback" not in said
