"""Rows go in by COPY or by INSERT: the same rows, each once, whatever people wrote into them."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa
from msgspec import Raw
from sqlalchemy.orm import Session

from app.access.sources import SourceSettings
from app.db import Sessions
from app.events.envelope import Envelope
from app.events.insert import WORTH_A_COPY, Events, Key, Told, Way, insert
from app.events.item import Item

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


def events(number: int) -> Events:
    made: dict[Key, tuple[Item, Told]] = {}
    source = SourceSettings(number, "odd")
    for number in range(WORTH_A_COPY * 2):
        odd = ODD[number % len(ODD)]
        envelope = Envelope(
            type="track",
            name=odd if number % 3 else None,
            message_id=f"{number}-{odd}",
            user_id=odd if number % 2 else None,
            anonymous_id=None if number % 2 else odd,
            identifiers=(),
            occurred_at=NOW - timedelta(days=number * 400, microseconds=number),
            sent_at=NOW if number % 5 else None,
            source_seq=number if number % 7 else None,
            properties=text({odd: [odd, number, 1.5, None, {"nested": odd}]}),
            context=text({} if number % 4 else {"page": odd}),
            rest=text({"integrations": {odd: True}}) if number % 6 else Raw(b""),
        )
        told = Told(
            [number + 1, number + 2, number + 3][: 1 + number % 3],
            ["ads.share", "profile.link"][: number % 3],
        )
        made[source.id, envelope.message_id] = Item(source, envelope, NOW), told
    return made


def stored(session: Session, source: int) -> list[tuple[object, ...]]:
    query = sa.text(
        f"SELECT {COLUMNS} FROM app.event WHERE source_id = :source ORDER BY message_id"  # noqa: S608 -- a constant
    )
    return [tuple(row)[1:] for row in session.execute(query, {"source": source})]


def test_both_ways_store_the_same(session: Session) -> None:
    assert insert(session, events(1), way=Way.EACH) == set()
    assert insert(session, events(2), way=Way.SOUGHT) == set()
    assert insert(session, events(3), way=Way.UNSEEN) == set()
    one = stored(session, 1)
    assert len(one) == WORTH_A_COPY * 2
    assert one == stored(session, 2) == stored(session, 3)


def test_what_is_stored_is_left_out_and_named(session: Session) -> None:
    wanted = events(1)
    before = dict(list(wanted.items())[::2])
    assert insert(session, before, way=Way.SOUGHT) == set()
    assert insert(session, wanted, way=Way.SOUGHT) == before.keys()
    assert insert(session, wanted, way=Way.SOUGHT) == wanted.keys()
    assert insert(session, wanted, way=Way.EACH) == wanted.keys()
    assert len(stored(session, 1)) == len(wanted)


def test_who_copies_what_another_has_just_written_is_told_to_repeat(sessions: Sessions) -> None:
    wanted = events(1)
    with sessions() as first, sessions() as second:
        first.begin()
        second.begin()
        insert(first, dict(list(wanted.items())[-1:]), way=Way.EACH)
        second.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(sa.exc.DBAPIError) as waits:
            insert(second, wanted, way=Way.SOUGHT)  # it waits for the other's commit
        assert "0-plain" not in str(waits.value)
    with sessions.begin() as session:
        insert(session, dict(list(wanted.items())[-1:]), way=Way.EACH)
    with sessions.begin() as session:
        assert len(insert(session, wanted, way=Way.SOUGHT)) == 1


def test_who_takes_an_event_for_new_that_is_not_is_told_to_look(sessions: Sessions) -> None:
    wanted = events(1)
    with sessions.begin() as session:
        insert(session, dict(list(wanted.items())[-1:]), way=Way.UNSEEN)
    with sessions() as session, pytest.raises(sa.exc.IntegrityError) as refused:
        insert(session, wanted, way=Way.UNSEEN)
    assert "0-plain" not in str(refused.value)
    with sessions.begin() as session:
        assert len(insert(session, wanted, way=Way.SOUGHT)) == 1
