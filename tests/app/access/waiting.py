"""Waits until somebody waits: how a test makes two transactions meet."""

import time

import sqlalchemy as sa

from app.db import Sessions

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def waiting(sessions: Sessions, seconds: float = 10) -> None:
    """Return once another session waits for a lock; raises AssertionError when none does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with sessions() as session:
            if session.scalar(sa.text(WAITING)):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
