"""Whoever was told of an alert is told, once, that it is over; a failing analysis fails alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner

from api.cli import root
from app.journeys import alerting, analyses
from app.journeys.alerting import Look
from app.journeys.saved_request import SavedAnalysis
from app.journeys.tables import AnalysisAlert, SavedQuestion
from app.settings import Settings
from tests.app.destinations.world import World
from tests.app.journeys.saved_world import FUNNEL, NOW, alerts, look, save, see, told, world
from tests.end_to_end.conftest import Receiver, receiver

__all__ = ["receiver", "world"]


#: Told nobody.
QUIET = {**FUNNEL, "alert": {"at": "/rates/raw", "below": 0.5}}


def said(receiver: Receiver) -> list[tuple[str, str, Any]]:
    """Of each message its id, its type, and why it is over."""
    bodies = [json.loads(one.body) for one in receiver.received]
    return [
        (one.headers["webhook-id"], body["type"], body["data"].get("ended", {}).get("because"))
        for one, body in zip(receiver.received, bodies, strict=True)
    ]


def test_the_end_of_an_alert_is_told_once_by_an_id_of_its_own(
    world: World, settings: Settings, receiver: Receiver
) -> None:
    made = world.destination(name="alarms", url=receiver.url, segments=["all"])
    save(world)
    look(world, settings)
    assert told(world) == 1
    [one] = alerts(world)
    see(world, "two", "Ordered", NOW)
    look(world, settings, hours=1.1)
    receiver.answers = [503]
    assert (told(world, hours=1.2), told(world, hours=1.3), told(world, hours=1.4)) == (0, 1, 0)
    end = f"{one['id']}-ended"
    assert said(receiver) == [
        (one["id"], "analysis.alerted", None),
        (end, "analysis.alert_ended", "back"),
        (end, "analysis.alert_ended", "back"),
    ]
    body = Webhook(made["secret"]).verify(receiver.received[-1].body, receiver.received[-1].headers)
    assert (body["data"]["alert"], body["data"]["saved_analysis"]) == (one["id"], "orders")
    assert (body["data"]["value"], body["data"]["ended"]["value"]) == (0.0, 0.5)
    [ended] = alerts(world)
    assert (ended["ended"]["because"], ended["why_untold"]) == ("back", None)
    assert ended["end_told_at"] is not None
    assert body["timestamp"] == ended["ended_at"]


def test_what_ended_before_it_could_be_told_is_told_in_order(
    world: World, settings: Settings, receiver: Receiver
) -> None:
    world.destination(name="alarms", url=receiver.url, segments=["all"])
    save(world)
    look(world, settings)
    receiver.answers = [500]
    assert told(world) == 0
    see(world, "two", "Ordered", NOW)
    look(world, settings, hours=1.1)
    assert (told(world, hours=1.2), told(world, hours=1.3), told(world, hours=1.4)) == (1, 1, 0)
    types = [kind for _, kind, _ in said(receiver)]
    assert types == ["analysis.alerted", "analysis.alerted", "analysis.alert_ended"]


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_who_was_told_is_told_that_its_analysis_is_another_or_gone(
    world: World, settings: Settings, receiver: Receiver, how: str
) -> None:
    world.destination(name="alarms", url=receiver.url, segments=["all"])
    save(world)
    look(world, settings)
    assert told(world) == 1
    if how == "changed":
        save(world, {**FUNNEL, "alert": {"at": "/rates/raw", "above": 0.9}})
        assert alerts(world) == []
    else:
        url = "/v1/saved-analyses/orders"
        world.server.delete(url, headers=world.header).raise_for_status()
    assert (told(world, hours=0.1), told(world, hours=0.2)) == (1, 0)
    assert said(receiver)[1][1:] == ("analysis.alert_ended", how)
    with world.sessions() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(AnalysisAlert)) == 0


def test_a_figure_that_turns_is_another_alert_and_an_interval_may_be_past(
    world: World, settings: Settings
) -> None:
    between = {"at": "/rates/raw", "above": 0.6, "below": 0.5}
    save(world, {**FUNNEL, "alert": between})
    look(world, settings)
    see(world, "one", "Ordered", NOW)
    see(world, "two", "Ordered", NOW)
    look(world, settings, hours=1.1)
    high, low = alerts(world)
    assert (high["found"]["value"], low["found"]["value"]) == (1.0, 0.0)
    assert (high["ended_at"], low["ended"]["because"]) == (None, "back")
    # A day that what is asked about has left behind did not become usual by that.
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        kept = session.get_one(SavedQuestion, "orders")
        wanted = SavedAnalysis.model_validate(kept.definition)
        days = {f"low:2026-01-0{day}": {"start": f"2026-01-0{day}"} for day in (5, 7)}
        for one in (Look({}, days), Look({}, {}, first="2026-01-06")):
            alerting._note(session, kept, wanted, one, now)
    ended = {one["what"]: one["ended"]["because"] for one in alerts(world)}
    assert (ended["low:2026-01-05"], ended["low:2026-01-07"]) == ("past", "back")


def test_one_that_fails_is_named_and_tried_ever_later_and_the_others_go_on(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(world, QUIET)
    save(world, {**QUIET, "request": {**FUNNEL["request"], "window": "P1D"}}, key="second")
    ask = analyses.ask

    def fail(*given: Any, **named: Any) -> Any:
        if given[3].window != timedelta(days=1):
            raise RuntimeError("what somebody sent")
        return ask(*given, **named)

    monkeypatch.setattr(analyses, "ask", fail)
    assert look(world, settings) == 2
    listed = {one["key"]: one for one in world.get("/v1/saved-analyses")["data"]}
    assert listed["second"]["state"]["value"] == 0.0
    assert listed["orders"]["state"] == {
        "error": "it fails by a fault of ours (builtins.RuntimeError)"
    }
    [reason] = [one for one in world.get("/readyz")["reasons"] if "saved" in one]
    assert reason.startswith("the saved analysis orders has failed since ")
    assert "somebody" not in reason
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.data_dir))
    checked = json.loads(CliRunner().invoke(root.app, ["doctor", "--json"]).stdout)
    [row] = [row for row in checked if row["check"] == "saved analyses"]
    assert (row["state"], row["detail"].startswith("orders: it fails")) == ("wrong", True)
    # After ten minutes, after twenty more; the other one is due in an hour.
    looks = [(0.1, 0), (0.18, 1), (0.45, 0), (0.55, 1)]
    assert [look(world, settings, hours=hours) for hours, _ in looks] == [n for _, n in looks]
    monkeypatch.setattr(analyses, "ask", ask)
    look(world, settings, hours=3)
    found = world.get("/v1/saved-analyses/orders")
    assert (found["failing_since"], found["state"]["value"]) == (None, 0.0)
    assert not [one for one in world.get("/readyz")["reasons"] if "saved" in one]


def test_one_that_ends_the_worker_is_not_asked_first_again(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """What no handler of errors catches."""

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    save(world, QUIET)
    with monkeypatch.context() as patched:
        patched.setattr(analyses, "ask", die)
        with pytest.raises(Killed):
            look(world, settings)
        save(world, QUIET, key="second")
        assert world.get("/v1/saved-analyses/orders")["state"] == {}
        with pytest.raises(Killed):  # the other one is asked, and not this one
            look(world, settings)
    assert look(world, settings) == 0
    assert look(world, settings, hours=0.2) == 2
    assert world.get("/v1/saved-analyses/orders")["failing_since"] is None


def test_one_that_is_paused_is_not_asked_until_it_is_resumed(
    world: World, settings: Settings
) -> None:
    save(world, QUIET)
    url = "/v1/saved-analyses/orders"
    paused = world.patch(url, {"paused": True})
    assert (paused["paused_at"] is None, paused["due_at"]) == (False, None)
    assert look(world, settings, hours=5) == 0
    # Another bound changes nothing of that.
    assert save(world, {**FUNNEL, "alert": None})["paused_at"] is not None
    assert look(world, settings, hours=5) == 0
    assert world.patch(url, {"paused": False})["paused_at"] is None
    assert look(world, settings) == 1
    assert world.get(url)["looked_at"] is not None
