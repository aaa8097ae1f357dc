"""Whoever changes the ledger, its tree, its signatures or the records behind it is found."""

import base64
import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import Sessions
from app.ledger import ending
from app.ledger.anchor import Anchor, publish
from app.ledger.keystore import Keystore
from consent import erasure as consents
from consent import ledger
from consent.ledger import check, store
from consent.ledger.check import leaf_hash
from consent.ledger.consistency import check_consistency
from consent.ledger.dated import FULL, Dated
from consent.ledger.entry import entry
from consent.ledger.note import checkpoint
from consent.ledger.tree import Running
from tests.app.ledger.recording import NOW, choice, people, record

Sealing = Callable[..., int]
Change = Callable[[Session], object]


def by_id(keystore: Keystore) -> ledger.KeysById:
    """The keys, each unwrapped once for all the examinations of a test."""
    known: dict[UUID, ledger.SubjectKey | None] = {}

    def keys(wanted: Collection[UUID]) -> Mapping[UUID, ledger.SubjectKey | None]:
        missing = [key for key in wanted if key not in known]
        known.update(keystore.by_ids(missing))
        return known

    return keys


def said(session: Session, index: int) -> str:
    query = sa.text("SELECT entry FROM consent.ledger_entry WHERE leaf_index = :index")
    return str(session.scalar(query, {"index": index}))


def put(session: Session, index: int, text: str) -> None:
    """Put another entry in the place of one, with its hash, as a careful forger does."""
    session.execute(
        sa.text("UPDATE consent.ledger_entry SET entry = :e, leaf_hash = :h WHERE leaf_index = :i"),
        {"i": index, "e": text, "h": leaf_hash(text.encode())},
    )


def sql(statement: str) -> Change:
    return lambda session: session.execute(sa.text(statement))


def swap(session: Session) -> None:
    one, two = said(session, 50), said(session, 90)
    put(session, 50, two)
    put(session, 90, one)


def insert_back_dated(session: Session) -> None:
    """A row in between, dated as those around it; the later ones move up."""
    old = json.loads(said(session, 100))
    then = datetime.fromisoformat(old["logged"])
    forged = entry("consent", 100, then, {"state": "given", "purpose": old["purpose"]}).decode()
    session.execute(
        sa.text("UPDATE consent.ledger_entry SET leaf_index = -leaf_index WHERE leaf_index >= 100")
    )
    session.execute(
        sa.text("UPDATE consent.ledger_entry SET leaf_index = 1 - leaf_index WHERE leaf_index < 0")
    )
    session.execute(
        sa.text("INSERT INTO consent.ledger_entry VALUES (100, :e, :h, gen_random_uuid())"),
        {"e": forged, "h": leaf_hash(forged.encode())},
    )


def append_back_dated(session: Session) -> None:
    size = store.head(session).size
    forged = entry("consent", size, datetime(2026, 1, 1, tzinfo=UTC), {"state": "given"}).decode()
    session.execute(
        sa.text("INSERT INTO consent.ledger_entry VALUES (:i, :e, :h, gen_random_uuid())"),
        {"i": size, "e": forged, "h": leaf_hash(forged.encode())},
    )


def another_date(session: Session) -> None:
    put(session, 120, said(session, 120).replace('"logged":"2', '"logged":"1'))


#: What somebody does, the first entry that is wrong, and a word of what is said of it.
FORGERIES: list[tuple[str, Change, int | str, str]] = [
    ("one byte of an entry", sql(
        "UPDATE consent.ledger_entry SET entry = replace(entry, 'given', 'gi\u0475en') "
        "WHERE leaf_index = 70"), 70, "not what was hashed"),
    ("a byte of a hash", sql(
        "UPDATE consent.ledger_entry SET leaf_hash = set_byte(leaf_hash, 5, 7) "
        "WHERE leaf_index = 71"), 71, "not what was hashed"),
    ("two swapped", swap, 50, "says that it is entry 90"),
    ("two numbers swapped", sql(
        "UPDATE consent.ledger_entry SET leaf_index = 1000000 - leaf_index "
        "WHERE leaf_index IN (50, 999950)"), 50, "gone"),
    ("one deleted", sql("DELETE FROM consent.ledger_entry WHERE leaf_index = 80"), 80, "gone"),
    ("the last deleted", sql(
        "DELETE FROM consent.ledger_entry WHERE leaf_index = "
        "(SELECT max(leaf_index) FROM consent.ledger_entry)"), "last", "gone"),
    ("the last deleted, and all that tells of it", sql(
        "DELETE FROM consent.ledger_checkpoint WHERE size > 300"),
        "before last", "in no checkpoint"),
    ("one put in between", insert_back_dated, 100, "says that it is entry 100"),
    ("one added at the end, back-dated", append_back_dated, "size", "in no checkpoint"),
    ("back-dated", another_date, 120, "dated before"),
    ("replaced with its hash", lambda s: put(
        s, 130, said(s, 130).replace('"given"', '"refused"')), 130, "cannot be opened"),
    ("a hash of the tree", sql(
        "UPDATE consent.ledger_node SET hash = set_byte(hash, 5, 7)"), 0, "does not fit"),
    ("a hash of the tree deleted", sql("DELETE FROM consent.ledger_node"), 0, "does not fit"),
    ("a hash of the tree made up", sql(
        "INSERT INTO consent.ledger_node VALUES (8, 1, '')"), "size", "of no entries"),
    ("a root", sql(
        "UPDATE consent.ledger_checkpoint SET root = set_byte(root, 5, 7) WHERE size = "
        "(SELECT max(size) FROM consent.ledger_checkpoint)"),
        "before last", "says something else"),
    ("a note", sql(
        "UPDATE consent.ledger_checkpoint SET note = replace(note, '/ledger/', '/ledgre/')"),
        0, "is not signed"),
    ("a record", sql(
        "UPDATE consent.record SET state = 'refused' WHERE value = 'u-150'"), "u-150", "changed"),
    ("the evidence of a record", sql(
        "UPDATE consent.record SET evidence = '{}' WHERE value = 'ada'"), "ada", "changed"),
    ("a record deleted", sql(
        "DELETE FROM consent.record WHERE value = 'u-150'"), "u-150", "is gone"),
    ("a record with what was sealed of it", sql(
        "DELETE FROM consent.ledger_sealed s USING consent.ledger_entry e, consent.record r "
        "WHERE s.leaf_index = e.leaf_index AND e.about = r.id AND r.value = 'u-150'"),
        "u-150", "sealed"),
    ("a record deleted with what was sealed of it, as an erasure does", sql(
        "WITH gone AS (DELETE FROM consent.ledger_sealed s USING consent.ledger_entry e, "
        "consent.record r WHERE s.leaf_index = e.leaf_index AND e.about = r.id "
        "AND r.value = 'u-150' RETURNING r.id) "
        "DELETE FROM consent.record WHERE id IN (SELECT id FROM gone)"),
        "none", "deleted by no erasure"),
    ("sealed under a key that never was", sql(
        "UPDATE consent.ledger_sealed SET key_id = gen_random_uuid() WHERE leaf_index = 60"),
        60, "cannot be opened"),
    ("something else sealed", sql(
        "UPDATE consent.ledger_sealed SET sealed = set_byte(sealed, 20, 7) WHERE leaf_index = 60"),
        60, "cannot be opened"),
    ("a purpose", sql(
        "UPDATE consent.purpose SET valid_days = 9999 WHERE key = 'ads.share'"), "purpose", "says"),
    ("a purpose deleted", sql("DELETE FROM consent.purpose WHERE key = 'ads.share'"),
        "purpose", "says"),
    ("a record slipped in below the mark", sql(
        "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, "
        "effective_at, recorded_at, order_time, collected_by, evidence, transaction) "
        "SELECT namespace, 'ghost', purpose, 1, state, effective_at, recorded_at, order_time, "
        "collected_by, evidence, transaction FROM consent.record ORDER BY seq LIMIT 1"),
        "none", "slipped in"),
]  # fmt: skip


@pytest.fixture
def sealed(sessions: Sessions, sealing: Sealing, anchor: Anchor, keystore: Keystore) -> None:
    """A ledger of some 350 entries with several checkpoints."""
    record(sessions, [choice("email:ada", evidence={"page": "/", "n": 1.50})])
    for part in range(3):
        people(sessions, 110, start=part * 110)
        sealing(most=1_000)
    publish(sessions, anchor, keystore.vkeys())


BACK_DATED = (
    "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at, "
    "recorded_at, order_time, collected_by, evidence) SELECT 'user_id', 'forged-1', 'ads.share', 1,"
    " 'given', at, at, at, 'source:web', '{}' FROM (SELECT now() + CAST(:by AS interval)) s(at)"
)


def test_e56_a_record_with_an_old_time_is_found_whenever_it_is_sealed(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """The first two among records of today; the third where nothing was recorded for long."""
    people(sessions, 3)
    sealing()
    found: dict[str, list[str]] = {}
    for by in ("-60 days", "-61 minutes", "2 hours", "-59 minutes"):
        with sessions.begin() as session:
            session.execute(sa.text(BACK_DATED), {"by": by})
        sealing()
        people(sessions, 1, start=100 + len(found))
        sealing()
        with sessions() as session:
            report = ledger.verify(session, full=True, keys=by_id(keystore))
            newest = sa.text(
                "SELECT leaf_index FROM consent.ledger_entry e JOIN consent.record r "
                "ON r.id = e.about WHERE r.value = 'forged-1' ORDER BY leaf_index DESC LIMIT 1"
            )
            index = session.scalar(newest)
            found[by] = [p.what for p in report.problems if p.index == index]
    assert [len(told) for told in found.values()] == [1, 1, 1, 0], found
    assert "long before records in front of it" in found["-60 days"][0]


def test_e56_a_record_dated_before_a_checkpoint_that_lacks_it_is_found(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """Where no record is in front of it; without keys too, by the record of today."""
    sealing()
    with sessions.begin() as session:
        session.execute(sa.text(BACK_DATED), {"by": "-25 hours"})
    sealing()
    for keys in (None, by_id(keystore)):
        with sessions() as session:
            [problem] = ledger.verify(session, full=True, keys=keys).problems
        assert "before a checkpoint that lacks it" in problem.what


def test_a_record_may_wait_as_long_as_the_sealer_stands_still() -> None:
    """Ten days behind: two full steps and the rest, all of them sealed on one day."""
    began = datetime(2026, 11, 1, tzinfo=UTC)
    now, day = began + timedelta(days=10), timedelta(days=1)
    dated = Dated([10, 10 + FULL, 10 + 2 * FULL, 20 + 2 * FULL])
    assert dated.wrong(0, began, began.isoformat()) is None
    for index, at in (
        (10, began + 3 * day), (10 + FULL, began + 6 * day),
        (10 + 2 * FULL, began + 9 * day), (11 + 2 * FULL, began + 9 * day - timedelta(minutes=59)),
    ):  # fmt: skip
        assert dated.wrong(index - 1, began if index == 10 else now, None) is None
        assert dated.wrong(index, now, at.isoformat()) is None
    assert dated.wrong(20 + 2 * FULL, now + day, (now - 2 * day).isoformat()) is not None


def test_e56_a_sound_ledger_is_sound_and_each_forgery_names_the_first_bad_entry(
    sessions: Sessions, keystore: Keystore, sealed: None
) -> None:
    keys = by_id(keystore)
    with sessions() as session:
        size = store.head(session).size
        sizes = [c.size for c in store.checkpoints(session, limit=10)]
        report = ledger.verify(session, full=True, keys=keys)
        assert (report.problems, report.entries, report.compared) == ([], size, 331)
        assert report.first_bad is None
        assert ledger.verify(session).sound
        query = (
            "SELECT coalesce(r.value, 'purpose'), e.leaf_index FROM consent.ledger_entry e "
            "LEFT JOIN consent.record r ON r.id = e.about WHERE r.value IS NOT NULL "
            'OR e.entry LIKE \'%"purpose":"ads.share"%"type":"purpose"%\''
        )
        places = {str(value): int(index) for value, index in session.execute(sa.text(query))}
    places |= {"last": size - 1, "size": size, "before last": sizes[1]}
    missed = []
    for name, forge, where, word in FORGERIES:
        with sessions() as session:
            session.execute(sa.text("SET LOCAL session_replication_role = replica"))
            forge(session)
            report = ledger.verify(session, full=True, keys=keys)
            expected = places.get(where) if isinstance(where, str) else where
            told = " ".join(p.what for p in report.problems if p.index == report.first_bad)
            if report.sound or report.first_bad != expected or word not in told:
                missed.append((name, expected, report.first_bad, report.problems[:3]))
            session.rollback()
    assert not missed, missed


def test_the_text_of_a_notice_that_was_changed_is_found(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    with sessions.begin() as session:
        consent.catalogue.add_notice(
            session, key="banner", version=1, language="en", purposes=["ads.share"], body="Agree?"
        )
    sealing()
    with sessions() as session:
        assert ledger.verify(session, full=True, keys=by_id(keystore)).sound
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        session.execute(sa.text("UPDATE consent.notice SET body = 'Agree!' WHERE key = 'banner'"))
        [problem] = ledger.verify(session, full=True, keys=by_id(keystore)).problems
        assert "notice banner version 1 is not what" in problem.what
        session.rollback()


def test_e57_a_ledger_rewritten_and_signed_anew_fails_against_a_checkpoint_held_elsewhere(
    sessions: Sessions, keystore: Keystore, anchor: Anchor, sealed: None, sealing: Sealing
) -> None:
    outside = anchor.read()
    erasure = uuid4()  # an erasure, whose entry the forger makes one of two records
    with sessions.begin() as session:
        consents.begun(session, erasure, reason_ref="test")
        consents.forget(session, erasure, [("user_id", "u-329")])
    ending.destroy(sessions, keystore, [("user_id", "u-329")], at=NOW)
    sealing(most=1_000)
    with sessions() as session:
        vkeys = store.vkeys(session)
        old = store.head(session)
        proof = store.consistency(session, check.open_checkpoint(outside[0], vkeys).size, old.size)
        first = check.open_checkpoint(outside[0], vkeys)
        check_consistency(first.size, first.root, old.size, old.root, proof)
        assert ledger.verify(session, full=True, external=outside, trusted=vkeys).sound
        assert len(outside) == 3
    keys = by_id(keystore)
    with sessions() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        forged = said(session, 140).replace('"given"', '"refused"')
        put(session, 140, forged)
        query = "SELECT leaf_index FROM consent.ledger_entry WHERE entry LIKE '%key_destroyed%'"
        [told] = session.scalars(sa.text(query)).all()
        put(session, told, said(session, told).replace('"consent":"1"', '"consent":"2"'))
        session.execute(sa.text("DELETE FROM consent.ledger_node"))
        session.execute(sa.text("DELETE FROM consent.ledger_sealed WHERE leaf_index = 140"))
        query = "DELETE FROM consent.record r USING consent.ledger_entry e WHERE r.id = e.about "
        session.execute(sa.text(query + "AND e.leaf_index = 140"))
        signers = [key.signer for key in keystore.signing_keys(at=NOW)]
        running = Running()
        sizes = [c.size for c in store.checkpoints(session, limit=10)]
        query = "SELECT leaf_hash FROM consent.ledger_entry ORDER BY leaf_index"
        for found in session.scalars(sa.text(query)).all():
            for level, index, node in running.add(found):
                session.execute(
                    sa.text("INSERT INTO consent.ledger_node VALUES (:l, :i, :h)"),
                    {"l": level, "i": index, "h": node},
                )
            if running.size in sizes:
                note = checkpoint(signers, running.size, running.root())
                session.execute(
                    sa.text("UPDATE consent.ledger_checkpoint SET root = :r, note = :n "
                            "WHERE size = :s"),
                    {"r": running.root(), "n": note, "s": running.size},
                )  # fmt: skip
        alone = ledger.verify(session, full=True, keys=keys)
        assert alone.problems == [], "it is sound in itself"
        for full in (True, False):
            report = ledger.verify(session, full=full, external=outside, keys=keys)
            assert not report.sound
            assert report.first_bad is not None
            assert report.first_bad <= 140
            assert "from outside" in report.problems[-1].what
        before_it = [n for n in outside if check.open_checkpoint(n, vkeys).size <= 140]
        assert len(before_it) == 1, "and what it did not touch is what it was"
        assert ledger.verify(session, full=True, external=before_it, keys=keys).sound
        session.rollback()


def test_a_checkpoint_of_a_key_that_is_not_trusted_proves_nothing(
    sessions: Sessions, anchor: Anchor, sealed: None
) -> None:
    stranger = ledger.Signer("shop.example/ledger/x", b"s" * 32)
    with sessions() as session:
        note = checkpoint([stranger], 1, b"r" * 32)
        assert not ledger.verify(session, external=[note]).sound
        assert not ledger.verify(session, external=anchor.read(), trusted=[stranger.vkey]).sound
        broken = anchor.read()[0].replace("\n\n", "\nextension\n\n", 1)
        assert not ledger.verify(session, external=[broken]).sound
        root = base64.b64encode(b"r" * 32).decode()
        assert root in note


def test_an_empty_ledger_is_sound(sessions: Sessions) -> None:
    with sessions() as session:
        for full in (True, False):
            report = ledger.verify(session, full=full)
            assert (report.sound, report.size, report.checkpoints) == (True, 0, 0)
