"""Rows go in by COPY or by INSERT: the same rows, each once, whatever people wrote into them."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa
from msgspec import Raw
from sqlalchemy.orm import Session

from app.db import Sessions
from app.events.insert import WORTH_A_COPY, Key, Row, insert

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
ODD = (
    "plain", "tab\tand\nnewline\r\n", "back\\slash \\N \\. ", 'quote " and \'', "\x01\x02\x01",
    "comma,{}", " space ", "\u200b\u2028 zero width", "𝄞 Żółć", "\\.", "x" * 900, "\x7f\x1f",
)  # fmt: skip
COLUMNS = (
    "source_id, message_id, type, name, identifier_id, identifier_ids, user_id, anonymous_id, "
    "occurred_at, received_at, sent_at, source_seq, refused, properties::text AS properties, "
    "context::text AS context, rest::text AS rest"
)


def text(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def rows(source: int) -> dict[Key, Row]:
    made = {}
    for number in range(WORTH_A_COPY * 2):
        odd = ODD[number % len(ODD)]
        row = Row(
            source,
            f"{number}-{odd}",
            "track",
            odd if number % 3 else None,
            [number + 1, number + 2, number + 3][: 1 + number % 3],
            odd if number % 2 else None,
            None if number % 2 else odd,
            NOW - timedelta(days=number * 400, microseconds=number),
            NOW,
            NOW if number % 5 else None,
            number if number % 7 else None,
            ["ads.share", "profile.link"][: number % 3],
            text({odd: [odd, number, 1.5, None, {"nested": odd}]}),
            text({} if number % 4 else {"page": odd}),
            text({"integrations": {odd: True}}) if number % 6 else None,
        )
        made[row.source_id, row.message_id] = row
    return made


def stored(session: Session, source: int) -> list[tuple[object, ...]]:
    query = sa.text(
        f"SELECT {COLUMNS} FROM app.event WHERE source_id = :source ORDER BY message_id"  # noqa: S608 -- a constant
    )
    return [tuple(row)[1:] for row in session.execute(query, {"source": source})]


def test_both_ways_store_the_same(session: Session) -> None:
    assert insert(session, rows(1), copy=False) == set()
    assert insert(session, rows(2), copy=True) == set()
    one, two = stored(session, 1), stored(session, 2)
    assert len(one) == WORTH_A_COPY * 2
    assert one == two


def test_what_is_stored_is_left_out_and_named(session: Session) -> None:
    wanted = rows(1)
    before = dict(list(wanted.items())[::2])
    assert insert(session, before, copy=True) == set()
    assert insert(session, wanted, copy=True) == before.keys()
    assert insert(session, wanted, copy=True) == wanted.keys()
    assert insert(session, wanted, copy=False) == wanted.keys()
    assert len(stored(session, 1)) == len(wanted)


def test_who_copies_what_another_has_just_written_is_told_to_repeat(sessions: Sessions) -> None:
    wanted = rows(1)
    with sessions() as first, sessions() as second:
        first.begin()
        second.begin()
        insert(first, dict(list(wanted.items())[-1:]), copy=False)
        second.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(sa.exc.DBAPIError) as waits:
            insert(second, wanted, copy=True)  # it waits for the other's commit
        assert "0-plain" not in str(waits.value)
    with sessions.begin() as session:
        insert(session, dict(list(wanted.items())[-1:]), copy=False)
    with sessions.begin() as session:
        assert len(insert(session, wanted, copy=True)) == 1
