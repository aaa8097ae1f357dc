"""Whom analyses may count is decided once, and anew as soon as anything it rests on changes."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.everybody import Everybody, everybody
from app.consents.permission import permissions
from app.db import Sessions
from consent import Choice
from consent import erasure as erasing
from tests.app.test_permission import PURPOSES, Population

PURPOSE = "analytics.audience"


def by_person(found: Everybody) -> dict[int, int]:
    return dict(zip(found.identifiers.tolist(), found.people.tolist(), strict=True))


def test_it_allows_and_excludes_whom_the_decision_does(session: Session) -> None:
    Population(session, seed=random.Random().randrange(2**32), people=30)  # noqa: S311 -- a test
    for purpose in PURPOSES:
        decisions = permissions(session, purpose.key, use="analyse")
        allowed = {d.identifier_id: d.person_id for d in decisions if d.allowed}
        found = everybody(session, purpose.key)
        assert by_person(found) == allowed
        others: dict[int, set[str]] = defaultdict(set)
        for d in decisions:
            others[d.person_id].add(d.reason)
        out = set(others) - set(allowed.values())
        assert sum(found.excluded.values()) == len(out)
        assert set(found.excluded) <= {reason for person in out for reason in others[person]}


def add(session: Session, *, until: timedelta = timedelta(days=9)) -> None:
    """Two people who agree, of one identifier each: u-1 and u-2."""
    now = datetime.now(UTC)
    session.execute(
        sa.text(
            "INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id)"
            " OVERRIDING SYSTEM VALUE SELECT n, 'user_id', 'u-' || n, n, n, n"
            " FROM generate_series(1, 2) n"
        )
    )
    session.execute(
        sa.text(
            "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state,"
            " effective_at, recorded_at, order_time, valid_until, collected_by, evidence)"
            " SELECT 'user_id', 'u-' || n, :purpose, 1, 'given', :at, :at, :at,"
            " CASE n WHEN 1 THEN CAST(:until AS timestamptz) END, 'a test', '{}'"
            " FROM generate_series(1, 2) n"
        ),
        {"purpose": PURPOSE, "at": now, "until": now + until},
    )


def withdraw(session: Session, who: str = "u-1") -> None:
    now = datetime.now(UTC)
    choice = Choice("user_id", who, PURPOSE, "withdrawn", now, collected_by="a test")
    consent.record(session, [choice], received_at=now)


def merge(session: Session) -> None:
    session.execute(
        sa.text("UPDATE identity.identifier SET group_id = 2, person_id = 2 WHERE id = 1")
    )


def erase(session: Session) -> None:
    erasure = uuid4()
    erasing.begun(session, erasure, reason_ref="a test")
    erasing.forget(session, erasure, [("user_id", "u-1")])


def say(session: Session, command: str) -> None:
    session.execute(sa.text(command))


#: What comes one after the other, and who may be counted then, by identifier.
CHANGES: tuple[tuple[str | Callable[[Session], None], dict[int, int]], ...] = (
    ("INSERT INTO consent.restriction (namespace, value, kind, from_at, reason_ref)"
     " VALUES ('user_id', 'u-1', 'restriction', now(), 'a test')", {2: 2}),
    ("UPDATE consent.restriction SET to_at = clock_timestamp()", {1: 1, 2: 2}),
    ("INSERT INTO consent.age_band (namespace, value, band, from_at, stated_by)"
     " VALUES ('user_id', 'u-1', 'child', now(), 'a test')", {2: 2}),
    ("DELETE FROM consent.age_band", {1: 1, 2: 2}),
    ("UPDATE identity.identifier SET group_id = 2, person_id = 2 WHERE id = 1", {1: 2, 2: 2}),
    ("UPDATE identity.identifier SET group_id = 1, person_id = 1 WHERE id = 1", {1: 1, 2: 2}),
    (erase, {2: 2}),
    ("DELETE FROM identity.identifier WHERE id = 1", {2: 2}),
    (lambda session: withdraw(session, "u-2"), {}),
)  # fmt: skip


@pytest.fixture
def two(sessions: Sessions) -> Sessions:
    with sessions.begin() as session:
        consent.catalogue.seed(session)
        add(session)
    return sessions


def test_what_was_decided_is_taken_again_until_something_changes(two: Sessions) -> None:
    with two() as session, two() as slow:
        slow.execute(sa.text("SELECT pg_current_xact_id()"))  # one that began before, and goes on
        before = everybody(session, PURPOSE)
        assert by_person(before) == {1: 1, 2: 2}
        for change, then in CHANGES:
            assert everybody(session, PURPOSE) is before
            with two.begin() as other:
                say(other, change) if isinstance(change, str) else change(other)
            found = everybody(session, PURPOSE)
            assert found is not before
            assert by_person(found) == then, change
            before = found


def test_one_that_committed_after_a_later_one_is_seen(two: Sessions) -> None:
    """By the number of a transaction alone, which is given out when it begins, it would not be."""
    with two() as reader, two() as early:
        withdraw(early)
        with two.begin() as late:
            say(
                late,
                "INSERT INTO identity.identifier (id, namespace, value, group_id, person_id,"
                " reach_id) OVERRIDING SYSTEM VALUE VALUES (3, 'user_id', 'u-3', 3, 3, 3)",
            )
        assert by_person(everybody(reader, PURPOSE)) == {1: 1, 2: 2}
        early.commit()
        assert by_person(everybody(reader, PURPOSE)) == {2: 2}


def test_a_grant_that_lapses_is_seen_though_nothing_was_written(sessions: Sessions) -> None:
    with sessions.begin() as session:
        consent.catalogue.seed(session)
        add(session, until=timedelta(seconds=3))
        assert by_person(everybody(session, PURPOSE)) == {1: 1, 2: 2}
    time.sleep(3.1)
    with sessions.begin() as session:
        assert by_person(everybody(session, PURPOSE)) == {2: 2}
