"""What an address denied outlives its rectification, and an erasure finds it (art. 7, 16 to 21)."""

import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

import consent
from app.consents import ages as stating
from app.consents import permission, record
from app.ledger import seal
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from app.privacy import requests, run
from app.privacy.replay import replay
from consent import ages, restrictions
from identity import people
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import restored

WRONG, RIGHT, NEWER = "wrong-27@example.org", "right-27@example.org", "newer-27@example.org"
SHOWN = ("user_id:former-ida-27", f"email:{WRONG}", f"email:{RIGHT}")
NAMES = ("former-ida-27", WRONG, RIGHT, NEWER, "anon-former-ida")


def ida(world: World) -> None:
    world.send(
        {"type": "identify", "userId": "former-ida-27", "traits": {"email": WRONG},
         "context": GIVEN},
        {"type": "identify", "anonymousId": "anon-former-ida", "traits": {"email": WRONG},
         "context": GIVEN},
        {"type": "page", "userId": "former-ida-27", "anonymousId": "anon-former-ida",
         "context": GIVEN},
    )  # fmt: skip


def right(world: World, address: str = RIGHT, **more: Any) -> dict[str, Any]:
    details = {"trait": "email", "value": address}
    shown = dict.fromkeys((*SHOWN, f"email:{address}"))
    return world.ask("rectification", *shown, details=details, **more)


def says(world: World, who: str, purpose: str, state: str, **more: Any) -> None:
    with world.sessions.begin() as session:
        record.record(
            session, "email", who, {purpose: state}, collected_by="client:test",
            received_at=datetime.now(UTC), **more,
        )  # fmt: skip
    world.settle()


def standing(world: World, who: str) -> dict[str, str]:
    with world.sessions() as session:
        query = "SELECT purpose, state FROM consent.current WHERE value = :who"
        return {p: s for p, s in session.execute(sa.text(query), {"who": who})}


def allowed(world: World, who: str, purpose: str) -> tuple[bool, str]:
    with world.sessions() as session:
        found = people.find_identifier(session, *who.split(":", 1))
        assert found is not None
        known = consent.catalogue.purposes(session)[purpose]
        persons = set(people.people_of(session, [found]).values())
        asked = permission.parameters(known, persons, use="analyse")
        rows = session.execute(permission.decision(persons), asked).all()
        [row] = [row for row in rows if row.identifier_id == found]
        return row.allowed, row.reason


def test_what_was_refused_under_a_wrong_address_is_refused_under_the_right_one(
    world: World,
) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    says(world, WRONG, "analytics.audience", "given")
    before = allowed(world, "user_id:former-ida-27", "marketing.email")
    assert before == (False, "withdrawn")
    assert right(world)["state"] == "closed"
    world.settle()
    assert allowed(world, "user_id:former-ida-27", "marketing.email") == before
    assert standing(world, RIGHT) == {"marketing.email": "withdrawn"}  # and no grant with it
    with world.sessions() as session:
        [copy] = consent.history(session, [("email", RIGHT)])
        [first] = consent.history(session, [("email", WRONG)], purpose="marketing.email")
        assert copy.evidence["carried_from"] == str(first.id)
        assert copy.order_time == first.order_time
        assert copy.recorded_at > first.recorded_at
    # A later word of the person lifts it, as it would have.
    says(world, RIGHT, "marketing.email", "given")
    assert allowed(world, "user_id:former-ida-27", "marketing.email") == (True, "given")


def test_a_grant_that_the_right_address_gave_before_does_not_lift_it(world: World) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    says(world, RIGHT, "marketing.email", "given")
    details = {"trait": "email", "value": RIGHT}
    done = world.ask("rectification", *SHOWN, details=details)
    assert done["state"] == "closed"
    assert standing(world, RIGHT)["marketing.email"] == "withdrawn"
    first, last = consent_of(world, RIGHT)
    assert (first.state, last.state) == ("given", "withdrawn")
    assert last.order_time > first.order_time  # what was sent before was allowed by it


def test_a_universal_opt_out_is_carried_and_still_needs_a_grant_that_overrides_it(
    world: World,
) -> None:
    ida(world)
    with world.sessions.begin() as session:
        now = datetime.now(UTC)
        choice = consent.Choice(
            "email", WRONG, "ads.share", "refused", now - timedelta(hours=2), "client:test",
            universal="opt_out",
        )  # fmt: skip
        consent.record(session, [choice], received_at=now)
    says(world, WRONG, "ads.share", "given")
    right(world)
    assert standing(world, RIGHT) == {"ads.share": "refused"}
    says(world, RIGHT, "ads.share", "given")
    assert standing(world, RIGHT) == {"ads.share": "refused"}
    says(world, RIGHT, "ads.share", "given", overriding=["ads.share"])
    assert standing(world, RIGHT) == {"ads.share": "given"}


def test_restrictions_objections_and_ages_are_carried_and_lifted_as_one(world: World) -> None:
    ida(world)
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        for kind in (restrictions.OBJECTION, restrictions.MARKETING):
            restrictions.restrict(
                session, [("email", WRONG)], kind, reason_ref=f"request:{kind}", at=now
            )
        stating.state(
            session, "email", WRONG, [ages.Span("child", now, now + timedelta(days=300))],
            stated_by="test", at=now,
        )  # fmt: skip
    right(world)
    with world.sessions.begin() as session:
        at = datetime.now(UTC)
        stand = consent.demands(session, [("email", RIGHT)], at=at)["email", RIGHT]
        assert {d.kind for d in stand} == {"objection", "objection_marketing", "child"}
        entries = session.scalars(
            sa.text("SELECT kind FROM consent.ledger_statement WHERE value = :who"), {"who": RIGHT}
        ).all()
        assert entries.count("restriction") == 2
        assert entries.count("admin") == 1
        assert restrictions.lift(session, "request:objection", at=at) == 2
        after = consent.demands(session, [("email", RIGHT)], at=at + timedelta(seconds=1))
        assert {d.kind for d in after["email", RIGHT]} == {"objection_marketing", "child"}


def test_a_childs_age_is_not_loosened_by_what_is_carried(world: World) -> None:
    ida(world)
    now = datetime.now(UTC)
    teen = [ages.Span("teen", now, now + timedelta(days=900))]
    child = [ages.Span("child", now, now + timedelta(days=300))]
    with world.sessions.begin() as session:
        stating.state(session, "email", WRONG, teen, stated_by="test", at=now)
        stating.state(session, "email", RIGHT, child, stated_by="test", at=now)
    details = {"trait": "email", "value": RIGHT}
    world.ask("rectification", *SHOWN, details=details)
    with world.sessions() as session:
        for days, band in ((1, "child"), (299, "child"), (301, "teen"), (899, "teen")):
            at = now + timedelta(days=days)
            [found] = consent.demands(session, [("email", RIGHT)], at=at)["email", RIGHT]
            assert found.kind == band, days


def test_an_address_that_held_devices_together_leaves_none_behind(world: World) -> None:
    ida(world)
    world.send({"type": "track", "userId": "former-ida-27", "event": "Bought", "context": GIVEN})
    with world.sessions() as session:
        whole = people.find(session, "user_id", "former-ida-27")
        assert people.find(session, "anonymous_id", "anon-former-ida") == whole
    right(world)
    with world.sessions() as session:
        whole = people.find(session, "user_id", "former-ida-27")
        assert people.find(session, "anonymous_id", "anon-former-ida") == whole
        assert people.find(session, "email", RIGHT) == whole


def test_an_address_whose_events_are_gone_is_put_right_too(world: World) -> None:
    ida(world)
    with world.sessions.begin() as session:
        session.execute(sa.text("DELETE FROM app.event"))
    right(world)
    with world.sessions() as session:
        assert people.find(session, "email", WRONG) is None
        assert people.find(session, "email", RIGHT) is not None


def test_an_address_that_somebody_else_has_is_not_taken_from_them(world: World) -> None:
    ida(world)
    world.send({"type": "identify", "userId": "former-eve-27", "traits": {"email": RIGHT},
                "context": GIVEN})  # fmt: skip
    details = {"trait": "email", "value": RIGHT}
    done = world.ask("rectification", *SHOWN[:2], details=details)
    assert done["state"] == "failed"
    assert "somebody else" in done["reason"]
    with world.sessions() as session:
        assert people.find(session, "email", WRONG) is not None
        ida_, eve = (people.find(session, "user_id", f"former-{n}-27") for n in ("ida", "eve"))
        assert ida_ != eve


def test_a_wrong_address_that_is_somebody_elses_too_stays_theirs(world: World) -> None:
    """Of somebody who does not agree to be joined by it, so that it is no part of them yet."""
    refuses = {"consent": {"categoryPreferences": {"profile.link": False}}}
    ida(world)
    world.send({"type": "identify", "userId": "former-eve-27", "traits": {"email": WRONG},
                "context": refuses})  # fmt: skip
    with world.sessions() as session:
        whole = people.find(session, "user_id", "former-ida-27")
        assert people.find(session, "email", WRONG) == whole
        address = people.find_identifier(session, "email", WRONG)
    assert right(world)["state"] == "closed"
    with world.sessions() as session:
        assert people.find_identifier(session, "email", WRONG) == address
        assert people.find(session, "email", WRONG) == address
        assert people.find(session, "user_id", "former-ida-27") == whole
        assert people.find(session, "anonymous_id", "anon-former-ida") == whole
        assert people.find(session, "email", RIGHT) == whole
        carry = sa.text("SELECT user_id FROM app.event WHERE :one = ANY(identifier_ids)")
        assert session.scalars(carry, {"one": address}).all() == ["former-eve-27"]
        assert session.scalar(sa.text("SELECT count(*) FROM app.former_identifier")) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_an_erasure_finds_the_addresses_of_before(world: World, times: int) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    with world.sessions.begin() as session:
        session.execute(
            sa.text("INSERT INTO consent.tc_string VALUES ('email', :who, 'C', now())"),
            {"who": WRONG},
        )
    right(world)
    if times == 2:
        right(world, NEWER)
    keystore = Keystore(world.settings)
    seal.run(world.sessions, keystore, Anchor(world.settings.anchor_dir), host="h.example")
    addresses = [("email", WRONG), ("email", RIGHT)]
    assert keystore.existing(addresses).keys() == set(addresses)
    assert "consent.record" in world.where(WRONG)

    done = world.ask("erasure", "user_id:former-ida-27")

    assert {t["store"]: t["state"] for t in done["tasks"]}["ledger"] == "done"
    assert keystore.existing(addresses) == {}
    keystore.close()
    assert world.where(*NAMES) == set()
    said = {"type": "identify", "userId": "x", "traits": {"email": WRONG}}
    assert world.send(said) == ["suppressed"]
    with world.sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.former_identifier")) == 0


def test_an_access_shows_what_is_on_record_of_an_address_of_before(world: World) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    right(world)
    facts = packed(world, world.ask("access", "user_id:former-ida-27"))
    assert {f"email:{WRONG}"} <= {one["identifier"] for one in facts["consents"]}
    assert facts["former_identifiers"] == [{"namespace": "email", "value": WRONG}]


def test_an_address_of_before_that_is_somebody_elses_now_is_left_to_them(world: World) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    right(world)
    world.send({"type": "identify", "userId": "former-eve-27", "traits": {"email": WRONG},
                "context": GIVEN})  # fmt: skip
    before = standing(world, WRONG)
    facts = packed(world, world.ask("access", "user_id:former-ida-27"))
    assert WRONG not in str(facts)
    world.ask("erasure", "user_id:former-ida-27")
    assert world.where("former-ida-27", RIGHT, "anon-former-ida") == set()
    assert standing(world, WRONG) == before
    with world.sessions() as session:
        assert people.find(session, "email", WRONG) is not None
    assert world.send({"type": "identify", "userId": "x", "traits": {"email": WRONG}}) == []


def test_an_address_of_before_goes_where_the_person_goes(world: World) -> None:
    """Who is merged by a decision is somebody else, and an undone merge brings nothing back."""
    ida(world)
    right(world)
    world.send({"type": "identify", "userId": "former-eve-27", "context": GIVEN})
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        left = people.find_identifier(session, "user_id", "former-ida-27")
        other = people.find_identifier(session, "user_id", "former-eve-27")
        assert left is not None
        assert other is not None
        people.must_link(session, left, other, by="test", at=now)
        [merge] = [m.id for m in people.merges(session)][:1]
        people.undo(session, merge, by="test", at=now)
    world.ask("erasure", "user_id:former-eve-27")
    with world.sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.former_identifier")) == 3
    assert world.ask("erasure", "user_id:former-ida-27")["state"] == "closed"
    said = {"type": "identify", "userId": "x", "traits": {"email": WRONG}}
    assert world.send(said) == ["suppressed"]


def test_a_restored_backup_is_erased_of_addresses_of_before_too(
    world: World, sessions: Any
) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    right(world)
    backup = restored(world, sessions, f"backup_{uuid4().hex[:12]}")
    try:
        world.ask("erasure", "user_id:former-ida-27")
        world.sessions = backup
        assert "consent.record" in world.where(WRONG)
        assert replay(backup, world.settings) == 1
        assert world.where(*NAMES) == set()
    finally:
        backup.kw["bind"].dispose()


def test_an_address_is_put_right_once_whenever_it_is_killed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ida(world)
    says(world, WRONG, "marketing.email", "withdrawn")
    noted = run._note

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_note", killed)
    with pytest.raises(KeyboardInterrupt):  # by the address that is the person's no more
        world.ask("rectification", f"email:{WRONG}", details={"trait": "email", "value": RIGHT})
    monkeypatch.setattr(run, "_note", noted)
    with world.sessions() as session:
        [request] = requests.list_all(session, open_only=True)
    run.round_(world.sessions, world.settings)
    done = world.shown(request.id)
    assert done["state"] == "closed"
    assert done["tasks"][0]["state"] == "done"
    assert len(consent_of(world, RIGHT)) == 1


def consent_of(world: World, who: str) -> list[consent.ConsentRecord]:
    with world.sessions() as session:
        return consent.history(session, [("email", who)])


def packed(world: World, done: dict[str, Any]) -> Any:
    """The facts of an access package."""
    assert done["state"] == "responded", done
    [package] = done["packages"]
    with zipfile.ZipFile(world.settings.home / "packages" / f"{package['id']}.zip") as archive:
        return json.loads(archive.read("data.json"))
