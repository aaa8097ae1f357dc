"""What was wrong is right everywhere it is read (research/consent.md section 3, 77)."""

import json

import pytest
import sqlalchemy as sa

from app.errors import PrivacyRequestInvalid
from app.lake import copy
from app.profiles import read, timeline
from app.profiles.changes import read as news
from identity import people
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import SENT, ada, bob, parquet
from tests.app.privacy.test_erasure_steps import destination

ADA = ("user_id:ada-1815", "email:adalovelace@gmail.com")
RIGHT = {"trait": "email", "value": "countess@example.org"}


def shown(world: World) -> str:
    """All that a reader of the profile sees."""
    with world.sessions() as session:
        view = read.view(session, read.find(session, "user_id:ada-1815"), "marketing.email")
        events, _ = timeline.page(session, view, limit=100)
        return json.dumps(
            [
                [(k, t.value) for k, t in read.traits(session, view).items()],
                [(r.namespace, r.value) for r in read.known_identifiers(session, view)],
                [(r.type, r.user_id, r.properties) for r in events],
            ]
        ).lower()


def test_77_a_wrong_address_is_read_no_more_and_its_consents_stay(world: World) -> None:
    ada(world)
    bob(world)
    copy.copy_new(world.sessions, world.settings.lake_dir)
    destination(world, [])
    records = sa.text("SELECT CAST(r AS text) FROM consent.record r ORDER BY seq")
    with world.sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state,"
                " effective_at, recorded_at, order_time, collected_by, evidence) VALUES ('email',"
                " 'adalovelace@gmail.com', 'marketing.email', 1, 'given', now(), now(), now(),"
                " 'test', '{}')"
            )
        )
        before = session.scalars(records).all()
    assert "lovelace+shop" in shown(world)

    answer = world.ask("rectification", *ADA, details=RIGHT)

    after = shown(world)
    assert "countess@example.org" in after
    assert "lovelace+shop" not in after
    assert "adalovelace" not in after
    assert "countess@example.org" in parquet(world)
    with world.sessions() as session:
        assert session.scalars(records).all() == before
        assert people.find(session, "email", "adalovelace@gmail.com") is None
        assert people.find(session, "email", "countess@example.org") == people.find(
            session, "user_id", "ada-1815"
        )
        assert people.find(session, "user_id", "bob-7") is not None
        sent = session.scalars(
            sa.text("SELECT payload FROM app.delivery WHERE type = 'profile.rectified'")
        ).all()
        assert sent == [{"trait": "email"}]
        assert news(session, after=None, types=["profile.updated"], limit=100).rows
    assert {t["store"]: t["state"] for t in answer["tasks"]} == {
        "profile": "done", "lake": "done", "destination": "waiting",
    }  # fmt: skip
    # What comes in next under the old address is of somebody else, or of nobody yet.
    world.send({"type": "track", "userId": "ada-1815", "event": "Seen"})
    with world.sessions() as session:
        dangling = session.scalar(
            sa.text(
                "SELECT count(*) FROM app.event e WHERE NOT EXISTS "
                "(SELECT FROM identity.identifier i WHERE i.id = ALL(e.identifier_ids[1:1]))"
            )
        )
    assert dangling == 0


def test_77_any_other_trait_is_put_right_too(world: World) -> None:
    ada(world)
    details = {"trait": "lastName", "value": "King"}
    answer = world.ask("rectification", "user_id:ada-1815", details=details)
    assert answer["state"] == "closed"
    assert '"lastname", "king"' in shown(world)
    assert '"lastname": "lovelace"' not in shown(world)
    with world.sessions() as session:
        fields = session.scalars(sa.text("SELECT fields FROM identity.record")).all()
    assert {f.get("last_name") for f in fields} == {"king"}
    assert SENT.lower() in shown(world)


def test_77_what_is_put_right_is_locked_from_its_reading_on(world: World) -> None:
    """What an erasure takes out of the same event in between would be written again."""
    ada(world)
    free: list[str] = []

    def listen(_c: object, _u: object, text: str, *_: object) -> None:
        if "Write these events with the right value" in text:
            others = sa.text("SELECT type FROM app.event FOR UPDATE SKIP LOCKED")
            with world.sessions() as session:
                free.extend(session.scalars(others))

    engine = world.sessions.kw["bind"]
    sa.event.listen(engine, "before_cursor_execute", listen)
    details = {"trait": "lastName", "value": "King"}
    assert world.ask("rectification", "user_id:ada-1815", details=details)["state"] == "closed"
    sa.event.remove(engine, "before_cursor_execute", listen)
    assert sorted(free) == ["page", "track"]


def test_77_a_rectification_needs_what_is_right(world: World) -> None:
    with pytest.raises(PrivacyRequestInvalid):
        world.ask("rectification", "user_id:ada-1815", details={"trait": "email"})


def test_77_what_a_wrong_address_said_of_accounts_is_the_persons_and_goes_with_them(
    world: World,
) -> None:
    ada(world)
    world.send(
        {"type": "group", "anonymousId": "anon-ada-77", "groupId": "acme",
         "traits": {"plan": "team"},
         "timestamp": "2026-03-02T00:00:00Z", "context": GIVEN}
    )  # fmt: skip
    with world.sessions.begin() as session:
        wrong = people.find_identifier(session, "email", "adalovelace@gmail.com")
        # What a call that bore the address alone leaves, older and newer than the device's.
        for table, columns, changed in (
            ("account_member", "refused, joined_message_id, joined_source_id, seen_at, joined_at",
             "refused, 'older', joined_source_id, seen_at, joined_at - interval '1 day'"),
            ("account_trait", "key, refused, received_at, source_seq, event_id, message_id,"
             " source_id, value, occurred_at",
             "key, refused, received_at, source_seq, event_id, message_id, source_id,"
             " '\"solo\"', occurred_at + interval '1 day'"),
        ):  # fmt: skip
            session.execute(
                sa.text(
                    f"INSERT INTO app.{table} (account_id, identifier_id, {columns})"  # noqa: S608 -- constants
                    f" SELECT account_id, :wrong, {changed} FROM app.{table}"
                ),
                {"wrong": wrong},
            )
    world.ask("rectification", *ADA, details=RIGHT)
    with world.sessions() as session:
        kept = people.find_identifier(session, "anonymous_id", "anon-ada-77")
        member = sa.text("SELECT identifier_id, joined_message_id FROM app.account_member")
        assert session.execute(member).all() == [(kept, "older")]
        told = sa.text("SELECT identifier_id, value FROM app.account_trait")
        assert session.execute(told).all() == [(kept, "solo")]


def test_77_who_corrects_an_address_that_an_agent_shows_joins_none_of_the_others(
    world: World,
) -> None:
    """The agent of six was one of five, and all of these one person with them."""
    mails = [f"m{n}@example.org" for n in range(6)]
    for n, mail in enumerate(mails):
        for login in (f"own-{n}", "agent"):
            world.send({"type": "identify", "userId": login, "traits": {"email": mail},
                        "context": GIVEN})  # fmt: skip
    world.ask("rectification", "user_id:own-0", f"email:{mails[0]}", details=RIGHT)
    with world.sessions() as session:
        agent = people.find(session, "user_id", "agent")
        assert people.find(session, "email", RIGHT["value"]) == people.find(
            session, "user_id", "own-0"
        )
        for n, mail in enumerate(mails[1:], 1):
            own = people.find(session, "user_id", f"own-{n}")
            assert people.find(session, "email", mail) == own != agent
