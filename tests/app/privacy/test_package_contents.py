"""An access package leaves nothing out, to process and to read (GDPR art. 15)."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from app.consents import ages as stating
from app.consents import denials
from app.privacy import gather, subject
from app.privacy.packages import HEADINGS
from consent import ages
from identity import people
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import ada
from tests.app.privacy.test_requests import package

SHOWN = ("CQmarker-tc-string", "marker-use", "marker-reason", "child", "marker-account")


def test_69_every_store_has_its_part_of_the_page(world: World) -> None:
    ada(world)
    with world.sessions() as session:
        person = subject.find(session, [("user_id", "ada-1815")])
        facts = gather.everything(session, world.settings, person, [])
    assert facts.keys() == HEADINGS.keys()


def test_69_tc_strings_denials_ages_and_accounts_are_in_it(world: World) -> None:
    ada(world)
    world.send({"type": "group", "userId": "ada-1815", "groupId": "marker-account",
                "context": GIVEN})  # fmt: skip
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        mine = people.find_identifier(session, "user_id", "ada-1815")
        assert mine is not None
        span = ages.Span("child", now, now + timedelta(days=9))
        stating.state(session, "user_id", "ada-1815", [span], stated_by="test", at=now)
        denials.note(
            session, "marker-use", "ads.share", {mine: "marker-reason", 999_999: "other-reason"},
            at=now,
        )  # fmt: skip
        session.execute(
            sa.text(
                "INSERT INTO consent.tc_string VALUES"
                " ('user_id', 'ada-1815', 'CQmarker-tc-string', now()),"
                " ('user_id', 'somebody', 'CQother-tc-string', now())"
            )
        )
    content = package(world, "access", "user_id:ada-1815")
    for name in ("data.json", "index.html"):
        text = content[name].decode()
        assert [one for one in SHOWN if one not in text] == [], name
        assert "CQother" not in text
        assert "other-reason" not in text
        assert "999999" not in text
