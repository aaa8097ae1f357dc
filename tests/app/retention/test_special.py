"""Values of special categories are destroyed once, and beside whoever else is at their events."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.consents import record
from app.consents.permission import permissions
from app.db import Sessions, statement
from app.jobs import Worker
from app.privacy import redact
from app.privacy.subject import Subject
from app.profiles import computed_traits, read
from app.retention import special
from app.settings import Settings
from consent import restrictions
from identity import graph, people
from tests.app.retention.test_purposes import NOW, Shop, declare

VALUE = '{"specialCategories": {"health": {"/properties/diagnosis": "eczema"}}}'
FRIEND = "bob@example.org"


class Surgery(Shop):
    """The same three people, with a value of a special category in each one's event `d5`.

    A purpose covers its category, and nobody agreed to that.
    """

    def __init__(self, server: TestClient, sessions: Sessions, key: str, lake: Path) -> None:
        super().__init__(server, sessions, key, lake)
        with sessions.begin() as session:
            known = consent.catalogue.purposes(session)["analytics.audience"]
            covers = {"special_categories": ["health"]}
            care = replace(known, key="care.advice", version=1, explicit=True, declared=covers)
            consent.catalogue.add_purpose(session, care)
            told = "UPDATE app.event SET rest = :value, properties = :told WHERE name = 'd5'"
            session.execute(sa.text(told), {"value": VALUE, "told": f'{{"friend": "{FRIEND}"}}'})

    def holders(self) -> list[str]:
        """Whose value is there."""
        query = "SELECT user_id FROM app.event WHERE CAST(rest AS text) ~ 'eczema' ORDER BY 1"
        with self.sessions() as session:
            return list(session.scalars(sa.text(query)))

    def told(self) -> list[str]:
        """Of how many events the ledger says so."""
        query = "SELECT public ->> 'events' FROM consent.ledger_statement WHERE public ? 'act'"
        with self.sessions() as session:
            return list(session.scalars(sa.text(query)))


@pytest.fixture
def surgery(server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path) -> Surgery:
    return Surgery(server, sessions, write_key, tmp_path / "lake")


@contextmanager
def before(sessions: Sessions, words: str, act: Any) -> Iterator[None]:
    """Do something in between: once, right before the first statement with these words."""
    engine, waiting = sessions.kw["bind"], [act]

    def listen(_c: Any, _u: Any, text: str, *_: Any) -> None:
        if words in text and waiting:
            waiting.pop()()

    sa.event.listen(engine, "before_cursor_execute", listen)
    try:
        yield
        assert not waiting
    finally:
        sa.event.remove(engine, "before_cursor_execute", listen)


def test_what_somebody_has_locked_waits_for_the_next_run_and_only_what_went_is_told(
    surgery: Surgery, sessions: Sessions
) -> None:
    with ThreadPoolExecutor(1) as pool, sessions.begin() as erasure:
        lock = "SELECT id FROM app.event WHERE name = 'd5' AND user_id = 'silent' FOR UPDATE"
        erasure.execute(sa.text(lock))
        try:
            done = pool.submit(special.run, sessions).result(timeout=20)
        finally:
            erasure.rollback()
    assert (done, surgery.told(), surgery.holders()) == (2, ["2"], ["silent"])
    assert special.run(sessions) == 1
    assert surgery.holders() == []


def test_what_is_restricted_after_the_decision_and_before_the_lock_stays(
    surgery: Surgery, sessions: Sessions
) -> None:
    def restrict() -> None:
        with sessions.begin() as session:
            whom = [("user_id", "silent")]
            restrictions.restrict(session, whom, "restriction", reason_ref="test", at=NOW)

    with before(sessions, "FOR UPDATE OF e", restrict):
        assert special.run(sessions) == 2
    assert surgery.holders() == ["silent"]


def test_what_is_lifted_between_two_questions_is_not_taken_for_a_refusal(
    surgery: Surgery, sessions: Sessions
) -> None:
    """The decision still says `restricted` when the table of restrictions does not any more."""
    with sessions.begin() as session:
        whom = [("user_id", "silent")]
        restrictions.restrict(session, whom, "restriction", reason_ref="test", at=NOW)

    def lift() -> None:
        with sessions.begin() as session:
            restrictions.lift(session, "test", at=NOW)

    with before(sessions, "whose processing is restricted", lift):
        special.run(sessions)
    assert surgery.holders() == ["silent"]


def say(sessions: Sessions, who: str, **purposes: str) -> None:
    """Record what a person of the shop says, of purposes by their keys with `_` for the dot."""
    said = {key.replace("_", "."): state for key, state in purposes.items()}
    with sessions.begin() as session:
        now = datetime.now(UTC)
        record.record(session, "user_id", who, said, collected_by="client:test", received_at=now)


def match(sessions: Sessions, one: str, other: str) -> None:
    """Have two people joined by a match, which may be wrong."""
    with sessions.begin() as session:
        low, high = sorted(read.find(session, f"user_id:{who}").acting_id for who in (one, other))
        found = graph.Evidence(low, high, "match", "splink", datetime.now(UTC), evidence_id=1,
                               weight=9.0, probability=0.995)  # fmt: skip
        moved = graph.reconsider(session, graph.observe(session, [found]), at=datetime.now(UTC))
        assert len(moved.merged) == 1
        pipeline.after_move(session, moved)


def readable(sessions: Sessions, who: str) -> tuple[bool, str]:
    """Whether somebody's values may be read for the purpose that covers them, and why."""
    with sessions() as session:
        found = read.find(session, f"user_id:{who}")
        rows = permissions(session, "care.advice", [found.person_id])
        return next((r.allowed, r.reason) for r in rows if r.identifier_id == found.acting_id)


def test_what_only_a_match_refuses_is_hidden_and_not_destroyed(
    surgery: Surgery, sessions: Sessions
) -> None:
    """It may be another person's refusal: once the match is undone the value is read again."""
    for who in ("silent", "refused"):
        say(sessions, who, profile_link="given")
    surgery.pass_on()
    say(sessions, "silent", care_advice="given")
    say(sessions, "refused", care_advice="refused")
    match(sessions, "silent", "refused")
    assert readable(sessions, "silent") == (False, "probable_link")
    assert special.run(sessions) == 2, "of who refused, and of who said nothing"
    assert surgery.holders() == ["silent"]
    with sessions.begin() as session:
        [merge] = people.merges(session)
        pipeline.after_move(session, people.undo(session, merge.id, by="test", at=NOW))
    assert readable(sessions, "silent") == (True, "given")
    say(sessions, "silent", care_advice="refused")
    assert special.run(sessions) == 1
    assert surgery.holders() == []


def test_an_erasure_that_is_writing_an_event_anew_brings_no_value_back(
    surgery: Surgery, sessions: Sessions
) -> None:
    """What was destroyed between its reading and its writing would be written again."""
    bob = Subject((("email", FRIEND),), (), (FRIEND,))
    between: list[int] = []
    with before(sessions, "WITH changed AS", lambda: between.append(special.run(sessions))):
        assert redact.others(sessions, bob) == 3
    destroyed = between[0] + special.run(sessions)
    assert (destroyed, surgery.holders()) == (3, [])
    assert sum(map(int, surgery.told())) == 3


def test_where_it_fails_the_rest_of_the_run_is_done(surgery: Surgery, sessions: Sessions) -> None:
    declare(sessions, analytics_audience=400, service_operation=10)
    count = {"kind": "count", "event": "d5"}
    with sessions.begin() as session:
        computed_traits.put(
            session, key="k", name="K", purpose="service.operation", definition=count
        )
        session.execute(sa.text("UPDATE app.computed_trait SET position = 7"))
        session.execute(
            sa.text(
                "CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE 'no' USING ERRCODE = '40P01'; END $$"
            )
        )
        session.execute(
            sa.text(
                "CREATE TRIGGER refuse BEFORE UPDATE ON app.event"
                " FOR EACH ROW EXECUTE FUNCTION app.refuse()"
            )
        )
    with pytest.raises(sa.exc.OperationalError):
        surgery.run()
    assert surgery.left() == {"agrees": ["d300", "d20", "d5"], "refused": ["d5"], "silent": ["d5"]}
    with sessions() as session:
        assert session.scalar(sa.text("SELECT position FROM app.computed_trait")) == 0
    assert surgery.holders() == ["agrees", "refused", "silent"]


def test_a_batch_is_written_by_the_index_and_not_by_reading_its_partition(
    surgery: Surgery, sessions: Sessions
) -> None:
    """5,000 events are enough for PostgreSQL to choose as it does for millions."""
    plans: list[str] = []
    many = (
        "INSERT INTO app.event_p1 OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(e,"
        " jsonb_build_object('id', 1000 + n, 'message_id', 'm-' || n))).*"
        " FROM app.event_p1 e, generate_series(1, 5000) n WHERE e.message_id = 'silent-d5'"
    )

    def explain() -> None:
        text = statement("app.retention", "write_rest").text
        with sessions() as session:
            session.execute(sa.text(many))
            session.execute(sa.text("ANALYZE app.event_p1"))
            plan = session.scalars(sa.text(f"EXPLAIN {text}"), {"part": 1, "rows": "[]"})
            plans.append("\n".join(plan))

    with before(sessions, "Write what stands beside", explain):
        assert special.run(sessions) == 3
    [condition] = [line for line in plans[0].splitlines() if "Index Cond" in line]
    assert "transaction" in condition, plans[0]


def test_the_worker_logs_it(
    surgery: Surgery, sessions: Sessions, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(sessions, settings, "")
    worker._retention()
    worker._retention()
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("retention")]
    assert len(told) == 1
    assert "3 events' values of special categories" in told[0]
