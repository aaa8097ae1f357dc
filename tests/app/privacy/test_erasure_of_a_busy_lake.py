"""An erasure ends while files of the lake come and go, and holds up no other request."""

import os
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.lake import copy
from app.privacy import run
from app.privacy.step import WAITING, Outcome, Work
from tests.app.privacy.conftest import GIVEN, World

ADA = {"type": "track", "event": "Seen", "userId": "ada-1815", "context": GIVEN}
GRACE = 60


def test_an_erasure_waits_for_the_files_of_its_person_and_for_no_later_ones(world: World) -> None:
    """Files that left the listing since, within the last minute, were waited for: where some leave
    each minute, for ever."""
    world.settings = world.settings.model_copy(update={"erasure_grace_seconds": GRACE})
    lake = world.settings.lake_dir
    world.send(ADA)
    copy.copy_new(world.sessions, lake)
    [held] = _files(lake)
    made = world.ask("erasure", "user_id:ada-1815")
    assert made["state"] == "executing"
    assert held.exists()  # for who reads it

    def pass_by(seconds: int) -> str:
        """Let the lake's task be so old, and its file; look again."""
        ago = time.time() - seconds
        os.utime(held, (ago, ago))
        with world.sessions.begin() as session:
            session.execute(
                sa.text(
                    "UPDATE app.privacy_task SET due_at = now(), result = result"
                    " || jsonb_build_object('rewritten_at', CAST(:ago AS float))"
                    " WHERE store = 'lake'"
                ),
                {"ago": ago},
            )
        run.at_once(world.sessions, world.settings, made["id"])
        return str(world.shown(made["id"])["state"])

    later = lake / "events-later.parquet"
    later.touch()  # put together with others just now
    assert pass_by(GRACE - 20) == "executing"
    assert held.exists()
    assert pass_by(2 * GRACE + 20) == "closed"
    assert not held.exists()
    assert later.exists()


def _files(lake: Path) -> list[Path]:
    return list(lake.glob("events-*"))


def test_a_request_that_waits_is_left_to_the_next_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that took longer than it waits was asked again at once, and no other request begun."""
    world.send(ADA)
    asked = list[float]()

    def lake(_work: Work) -> Outcome:
        asked.append(time.monotonic())
        assert len(asked) < 5
        time.sleep(0.02)
        return Outcome(WAITING, again=0.001)

    plan = {**run.PLANS["erasure"], "lake": lake}
    monkeypatch.setattr(run, "PLANS", {**run.PLANS, "erasure": plan})
    assert world.ask("erasure", "user_id:ada-1815")["state"] == "executing"
    assert len(asked) == 1
    time.sleep(0.01)
    run.round_(world.sessions, world.settings)
    assert len(asked) == 2
