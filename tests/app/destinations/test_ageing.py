"""Messages of long ago go when later ones have overtaken them; who counts as told stays known."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.destinations import outbox
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

PROS = {"trait": "plan", "op": "eq", "value": "pro"}


def forget(people: World, *, days: int) -> None:
    """Do what the job does."""
    after: int | None = 0
    while after is not None:
        with people.sessions.begin() as session:
            before = datetime.now(UTC) - timedelta(days=days)
            after = outbox.forget_overtaken(session, before=before, after=after)


def test_the_last_word_about_each_person_and_segment_stays(
    people: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WINDOW", 2)
    people.people("ada", "bob", plan="pro")
    people.segment("pros", PROS)
    number = people.destination(url=receiver.url, segments=["pros"])["id"]
    people.deliver()
    for plan in ("free", "pro", "free", "pro", "free"):
        people.identify("ada", plan=plan)
        people.settle()

    def kept() -> Counter[str]:
        return Counter(
            row[0].partition(".")[2]
            for row in people.outcomes(number)
            if row[0].startswith("segment.")
        )

    assert kept() == {"entered": 4, "exited": 3}
    forget(people, days=1)
    assert kept() == {"entered": 4, "exited": 3}, "nothing is a day old"
    with people.sessions.begin() as session:
        session.execute(
            sa.text(
                "UPDATE app.delivery SET created_at = created_at - interval '2 days',"
                " ended_at = ended_at - interval '2 days'"
            )
        )
    people.identify("ada", plan="pro")
    people.work()
    forget(people, days=1)
    assert kept() == {"entered": 3, "exited": 1}, "one of ada waits and overtakes nothing yet"
    people.deliver()
    forget(people, days=1)
    assert kept() == {"entered": 2, "exited": 1}
    people.identify("bob", plan="free")
    people.settle()
    assert kept() == {"entered": 2, "exited": 2}, "bob was told of, and is taken back"
    people.post(f"/v1/destinations/{number}/sync")
    people.deliver()
    assert kept() == {"entered": 2, "exited": 2}
