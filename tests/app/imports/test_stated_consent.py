"""Consent that an importer states for others (`parcours import --consent`) overrules nobody."""

from datetime import UTC, datetime, timedelta

import pytest

import consent
from app.access import sources
from app.consents.record import record
from app.db import Sessions
from app.imports import load

PURPOSE = "marketing.email"
THEN = datetime(2019, 5, 1, tzinfo=UTC)


def say(sessions: Sessions, state: str, user: str = "ada") -> None:
    with sessions.begin() as session:
        record(session, "user_id", user, {PURPOSE: state}, collected_by="test",
               received_at=datetime.now(UTC))  # fmt: skip


def imported(sessions: Sessions, at: datetime | None, user: str = "ada") -> None:
    with sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    row = {"type": "track", "userId": user, "event": "Bought", "messageId": f"{user}-{at}"}
    if at is not None:
        row["timestamp"] = at.isoformat()
    report = load.load(sessions, source, [row], consents=[PURPOSE], evidence="CRM 2019")
    assert report.accepted == 1, report.examples


def standing(sessions: Sessions, user: str = "ada") -> consent.Said:
    with sessions() as session:
        found = consent.history(session, [("user_id", user)], purpose=PURPOSE)
        now = datetime.now(UTC)
        said = consent.standings(found, at=now, known_at=None, purposes={})
    return said["user_id", user, PURPOSE]


@pytest.mark.usefixtures("write_key")
@pytest.mark.parametrize("at", [THEN, None, datetime.now(UTC) + timedelta(days=400)])
def test_an_explicit_refusal_stands(sessions: Sessions, at: datetime | None) -> None:
    say(sessions, "given")
    say(sessions, "withdrawn")
    imported(sessions, at)
    assert standing(sessions).standing == "withdrawn"
    say(sessions, "given")
    assert standing(sessions).standing == "given", "the person may think better of it"


@pytest.mark.usefixtures("write_key")
def test_it_counts_from_the_first_row_and_is_valid_from_the_import_on(sessions: Sessions) -> None:
    imported(sessions, THEN + timedelta(days=1))
    imported(sessions, THEN + timedelta(days=2))
    said = standing(sessions)
    assert (said.standing, said.order_time) == ("given", THEN + timedelta(days=1))
    with sessions() as session:
        [row] = consent.history(session, [("user_id", "ada")], purpose=PURPOSE)
        days = consent.catalogue.purpose(session, PURPOSE).valid_days
    assert row.valid_until is not None
    assert days is not None
    left = row.valid_until - datetime.now(UTC)
    assert timedelta(days=days - 1) < left <= timedelta(days=days)
    say(sessions, "refused")
    assert standing(sessions).standing == "withdrawn"


@pytest.mark.usefixtures("write_key")
def test_it_is_never_newer_than_the_import(sessions: Sessions) -> None:
    imported(sessions, datetime.now(UTC) + timedelta(hours=2))
    say(sessions, "withdrawn")
    assert standing(sessions).standing == "withdrawn"
