"""A key that is destroyed is gone, and everything that was proved before still holds."""

import base64
import secrets
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.db import Sessions
from app.errors import AnchorUnusable, LedgerKeyUnusable
from app.ledger import ending, seal
from app.ledger.anchor import Anchor, notes, publish
from app.ledger.job import LedgerJob
from app.ledger.keystore import FILE, KEY_FILE, Keystore
from app.ledger.state import state
from app.settings import Settings
from consent import erasure as consents
from consent import ledger
from consent.ledger import check, store
from tests.app.ledger.recording import HOST, NOW, choice, entries, people, record

Sealing = Callable[..., int]
ADA = ("email", "ada@example.org")


def test_e79_after_the_key_is_destroyed_proofs_hold_and_nothing_tells_whose_entries_they_were(
    sessions: Sessions, keystore: Keystore, anchor: Anchor, sealing: Sealing
) -> None:
    people(sessions, 5)
    hers = [
        UUID(w.record_id)
        for state in ("given", "refused")
        for w in record(sessions, [choice("email:ada@example.org", state, evidence={"page": "/x"})])
    ]
    sealing()
    publish(sessions, anchor, keystore.vkeys())
    [(key_id, key)] = keystore.of([ADA]).values()
    with sessions() as session:
        vkeys = store.vkeys(session)
        places = [store.index_of(session, about) for about in hers]
        proofs = [store.prove(session, index).write() for index in places]
        openings = [ledger.opening(session, keystore, index) for index in places]
        sealed = session.execute(
            sa.text("SELECT sealed, entry FROM consent.ledger_sealed JOIN consent.ledger_entry "
                    "USING (leaf_index) WHERE leaf_index = any(:p)"), {"p": places}
        ).all()  # fmt: skip
    for proof, opening in zip(proofs, openings, strict=True):
        assert opening is not None
        body = check.check_body(check.check(proof, vkeys).entry, opening)
        assert (body["value"], body["evidence"]) == (ADA[1], {"page": "/x"})
    assert [key.open(s, e.encode()) is not None for s, e in sealed] == [True, True]

    # What an erasure does: the records go, then the key.
    erasure = uuid4()
    with sessions.begin() as session:
        consents.begun(session, erasure, reason_ref="test")
        assert consents.forget(session, erasure, [ADA]) == 2
    whom = [ADA, ("email", "nobody")]
    assert ending.destroy(sessions, keystore, whom, at=NOW) == [key_id]
    assert ending.destroy(sessions, keystore, [ADA], at=NOW) == []
    assert sealing() == 2, "that it began, and the key, with how many records went"

    assert keystore.by_ids([key_id]) == {key_id: None}
    for proof, index in zip(proofs, places, strict=True):
        assert check.check(proof, vkeys).index == index
        with sessions() as session:
            again = store.prove(session, index).write()
            assert check.check(again, vkeys).entry == check.check(proof, vkeys).entry
            assert ledger.opening(session, keystore, index) is None
    # With everything that is left nobody opens what was sealed, or links one entry to her.
    others = [keystore.of([(n, v)])[n, v][1] for n, v in [*UNRELATED, ledger.INSTALLATION]]
    with sessions() as session:
        said = entries(session)
        for sealed_text, entry in sealed:
            assert not any(k.open(sealed_text, entry.encode()) for k in others)
        references = {said[index]["subject"] for index in places}
        assert len(references) == 2
        new = keystore.of([ADA])[ADA][1]
        derived = {k.reference(index) for k in (*others, new) for index in range(len(said))}
        assert not references & derived
        left = session.scalar(
            sa.text("SELECT count(*) FROM consent.ledger_sealed WHERE key_id = :k"), {"k": key_id}
        )
        assert left == 0
        told = [e for e in said if e.get("event") == "subject_key_destroyed"]
        assert [e["key"] for e in told] == [key_id.hex]
        report = ledger.verify(session, full=True, external=anchor.read(), keys=keystore.by_ids)
        assert report.problems == []


UNRELATED = [("user_id", f"u-{n}") for n in range(5)]


def test_a_destroyed_key_is_in_no_byte_of_the_keystore(
    alone: Settings, keys_alone: Keystore
) -> None:
    keys_alone.of([ADA, *UNRELATED])
    path = alone.home / FILE
    with sqlite3.connect(path) as plain:
        rows = plain.execute("SELECT wrapped, ref FROM subject_key WHERE wrapped IS NOT NULL")
        before = rows.fetchall()
    plain.close()
    assert all(part in path.read_bytes() for row in before for part in row)
    keys_alone.destroy([ADA], at=NOW)
    raw = path.read_bytes()
    gone = [row for row in before if row[0] not in raw]
    assert len(gone) == 1
    assert gone[0][1] not in raw
    assert list(alone.home.glob(f"{FILE}-*")) == [], "no journal is left"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_identifier_that_comes_again_gets_another_key(keys_alone: Keystore) -> None:
    first = keys_alone.of([ADA])[ADA]
    assert keys_alone.of([ADA, *UNRELATED])[ADA][0] == first[0]
    keys_alone.destroy([ADA], at=NOW)
    again = keys_alone.of([ADA])[ADA]
    assert again[0] != first[0]
    assert keys_alone.by_id(first[0]) is None
    assert keys_alone.by_id(again[0]) is not None
    assert keys_alone.by_ids([UUID(int=1)]) == {}


def test_keys_are_wrapped_and_another_wrapping_key_opens_nothing(alone: Settings) -> None:
    old, new = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))

    def opened(*keys: str) -> Keystore:
        text = SecretStr(",".join(keys))
        return Keystore(alone.model_copy(update={"ledger_key": text}))

    store_of_old = opened(old)
    reference = store_of_old.of([ADA])[ADA][1].reference(7)
    store_of_old.add_signing_key("log", at=NOW, overlap=timedelta(0))
    assert store_of_old.rewrap() == 0
    store_of_old.close()
    other = opened(new)
    with pytest.raises(LedgerKeyUnusable, match="does not open"):
        other.of([ADA])
    other.close()
    both = opened(new, old)
    assert both.of([ADA])[ADA][1].reference(7) == reference
    assert both.old() == 3
    assert both.rewrap() == 3
    assert both.old() == both.rewrap() == 0
    both.close()
    newest = opened(new)
    assert newest.of([ADA])[ADA][1].reference(7) == reference
    assert newest.signing_keys(at=NOW)[0].signer.origin == "log"
    newest.close()
    with pytest.raises(LedgerKeyUnusable):
        opened("not a key")


def test_without_its_wrapping_key_a_keystore_is_not_opened_with_a_new_one(
    alone: Settings, keys_alone: Keystore
) -> None:
    keys_alone.of([ADA])
    keys_alone.close()
    (alone.home / KEY_FILE).unlink()
    again = Keystore(alone)
    with pytest.raises(LedgerKeyUnusable, match="is gone"):
        again.of([ADA])
    assert not (alone.home / KEY_FILE).exists()


def test_the_keystore_may_be_a_postgresql_of_its_own(settings: Settings, database_url: str) -> None:
    there = Keystore(settings.model_copy(update={"keystore_url": database_url}))
    key_id, key = there.of([ADA])[ADA]
    again = there.by_id(key_id)
    assert again is not None
    assert again.reference(1) == key.reference(1)
    there.add_signing_key("log", at=NOW, overlap=timedelta(0))
    there.add_signing_key("log", at=NOW, overlap=timedelta(days=1))
    assert [k.retires_at for k in there.signing_keys(at=NOW)].count(None) == 1
    assert len(there.signing_keys(at=NOW + timedelta(days=2))) == 1
    assert there.destroy([ADA], at=NOW) == [key_id]
    assert there.untold() == {key_id: {}}
    there.told([key_id])
    assert there.untold() == {}
    there.close()
    assert not (settings.home / FILE).exists()


def test_e65_a_rotated_key_signs_beside_the_old_one_for_its_time(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    people(sessions, 1)
    sealing()
    with sessions() as session:
        [old] = store.vkeys(session)
        before = store.prove(session, 0).write()
        new = seal.rotate(session, keystore, host=HOST, overlap=timedelta(days=7), new_log=False)
    assert sealing() == 1, "the new public key is an entry"
    with sessions() as session:
        assert store.vkeys(session) == [old, new]
        during = store.prove(session, 0).write()
        assert ledger.verify(session, full=True).sound
    for text, vkey in ((before, old), (during, old), (during, new)):
        assert check.check(text, [vkey]).index == 0
    later = datetime.now(UTC) + timedelta(days=8)
    assert [k.signer.vkey for k in keystore.signing_keys(at=later)] == [new]
    people(sessions, 1, start=1)
    sealing()
    with sessions() as session:
        after = store.prove(session, 0).write()
        assert ledger.verify(session, full=True, trusted=[old, new]).sound
    assert check.check(after, [new]).index == 0
    with pytest.raises(check.ProofInvalid):
        check.check(after, [old])
    assert check.check(before, [old]).index == 0


def test_checkpoints_that_could_not_be_kept_are_kept_later_and_a_torn_one_again(
    sessions: Sessions, settings: Settings, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a directory should be")
    job = LedgerJob(sessions, settings.model_copy(update={"ledger_anchor": blocked}))
    people(sessions, 2)
    with pytest.raises(AnchorUnusable):
        job.round()
    with sessions() as session:
        size = store.head(session).size
        assert size > 2, "the ledger went on"
        assert state(session, job.anchor).anchored is None
    blocked.unlink()
    assert job.round() == 0
    with sessions() as session:
        assert state(session, job.anchor).anchored == size
    people(sessions, 2, start=2)
    job.round()
    path = job.anchor.path
    whole = path.read_bytes()
    assert len(notes(whole.decode())) == 2
    for cut in range(len(whole) - 120, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert len(job.anchor.read()) == 1
    assert publish(sessions, job.anchor, job.keystore.vkeys()) == 1
    assert [n.split("\n")[1] for n in job.anchor.read()] == [str(size), str(size + 2)]
    job.keystore.close()


def test_a_keystore_that_cannot_be_written_is_told(alone: Settings) -> None:
    alone.home.mkdir(exist_ok=True)
    (alone.home / FILE).mkdir()
    with pytest.raises(LedgerKeyUnusable):
        Keystore(alone).of([ADA])
