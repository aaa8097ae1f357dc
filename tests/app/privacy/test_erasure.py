"""Erasure in the tables and files (research/consent.md section 3, 71 to 76)."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import db, pipeline
from app.access import sources
from app.db import Sessions
from app.errors import SubjectSuppressed
from app.events import stream
from app.imports import load, messages
from app.lake import copy
from app.lake.duckdb_engine import open_lake
from app.privacy import journal, run
from app.privacy.lifting import lift
from app.privacy.replay import replay
from app.suppression import gate
from consent import erasure as consents
from identity import graph, matching, people
from identity.errors import MergeNotFound
from identity.known import ScoredPair
from tests.app.privacy.conftest import GIVEN, World

ADA = ("ada-1815", "ada.lovelace+shop@gmail.com", "adalovelace@gmail.com", "anon-ada-77")
SENT = "Ada.Lovelace+shop@Gmail.com"


def ada(world: World) -> None:
    world.send(
        {"type": "page", "name": "Home", "anonymousId": "anon-ada-77", "context": GIVEN},
        {"type": "identify", "userId": "ada-1815", "anonymousId": "anon-ada-77",
         "traits": {"email": SENT, "lastName": "Lovelace"}, "context": GIVEN},
        {"type": "track", "userId": "ada-1815", "event": "Bought", "context": GIVEN},
    )  # fmt: skip


def bob(world: World) -> None:
    world.send(
        {"type": "identify", "userId": "bob-7", "context": GIVEN,
         "traits": {"email": "bob@example.org", "friend": SENT}},
        {"type": "track", "userId": "bob-7", "event": "Bought", "context": GIVEN},
        {"type": "track", "userId": "bob-7", "event": "Invited", "context": GIVEN,
         "properties": {"whom": SENT, "n": 12, "nested": [{"url": f"/?e={SENT}&x=1"}]}},
    )  # fmt: skip


def parquet(world: World) -> str:
    found = [pq.read_table(p).to_pylist() for p in world.settings.lake_dir.glob("*.parquet")]
    return repr(found).lower()


def test_71_nothing_of_the_person_is_left_but_keyed_hashes(world: World) -> None:
    ada(world)
    bob(world)
    world.server.post("/v1/track", json={"userId": "ada-1815", "writeKey": world.key})
    copy.copy_new(world.sessions, world.settings.lake_dir)
    held = {"app.event", "app.trait", "app.rejected_event", "identity.identifier"}
    assert held | {"consent.record"} <= world.where(*ADA)
    assert SENT.lower() in parquet(world)

    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")

    assert shown["state"] == "closed"
    assert world.where(*ADA) == set()
    assert not [one for one in ADA if one in parquet(world)]
    results = {task["store"]: task for task in shown["tasks"]}
    assert results["tables"]["result"]["events"] == 3
    assert results["rejected_events"]["result"] == {"count": 1}
    assert results["others"]["result"] == {"count": 2}
    with world.sessions() as session:  # of Bob's events nothing else has changed
        said = session.execute(
            sa.text("SELECT properties FROM app.event WHERE name = 'Invited'")
        ).scalar_one()
        assert said == {"whom": "[erased]", "n": 12, "nested": [{"url": "/?e=[erased]&x=1"}]}
    with (
        world.sessions() as session,
        open_lake(session, world.settings.lake_dir, "analytics.audience") as lake,
    ):
        assert lake.events == 3
    written = Path(world.settings.journal).read_text(encoding="utf-8").lower()
    assert not [one for one in ADA if one in written]


def restored(world: World, sessions: Sessions, name: str) -> Sessions:
    """A copy of the database as it is now, as a backup would be restored."""
    url = sessions.kw["bind"].url
    engine = db.engine(url.set(database="postgres").render_as_string(hide_password=False))
    sessions.kw["bind"].dispose()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
        connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{url.database}"'))
    engine.dispose()
    return db.sessions(db.engine(url.set(database=name).render_as_string(hide_password=False)))


def test_72_a_restored_backup_is_erased_again_before_it_is_used(
    world: World, sessions: Sessions
) -> None:
    ada(world)
    bob(world)
    copy.copy_new(world.sessions, world.settings.lake_dir)
    backup = restored(world, sessions, f"backup_{uuid4().hex[:12]}")
    try:
        first = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
        world.sessions = backup
        assert world.where(*ADA)

        assert replay(backup, world.settings) == 1

        assert world.where(*ADA) == set()
        with backup() as session:
            assert consents.done(session) == {UUID(first["id"])}
            stated = session.scalars(
                sa.text("SELECT public FROM consent.ledger_statement WHERE kind = 'dsr'")
            ).all()
            assert {"erasure": first["id"], "what": "erased_again"} in stated
            assert people.find(session, "user_id", "bob-7") is not None
        with backup.begin() as session, pytest.raises(SubjectSuppressed):
            gate.refuse(session, [("email", "adalovelace@gmail.com")])
        assert replay(backup, world.settings) == 0
        # The files of the lake are of a later time than the backup: they are made anew.
        assert copy.copy_new(backup, world.settings.lake_dir) == 3
        assert not [one for one in ADA if one in parquet(world)]
    finally:
        backup.kw["bind"].dispose()


def test_72_after_a_crash_between_journal_and_commit_the_next_start_erases(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada(world)
    write = journal.append

    def crash(path: Path, line: journal.Line) -> None:
        write(path, line)
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "append", crash)
    with pytest.raises(KeyboardInterrupt):
        world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert world.where(*ADA)
    assert replay(world.sessions, world.settings) == 1
    assert world.where(*ADA) <= {"app.privacy_request"}  # which is still open, and goes on
    monkeypatch.undo()
    run.round_(world.sessions, world.settings)
    assert world.where(*ADA) == set()


def imported(world: World, *rows: dict[str, str]) -> load.Report:
    with world.sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    made = messages.people(rows, column="crm_id", namespace="crm_id", now=datetime.now(UTC))
    return load.load(world.sessions, source, made, consents=["profile.link"], evidence="a test")


def test_73_the_same_file_again_is_refused_in_any_spelling_and_others_are_taken(
    world: World,
) -> None:
    row = {"crm_id": "crm-ada", "email": SENT}
    assert imported(world, row).accepted == 1
    world.settle()
    world.ask("erasure", "crm_id:crm-ada", "email:adalovelace@gmail.com")
    spelt = [
        row,
        {"crm_id": "crm-new", "email": " ADA.LOVELACE@googlemail.com "},
        {"crm_id": "crm-newer", "email": "adalovelace+other@gmail.com"},
        {"crm_id": "crm-new-4", "email": "A. Lovelace <mailto:ada.lovelace@gmail.com>"},
        {"crm_id": "crm-new-5", "email": "ada\u200blovelace\uff20gmail\u3002com."},
    ]
    report = imported(world, *spelt, {"crm_id": "crm-eve", "email": "eve@example.org"})
    assert report.rejected == {"suppressed": 5}
    assert report.accepted == 1
    assert world.where("crm-ada", "crm-new", "lovelace") == set()
    assert world.send({"type": "identify", "userId": "x", "traits": {"email": SENT}}) == [
        "suppressed"
    ]
    track = {"type": "track", "userId": "x", "event": "E"}
    traits = [{"email": SENT}, {"contact": {"mail": f"Ada <{SENT}>"}}]
    assert [world.send({**track, "context": {"traits": one}}) for one in traits] == [
        ["suppressed"], ["suppressed"],
    ]  # fmt: skip
    assert world.send({**track, "context": {"traits": {"email": "eve@example.org"}}}) == []
    assert world.send({**track, "context": {"traits": None}}) == []
    answer = world.server.post("/v1/track", json={"userId": "crm-ada", "writeKey": world.key})
    assert answer.json()["rejected"][0]["code"] != "suppressed"  # another namespace, and no event


def test_73_a_new_and_explicit_act_lets_the_person_in_again(world: World, token: object) -> None:
    ada(world)
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    said = {"type": "identify", "userId": "ada-1815", "traits": {"email": SENT}}
    assert world.send(said) == ["suppressed"]
    with world.sessions.begin() as session:
        wanted = [("user_id", "ada-1815"), ("email", "adalovelace@gmail.com")]
        assert lift(session, world.settings, wanted, reason_ref="test", now=datetime.now(UTC)) == 2
    assert world.send(said) == []
    with world.sessions() as session:
        assert people.find(session, "email", "adalovelace@gmail.com") is not None


def test_73_without_the_key_nothing_is_taken(world: World) -> None:
    ada(world)
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    (world.settings.home / gate.FILE).rename(world.settings.home / "elsewhere")
    gate.use(world.settings)
    with TestClient(world.server.app) as fresh:  # a process that knows no key yet
        answer = fresh.post(
            "/v1/track", json={"userId": "new", "event": "Seen", "writeKey": world.key}
        )
    assert answer.status_code == 503
    assert answer.json()["code"] == "suppression-key-unusable"


def test_74_who_was_merged_with_the_person_keeps_all_and_an_undo_brings_nothing_back(
    world: World,
) -> None:
    ada(world)
    bob(world)
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        left = people.find_identifier(session, "user_id", "ada-1815")
        right = people.find_identifier(session, "user_id", "bob-7")
        assert left is not None
        assert right is not None
        before_it = people.find(session, "user_id", "bob-7")
        people.must_link(session, left, right, by="test", at=now)
        [merge] = [m.id for m in people.merges(session)]
    before = {t for t, row in world.rows() if "bob@example.org" in row}

    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")

    assert {t for t, row in world.rows() if "bob@example.org" in row} == before
    with world.sessions.begin() as session:
        assert people.find(session, "user_id", "bob-7") == before_it
        assert stream.total(session) == 3
        with pytest.raises(MergeNotFound):
            people.undo(session, merge, by="test", at=now)
    assert world.where(*ADA) == set()


def test_74_a_device_that_two_logins_share_stays_the_other_ones(world: World) -> None:
    ada(world)
    shared = {"anonymousId": "kiosk", "context": GIVEN}
    world.send(
        {"type": "track", "event": "Seen", "userId": "ada-1815", **shared},
        {"type": "track", "event": "Seen", "userId": "bob-7", **shared},
        {"type": "track", "event": "Seen", **shared},
    )
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert world.where(*ADA) == set()
    with world.sessions() as session:
        assert people.find_identifier(session, "anonymous_id", "kiosk") is not None
        assert stream.total(session) == 2
    assert world.send({"type": "track", "event": "Seen", "userId": "bob-7", **shared}) == []


def test_76_a_second_erasure_does_nothing_and_is_on_record(world: World) -> None:
    ada(world)
    first = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    before = sorted(world.rows())
    second = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert second["state"] == "closed"
    assert {t["store"]: t["state"] for t in second["tasks"]}["tables"] == "not_present"
    with world.sessions() as session:
        assert {str(one) for one in consents.done(session)} == {first["id"], second["id"]}
    # A key also notes, in the background, when it was last used.
    own = ("app.privacy_", "app.write_key", "consent.erasure", "consent.ledger_statement")
    assert [r for r in before if not r[0].startswith(own)] == [
        r for r in sorted(world.rows()) if not r[0].startswith(own)
    ]


def test_76_nobody_comes_back_by_jobs_and_writers_that_run_meanwhile(world: World) -> None:
    ada(world)
    bob(world)
    stop = threading.Event()
    failed: list[BaseException] = []

    def over_and_over(what: object) -> None:
        while not stop.is_set():
            try:
                what()  # type: ignore[operator]  # one of the two below
            except BaseException as error:
                failed.append(error)
                return

    def jobs() -> None:
        with world.sessions.begin() as session:
            pipeline.step(session)
        pipeline.refresh_all(world.sessions)

    def writers() -> None:
        event = {"userId": "ada-1815", "anonymousId": f"anon-{uuid4()}", "event": "Seen"}
        answer = world.server.post("/v1/track", json={**event, "writeKey": world.key})
        assert answer.status_code == 200, answer.text

    with world.sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO app.segment (key, name, purpose, rule) VALUES ('all', 'A',"
                ' \'marketing.email\', \'{"not": {"event": "Never"}}\')'
            )
        )
    threads = [threading.Thread(target=over_and_over, args=(t,)) for t in (jobs, writers, writers)]
    for thread in threads:
        thread.start()
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    stop.set()
    for thread in threads:
        thread.join()
    world.settle()
    pipeline.refresh_all(world.sessions)
    assert failed == []
    assert world.where(*ADA) == set()
    with world.sessions() as session:
        dangling = session.scalar(
            sa.text(
                "SELECT count(*) FROM app.segment_member m WHERE NOT EXISTS "
                "(SELECT FROM identity.identifier i WHERE i.id = m.person_id)"
            )
        )
    assert dangling == 0


def test_records_of_consent_can_be_deleted_in_an_erasure_only(world: World) -> None:
    ada(world)
    with pytest.raises(sa.exc.IntegrityError), world.sessions.begin() as session:
        session.execute(sa.text("DELETE FROM consent.record"))
    with world.sessions() as session:
        consents.begun(session, uuid4(), reason_ref="test")
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.text("UPDATE consent.record SET state = 'given'"))
    with pytest.raises(sa.exc.IntegrityError), world.sessions.begin() as session:
        session.execute(sa.text("DELETE FROM consent.erasure"))
    assert "consent.record" in world.where("ada-1815")


def test_a_match_with_somebody_who_was_erased_meanwhile_is_left_out(world: World) -> None:
    ada(world)
    bob(world)
    with world.sessions() as session:
        left = people.find_identifier(session, "user_id", "ada-1815")
        right = people.find_identifier(session, "user_id", "bob-7")
    assert left is not None
    assert right is not None
    pair = ScoredPair(min(left, right), max(left, right), 9.0, 0.99, {})
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    for auto in (0.9, 1.0):
        with world.sessions.begin() as session:
            matching.apply(session, [pair], auto=auto, at=datetime.now(UTC), run_id=1)
    with world.sessions() as session:
        assert (
            session.scalar(sa.text("SELECT count(*) FROM identity.link WHERE kind = 'match'")) == 0
        )
        assert graph.identify(session, [("user_id", "bob-7")]) == {("user_id", "bob-7"): right}


def test_packages_are_deleted_in_time_and_with_the_person(world: World) -> None:
    ada(world)
    shown = world.ask("access", "user_id:ada-1815", "email:adalovelace@gmail.com")
    folder = world.settings.home / "packages"
    assert len(list(folder.iterdir())) == 1
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert list(folder.iterdir()) == []
    run.round_(world.sessions, world.settings)
    assert world.shown(shown["id"])["state"] == "closed"
    assert timedelta(days=world.settings.package_days) > timedelta(0)
