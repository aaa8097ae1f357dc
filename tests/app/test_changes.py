"""The change feed: what happened, in order, told only to whom it concerns."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app import pipeline
from app.db import Sessions
from app.profiles import changes
from app.segments import looking, members, refreshing

Token = Callable[..., dict[str, str]]

CONSENT = {"consent": {"categoryPreferences": {"marketing.email": True}}}


def _buy(server: TestClient, sessions: Sessions, key: str, *people: str) -> None:
    batch = [
        {"type": "track", "event": "Order Completed", "userId": person, "context": CONSENT}
        for person in people
    ]
    server.post("/v1/batch", json={"batch": batch, "writeKey": key}).raise_for_status()
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


def _segment(server: TestClient, header: dict[str, str]) -> None:
    body = {
        "key": "buyers",
        "name": "Buyers",
        "purpose": "marketing.email",
        "rule": {"event": "Order Completed"},
    }
    server.post("/v1/segments", json=body, headers=header).raise_for_status()


def test_the_feed_tells_of_a_segment_only_who_may_state_its_purpose(
    server: TestClient, sessions: Sessions, write_key: str, token: Token
) -> None:
    told = token(purposes=("marketing.email",))
    other = token(purposes=("service.operation",))
    _segment(server, told)
    _buy(server, sessions, write_key, "ada")
    answers = [server.get("/v1/changes", headers=h).json()["data"] for h in (told, other)]
    refused = server.get("/v1/changes?types=segment.enter", headers=told)
    assert refused.status_code == 422
    assert "did you mean segment.entered" in refused.json()["detail"]
    kinds = [[change["type"] for change in answer] for answer in answers]
    assert kinds[0] == ["profile.created", "consent.changed", "segment.entered"]
    assert kinds[1] == ["profile.created"]


def test_who_withdrew_is_told_of_as_gone_and_no_more_as_having_come(
    server: TestClient, sessions: Sessions, write_key: str, token: Token
) -> None:
    told = token(purposes=("marketing.email",))
    _segment(server, told)
    _buy(server, sessions, write_key, "ada", "ben")
    kinds = "types=segment.entered,segment.exited"
    before = server.get(f"/v1/changes?{kinds}", headers=told).json()["data"]
    assert [one["type"] for one in before] == ["segment.entered"] * 2
    said = {
        "subject": {"namespace": "user_id", "value": "ada"},
        "decisions": [{"purpose": "marketing.email", "state": "withdrawn"}],
    }
    server.post("/v1/consents", json=said, auth=(write_key, "")).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    after = server.get(f"/v1/changes?{kinds}", headers=told).json()["data"]
    ben, ada = after[0]["subject"], after[1]["subject"]
    assert [one["type"] for one in after] == ["segment.entered", "segment.exited"]
    assert {ada, ben} == {one["subject"] for one in before}


def test_the_cursor_goes_on_where_the_page_ended_and_repeats_nothing(
    server: TestClient, sessions: Sessions, write_key: str, token: Token
) -> None:
    header = token(purposes=("marketing.email",))
    _segment(server, header)
    _buy(server, sessions, write_key, "ada", "bea", "cleo")
    whole = server.get("/v1/changes", headers=header).json()["data"]
    seen, cursor = [], None
    while True:
        query = {"limit": 2, **({"after": cursor} if cursor else {})}
        page = server.get("/v1/changes", params=query, headers=header).json()
        if not page["data"]:
            break
        seen += page["data"]
        cursor = page["next_cursor"]
    assert seen == whole
    assert len({change["id"] for change in seen}) == len(seen) == 9
    _buy(server, sessions, write_key, "dora")
    after = server.get("/v1/changes", params={"after": cursor}, headers=header).json()["data"]
    assert {change["type"] for change in after} == {
        "profile.created",
        "consent.changed",
        "segment.entered",
    }


def test_a_cursor_that_we_did_not_make_is_refused(server: TestClient, token: Token) -> None:
    answer = server.get("/v1/changes", params={"after": "!!"}, headers=token())
    assert answer.status_code == 422
    assert answer.json()["code"] == "cursor-invalid"


def test_who_had_to_wait_is_told_of_after_whom_they_waited_for(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Token,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step begins, a look lets in whom it takes out then: readers kept them as inside."""
    header = token(purposes=("marketing.email",))
    monkeypatch.setattr(looking, "few", lambda _: False)
    _buy(server, sessions, write_key, "ada")
    _segment(server, header)

    def bring_up_to_date(session: Session, now: datetime) -> None:
        person = session.scalars(sa.text("SELECT DISTINCT person_id FROM identity.current_person"))
        listed = [members.find(session, "buyers")]
        deltas = refreshing.refresh(session, listed, now=now, people=person.all())
        pipeline.announce(session, *deltas, now=now)

    began = datetime.now(UTC)
    with sessions.begin() as step:
        step.execute(sa.text("UPDATE app.event SET name = 'Order Cancelled'"))
        with sessions.begin() as look:
            bring_up_to_date(look, began + timedelta(seconds=1))
        unread = server.get("/v1/changes?types=segment.entered", headers=header).json()
        bring_up_to_date(step, began)
    assert unread["data"] == []
    told = server.get("/v1/changes?types=segment.entered,segment.exited", headers=header).json()
    assert [one["type"] for one in told["data"]] == ["segment.entered", "segment.exited"]
    answer = server.get("/v1/segments/buyers/history", headers=header).json()
    [stay] = answer["data"]
    assert stay["until"] >= stay["since"]


def test_a_type_that_does_not_come_is_not_looked_for_from_the_beginning_each_time(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Token,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = token(purposes=("marketing.email",))
    _segment(server, header)
    _buy(server, sessions, write_key, "ada", "bea")
    monkeypatch.setattr(changes, "LOOKED", 4)

    def ask(after: str | None) -> dict[str, object]:
        query = {"types": "profile.merged", **({"after": after} if after else {})}
        answer: dict[str, object] = server.get("/v1/changes", params=query, headers=header).json()
        assert answer["data"] == []
        return answer

    first = ask(None)
    last = ask(str(first["next_cursor"]))
    assert (first["has_more"], last["has_more"]) == (True, False)
    again = ask(str(last["next_cursor"]))
    assert again["next_cursor"] == last["next_cursor"] != first["next_cursor"]
    whole = server.get("/v1/changes", headers=header).json()
    assert whole["next_cursor"] == last["next_cursor"]
    assert whole["has_more"] is False
