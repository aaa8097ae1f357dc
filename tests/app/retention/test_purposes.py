"""What no purpose keeps any more is deleted, and nothing else (research/consent.md 2.10)."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.consents import record
from app.consents.permission import permissions
from app.db import Sessions
from app.lake import copy
from app.profiles import read
from app.retention import expire, rules
from consent import restrictions
from identity import graph, sweeps
from identity.respelling import SPELLING

DAY = timedelta(days=1)
NOW = datetime.now(UTC)
PREFERS = {True: {"analytics.audience": True}, False: {"analytics.audience": False}}


def happened(days_ago: int) -> str:
    return (NOW - days_ago * DAY).isoformat()


def event(who: str, name: str, days_ago: int, *, given: bool | None = None) -> dict[str, Any]:
    stamp = {} if given is None else {"consent": {"categoryPreferences": PREFERS[given]}}
    return {"type": "track", "userId": who, "event": name, "messageId": f"{who}-{name}",
            "timestamp": happened(days_ago), "context": stamp}  # fmt: skip


def declare(sessions: Sessions, **days: int) -> None:
    """Add versions that say how long they keep."""
    with sessions.begin() as session:
        known = consent.catalogue.purposes(session)
        for name, kept in days.items():
            before = known[name.replace("_", ".", 1)]
            consent.catalogue.add_purpose(
                session,
                replace(
                    before,
                    version=before.version + 1,
                    effective_from=NOW - DAY,
                    declared={**before.declared, "retention_days": kept},
                    renewed=0,
                ),
            )


class Shop:
    """Three people with old and new events: one agrees, one refused, one has said nothing."""

    def __init__(self, server: TestClient, sessions: Sessions, key: str, lake: Path) -> None:
        self.sessions, self.lake = sessions, lake
        sent = [
            {**event(who, "Known", 300), "type": "identify", "traits": {"plan": "gold"}}
            for who in ("agrees", "refused", "silent")
        ]
        for days_ago in (500, 300, 20, 5):
            sent += [
                # A yes of 500 days ago has lapsed, and stamps do not renew it.
                event("agrees", f"d{days_ago}", days_ago, given=True if days_ago < 395 else None),
                event("refused", f"d{days_ago}", days_ago, given=False),
                event("silent", f"d{days_ago}", days_ago),
            ]
        answer = server.post("/v1/batch", json={"batch": sent, "writeKey": key}).json()
        assert answer["accepted"] == len(sent), answer
        self.pass_on()

    def pass_on(self) -> None:
        while True:
            with self.sessions.begin() as session:
                if pipeline.step(session).idle:
                    break
        copy.copy_new(self.sessions, self.lake)

    def run(self, **more: Any) -> expire.Expired:
        done = expire.run(self.sessions, self.lake, rejected=30 * DAY, now=NOW, **more)
        assert done is not None
        return done

    def left(self) -> dict[str, list[str]]:
        query = "SELECT user_id, name FROM app.event WHERE type = 'track' ORDER BY occurred_at"
        with self.sessions() as session:
            found: dict[str, list[str]] = {}
            for who, name in session.execute(sa.text(query)):
                found.setdefault(who, []).append(name)
        return found

    def known(self) -> set[str]:
        query = (
            "SELECT DISTINCT i.value FROM app.trait t "
            "JOIN identity.current_person i USING (identifier_id)"
        )
        with self.sessions() as session:
            return set(session.scalars(sa.text(query)))


def test_events_and_traits_go_when_no_purpose_keeps_them(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    everything = shop.left()
    assert shop.run() == expire.Expired()  # nobody has said how long
    declare(sessions, analytics_audience=400)
    assert shop.run() == expire.Expired()  # the contract still keeps everything
    declare(sessions, service_operation=10)
    with sessions.begin() as session:  # of who wants it kept, nothing is deleted (art. 18)
        restrictions.restrict(
            session, [("user_id", "silent")], "restriction", reason_ref="test", at=NOW
        )

    counted = shop.run(dry_run=True)
    assert shop.left() == everything
    done = shop.run()

    # Of who agrees the one of 500 days; of who refused all but the one of 5 days.
    assert (counted.events_without_purpose, done.events_without_purpose) == (5, 5)
    assert shop.left() == {
        "agrees": ["d300", "d20", "d5"],
        "refused": ["d5"],
        "silent": ["d500", "d300", "d20", "d5"],
    }
    assert done.files > 0
    assert counted.profiles_without_purpose == done.profiles_without_purpose == 0
    assert shop.known() == {"agrees", "refused", "silent"}  # all of them were heard of lately
    assert shop.run().events_without_purpose == 0
    with sessions.begin() as session:  # nor by a rule
        rules.put(session, days=1)
    later = expire.run(sessions, shop.lake, rejected=30 * DAY, now=NOW + 9 * DAY)
    assert later is not None
    assert shop.left() == {"silent": ["d500", "d300", "d20", "d5"]}


def test_nothing_of_an_address_goes_while_its_spelling_is_looked_at(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    """Until then nobody may use it, and what was agreed to keeps it all the same."""
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    known = {**event("agrees", "Known", 300, given=True), "messageId": "address",
             "type": "identify", "traits": {"email": "agrees@example.org"}}  # fmt: skip
    server.post("/v1/batch", json={"batch": [known], "writeKey": write_key}).raise_for_status()
    shop.pass_on()
    declare(sessions, analytics_audience=400, service_operation=10)
    with sessions.begin() as session:
        sweeps.request(session, SPELLING)
    shop.run()
    assert shop.left()["agrees"] == ["d500", "d300", "d20", "d5"]
    while sweeps_on(sessions):
        pass
    shop.run()
    assert shop.left()["agrees"] == ["d300", "d20", "d5"]


def sweeps_on(sessions: Sessions) -> bool:
    with sessions.begin() as session:
        return sweeps.step(session) is not None


def test_profiles_go_when_nothing_was_heard_for_longer_than_is_kept(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    tmp_path: Path,
    token: Callable[..., dict[str, str]],
) -> None:
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    declare(sessions, analytics_audience=400, service_operation=2)
    assert shop.run(dry_run=True).profiles_without_purpose == 2

    done = shop.run()
    shop.pass_on()

    assert done.profiles_without_purpose == 2
    assert shop.known() == {"agrees"}
    assert "refused" not in shop.left()
    answer = server.get(
        "/v1/profiles/user_id:refused",
        params={"purpose": "service.operation"},
        headers=token("profiles:read", purposes=("service.operation",)),
    )
    assert answer.json()["traits"] == {}

    # Consent that lapses begins the same deletion as consent that is withdrawn.
    later = NOW + 396 * DAY
    declare(sessions, analytics_audience=4_000)
    with sessions.begin() as session:
        session.execute(sa.text("ALTER TABLE consent.record DISABLE TRIGGER USER"))
        session.execute(sa.text("UPDATE consent.record SET valid_until = now()"))
        session.execute(sa.text("ALTER TABLE consent.record ENABLE TRIGGER USER"))
    assert expire.run(sessions, shop.lake, rejected=30 * DAY, now=later) is not None
    assert shop.left() == {}
    assert shop.known() == set()


def between(sessions: Sessions, marker: str, act: Callable[[], None]) -> None:
    """Do something as soon as it was looked what is due, before any of it is deleted."""
    acts = [act]

    def listen(_c: object, _u: object, text: str, *_: object) -> None:
        if marker in text and acts:
            acts.pop()()

    sa.event.listen(sessions.kw["bind"], "before_cursor_execute", listen)


def test_who_agrees_after_it_was_decided_loses_nothing(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    declare(sessions, analytics_audience=400, service_operation=10)
    before = shop.left()

    def agree() -> None:
        with sessions.begin() as session:
            for who in ("refused", "silent"):
                record.record(
                    session, "user_id", who, {"analytics.audience": "given"},
                    collected_by="client:test", received_at=datetime.now(UTC),
                )  # fmt: skip

    # Where it is due: first that of events, and then that of traits, was decided.
    between(sessions, "SELECT pg_advisory_xact_lock(", agree)
    shop.run()
    after = shop.left()
    # What the stamps of events refused goes all the same.
    assert after["silent"] == [name for name in before["silent"] if name != "d500"]
    assert {"agrees", "silent"} <= shop.known()


def test_who_agrees_while_it_is_deleted_waits(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    """Or their consent would be answered before what it keeps is gone."""
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    declare(sessions, analytics_audience=400, service_operation=10)
    answered = threading.Event()

    def agree() -> None:
        with sessions.begin() as session:
            record.record(
                session, "user_id", "silent", {"analytics.audience": "given"},
                collected_by="client:test", received_at=datetime.now(UTC),
            )  # fmt: skip
        answered.set()

    waited: list[bool] = []
    agreeing = threading.Thread(target=agree)

    def begin() -> None:
        agreeing.start()
        waited.append(not answered.wait(0.3))

    between(sessions, "DELETE FROM app.event", begin)
    shop.run()
    agreeing.join(10)
    assert waited == [True]


def test_what_was_put_right_and_is_not_in_the_files_yet_goes_too(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    declare(sessions, analytics_audience=400, service_operation=10)
    again = "INSERT INTO app.lake_removal (event_id, again) SELECT id, true FROM app.event"
    with sessions.begin() as session:
        session.execute(sa.text(again))
    assert shop.run().events_without_purpose > 0
    with sessions.begin() as session:
        rules.put(session, days=1)
        session.execute(sa.text(f"{again} ON CONFLICT DO NOTHING"))
    done = expire.run(sessions, shop.lake, rejected=30 * DAY, now=NOW + 9 * DAY)
    assert done is not None
    assert done.events > 0


def test_what_only_a_match_refuses_is_kept(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    """A refusal of somebody who was joined by a match hides, and destroys nothing of the other."""
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    declare(sessions, analytics_audience=400, service_operation=10, profile_link=5)
    with sessions.begin() as session:
        for who in ("agrees", "refused"):
            record.record(
                session, "user_id", who, {"profile.link": "given"},
                collected_by="client:test", received_at=datetime.now(UTC),
            )  # fmt: skip
    shop.pass_on()
    with sessions.begin() as session:
        low, high = sorted(
            read.find(session, f"user_id:{who}").acting_id for who in ("agrees", "refused")
        )
        found = graph.Evidence(low, high, "match", "splink", NOW, evidence_id=1,
                               weight=9.0, probability=0.995)  # fmt: skip
        moved = graph.reconsider(session, graph.observe(session, [found]), at=NOW)
        assert len(moved.merged) == 1
        pipeline.after_move(session, moved)
        person = read.find(session, "user_id:agrees").person_id
        reasons = {p.reason for p in permissions(session, "analytics.audience", [person])}
        assert "given" not in reasons
    shop.run()
    assert shop.left() == {
        "agrees": ["d300", "d20", "d5"], "refused": ["d5"], "silent": ["d5"]
    }  # fmt: skip
