"""Violations are counted exactly, within bounds, and tell nothing of anybody."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.access import sources
from app.db import Sessions
from app.plans import versions, violations
from app.plans.tables import PlanViolation
from tests.app.plans.events import BAD, NOW, Publish, Send, compact, query, track


def test_a_duplicate_and_a_denied_event_count_nothing(
    publish: Publish, send: Send, listed: Any, sessions: Sessions
) -> None:
    publish("observe")
    event = track(BAD, messageId="m-1")
    assert send(event, event)["duplicates"] == 1
    assert send(event)["duplicates"] == 1
    assert listed()["totals"]["violations"] == 2
    with sessions.begin() as session:
        sources.find(session, "web").collection_purpose = "analytics.audience"
    time.sleep(2.1)  # so long may the server remember the source
    answer = send(track(BAD))
    assert answer["rejected"][0]["code"] == "consent_denied"
    assert listed()["totals"]["violations"] == 2
    publish("reject")
    answer = send(track(BAD))
    assert answer["rejected"][0]["code"] == "consent_denied"
    assert listed()["totals"]["violations"] == 2
    assert query(sessions, "SELECT * FROM app.rejected_event WHERE code = 'plan_violation'") == []


def test_nothing_a_person_said_is_in_the_violations(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    send(
        track({"id": {"ada@example.org": "secret"}, "ada@example.org": "secret"}),
        track({"id": ["secret"], "secret 0612345678": 1, "revenue": "secret"}),
        track({}, name="Mail to ada@example.org"),
        track({}, name="Call 0612345678"),
        track({"id": "a"}, context={"ip": "secret"}, userId="secret"),
    )
    assert len(listed()["data"]) >= 4
    for _ in range(2):
        text = repr(query(sessions, "SELECT * FROM app.plan_violation")) + repr(
            query(sessions, "SELECT * FROM app.plan_violation_arrival")
        )
        assert "type" in text
        # Not "ada" alone: one uuid in a hundred or so has it among its digits.
        for secret in ("secret", "ada@", "06123"):
            assert secret not in text
        compact(sessions)


def test_counts_are_right_with_many_writers_at_once_and_a_compaction_between_them(
    publish: Publish,
    send: Send,
    sessions: Sessions,
    listed: Any,
    servers: tuple[TestClient, TestClient],
) -> None:
    publish("observe")
    batches = [
        [track(BAD, messageId=f"m-{n}-{k}") for k in range(20)] for n in range(12)
    ] * 2  # each is sent twice: the second time it is a duplicate

    done = threading.Event()

    def compacting() -> None:
        while not done.is_set():
            compact(sessions)

    with ThreadPoolExecutor(7) as pool:
        job = pool.submit(compacting)
        answers = list(
            pool.map(lambda n: send(*batches[n], to=servers[(n + n // 12) % 2]), range(24))
        )
        done.set()
        job.result()
    assert sum(a["accepted"] for a in answers) == 240
    assert [v["events"] for v in listed()["data"]] == [240, 240]
    while compact(sessions):
        pass
    assert query(sessions, "SELECT count(*) FROM app.plan_violation_arrival") == [(0,)]
    found = listed()
    assert [v["events"] for v in found["data"]] == [240, 240]
    assert found["totals"]["violations"] == 480
    assert all(v["first_at"] <= v["last_at"] for v in found["data"])


def test_invented_names_fill_no_table_and_are_counted_all_the_same(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    words = [a + b for a in "abcdefghijklmnop" for b in "abcdefghijklmnopqr"]
    for half in (words[:150], words[150:]):
        send(*(track({}, name=f"Event {word}") for word in half))
        send(*(track({"id": "x", f"p{word}": 1}) for word in half))
        arrived = query(sessions, "SELECT count(*) FROM app.plan_violation_arrival")
        compact(sessions)
        assert arrived[0][0] <= 2 * (violations.MOST_INVENTED + 1)
    send(track({"id": 3}))
    compact(sessions)
    [(rows, invented)] = query(
        sessions, "SELECT count(*), count(*) FILTER (WHERE invented) FROM app.plan_violation"
    )
    assert invented == violations.MOST_INVENTED
    assert rows <= invented + 3
    found = listed(limit=1000)
    assert found["totals"]["violations"] == 2 * len(words) + 1
    others = {(v["event"], v["pointer"]) for v in found["data"] if v["events"] > 1}
    assert others == {("(other)", ""), ("Order", "/properties/*")}
    assert listed(keyword="type")["data"][0]["pointer"] == "/properties/id"


def test_violations_are_filtered_and_paged(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    send(track(BAD), track({"id": "x", "revenue": "y"}), track({}, name="Other"))
    publish("drop")
    send(track(BAD))
    compact(sessions)
    send(track(BAD))
    whole = listed()["data"]
    assert [v["version"] for v in whole] == [1, 1, 1, 1, 2, 2]
    paged: list[Any] = []
    cursor = None
    while not paged or cursor:
        page = listed(limit=2, **({"cursor": cursor} if cursor else {}))
        paged += page["data"]
        cursor = page["next_cursor"]
    assert paged == whole
    assert [v["events"] for v in listed(version=2)["data"]] == [2, 2]
    assert [v["event"] for v in listed(event="Other")["data"]] == ["Other"]
    assert listed(action="dropped")["totals"] == {
        "violations": 4, "observed": 0, "dropped": 4, "rejected": 0
    }  # fmt: skip
    assert listed(source="none")["data"] == []
    assert listed(type="page")["data"] == []
    past = (NOW - timedelta(days=2)).isoformat()
    assert listed(until=past)["data"] == []
    assert len(listed(since=past)["data"]) == len(whole)


def test_old_violations_are_forgotten_and_those_of_a_deleted_plan_go_with_it(
    publish: Publish, send: Send, sessions: Sessions
) -> None:
    publish("observe")
    send(track(BAD))
    compact(sessions)
    with sessions.begin() as session:
        session.execute(
            sa.update(PlanViolation)
            .where(PlanViolation.keyword == "type")
            .values(hour=NOW - timedelta(days=91))
        )
        violations.forget(session, now=NOW)
    left = query(sessions, "SELECT keyword FROM app.plan_violation")
    assert left == [("additionalProperties",)]
    send(track(BAD))
    with sessions.begin() as session:
        versions.detach(session, "shop", "web")
        versions.remove(session, "shop")
    assert compact(sessions) == 2
    for table in ("plan_violation", "plan_violation_arrival", "tracking_plan_version"):
        assert query(sessions, f"SELECT * FROM app.{table}") == []  # noqa: S608 -- ours
