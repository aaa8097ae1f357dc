"""An answer that comes while its event is being held, and the other way about."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.consents import record as consents_record
from app.db import Sessions
from app.events import envelope, held
from app.events.body import to_message
from app.events.envelope import Envelope
from app.events.held import Holding
from app.events.item import Item
from app.events.release import Releases
from app.plans import in_force, versions
from app.settings import Settings
from consent import records
from tests.app.pending.waiting import (
    PURPOSE,
    Send,
    count,
    counts,
    decide,
    names,
    source_settings,
    track,
)


def arriving(sessions: Sessions, name: str) -> Item:
    """An event of the source that waits, as it comes in."""
    now = datetime.now(UTC)
    read = envelope.read(to_message(track(name)), received_at=now, largest=10_000)
    assert isinstance(read, Envelope)
    return Item(source_settings(sessions), read, now)


@pytest.mark.parametrize("state", ["given", "refused"])
def test_an_answer_between_the_decision_to_hold_and_the_hold_is_found_by_the_first_look(
    state: str,
    server: TestClient,
    sessions: Sessions,
    settings: Settings,
    releases: Releases,
    write_key: str,
) -> None:
    """The narrowest place: nothing is written yet, so no mark waits for this transaction."""
    holding, item = Holding.of(settings), arriving(sessions, "A")
    with sessions.begin() as session:
        session.execute(sa.text("SELECT count(*) FROM consent.record"))  # nobody has said anything
        decide(server, write_key, "v-1", state)
        releases.round()
        assert held.keep(session, holding, [item], {0}) == {0: held.HELD}
        releases.round()
        assert count(sessions) == 0
    assert count(sessions) == 1
    releases.round()
    assert (names(sessions), count(sessions)) == (["A"] if state == "given" else [], 0)


def test_an_answer_that_commits_after_the_first_look_is_heard(
    send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    with sessions.begin() as session:
        consents_record.record(
            session,
            "anonymous_id",
            "v-1",
            {PURPOSE: "given"},
            collected_by="test",
            received_at=datetime.now(UTC),
        )
        assert send(track("A"))["held"] == 1  # does not see the open transaction
        for _ in range(3):
            releases.round()
        assert (names(sessions), count(sessions)) == ([], 1)
    releases.round()
    assert names(sessions) == ["A"]


def test_a_transaction_that_stays_open_delays_no_answer(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    with sessions.begin() as other:
        other.execute(sa.text("SELECT pg_current_xact_id()"))
        for n in range(3):
            send(track(str(n), f"v-{n}"))
            decide(server, write_key, f"v-{n}", "given")
            releases.round()
            assert names(sessions) == [str(m) for m in range(n + 1)]


def test_more_answers_at_once_than_are_listed_have_everything_looked_at(
    server: TestClient,
    send: Send,
    sessions: Sessions,
    releases: Releases,
    write_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(*(track(str(n), f"v-{n}") for n in range(4)))
    releases.round()
    monkeypatch.setattr(records, "MOST_CHANGES", 2)
    for n in range(3):
        decide(server, write_key, f"v-{n}", "given")
    releases.round()
    assert sorted(names(sessions)) == ["0", "1", "2"]
    assert count(sessions) == 1


def test_a_new_process_goes_on_where_the_last_one_ended(
    server: TestClient,
    send: Send,
    sessions: Sessions,
    settings: Settings,
    releases: Releases,
    write_key: str,
) -> None:
    send(track("A"))
    releases.round()
    decide(server, write_key, "v-1", "given")
    Releases(sessions, Holding.of(settings).vault).round()
    assert names(sessions) == ["A"]


def test_the_plan_of_a_source_is_asked_when_an_event_comes_and_again_when_it_is_released(
    server: TestClient,
    send: Send,
    sessions: Sessions,
    releases: Releases,
    write_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_force, "SECONDS", 0.0)
    schema = {"type": "object", "required": ["n"]}
    rules = [{"type": "track", "event": name, "properties": schema} for name in "AB"]
    assert send(track("A"))["held"] == 1
    with sessions.begin() as session:
        plan = {"mode": "reject", "unplanned_events": "allow", "rules": rules}
        versions.create(session, key="shop", title="Shop", definition=plan)
        versions.publish(session, "shop")
        versions.attach(session, "shop", "site")
    said = send(track("B"), track("C"))
    assert (said["held"], len(said["rejected"])) == (1, 1)
    decide(server, write_key, "v-1", "given")
    releases.round()
    assert (names(sessions), count(sessions)) == (["C"], 0)
    assert dict(counts(sessions).destroyed) == {"plan_violation": 1}
    assert count(sessions, "app.rejected_event") == 0


def test_a_source_shows_what_is_held_of_it_and_what_became_of_it(
    server: TestClient,
    send: Send,
    sessions: Sessions,
    releases: Releases,
    write_key: str,
    token: Callable[..., dict[str, str]],
) -> None:
    header = token("sources:admin")

    def shown() -> dict[str, Any]:
        [source] = server.get("/v1/sources", headers=header).json()["data"]
        found: dict[str, Any] = source
        return found

    assert shown()["held_now"] == {"events": 0, "bytes": 0, "oldest": None}
    send(track("A"), track("B", "v-2"), track("C", "v-3"))
    now = shown()["held_now"]
    assert now["events"] == 3
    assert now["bytes"] > 300
    seconds = (datetime.now(UTC) - datetime.fromisoformat(now["oldest"])).total_seconds()
    assert 0 <= seconds < 60
    decide(server, write_key, "v-1", "given")
    decide(server, write_key, "v-2", "refused")
    releases.round()
    source = shown()
    assert source["held_now"]["events"] == 1
    day = source["last_day"]
    assert (day["received"], day["held"], day["released"]) == (3, 3, 1)
    assert day["destroyed"] == {"refused": 1}
    assert datetime.fromisoformat(source["last_seen"]) <= datetime.now(UTC)
