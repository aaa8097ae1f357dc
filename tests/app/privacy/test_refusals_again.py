"""What denies is heard again from its journal by a database that was restored."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

import consent
from app.consents import ages as stated
from app.consents.explain import explain
from app.db import Sessions, advisory_lock
from app.errors import JournalUnusable, LedgerKeyUnusable
from app.ledger import seal
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from app.ledger.keystore_tables import signing_keys, subject_keys
from app.privacy import refusal_files, refusals, requests
from app.privacy.replay import replay
from consent import ages, ledger
from consent import refusals as told
from identity import graph, people
from tests.app.ledger.recording import HOST, choice
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import restored

ADA, BOB, EVE, ZOE = (("user_id", name) for name in ("ada-1815", "bob-7", "eve-9", "zoe-3"))


@pytest.fixture
def keystore(world: World) -> Iterator[Keystore]:
    found = Keystore(world.settings)
    yield found
    found.close()


@pytest.fixture
def anchor(world: World) -> Anchor:
    return Anchor(world.settings.anchor_dir)


@pytest.fixture
def write(world: World, keystore: Keystore) -> Callable[[], None]:
    """Write the journal, as the worker does."""

    def run() -> None:
        while refusals.advance(world.sessions, keystore, world.settings):
            pass

    return run


def greet(world: World, *who: tuple[str, str]) -> None:
    world.send(*({"type": "identify", "userId": value, "context": GIVEN} for _, value in who))


def refuse(world: World, who: tuple[str, str]) -> None:
    said = {"consent": {"categoryPreferences": {"marketing.email": False}}}
    name = "Segment Consent Preference Updated"
    world.send({"type": "track", "event": name, "userId": who[1], "context": said})


def reason(sessions: Sessions, who: tuple[str, str], purpose: str = "marketing.email") -> str:
    now = datetime.now(UTC) + timedelta(seconds=1)
    with sessions() as session:
        person, acting = people.find(session, *who), people.find_identifier(session, *who)
        assert person is not None
        assert acting is not None
        [found] = explain(session, person, acting, at=now, known_at=now, purpose=purpose)
        return found.decision.reason


def child(sessions: Sessions, who: tuple[str, str], *bands: ages.Span) -> None:
    with sessions.begin() as session:
        stated.state(session, *who, bands, stated_by="client:test", at=datetime.now(UTC))


@pytest.fixture
def older(world: World, sessions: Sessions) -> Iterator[Callable[[], Sessions]]:
    """Make copies of the database as it is, as a backup is restored."""
    made: list[Sessions] = []

    def copied() -> Sessions:
        made.append(restored(world, sessions, f"backup_{uuid4().hex[:12]}"))
        return made[-1]

    yield copied
    for one in made:
        one.kw["bind"].dispose()


def test_what_was_withdrawn_restricted_and_stated_since_a_backup_holds_in_it(
    world: World,
    keystore: Keystore,
    write: Callable[[], None],
    older: Callable[[], Sessions],
    anchor: Anchor,
) -> None:
    greet(world, ADA, BOB, EVE, ZOE)
    lifted = world.ask("restriction", "user_id:zoe-3")
    seal.run(world.sessions, keystore, anchor, host=HOST)
    write()
    backup = older()
    refuse(world, ADA)
    restriction = world.ask("restriction", "user_id:bob-7")
    child(world.sessions, EVE, ages.Span("child", datetime.now(UTC), None))
    with world.sessions.begin() as session:
        requests.lift(session, UUID(lifted["id"]), by="test", now=datetime.now(UTC))
        consents = sa.text(
            "SELECT id, state, order_time FROM consent.record WHERE state <> 'given' ORDER BY seq"
        )
        records = session.execute(consents).all()
        assert len(records) == 3
    write()
    everybody = b"".join(path.read_bytes() for path in world.settings.refusals.iterdir())
    assert not [value for _, value in (ADA, BOB, EVE, ZOE) if value.encode() in everybody]
    said = {who: reason(world.sessions, who) for who in (ADA, BOB, EVE, ZOE)}
    assert list(said.values()) == ["withdrawn", "restricted", "guardian_needed", "given"]
    assert reason(backup, ADA) == reason(backup, BOB) == reason(backup, EVE) == "given"

    touched = sa.text("SELECT count(*) FROM app.touched WHERE why = 'consent'")
    with backup() as session:
        before = session.scalar(touched) or 0

    assert refusals.repeat(backup, keystore, world.settings) == 4

    assert {who: reason(backup, who) for who in said} == said
    with backup.begin() as session:
        assert sorted(session.execute(consents)) == sorted(records)
        assert session.scalar(touched) == before + 4
        seal.rotate(session, keystore, host=HOST, overlap=timedelta(0), new_log=True)
    seal.run(backup, keystore, anchor, host=HOST)
    with backup() as session:  # nothing of it looks as if somebody had put it there
        report = ledger.verify(session, full=True, keys=keystore.by_ids, own=keystore.vkeys())
        assert report.problems == []
    assert refusals.repeat(backup, keystore, world.settings) == 0
    # Whose request is not here any more is let go all the same.
    with backup.begin() as session:
        assert (
            requests.lift(session, UUID(restriction["id"]), by="test", now=datetime.now(UTC)) == 1
        )
    assert reason(backup, BOB) == "given"


def test_of_who_was_erased_since_nothing_is_heard_again_and_of_who_came_since_it_is(
    world: World, keystore: Keystore, write: Callable[[], None], older: Callable[[], Sessions]
) -> None:
    greet(world, ADA)
    write()
    backup = older()
    greet(world, BOB, EVE)
    for who in (ADA, BOB, EVE):
        refuse(world, who)
    write()
    world.ask("erasure", "user_id:ada-1815")
    world.ask("erasure", "user_id:bob-7")

    assert replay(backup, world.settings) == 2
    assert refusals.repeat(backup, keystore, world.settings) == 1

    world.sessions = backup
    assert world.where(ADA[1], BOB[1]) == set()
    assert world.where(EVE[1]) == {"consent.record"}
    with backup.begin() as session:  # a file that states consent lifts no refusal, as before
        yes = choice(":".join(EVE), purpose="marketing.email", evidence={"stated_by_importer": "x"})
        graph.identify(session, [EVE])
        consent.record(session, [yes], received_at=datetime.now(UTC), repeat=False)
    assert reason(backup, EVE) == "withdrawn"


def test_a_crash_between_file_and_commit_loses_nothing_and_doubles_nothing(
    world: World,
    keystore: Keystore,
    write: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    greet(world, ADA)
    refuse(world, ADA)
    with monkeypatch.context() as broken:
        broken.setattr(told, "noted", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write()
    [path] = world.settings.refusals.iterdir()
    with path.open("ab") as file:
        file.write(b'\n{"n": 99, "key": "cut sh')  # as a power failure leaves it
    assert refusal_files.last(world.settings.refusals) == 1

    write()

    assert refusal_files.last(world.settings.refusals) == 2
    with world.sessions() as session:
        rows = sa.text("SELECT count(*) FROM consent.record WHERE state <> 'given'")
        assert session.scalar(rows) == 3
    assert reason(world.sessions, ADA) == "withdrawn"


def test_a_journal_that_cannot_be_opened_stops_the_start_and_one_that_is_older_the_job(
    world: World, keystore: Keystore, write: Callable[[], None], older: Callable[[], Sessions]
) -> None:
    greet(world, ADA)
    backup = older()
    refuse(world, ADA)
    write()
    folder = world.settings.refusals
    with keystore._begin() as connection:  # a keystore from before
        connection.execute(sa.delete(subject_keys).where(subject_keys.c.ref.is_not(None)))
    with pytest.raises(JournalUnusable, match=r"1 lines of .* the keystore does not have"):
        refusals.repeat(backup, keystore, world.settings)
    assert reason(backup, ADA) == "given"

    [path] = folder.iterdir()
    first = path.read_bytes()
    refuse(world, BOB)
    write()
    path.write_bytes(first)
    refuse(world, EVE)
    with pytest.raises(JournalUnusable, match="ends at portion 1 of 2"):
        write()
    path.unlink()
    write()  # all of it anew
    assert len([one for one in refusal_files.lines(folder, after=0) if one.sealed]) == 3


def test_while_the_sealer_is_at_work_nothing_is_told_and_what_is_erased_then_never(
    world: World, keystore: Keystore, write: Callable[[], None]
) -> None:
    """A key that was destroyed in between would be made anew, and the line stay readable."""
    greet(world, ADA, BOB)
    write()
    refuse(world, ADA)
    refuse(world, BOB)
    with world.sessions.begin() as session, advisory_lock(session, seal.LOCK) as mine:
        assert mine
        write()
        assert refusal_files.last(world.settings.refusals) == 0
    world.ask("erasure", "user_id:ada-1815")
    write()
    [line] = refusal_files.lines(world.settings.refusals, after=0)
    assert keystore.of([BOB])[BOB][0] == line.key_id


def test_files_of_months_older_than_the_oldest_backup_go(world: World) -> None:
    folder, key = world.settings.refusals, uuid4()
    for number, month in enumerate((8, 9, 10, 11), 1):
        line = refusal_files.Line(number, key, b"sealed")
        refusal_files.append(folder, [line], at=datetime(2026, month, 3, tzinfo=UTC))
    refusal_files.clear(folder, before=datetime(2026, 10, 26, tzinfo=UTC))
    assert [one.number for one in refusal_files.lines(folder, after=0)] == [3, 4]
    refusal_files.clear(folder, before=datetime(2030, 1, 1, tzinfo=UTC))
    assert refusal_files.last(folder) == 4


def test_a_backup_that_is_older_than_what_is_left_of_the_journal_says_so(
    world: World,
    keystore: Keystore,
    write: Callable[[], None],
    older: Callable[[], Sessions],
    caplog: pytest.LogCaptureFixture,
) -> None:
    greet(world, ADA, BOB)
    backup = older()
    folder = world.settings.refusals
    refuse(world, ADA)
    write()
    [path] = folder.iterdir()
    path.unlink()  # as those of months that are over do
    refuse(world, BOB)
    write()  # the journal is gone, and told anew: nothing is missing
    assert refusals.repeat(backup, keystore, world.settings) == 2
    assert not [one for one in caplog.records if "is lost" in one.message]

    older_still = older()
    refuse(world, EVE)
    write()
    lines = list(refusal_files.lines(folder, after=0))
    path.unlink()  # and only the last month is there still
    refusal_files.append(folder, lines[-1:], at=datetime.now(UTC))
    with older_still.begin() as session:
        told.repeated(session, 0)
    assert refusals.repeat(older_still, keystore, world.settings) == 1
    [lost] = [one.message for one in caplog.records if "is lost" in one.message]
    assert f"between portions 0 and {lines[-1].number}" in lost


def test_a_machine_with_a_keystore_of_its_own_takes_no_journal_over(
    world: World, keystore: Keystore, write: Callable[[], None], anchor: Anchor
) -> None:
    """It told all anew, where nobody looks and with keys that nobody else has."""
    greet(world, ADA, BOB)
    refuse(world, ADA)
    seal.run(world.sessions, keystore, anchor, host=HOST)
    write()
    folder = world.settings.refusals
    [path] = folder.iterdir()
    away = path.rename(path.with_suffix(".elsewhere"))
    with keystore._begin() as connection:
        keys = connection.execute(sa.select(signing_keys)).mappings().all()
        connection.execute(sa.delete(signing_keys))
    refuse(world, BOB)
    with pytest.raises(LedgerKeyUnusable):
        write()
    assert refusal_files.last(folder) == 0
    away.rename(path)
    with pytest.raises(LedgerKeyUnusable):
        write()
    assert refusal_files.last(folder) == 1
    with keystore._begin() as connection:
        connection.execute(sa.insert(signing_keys), [dict(key) for key in keys])
    write()
    assert refusal_files.last(folder) == 2, "where it is, it goes on"


def test_a_journal_that_is_gone_is_told_anew_although_it_begins_with_grants_alone(
    world: World,
    keystore: Keystore,
    write: Callable[[], None],
    older: Callable[[], Sessions],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of an import that states consent the first portions tell nothing: they were read for ever."""
    greet(world, ADA, BOB)
    backup = older()
    refuse(world, ADA)
    write()
    [path] = world.settings.refusals.iterdir()
    path.unlink()
    monkeypatch.setattr(refusals, "MOST", 2)
    steps = 0
    while refusals.advance(world.sessions, keystore, world.settings):
        steps += 1
        assert steps < 50, "it begins again and again"
    assert refusals.repeat(backup, keystore, world.settings) == 1
    assert reason(backup, ADA) == "withdrawn"


def test_two_workers_that_find_it_gone_leave_one_that_goes_on(
    world: World, keystore: Keystore, write: Callable[[], None], older: Callable[[], Sessions]
) -> None:
    greet(world, ADA)
    backup = older()
    refuse(world, ADA)
    write()
    [path] = world.settings.refusals.iterdir()
    path.unlink()
    # The other one looks when the first has noted that it is told anew, and not begun it yet.
    sa.event.listen(world.sessions, "after_commit", lambda _: write(), once=True)
    write()
    refuse(world, ADA)
    write()
    assert refusals.repeat(backup, keystore, world.settings) == 1
    assert reason(backup, ADA) == reason(world.sessions, ADA) == "refused"
