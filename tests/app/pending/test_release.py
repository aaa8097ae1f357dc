"""Events before the visitor's answer, from the request to their release or their end."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.access import sources
from app.consents import record as consents_record
from app.db import Sessions
from app.events.release import Releases
from app.imports import load
from app.pending.vault import Vault
from app.settings import Settings
from tests.app.pending.waiting import (
    NO,
    PREFERENCE,
    PURPOSE,
    YES,
    Send,
    count,
    counts,
    decide,
    denials,
    names,
    pending,
    track,
)


def test_without_a_pending_time_nothing_is_held(server: TestClient, sessions: Sessions) -> None:
    key = pending(sessions, "strict", pending_seconds=0)
    answer = server.post("/v1/batch", json={"batch": [track("A")], "writeKey": key}).json()
    assert (answer["held"], answer["rejected"][0]["code"]) == (0, "consent_denied")
    assert count(sessions) == 0


def test_held_events_are_released_once_by_the_stamp_of_a_later_event(
    send: Send, sessions: Sessions, releases: Releases
) -> None:
    when = "2026-11-20T10:00:00+00:00"
    big = {"n": 2**60 + 1, "deep": {"日": ["ß", None, 0.1]}, "pence": 10**30}
    assert send(track("A", timestamp=when, properties=big), track("B"))["held"] == 2
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 2)
    assert send(track("C", context=YES))["accepted"] == 1
    releases.round()
    assert (names(sessions), count(sessions)) == (["A", "B", "C"], 0)
    with sessions() as session:
        row = session.execute(sa.text("SELECT * FROM app.event WHERE name = 'A'")).one()
        first, second, third = session.scalars(
            sa.text("SELECT received_at FROM app.event ORDER BY name")
        )
    assert row.occurred_at.isoformat() == when
    assert row.properties == big
    assert row.anonymous_id == "v-1"
    assert first < second < third
    releases.round()
    assert len(names(sessions)) == 3
    said = counts(sessions)
    assert (said.received, said.held, said.accepted, said.released) == (3, 2, 1, 2)
    assert denials(sessions) == {}


@pytest.mark.parametrize("way", ["same batch", "preference event", "POST", "import"])
def test_every_way_of_agreeing_releases(
    way: str, server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    assert send(track("A"))["held"] == 1
    if way == "same batch":
        assert send(track("B"), track("C", context=YES))["accepted"] == 2
    elif way == "preference event":
        assert send(track(PREFERENCE, context=YES))["accepted"] == 1
    elif way == "POST":
        decide(server, write_key, "v-1", "given")
    else:
        with sessions() as session:
            source = sources.settings_of(sources.find(session, "site"))
        report = load.load(sessions, source, [track("D")], consents=[PURPOSE], evidence="form")
        assert report.accepted == 1
    releases.round()
    assert "A" in names(sessions)
    assert count(sessions) == 0


def test_a_refusal_destroys_at_once_and_only_that_visitors_events(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"), track("B"), track("C", "v-2"))
    assert send(track("D", context=NO))["rejected"][0]["code"] == "consent_denied"
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 1)
    decide(server, write_key, "v-1", "given")
    decide(server, write_key, "v-2", "given")
    releases.round()
    assert names(sessions) == ["C"]
    said = counts(sessions)
    assert (said.held, said.released, dict(said.destroyed)) == (3, 1, {"refused": 2})
    assert denials(sessions) == {"refused": 3}


def test_a_withdrawal_by_a_server_whose_clock_is_ahead_destroys_what_was_to_be_released(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"))
    decide(server, write_key, "v-1", "given")
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state,"
                " effective_at, recorded_at, order_time, collected_by, evidence)"
                " VALUES ('anonymous_id', 'v-1', :purpose, 1, 'withdrawn', :at, :at, :at, 'test',"
                " '{}')"
            ),
            {"purpose": PURPOSE, "at": datetime.now(UTC) + timedelta(seconds=60)},
        )
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 0)


def test_a_refusal_an_unreadable_signal_and_a_lapsed_consent_are_never_held(
    server: TestClient, send: Send, sessions: Sessions, write_key: str
) -> None:
    with sessions.begin() as session:
        consents_record.record(
            session, "anonymous_id", "lapsed", {PURPOSE: "given"}, collected_by="test",
            received_at=datetime.now(UTC) - timedelta(days=400),
        )  # fmt: skip
    decide(server, write_key, "gone", "withdrawn")
    answer = send(
        track("A", "no", context=NO),
        track("B", context={"consent": {"categoryPreferences": "all"}}),
        track("C", "lapsed"),
        track("D", "gone"),
    )
    assert [entry["code"] for entry in answer["rejected"]] == ["consent_denied"] * 4
    assert (answer["held"], count(sessions)) == (0, 0)
    said = {"refused": 1, "signal_unparsable": 1, "expired": 1, "withdrawn": 1}
    assert denials(sessions) == said


def test_an_unknown_purpose_and_an_event_of_an_address_alone_are_never_held(
    server: TestClient, send: Send, sessions: Sessions
) -> None:
    lost = pending(sessions, "lost", collection_purpose="nobody.knows")
    assert send(track("A"), key=lost)["held"] == 0
    book = {"externalIds": [{"id": "a@example.org", "type": "email"}]}
    nobody = {"type": "track", "event": "B", "context": book}
    assert send(nobody)["rejected"][0]["code"] == "consent_denied"
    assert count(sessions) == 0


def test_what_is_held_is_a_duplicate_and_so_it_is_after_its_release(
    send: Send, sessions: Sessions, releases: Releases
) -> None:
    answer = send(track("A"), track("A"))
    assert (answer["held"], answer["duplicates"]) == (1, 1)
    assert send(track("A"))["duplicates"] == 1
    assert send(track("A"), track("B", context=YES))["accepted"] == 2
    releases.round()
    assert (sorted(names(sessions)), count(sessions)) == (["A", "B"], 0)
    assert send(track("A"))["duplicates"] == 1
    said = counts(sessions)
    assert (said.released, dict(said.destroyed)) == (0, {"duplicate": 1})


def test_two_identifiers_are_asked_as_everywhere(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    """Most restrictive: one that agrees is enough where no other refuses; each for its events."""
    send(track("device"), track("both", userId="u-1"), track("refused", "v-2", userId="u-1"))
    decide(server, write_key, "v-2", "refused")
    decide(server, write_key, "u-1", "given", "user_id")
    releases.round()
    assert names(sessions) == ["both"]
    assert count(sessions) == 1
    decide(server, write_key, "v-1", "given")
    releases.round()
    assert sorted(names(sessions)) == ["both", "device"]


def test_a_grant_dated_in_the_future_releases_when_it_begins(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"))
    begins = datetime.now(UTC) + timedelta(seconds=6)
    decide(server, write_key, "v-1", "given", effective_at=begins.isoformat())
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 1)
    while datetime.now(UTC) < begins:
        time.sleep(0.2)
        releases.round()
    releases.round()
    assert names(sessions) == ["A"]


def test_what_nobody_answered_for_is_destroyed_in_time_and_never_released_after_it(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"), track("B", "v-2"))
    releases.round()
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.held SET expires_at = clock_timestamp()"))
    decide(server, write_key, "v-1", "given")
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 0)
    said = counts(sessions)
    assert (said.held, said.released, dict(said.destroyed)) == (2, 0, {"expired": 2})
    assert denials(sessions) == {"unknown": 2}


def test_consent_is_asked_again_at_the_release_for_what_the_source_collects_for_now(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"))
    with sessions.begin() as session:
        sources.find(session, "site").collection_purpose = "ads.share"
    decide(server, write_key, "v-1", "given")
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 0)
    assert dict(counts(sessions).destroyed) == {"consent_denied": 1}


def test_what_a_removed_source_sent_is_still_decided(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases
) -> None:
    other = pending(sessions, "other")
    send(track("A"))
    with sessions.begin() as session:
        sources.remove(session, sources.find(session, "site"))
    decide(server, other, "v-1", "given")
    releases.round()
    assert names(sessions) == ["A"]


def test_a_release_records_no_choice_a_second_time(
    send: Send, sessions: Sessions, releases: Releases
) -> None:
    """Else a held banner's answer, read again, would refuse what was given after it."""
    mail = {"consent": {"categoryPreferences": {"marketing.email": True}}}
    assert send(track(PREFERENCE, context=mail))["held"] == 1
    send(track("B", context=YES))
    with sessions() as session:
        before = session.scalars(sa.text("SELECT seq FROM consent.record")).all()
    releases.round()
    with sessions() as session:
        assert session.scalars(sa.text("SELECT seq FROM consent.record")).all() == before
    assert sorted(names(sessions)) == ["B", PREFERENCE]


def test_releases_and_refusals_at_once_end_each_event_once(
    server: TestClient, send: Send, sessions: Sessions, settings: Settings, write_key: str
) -> None:
    """Several workers, and visitors who agree, refuse, and send again at the same moment."""
    visitors = [f"v-{n}" for n in range(40)]
    for who in visitors:
        assert send(*(track(f"{who}.{n}", who) for n in range(5)))["held"] == 5
    workers = [Releases(sessions, Vault(settings)) for _ in range(3)]

    def answer(n: int) -> None:
        decide(server, write_key, visitors[n], "given" if n % 2 else "refused")
        if n % 4 == 1:
            send(*(track(f"{visitors[n]}.{m}", visitors[n]) for m in range(5)))

    def work(n: int) -> None:
        for _ in range(15):
            workers[n].round()

    with ThreadPoolExecutor(7) as pool:
        jobs = [pool.submit(work, n) for n in range(3)]
        jobs += [pool.submit(answer, n) for n in range(len(visitors))]
        for job in jobs:
            job.result()
    workers[0].round()
    stored = names(sessions)
    assert sorted(stored) == sorted(f"v-{n}.{m}" for n in range(1, 40, 2) for m in range(5))
    assert count(sessions) == 0
    said = counts(sessions)
    assert said.released + said.accepted == 100
    assert said.destroyed["refused"] == 100


def test_an_event_that_the_database_refuses_costs_only_itself(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"), track("bad"), track("C"))
    with sessions.begin() as session:
        session.execute(
            sa.text("ALTER TABLE app.event ADD CONSTRAINT no_bad CHECK (name <> 'bad')")
        )
    decide(server, write_key, "v-1", "given")
    releases.round()
    assert (names(sessions), count(sessions)) == (["A", "C"], 0)
    said = counts(sessions)
    assert (said.released, dict(said.destroyed)) == (2, {"unstorable": 1})
