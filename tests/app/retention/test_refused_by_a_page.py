"""What anybody can refuse in somebody's name destroys nothing at once (decision 0075)."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import consent
from app.consents import record
from app.consents.permission import permissions
from app.db import Sessions
from app.retention import expire, special
from identity import people
from tests.app.retention.test_purposes import DAY, NOW, Shop, declare
from tests.app.retention.test_special import Surgery, say

CARE, AUDIENCE = "care.advice", "analytics.audience"
Refuse = Callable[[str], None]


@pytest.fixture
def surgery(server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path) -> Surgery:
    made = Surgery(server, sessions, write_key, tmp_path / "lake")
    say(sessions, "agrees", care_advice="given")
    return made


@pytest.fixture
def refuse(server: TestClient, sessions: Sessions, write_key: str, how: str) -> Refuse:
    """Refuse a purpose in the name of who agreed, in each way that is open to a page's key."""

    def said(purpose: str) -> None:
        who, state = ("user_id", "agrees"), "withdrawn"
        more: dict[str, Any] = {}
        if how == "a device that it joins":
            link = {"type": "track", "event": "Seen", "userId": "agrees", "anonymousId": "strange"}
            body = {"batch": [link], "writeKey": write_key}
            assert server.post("/v1/batch", json=body).json()["accepted"] == 1
            who = ("anonymous_id", "strange")
        if how == "a browser's signal":
            more = {"universal": "opt_out"}
        if how == "a grant that allows nothing":
            state, more = "given", {"evidence": {"unproven": True}}
        now = datetime.now(UTC)
        with sessions.begin() as session:
            choice = consent.Choice(*who, purpose, state, now, "source:page", **more)
            record.touch(session, consent.record(session, [choice], received_at=now))
        if how == "a name, and a stamp later":
            now = datetime.now(UTC)
            stamp = {"event_stamp": True}
            with sessions.begin() as session:
                choice = consent.Choice(*who, purpose, "given", now, "source:page", evidence=stamp)
                consent.record(session, [choice], received_at=now)

    return said


WAYS = ["a name", "a device that it joins", "a browser's signal", "a grant that allows nothing"]


def allowed(sessions: Sessions, purpose: str) -> bool:
    with sessions() as session:
        person = people.find(session, "user_id", "agrees")
        assert person is not None
        return any(one.allowed for one in permissions(session, purpose, [person]))


@pytest.mark.parametrize("how", WAYS)
def test_a_value_of_a_special_category_is_barred_and_stays_for_some_days(
    surgery: Surgery, sessions: Sessions, refuse: Refuse
) -> None:
    assert allowed(sessions, CARE)
    refuse(CARE)
    surgery.pass_on()
    assert not allowed(sessions, CARE), "it is used for nothing any more"
    assert special.run(sessions, page_days=30) == 2
    assert surgery.holders() == ["agrees"]
    assert special.run(sessions, page_days=0) == 1, "the days are over"
    assert surgery.holders() == []


@pytest.mark.parametrize("how", [*WAYS, "a name, and a stamp later"])
def test_so_does_what_a_purpose_keeps(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path, refuse: Refuse
) -> None:
    shop = Shop(server, sessions, write_key, tmp_path / "lake")
    declare(sessions, analytics_audience=400, service_operation=10)
    kept = {"d300", "d20", "d5"}
    refuse(AUDIENCE)
    shop.pass_on()
    assert not allowed(sessions, AUDIENCE)

    def run(page_days: int) -> set[str]:
        done = expire.run(sessions, shop.lake, rejected=30 * DAY, now=NOW, page_days=page_days)
        assert done is not None
        return set(shop.left()["agrees"]) - {"Seen"}

    assert run(30) >= kept
    assert not run(0) & {"d300", "d20"}


@pytest.mark.parametrize("by", ["client:preference-centre", "request:1", "source:server"])
def test_what_is_proved_destroys_at_once(surgery: Surgery, sessions: Sessions, by: str) -> None:
    with sessions.begin() as session:
        record.record(
            session, "user_id", "agrees", {CARE: "withdrawn"}, collected_by=by,
            received_at=datetime.now(UTC), server_side=by.startswith("source:"),
        )  # fmt: skip
    assert special.run(sessions, page_days=30) == 3
    assert surgery.holders() == []
