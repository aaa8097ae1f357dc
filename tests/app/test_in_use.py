"""Sends and withdrawals take turns, and no receiver can keep a withdrawal waiting for long."""

import threading
from time import monotonic

import pytest
import sqlalchemy as sa

from app.consents import in_use
from app.db import Sessions


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
        before = session.scalar(sa.text("SHOW lock_timeout"))
        started = monotonic()
        assert not in_use.wait(session, [7])
        assert monotonic() - started < 10
        assert session.scalar(sa.text("SHOW lock_timeout")) == before, "and work goes on"
