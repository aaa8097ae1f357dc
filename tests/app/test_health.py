"""`readyz` tells the truth in bounded time; a database that cannot work now is a 503, not a 500."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.main import create_app
from app import db, health, pipeline, work
from app.db import Sessions, unavailable
from app.jobs import Worker
from app.settings import Settings
from identity import graph

EVENT = {"event": "E", "userId": "ada", "messageId": "m-1"}


def post(server: TestClient, key: str) -> Any:
    return server.post("/v1/track", json={**EVENT, "writeKey": key})


def test_ready_means_that_events_can_be_stored_and_a_worker_runs(
    server: TestClient, sessions: Sessions
) -> None:
    said = server.get("/readyz").json()
    assert (said["status"], said["reasons"]) == ("degraded", ["no worker has run yet"])
    with sessions.begin() as session:
        work.beat(session, "pipeline")
    answer = server.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert (answer.json()["database"], answer.json()["backlog"]) == ("up", 0)
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.heartbeat SET at = at - interval '2 minutes'"))
    said = server.get("/readyz").json()
    assert said["status"] == "degraded"
    assert "no worker for 1" in said["reasons"][0]


def test_what_was_touched_is_backlog_until_the_pipeline_has_taken_it(
    server: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        ids = graph.identify(session, [("user_id", "ada"), ("user_id", "bob")]).values()
        work.touch(session, [(i, "consent", {}) for i in ids])
    assert server.get("/readyz").json()["backlog"] == 2
    with sessions.begin() as session:
        assert pipeline.step(session, limit=1).more
    assert server.get("/readyz").json()["backlog"] == 1
    with sessions.begin() as session:
        pipeline.step(session)
    assert server.get("/readyz").json()["backlog"] == 0


def test_a_job_that_fails_is_a_worry_until_it_works_again(
    server: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        work.beat(session, "pipeline")
        work.fail(session, "retention")
        work.fail(session, "retention")
    assert server.get("/readyz").json()["status"] == "ready"
    ago = "UPDATE app.heartbeat SET failing_since = failing_since - interval '1 minute'"
    with sessions.begin() as session:
        session.execute(sa.text(ago))
    said = server.get("/readyz").json()
    assert said["status"] == "degraded"
    assert "the job retention has failed for 6" in said["reasons"][0]
    with sessions.begin() as session:
        work.beat(session, "retention")
    assert server.get("/readyz").json()["status"] == "ready"


def test_a_job_that_fails_is_tried_again_ever_later_and_says_so(
    sessions: Sessions, settings: Settings
) -> None:
    worker = Worker(sessions, settings, settings.database_url or "")
    tries: list[float] = []

    def failing() -> None:
        tries.append(time.monotonic())
        if len(tries) == 3:
            worker.stop()
        raise ValueError("no matter")

    worker._every(3_600, failing)
    assert len(tries) == 3
    assert tries[2] - tries[1] > 1.5 * (tries[1] - tries[0])
    with sessions() as session:
        assert list(work.failing(session)) == [threading.current_thread().name]


def test_events_that_wait_long_are_a_worry(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    post(server, write_key)
    with sessions.begin() as session:
        work.beat(session, "pipeline")
        session.execute(sa.text("UPDATE app.event SET received_at = now() - interval '10 minutes'"))
    said = server.get("/readyz").json()
    assert (said["status"], said["backlog"]) == ("degraded", 1)
    assert said["oldest_seconds"] >= 600


def test_a_database_that_takes_no_writes_is_said_and_comes_back(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    engine: sa.Engine = sessions.kw["bind"]

    def read_only(state: str) -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("SET default_transaction_read_only = off"))
            name = connection.scalar(sa.text("SELECT current_database()"))
            connection.execute(
                sa.text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {state}')
            )
            # Sessions keep what they began with: the writer's, too, must be another one.
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        engine.dispose()

    assert post(server, write_key).status_code == 200
    read_only("on")
    answer = post(server, write_key)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["code"] == "database-unavailable"
    assert answer.json()["detail"] == "the database takes no writes"
    answer = server.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "read-only")
    read_only("off")
    assert post(server, write_key).json()["duplicates"] == 1
    assert server.get("/readyz").status_code == 200


def test_a_database_that_hangs_costs_readyz_two_seconds(
    server: TestClient, sessions: Sessions
) -> None:
    with sessions() as other:
        other.execute(sa.text("LOCK TABLE app.heartbeat IN ACCESS EXCLUSIVE MODE"))
        for _ in range(2):
            started = time.monotonic()
            answer = server.get("/readyz")
            assert time.monotonic() - started < health.DATABASE_SECONDS + 1
            assert (answer.status_code, answer.json()["database"]) == (503, "hangs")
        assert server.get("/healthz").status_code == 200
    until(lambda: server.get("/readyz").status_code == 200)


def test_a_writer_that_is_stuck_is_said(
    server: TestClient, sessions: Sessions, write_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WRITER_SECONDS", 0.2)

    assert post(server, write_key).status_code == 200
    with ThreadPoolExecutor(1) as pool, sessions() as other:
        other.execute(sa.text("LOCK TABLE app.event_partition IN ACCESS EXCLUSIVE MODE"))
        stuck = pool.submit(post, server, write_key)
        until(lambda: "a transaction of events" in server.get("/readyz").text)
        assert server.get("/readyz").status_code == 503
        other.rollback()
        assert stuck.result(10).json()["duplicates"] == 1
    assert server.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("state", "transient"),
    [("53100", True), ("53200", True), ("53300", True), ("25006", True), ("57P01", True),
     ("57P03", True), ("40P01", True), ("58030", True), ("22P02", False), ("54000", False),
     ("42P01", False), ("23505", False)],
)  # fmt: skip
def test_what_the_server_may_do_later_is_told_from_what_it_never_will(
    sessions: Sessions, state: str, transient: bool
) -> None:
    with sessions() as session:
        raised = sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")
        with pytest.raises(sa.exc.DBAPIError) as error:
            session.execute(raised)
    assert (unavailable(error.value) is not None) == transient


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_process_starts_while_the_database_is_away(tmp_path: Path) -> None:
    """One that failed to start would have uvicorn end the others, and the product with them."""
    url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    away = create_app(Settings(data_dir=tmp_path, database_url=url), db.sessions(db.engine(url)))
    with TestClient(away, base_url="https://parcours.test") as server:
        assert server.get("/healthz").status_code == 200
        assert server.get("/readyz").status_code == 503
