"""Sends and withdrawals take turns, and no receiver can keep a withdrawal waiting for long."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic

import pytest
import sqlalchemy as sa

from app.consents import in_use
from app.db import Sessions, exclusively


def test_a_withdrawal_waits_for_what_is_being_sent_and_goes_on_after_it(sessions: Sessions) -> None:
    sending, done = threading.Event(), threading.Event()
    order: list[str] = []

    def send() -> None:
        with in_use.held(sessions, [7, 8]):
            sending.set()
            done.wait(10)
            order.append("sent")

    thread = threading.Thread(target=send)
    thread.start()
    assert sending.wait(10)
    threading.Timer(0.2, done.set).start()
    with sessions.begin() as session:
        assert in_use.wait(session, [8, 9])
        order.append("withdrawn")
    thread.join()
    assert order == ["sent", "withdrawn"]


def test_a_send_waits_for_a_withdrawal_that_is_under_way(sessions: Sessions) -> None:
    order: list[str] = []

    def send() -> None:
        with in_use.held(sessions, [7]):
            order.append("decided")

    thread = threading.Thread(target=send)
    with sessions.begin() as session:
        assert in_use.wait(session, [7])
        thread.start()
        thread.join(0.3)
        order.append("committed")
    thread.join(10)
    assert order == ["committed", "decided"]


def test_a_receiver_that_does_not_answer_holds_nobody_up(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_use, "PATIENCE_MS", 300)
    with in_use.held(sessions, [7]), sessions.begin() as session:
        before = session.scalar(sa.text("SHOW statement_timeout"))
        started = monotonic()
        assert not in_use.wait(session, [7])
        assert monotonic() - started < 10
        assert session.scalar(sa.text("SHOW statement_timeout")) == before, "and work goes on"


def test_receivers_that_answer_one_after_the_other_hold_nobody_up_for_longer(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many senders there are, each with less than the patience left, and however often."""
    monkeypatch.setattr(in_use, "PATIENCE_MS", 1_000)
    with sessions() as session:
        listed = (
            "SELECT i FROM generate_series(7, 12) i ORDER BY hashtextextended('in use ' || i, 0)"
        )
        order = [*session.scalars(sa.text(listed))]
    waiting, gone = threading.Event(), [threading.Event() for _ in order]
    held = threading.Barrier(len(order) + 1)

    def send(place: int) -> None:
        with in_use.held(sessions, [order[place]]):
            held.wait(20)
            gone[place].wait(20)

    def answer() -> None:  # each .7 s after the one before
        waiting.wait(20)
        for one in gone:
            threading.Event().wait(0.7)
            one.set()

    threads = [threading.Thread(target=send, args=(place,)) for place in range(len(order))]
    threads.append(threading.Thread(target=answer))
    for thread in threads:
        thread.start()
    held.wait(20)
    with sessions.begin() as session:
        waiting.set()
        assert not in_use.wait(session, order), "each of them was free within the patience"
    for thread in threads:
        thread.join(30)


def test_all_waits_of_a_transaction_share_one_patience(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def asked(_: object, __: object, ___: object, parameters: object, *____: object) -> None:
        if isinstance(parameters, dict) and str(parameters.get("value", "")).endswith("ms"):
            given.append(parameters["value"])

    monkeypatch.setattr(in_use, "PATIENCE_MS", 300)
    engine = sessions.kw["bind"]
    sa.event.listen(engine, "before_cursor_execute", asked)
    try:
        with in_use.held(sessions, [7]), sessions() as session:
            for _ in range(2):
                with session.begin():
                    assert not in_use.wait(session, [7])
                    assert not in_use.wait(session, [7])
                    assert in_use.wait(session, [8]), "what is free is had all the same"
    finally:
        sa.event.remove(engine, "before_cursor_execute", asked)
    assert given == ["300ms", f"{in_use.LEAST_MS}ms", f"{in_use.LEAST_MS}ms"] * 2


def test_what_was_taken_is_free_when_the_rest_could_not_be_had(sessions: Sessions) -> None:
    """Its connection goes back to the pool: who withdraws would wait for it for ever."""
    ids = [*range(7, 13)]
    with sessions() as session:
        last = session.scalar(sa.text(LAST))
    failed: list[Exception] = []

    def send() -> None:
        try:
            with in_use.held(sessions, ids):
                pass
        except sa.exc.OperationalError as error:
            failed.append(error)

    thread = threading.Thread(target=send)
    with sessions.begin() as session:
        assert in_use.wait(session, [last])
        thread.start()
        ended = monotonic() + 20
        while not cancelled(sessions):
            assert monotonic() < ended
        thread.join(20)
    assert len(failed) == 1
    with sessions() as session:
        assert session.scalar(sa.text(LOCKS)) == 0


@pytest.mark.parametrize("way", [lambda s: in_use.held(s, [7]), lambda s: exclusively(s, "x")],
                         ids=["held", "exclusively"])  # fmt: skip
def test_what_was_done_meanwhile_is_not_lost_with_the_connection_of_the_locks(
    sessions: Sessions, way: Callable[[Sessions], AbstractContextManager[object]]
) -> None:
    """What the receiver answered would not be noted, and sent again."""
    with way(sessions), sessions() as session:
        assert session.scalars(sa.text(TERMINATE)).all() == [True]
    with way(sessions), sessions() as session:
        assert session.scalar(sa.text(LOCKS)) > 0
    with sessions() as session:
        assert session.scalar(sa.text(LOCKS)) == 0


def cancelled(sessions: Sessions) -> bool:
    """Cancel who waits for a lock; a transaction sees who is there once."""
    with sessions() as session:
        return bool(session.scalars(sa.text(CANCEL)).all())


LAST = (
    "SELECT i FROM generate_series(7, 12) i ORDER BY hashtextextended('in use ' || i, 0) DESC "
    "LIMIT 1"
)
#: Of this database alone.
CANCEL = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
)
_HELD = (
    " FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)
LOCKS = f"SELECT count(*){_HELD}"
TERMINATE = f"SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT pid{_HELD}) AS holders"  # noqa: S608  # ours
