"""A grant is of the version of its purpose that was in effect when it was given, however late."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.consents.record import record
from app.db import Sessions
from app.events import append as events
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.imports import load
from consent import Purpose
from consent.errors import NoticeDoesNotAsk, NoticeExists, PurposeInvalid, PurposeNotFound
from tests.api.site import PREFERENCE

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
KEY = "club.news"
FIRST = Purpose(KEY, effective_from=NOW - 100 * DAY, valid_days=30)
SECOND = replace(FIRST, version=2, renews=True, effective_from=NOW - 10 * DAY, valid_days=200)


def add(session: Session) -> None:
    for version in (FIRST, SECOND):
        consent.catalogue.add_purpose(session, version)


def agreed(session: Session, user: str) -> list[tuple[int, str]]:
    """The version of each record, and what stands."""
    rows = consent.history(session, [("user_id", user)], purpose=KEY)
    known = consent.catalogue.purposes(session)
    said = consent.standings(rows, at=NOW + DAY, known_at=None, purposes=known)
    return [(row.purpose_version, said["user_id", user, KEY].standing) for row in rows]


@pytest.mark.parametrize(
    ("before", "version", "standing"), [(9, 2, "given"), (11, 1, "stale_notice"), (0, 2, "given")]
)
def test_a_grant_is_of_the_version_of_its_time(
    session: Session, before: int, version: int, standing: str
) -> None:
    add(session)
    record(session, "user_id", "vera", {KEY: "given"}, collected_by="client:crm", received_at=NOW,
           effective_at=NOW - before * DAY)  # fmt: skip
    assert agreed(session, "vera") == [(version, standing)]
    [row] = consent.history(session, [("user_id", "vera")], purpose=KEY)
    days = (FIRST, SECOND)[version - 1].valid_days
    assert row.valid_until == NOW - before * DAY + timedelta(days=days or 0)


def test_and_of_no_later_one_than_when_it_was_heard(session: Session) -> None:
    consent.catalogue.add_purpose(session, FIRST)
    consent.catalogue.add_purpose(session, replace(SECOND, effective_from=NOW + 3 * DAY))
    record(session, "user_id", "vera", {KEY: "given"}, collected_by="client:crm", received_at=NOW,
           effective_at=NOW + 5 * DAY)  # fmt: skip
    assert [version for version, _ in agreed(session, "vera")] == [1]


@pytest.mark.parametrize("event", [PREFERENCE, "Seen"])
@pytest.mark.parametrize(("before", "version"), [(9, 2), (11, 1)])
def test_so_it_is_with_what_events_carry(
    session: Session, event: str, before: int, version: int
) -> None:
    add(session)
    sources.add(session, "late-events")
    source = sources.settings_of(sources.find(session, "late-events"))
    raw = message(event, NOW - before * DAY, {"consent": {"categoryPreferences": {KEY: True}}})
    envelope = read(raw, received_at=NOW, largest=10_000)
    assert isinstance(envelope, Envelope)
    events.append(session, [Item(source, envelope, NOW)], Memory())
    assert [found for found, _ in agreed(session, "vera")] == [version]


@pytest.mark.usefixtures("write_key")
def test_and_with_what_an_importer_states(sessions: Sessions) -> None:
    with sessions.begin() as session:
        add(session)
        source = sources.settings_of(sources.find(session, "web"))
    rows = [
        {"type": "track", "userId": user, "event": "Bought", "messageId": user,
         "timestamp": (NOW - days * DAY).isoformat()}
        for user, days in (("vera", 11), ("nora", 9))
    ]  # fmt: skip
    load.load(sessions, source, rows, consents=[KEY], evidence="CRM")
    with sessions() as session:
        assert agreed(session, "vera") == [(1, "stale_notice")]
        assert agreed(session, "nora") == [(2, "given")]


class Overtaken(Memory):
    """The memory of a writer that is overtaken by somebody who adds versions of purposes."""

    def __init__(self, sessions: Sessions, *versions: Purpose) -> None:
        super().__init__()
        self.sessions, self.versions_to_come = sessions, versions

    def refresh(self, session: Session) -> None:
        super().refresh(session)
        with self.sessions.begin() as other:
            for version in self.versions_to_come:
                consent.catalogue.add_purpose(other, version)
        self.versions_to_come = ()


def refused(sessions: Sessions, memory: Memory, meanwhile: Callable[[], None]) -> set[str]:
    """Refuse `club` by an event, and say which purposes are refused in the end."""
    with sessions.begin() as session:
        source = sources.settings_of(sources.find(session, "web"))
        said = {"consent": {"categoryPreferences": {"club": False, "club.kept": True}}}
        envelope = read(message("Seen", NOW, said), received_at=NOW, largest=10_000)
        assert isinstance(envelope, Envelope)
        events.append(session, [Item(source, envelope, NOW)], memory)
        meanwhile()
    with sessions() as session:
        rows = consent.history(session, [("user_id", "vera")])
    assert all(row.stamp for row in rows), "of each no more is proved than of the first"
    return {row.purpose for row in rows if row.state == "refused"}


@pytest.mark.usefixtures("write_key")
def test_what_is_added_below_while_an_event_refuses_is_refused_too(sessions: Sessions) -> None:
    club, kept = replace(FIRST, key="club"), replace(FIRST, key="club.kept")
    below = [replace(FIRST, parent="club"), replace(FIRST, key="club.post", parent=KEY),
             replace(FIRST, key="club.later", parent=KEY, effective_from=NOW + 5 * DAY),
             replace(kept, version=2, parent="club"), replace(FIRST, key="club.other")]  # fmt: skip
    with sessions.begin() as session:
        for version in (club, kept):
            consent.catalogue.add_purpose(session, version)
    memory = Overtaken(sessions, *below)
    assert refused(sessions, memory, lambda: None) == {"club", KEY, "club.post", "club.later"}


@pytest.mark.usefixtures("write_key")
def test_and_what_would_be_added_later_waits_until_it_can_see_the_refusal(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        consent.catalogue.add_purpose(session, replace(FIRST, key="club"))
        consent.catalogue.add_purpose(session, replace(FIRST, key="club.kept"))

    def add() -> None:
        with sessions.begin() as session:
            consent.catalogue.add_purpose(session, replace(FIRST, parent="club"))

    adding = threading.Thread(target=add)

    def meanwhile() -> None:
        adding.start()
        waits = sa.text(
            "SELECT count(*) FROM pg_locks WHERE NOT granted "
            "AND relation = CAST('consent.purpose' AS regclass)"
        )
        with sessions() as session:
            while adding.is_alive() and not session.scalar(waits):
                session.rollback()
        assert adding.is_alive(), "it waits for who refuses"

    assert refused(sessions, Memory(), meanwhile) >= {"club"}
    adding.join(20)
    with sessions() as session:
        rows = consent.history(session, [("user_id", "vera")], purpose=KEY)
    assert [(row.state, row.stamp) for row in rows] == [("refused", True)]


def message(event: str, at: datetime, context: Any) -> Any:
    return to_message({
        "type": "track", "userId": "vera", "event": event, "messageId": f"v-{event}-{at}",
        "timestamp": at.isoformat(), "context": context,
    })  # fmt: skip


def test_a_notice_tells_of_no_version_that_came_after_it(session: Session) -> None:
    consent.catalogue.add_purpose(session, FIRST)
    notice = {"key": "club", "version": 1, "purposes": [KEY], "body": "?"}
    consent.catalogue.add_notice(session, language="en", **notice)  # type: ignore[arg-type]  # as JSON
    session.execute(
        sa.text(
            "INSERT INTO consent.purpose (key, version, lawful_basis, mode, title, description, "
            "renews, effective_from, created_at) SELECT key, version, 'consent', "
            "'most_restrictive', '{}', '{}', version = 2, :since, clock_timestamp() + after "
            "FROM (VALUES (:key, 2, interval '0'), ('club.gifts', 1, '1 hour')) "
            "v(key, version, after)"
        ),
        {"key": KEY, "since": NOW - DAY},
    )
    shown = {"key": "club", "version": 1, "language": "en"}

    def give(key: str, **more: Any) -> None:
        record(session, "user_id", "vera", {key: "given"}, collected_by="client:crm",
               received_at=NOW, **more)  # fmt: skip

    give(KEY, notice=dict(shown))
    assert agreed(session, "vera") == [(1, "stale_notice")]
    # Put into another language later, it is the same notice.
    consent.catalogue.add_notice(session, language="fr", **notice)  # type: ignore[arg-type]  # as JSON
    give(KEY, notice={**shown, "language": "fr"})
    give(KEY)
    assert [version for version, _ in agreed(session, "vera")] == [1, 1, 2]
    later = {"key": "club", "version": 2, "purposes": ["club.gifts"], "body": "?"}
    consent.catalogue.add_notice(session, language="en", **later)  # type: ignore[arg-type]  # as JSON
    with pytest.raises(NoticeDoesNotAsk, match="is older than"):
        give("club.gifts", notice={**shown, "version": 2})


def test_a_notice_asks_for_the_same_in_every_language(session: Session) -> None:
    asked: dict[str, Any] = {"key": "n", "version": 1, "purposes": ["ads.share"], "body": "?"}
    consent.catalogue.add_notice(session, language="en", **asked)
    consent.catalogue.add_notice(session, language="fr", **asked)
    for other in ({"purposes": ["ads.share", "marketing"]}, {"scope": "account"},
                  {"conditional_on_service": True}):  # fmt: skip
        with pytest.raises(NoticeExists, match="asks otherwise in"):
            consent.catalogue.add_notice(session, language="de", **{**asked, **other})


def test_a_purpose_is_none_before_its_first_version_takes_effect(session: Session) -> None:
    soon = replace(FIRST, effective_from=NOW + 5 * DAY, lawful_basis="legitimate_interests")
    consent.catalogue.add_purpose(session, soon)
    assert KEY not in consent.catalogue.purposes(session)
    assert KEY not in consent.catalogue.purposes(session, at=NOW + DAY)
    with pytest.raises(PurposeNotFound):
        consent.catalogue.purpose(session, KEY)
    assert KEY in consent.catalogue.announced(session)
    assert consent.catalogue.purposes(session, at=NOW + 6 * DAY)[KEY].version == 1
    with pytest.raises(PurposeNotFound):
        record(session, "user_id", "vera", {KEY: "given"}, collected_by="x", received_at=NOW)


def test_whoever_refuses_a_parent_refuses_what_is_announced_below_it(session: Session) -> None:
    consent.catalogue.add_purpose(session, replace(FIRST, key="club"))
    soon = replace(FIRST, parent="club", effective_from=NOW + 5 * DAY)
    consent.catalogue.add_purpose(session, soon)
    record(session, "user_id", "vera", {"club": "refused"}, collected_by="x", received_at=NOW)
    assert agreed(session, "vera") == [(1, "refused")]


def test_no_purpose_comes_to_lie_below_itself_by_versions_that_are_announced(
    session: Session,
) -> None:
    one, two = replace(FIRST, key="club.a"), replace(FIRST, key="club.b")
    for new in (one, two):
        consent.catalogue.add_purpose(session, new)
    consent.catalogue.add_purpose(
        session, replace(one, version=2, parent="club.b", effective_from=NOW + 50 * DAY)
    )
    for when in (-1, 20, 80):
        below = replace(two, version=2, parent="club.a", effective_from=NOW + when * DAY)
        with pytest.raises(PurposeInvalid, match="lies below"):
            consent.catalogue.add_purpose(session, below)
    with pytest.raises(PurposeInvalid, match="lies below"):
        consent.catalogue.add_purpose(session, replace(two, version=2, parent="club.b"))
    never = replace(FIRST, key="club.c", parent="club.d")
    with pytest.raises(PurposeInvalid, match="is no purpose"):
        consent.catalogue.add_purpose(session, never)


def test_a_version_that_was_widened_before_that_was_refused_renews(session: Session) -> None:
    add(session)
    session.execute(
        sa.text(
            "INSERT INTO consent.purpose (key, version, lawful_basis, mode, title, description, "
            "effective_from, declared) VALUES (:key, 3, 'consent', 'most_restrictive', '{}', '{}', "
            """:since, '{"special_categories": ["health"]}')"""
        ),
        {"key": KEY, "since": NOW - DAY},
    )
    assert consent.catalogue.purpose(session, KEY).renewed == 3
    assert consent.catalogue.purpose(session, KEY, at=NOW - 2 * DAY).renewed == 2


def test_what_is_announced_below_marketing_changes_no_answer_of_before(session: Session) -> None:
    """But whoever asks of before its first version is told what that says."""
    consent.catalogue.add_purpose(session, FIRST)
    consent.catalogue.add_purpose(session, replace(FIRST, key="club.post", parent=KEY))
    soon = replace(FIRST, version=2, parent="marketing", effective_from=NOW + 5 * DAY)
    consent.catalogue.add_purpose(session, soon)
    consent.catalogue.add_purpose(session, replace(FIRST, key="club.offers", parent="marketing"))
    consent.catalogue.add_purpose(session, replace(FIRST, key="club.other"))

    def marketing(at: datetime | None) -> set[str]:
        known = consent.catalogue.purposes(session, at=at)
        ours = {key for key in known if key.startswith("club.") and known[key].direct_marketing}
        one_by_one = {
            key
            for key in known
            if key.startswith("club.")
            and consent.catalogue.purpose(session, key, at=at).direct_marketing
        }
        assert ours == one_by_one
        return ours

    assert marketing(NOW - DAY) == {"club.offers"}
    assert marketing(None) == {KEY, "club.post", "club.offers"}
    assert marketing(NOW + 6 * DAY) == {KEY, "club.post", "club.offers"}
