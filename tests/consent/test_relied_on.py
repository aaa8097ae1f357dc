"""Which grants counted for a time, compared with the rules in random histories."""

import random
from datetime import UTC, datetime, timedelta

import consent
from app.db import Sessions
from consent import erasure
from consent.records import standings

PURPOSE = "ads.share"
SAID_BY = [
    ("source:shop", {"event_stamp": True}),
    ("source:shop", {}),
    ("client:desk", {}),
    ("client:desk", {"unproven": True}),
]


def history(drawn: random.Random, who: str, start: datetime) -> list[consent.Choice]:
    choices = []
    for minute in sorted(drawn.sample(range(60), drawn.randrange(1, 7))):
        state = drawn.choice(["given", "given", "refused"])
        collected_by, evidence = drawn.choice(SAID_BY)
        universal = {"given": "override", "refused": "opt_out"}[state]
        choices.append(
            consent.Choice(
                "user_id", who, PURPOSE, state, start + timedelta(minutes=minute), collected_by,
                valid_days=drawn.choice([None, None, 1, 30]), evidence=evidence,
                universal=drawn.choice([None, None, universal]),
            )
        )  # fmt: skip
    return choices


def test_a_grant_was_relied_on_when_there_was_a_time_at_which_it_counted(
    sessions: Sessions,
) -> None:
    drawn = random.Random(15)  # noqa: S311 -- no secret
    now = datetime.now(UTC)
    people = [("user_id", f"relied-on-{number}") for number in range(300)]
    start = now - timedelta(days=3)
    choices = [choice for _, who in people for choice in history(drawn, who, start)]
    with sessions.begin() as session:
        consent.record(session, choices, received_at=now)
        found = {row.id for row in erasure.relied_on(session, people, at=now)}
        records = consent.history(session, people)
        expected = set()
        for number in range(61):
            at = start + timedelta(minutes=number)
            said = standings(records, at=at, known_at=now, purposes={})
            expected |= {s.record_id for s in said.values() if s.standing == "given"}
    grants = {record.id for record in records if record.state == "given"}
    assert {str(one) for one in found} == expected
    assert 0 < len(found) < len(grants)
