"""Matching runs that fail: tried again ever later, named in readyz, and given up in the end."""

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import matching
from app.db import Sessions
from identity import matching as model
from identity import reviews
from tests.app.test_matching import AUTO, REVIEW, add, links, numbered, people


def test_a_run_that_fails_is_tried_again_after_twice_as_long_each_time_and_named(
    server: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    def asked(interval: float = 60) -> bool:
        matching.request_if_needed(sessions, interval=interval, whole_every=3600)
        with sessions() as session:
            last = reviews.last_run(session)
        return last is not None and last.state == "waiting"

    def ago(seconds: float) -> None:
        with sessions.begin() as session:
            session.execute(
                sa.text(
                    "UPDATE identity.run SET"
                    " requested_at = requested_at - make_interval(secs => :s),"
                    " finished_at = finished_at - make_interval(secs => :s)"
                ),
                {"s": seconds},
            )

    add(sessions, numbered(people(20, 3)))
    monkeypatch.setattr(matching, "_match_all", fails)
    for wait in (120, 240, 480):
        assert asked()
        matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
        ago(wait - 5)
        assert not asked()
        ago(10)
    with sessions() as session:
        assert reviews.failures(session, reviews.ALL).times == 3
    [worry] = [w for w in server.get("/readyz").json()["reasons"] if "matching" in w]
    assert "matching has failed 3 times (MemoryError)" in worry
    monkeypatch.undo()
    assert asked()
    matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    with sessions() as session:
        assert reviews.failures(session, reviews.ALL).times == 0
    assert not [w for w in server.get("/readyz").json()["reasons"] if "matching" in w]


def test_while_whole_runs_fail_who_is_new_is_compared_by_what_was_learnt_before(
    server: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    def asked() -> str | None:
        matching.request_if_needed(sessions, interval=0, whole_every=0)
        with sessions() as session:
            last = reviews.last_run(session)
        return last.parameters["scope"] if last and last.state == "waiting" else None

    monkeypatch.setattr(model, "LEAST_LEARNT", 0)
    ada = {"first_name": "ada", "last_name": "lovelace", "email": "countess@mail.net"}
    add(sessions, {"ada": ada, **numbered(people(100, 3))})
    assert asked() == reviews.ALL
    matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    monkeypatch.setattr(matching, "_match_all", fails)
    ids = add(sessions, {"also ada": ada})
    assert asked() == reviews.ALL  # what was learnt is older than nothing
    matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    assert asked() == reviews.NEW
    matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    assert ("ada", "also ada") in links(sessions)
    with sessions() as session:
        assert reviews.failures(session, reviews.ALL).times == 1
        assert reviews.failures(session, reviews.NEW).times == 0
    assert [w for w in server.get("/readyz").json()["reasons"] if "failed once (MemoryError)" in w]
    assert asked() is None  # nobody is new
    add(sessions, {"who": {"first_name": "grace", "last_name": "hopper"}})
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE identity.run SET finished_at = now() - interval '9 days'"))
    assert asked() == reviews.ALL  # its wait is over
    assert ids


def test_a_run_whose_worker_dies_again_and_again_is_given_up(sessions: Sessions) -> None:
    """The system ends whoever takes too much memory, and starts it again."""
    with sessions.begin() as session:
        wanted = reviews.request_run(session, {"asked_by": "test"}).id
    for _ in range(reviews.MOST_DEATHS):
        with sessions.begin() as session:
            started = reviews.start_run(session)
        assert started is not None
        assert started[0] == wanted
    with sessions.begin() as session:
        assert reviews.start_run(session) is None
    with sessions() as session:
        ended = reviews.find_run(session, wanted)
        assert (ended.state, ended.result) == ("failed", {"error": "WorkerDied"})
