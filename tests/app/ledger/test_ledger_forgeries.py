"""What somebody does who writes the whole database and has no key: each is found and named."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid4, uuid5

import pytest
import sqlalchemy as sa

from app.db import Sessions
from app.ledger import ending
from app.ledger.job import LedgerJob
from app.ledger.keystore import Keystore
from app.settings import Settings
from consent import erasure as consents
from consent import ledger
from consent.ledger import store
from consent.ledger.check import leaf_hash
from consent.ledger.entry import entry
from consent.ledger.note import checkpoint
from consent.ledger.sealer import NAMES, catalogue_id
from consent.ledger.tree import Running
from tests.app.ledger.recording import NOW, choice, entries, people, record, tamper

Sealing = Callable[..., int]
ADA = ("email", "ada@example.org")


def problems(sessions: Sessions, keystore: Keystore) -> list[str]:
    """What is wrong with the ledger and all behind it."""
    with sessions() as session:
        report = ledger.verify(session, full=True, keys=keystore.by_ids)
    return [problem.what for problem in report.problems]


def erase(sessions: Sessions, keystore: Keystore, who: tuple[str, str] = ADA) -> None:
    """Delete what is recorded of an identifier, then its key, as an erasure does."""
    erasure = uuid4()
    with sessions.begin() as session:
        consents.begun(session, erasure, reason_ref="test")
        consents.forget(session, erasure, [who])
    assert ending.destroy(sessions, keystore, [who], at=NOW) is not None


#: Moves what is sealed of a record to another key; deletes it.
_OF = (
    " WHERE leaf_index = (SELECT e.leaf_index FROM consent.ledger_entry e "
    "JOIN consent.record r ON r.id = e.about WHERE r.value = 'u-1')"
)
MOVE = "UPDATE consent.ledger_sealed SET key_id = :key" + _OF  # noqa: S608  # ours
UNSEAL = "DELETE FROM consent.ledger_sealed" + _OF  # noqa: S608  # ours


def test_sealed_text_under_a_key_that_the_ledger_says_is_destroyed_is_found(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """It would not be opened, and the record would be compared with nothing."""
    people(sessions, 3)
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    erase(sessions, keystore)
    sealing()
    assert problems(sessions, keystore) == []
    with sessions() as session:
        [key] = [e["key"] for e in entries(session) if e.get("event") == "subject_key_destroyed"]
    tamper(
        sessions,
        MOVE,
        "UPDATE consent.record SET state = 'refused' WHERE value = 'u-1'",
        key=UUID(hex=key),
    )
    assert any("under a destroyed key" in what for what in problems(sessions, keystore))
    with sessions() as session:  # and by who has no keystore
        assert not ledger.verify(session, full=True).sound


def test_sealed_text_under_a_key_that_was_just_destroyed_is_found(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """Before the sealer has said so; what an erasure did meanwhile is nothing wrong."""
    people(sessions, 3)
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    [(key, _)] = keystore.of([ADA]).values()
    erase(sessions, keystore)
    assert problems(sessions, keystore) == []
    tamper(
        sessions,
        MOVE,
        "UPDATE consent.record SET state = 'refused' WHERE value = 'u-1'",
        key=key,
    )
    assert any("under a destroyed key" in what for what in problems(sessions, keystore))


def test_what_is_moved_to_a_key_that_is_about_to_be_destroyed_does_not_go_with_it(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """Somebody asks for their own erasure, and would take another's refusal along."""
    people(sessions, 3)
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    [(key, _)] = keystore.of([ADA]).values()
    tamper(
        sessions,
        MOVE,
        "DELETE FROM consent.record WHERE value = 'u-1'",
        key=key,
    )
    erase(sessions, keystore)
    sealing()
    found = problems(sessions, keystore)
    assert len(found) == 1
    assert "1 records of consent were deleted by no erasure" in found[0]


FUTURE = (
    "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at, "
    "recorded_at, order_time, collected_by, evidence, transaction) SELECT 'user_id', 'ghost', "
    "'ads.share', 1, 'given', now(), now(), now(), 'source:web', '{}', CAST(:xid AS xid8)"
)


def test_a_record_of_a_transaction_that_never_was_is_found_and_cannot_be_inserted(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """It decides, and the sealer would never come to it."""
    people(sessions, 2)
    sealing()
    for xid in ("9223372036854775807", "5"):
        with (
            pytest.raises(sa.exc.IntegrityError, match="names the transaction that writes it"),
            sessions.begin() as session,
        ):
            session.execute(sa.text(FUTURE), {"xid": xid})
    tamper(sessions, FUTURE, xid="9223372036854775807")
    assert sealing() == 0
    [found] = problems(sessions, keystore)
    assert "1 records name a transaction that never was" in found


def test_records_that_the_sealer_passes_over_for_a_day_are_found(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    sealing()
    people(sessions, 2)
    assert problems(sessions, keystore) == []
    tamper(
        sessions,
        "UPDATE consent.record SET recorded_at = recorded_at - interval '2 days'",
        "UPDATE consent.ledger_checkpoint SET created_at = created_at - interval '2 days'",
    )
    [found] = problems(sessions, keystore)
    assert "2 records have waited for the sealer" in found


def test_a_forged_statement_of_an_erasure_lets_nothing_be_deleted(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """One that says that somebody was erased, and one that says how many records went."""
    people(sessions, 3)
    sealing()
    forged = (
        "INSERT INTO consent.ledger_statement (about, kind, public) VALUES "
        '(gen_random_uuid(), \'dsr\', \'{"what": "erased", "erasure": "e-1"}\'), '
        "(gen_random_uuid(), 'dsr', "
        '\'{"what": "forgotten", "erasure": "e-2", "consent": "9"}\')'
    )
    tamper(sessions, forged)
    assert sealing() == 2
    tamper(
        sessions,
        UNSEAL,
        "DELETE FROM consent.record WHERE value = 'u-1'",
    )
    [found] = problems(sessions, keystore)
    assert "1 records of consent were deleted by no erasure" in found


@pytest.mark.parametrize(
    ("kind", "public"),
    [
        ("key_event", '{"event": "subject_key_destroyed", "key": "0", "consent": "9"}'),
        ("key_event", '{"event": "signing_key", "vkey": "forged"}'),
        ("consent", '{"state": "given", "purpose": "ads.share"}'),
        ("purpose", '{"purpose": "ads.share", "version": "1"}'),
        ("dsr", '{"what": ["erased"]}'),
        ("restriction", '{"event": {}}'),
    ],
)
def test_the_sealer_says_nothing_that_only_it_may_say_for_others(
    kind: str, public: str, sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    people(sessions, 1)
    sealing()
    forged = "INSERT INTO consent.ledger_statement (about, kind, public) VALUES (:a, :k, :p)"
    tamper(sessions, forged, a=uuid4(), k=kind, p=public)
    people(sessions, 1, start=1)
    assert sealing() == 1, "the rest goes on"
    [found] = problems(sessions, keystore)
    assert "is of a form that nobody states" in found


def test_an_erasure_of_what_was_never_sealed_leaves_no_room_for_another_deletion(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    people(sessions, 3)
    sealing()
    record(sessions, [choice("email:ada@example.org", state) for state in ("given", "refused")])
    erase(sessions, keystore)
    sealing()
    assert problems(sessions, keystore) == []
    tamper(
        sessions,
        UNSEAL,
        "DELETE FROM consent.record WHERE value = 'u-1'",
    )
    [found] = problems(sessions, keystore)
    assert "1 records of consent were deleted by no erasure" in found


def test_erasures_of_before_the_sealer_counted_are_as_they_were(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """An earlier version wrote no count; what was gone when this one came is nothing wrong."""
    people(sessions, 3)
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    erasure = uuid4()
    with sessions.begin() as session:
        consents.begun(session, erasure, reason_ref="test")
        consents.forget(session, erasure, [ADA])
    ending.destroy(sessions, keystore, [ADA], at=NOW)
    sealing()
    with sessions() as session:
        old = [e for e in entries(session) if e.get("event") == "erasures_are_counted"]
    assert len(old) == 1
    begins = "UPDATE consent.ledger_entry SET about = gen_random_uuid() WHERE leaf_index = 0"
    tamper(sessions, begins)  # as if there were none: the sealer begins to count here
    assert sealing() == 1
    with sessions() as session:
        said = entries(session)[-1]
    assert (said["event"], said["consent"]) == ("erasures_are_counted", "1")


def test_a_key_that_comes_back_with_an_older_keystore_is_destroyed_again(
    sessions: Sessions, settings: Settings, keystore: Keystore, sealing: Sealing
) -> None:
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    older = (settings.home / "keystore.db").read_bytes()
    [(key, _)] = keystore.of([ADA]).values()
    erase(sessions, keystore)
    sealing()
    keystore.close()
    (settings.home / "keystore.db").write_bytes(older)
    assert keystore.by_id(key) is not None
    [found] = problems(sessions, keystore)
    assert "an older keystore was restored" in found
    LedgerJob(sessions, settings).round()
    assert keystore.by_id(key) is None
    assert problems(sessions, keystore) == []


def test_a_ledger_that_somebody_else_wrote_and_signed_with_a_key_of_their_own_is_found(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """The database names the keys that are believed; which ones sign, the keystore says."""
    people(sessions, 3)
    sealing()
    mine = keystore.vkeys()
    with sessions() as session:
        assert ledger.verify(session, full=True, keys=keystore.by_ids, own=mine).sound
        stranger = ledger.Signer("shop.example/ledger/forged", b"s" * 32)
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        place = sa.text(f"SELECT max(leaf_index) FROM ({_OF.partition('=')[2]}) x(leaf_index)")  # noqa: S608  # ours
        index = session.scalar(place)
        logged = store.said(store.entries(session, start=index, limit=1)[0])["logged"]
        nothing = {"act": "nothing"}
        text = entry("admin", index, datetime.fromisoformat(logged), nothing).decode()
        session.execute(
            sa.text("UPDATE consent.ledger_entry SET entry = :e, leaf_hash = :h, "
                    "about = gen_random_uuid() WHERE leaf_index = :i"),
            {"e": text, "h": leaf_hash(text.encode()), "i": index},
        )  # fmt: skip
        session.execute(sa.text("DELETE FROM consent.ledger_sealed WHERE leaf_index = :i"),
                        {"i": index})  # fmt: skip
        session.execute(sa.text("DELETE FROM consent.record WHERE value = 'u-1'"))
        running = Running()
        query = "SELECT leaf_hash FROM consent.ledger_entry ORDER BY leaf_index"
        for found in session.scalars(sa.text(query)).all():
            running.add(found)
        session.execute(
            sa.text("UPDATE consent.ledger_checkpoint SET root = :r, note = :n"),
            {"r": running.root(), "n": checkpoint([stranger], running.size, running.root())},
        )
        session.execute(
            sa.text("INSERT INTO consent.ledger_key VALUES (:v, now())"), {"v": stranger.vkey}
        )
        alone = ledger.verify(session, full=True, keys=keystore.by_ids)
        assert alone.problems == [], "it is sound in itself"
        [problem] = ledger.verify(session, full=True, keys=keystore.by_ids, own=mine).problems
        assert "signed by no key of this installation" in problem.what
        session.rollback()


def test_nothing_takes_the_place_of_what_the_sealer_says_itself(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """A version of a purpose would have an entry, and erasures would be counted, as it seems."""
    version = catalogue_id("purpose", "ads.share", 9)
    forged = "INSERT INTO consent.ledger_statement (about, kind, public) VALUES (:a, 'dsr', '{}')"
    for about in (version, uuid5(NAMES, "erasures_are_counted")):
        tamper(sessions, forged, a=about)
    people(sessions, 1)
    sealing()
    found = problems(sessions, keystore)
    assert len(found) == 2
    assert all("is of a form that nobody states" in what for what in found)
    with sessions() as session:
        assert entries(session)[0]["event"] == "erasures_are_counted"
    tamper(
        sessions,
        "DELETE FROM consent.ledger_statement",
        "INSERT INTO consent.purpose (key, version, lawful_basis, mode, title, description, "
        "created_at) VALUES ('ads.share', 9, 'contract', 'most_restrictive', '{}', '{}', "
        "now() - interval '2 days')",
        "UPDATE consent.record SET id = :version WHERE value = 'u-0'",
        "UPDATE consent.ledger_entry SET about = :version WHERE entry LIKE '%consent%given%'",
        version=version,
    )
    assert any("purpose ads.share has waited" in what for what in problems(sessions, keystore))
