"""What officers wrote about requests names nobody for longer than it has to (art. 5(1)(e))."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa

from app.privacy import check, opendsr, requests, run
from app.privacy.tables import PrivacyCheck
from identity import identifiers
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, SENT, ada

WORDS = f"She wrote from {SENT}, as 'Ada-1815 of old; see letter 4711."


def opened(world: World, kind: str = "access", **more: Any) -> UUID:
    with world.sessions.begin() as session:
        return requests.open_(
            session, world.settings, kind=kind,
            identifiers=[identifiers.parse(more.pop("who", "email:adalovelace@gmail.com"))],
            by="test", now=more.pop("now", datetime.now(UTC)), **more,
        ).id  # fmt: skip


def test_a_closed_request_keeps_its_reasons_without_the_person(world: World) -> None:
    ada(world)
    request_id = opened(world, attested=WORDS)
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        found = requests.find(session, request_id)
        requests.extend(session, found, world.settings, reason=WORDS, by="test", now=now)
        requests.end(session, found, requests.REFUSED, by="test", now=now, reason=WORDS)
    held = {"app.event", "app.event_p1", "app.trait", "identity.record"}
    assert world.where(SENT) <= held
    shown = world.shown(request_id)
    assert shown["reason"] == WORDS.replace(SENT, "[erased]")
    said = [e.get("how") or e.get("reason") for e in shown["events"]]
    assert [one for one in said if one and "letter 4711" not in one] == []
    assert len([one for one in said if one]) == 3


def test_an_erasure_takes_the_person_out_of_what_was_written_before(world: World) -> None:
    ada(world)
    request_id = opened(world, attested=WORDS)
    with world.sessions.begin() as session:
        found = requests.find(session, request_id)
        requests.end(
            session, found, requests.REFUSED, by="test", now=datetime.now(UTC), reason=WORDS
        )
    assert "ada-1815" in world.shown(request_id)["reason"].lower()  # of whom it did not know
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com", attested=WORDS)
    assert world.where(*ADA, SENT) == set()
    assert "letter 4711" in world.shown(request_id)["reason"]


def test_words_and_hashes_of_closed_requests_go_in_time(world: World) -> None:
    ada(world)
    request_id = opened(world, attested="a letter")
    open_ = opened(world, attested="another letter", who="user_id:somebody-else")
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        found = requests.find(session, request_id)
        requests.end(session, found, requests.REFUSED, by="test", now=now, reason="a reason")
        requests.find(session, open_).state = requests.REVIEW
    kept = timedelta(days=world.settings.request_days)
    for closed_at, reason in ((now - kept + timedelta(hours=1), "a reason"), (now - kept, None)):
        with world.sessions.begin() as session:
            requests.find(session, request_id).closed_at = closed_at
        run.round_(world.sessions, world.settings)
        assert world.shown(request_id)["reason"] == reason
    shown = world.shown(request_id)
    assert [e["what"] for e in shown["events"]] == ["received", "verified", "refused"]
    assert not [e for e in shown["events"] if "how" in e or "reason" in e]
    with world.sessions() as session:
        assert requests.find(session, request_id).refs == []
        assert requests.find(session, open_).refs != []
    assert "another letter" in str(world.shown(open_)["events"])


def test_what_checked_who_it_is_goes_with_the_request(world: World) -> None:
    request_id = opened(world)
    now = datetime.now(UTC)
    who = ("email", "adalovelace@gmail.com")
    with world.sessions.begin() as session:
        check.issue(session, request_id, who, check.CODE, by="test", now=now)
        found = requests.find(session, request_id)
        requests.end(session, found, requests.REVOKED, by="test", now=now)
        assert session.scalar(sa.select(sa.func.count()).select_from(PrivacyCheck)) == 0


def test_addresses_of_callbacks_go_once_all_are_told(world: World) -> None:
    callback = "https://controller.example/hook?person=marker-callback"
    request_id = opened(
        world, "erasure", attested="the controller",
        protocol={"callbacks": {callback: {}}, "body": "00"},
    )  # fmt: skip
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(202)))
    assert opendsr.call_back(world.sessions, world.settings, client) == 1
    assert "app.privacy_request" in world.where("marker-callback")
    run.carry_out(world.sessions, world.settings, request_id)
    assert opendsr.call_back(world.sessions, world.settings, client) == 1
    assert world.where("marker-callback") == set()
    with world.sessions() as session:  # what the same body is known by
        assert (requests.find(session, request_id).protocol or {})["body"] == "00"
    assert opendsr.call_back(world.sessions, world.settings, client) == 0
