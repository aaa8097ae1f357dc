"""No key is destroyed, and nothing signed, on the word of who has the database alone."""

from collections.abc import Callable
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.db import Sessions
from app.errors import LedgerForked
from app.ledger import seal
from app.ledger.anchor import Anchor, publish
from app.ledger.job import LedgerJob
from app.ledger.keystore import Keystore
from app.ledger.keystore_tables import signed_logs
from app.settings import Settings
from consent.ledger import INSTALLATION, Signer, ending, store
from consent.ledger.check import leaf_hash, open_checkpoint
from consent.ledger.entry import entry
from consent.ledger.gone import DESTROYED
from consent.ledger.note import checkpoint
from consent.ledger.sealing import SubjectKey
from consent.ledger.tables import SAYS_DESTROYED
from consent.ledger.tree import grow
from tests.app.ledger.recording import HOST, NOW, choice, people, record, tamper
from tests.app.ledger.test_ledger_forgeries import erase, problems

Sealing = Callable[..., int]
ADA, BOB = ("email", "ada@example.org"), ("email", "bob@example.org")
#: What somebody calls the log that they write: as this one is called, or otherwise.
NAMED = pytest.mark.parametrize(
    "name", [None, "elsewhere.example/ledger/1"], ids=["alike", "otherwise"]
)
INSERT = "INSERT INTO consent.ledger_entry VALUES (:index, :entry, :leaf, :about)"


def forged(sessions: Sessions, key: UUID, *, index: int | None = None) -> dict[str, object]:
    """Insert the entry that a key was destroyed, behind the others."""
    with sessions() as session:
        size = store.head(session).size
    place = size if index is None else index
    said = entry("key_event", place, NOW, {"event": DESTROYED, "key": key.hex})
    row = {"index": place, "entry": said.decode(), "leaf": leaf_hash(said), "about": key}
    tamper(sessions, INSERT, **row)
    return row


def signed_by_a_stranger(sessions: Sessions, leaf: bytes, name: str | None = None) -> None:
    """Have the newest checkpoint cover what was inserted, signed by a key of one's own.

    It bears the name of this log, or another.
    """
    with sessions() as session:
        last = store.head(session)
        _, grown = grow(store.tree(session, last.size), [leaf])
        stranger = Signer(name or last.note.partition("\n")[0], b"s" * 32)
        note = checkpoint([stranger], grown.size, grown.root())
    tamper(
        sessions,
        "INSERT INTO consent.ledger_checkpoint SELECT :size, :root, :note, transaction, "
        "record_seq, created_at FROM consent.ledger_checkpoint ORDER BY size DESC LIMIT 1",
        size=grown.size,
        root=grown.root(),
        note=note,
    )


@pytest.fixture
def keys(sessions: Sessions, keystore: Keystore, sealing: Sealing) -> dict[str, UUID]:
    """The ids of keys under which something is sealed: Bob's, and the installation's."""
    people(sessions, 3)
    record(sessions, [choice("email:ada@example.org"), choice("email:bob@example.org")])
    sealing()
    return {
        "bob": keystore.of([BOB])[BOB][0],
        "own": keystore.of([INSTALLATION])[INSTALLATION][0],
    }


@pytest.mark.parametrize("whose", ["bob", "own"])
def test_an_entry_that_nobody_signed_destroys_no_key(
    sessions: Sessions, settings: Settings, keystore: Keystore, keys: dict[str, UUID], whose: str
) -> None:
    forged(sessions, keys[whose])
    people(sessions, 1, start=50)
    with pytest.raises(sa.exc.IntegrityError):  # there is an entry where the next one belongs
        LedgerJob(sessions, settings).round()
    assert keystore.by_id(keys[whose]) is not None


@NAMED
@pytest.mark.parametrize("whose", ["bob", "own"])
def test_an_entry_under_a_checkpoint_of_somebody_else_destroys_no_key(
    sessions: Sessions,
    settings: Settings,
    keystore: Keystore,
    keys: dict[str, UUID],
    whose: str,
    name: str | None,
) -> None:
    """Whatever they call their log: nothing is anchored that it could be held against."""
    row = forged(sessions, keys[whose])
    signed_by_a_stranger(sessions, leaf_hash(str(row["entry"]).encode()), name)
    tamper(sessions, "DELETE FROM consent.ledger_sealed WHERE key_id = :key", key=keys[whose])
    for _ in range(2):  # nor once the sealer has signed on top of it
        with pytest.raises(LedgerForked, match="no key of this installation"):
            LedgerJob(sessions, settings).round()
    assert keystore.by_id(keys[whose]) is not None


@NAMED
def test_a_running_sealer_signs_nothing_on_top_of_what_somebody_else_signed(
    sessions: Sessions,
    keystore: Keystore,
    anchor: Anchor,
    sealing: Sealing,
    keys: dict[str, UUID],
    name: str | None,
) -> None:
    """It would make the forged entry one that was signed."""
    row = forged(sessions, keys["bob"])
    signed_by_a_stranger(sessions, leaf_hash(str(row["entry"]).encode()), name)
    people(sessions, 1, start=50)
    with pytest.raises(LedgerForked, match="no key of this installation"):
        sealing()
    published = publish(sessions, anchor, keystore.vkeys())
    assert published == (name is None), "the first one at most, and not the forged one"
    with pytest.raises(LedgerForked, match="no key of this installation"):
        sealing()


def test_a_true_end_of_one_key_is_not_moved_to_another(
    sessions: Sessions,
    settings: Settings,
    keystore: Keystore,
    sealing: Sealing,
    keys: dict[str, UUID],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What an entry is about stands beside the text that is hashed."""
    erase(sessions, keystore, ADA)
    sealing()
    tamper(
        sessions,
        "UPDATE consent.ledger_entry SET about = :bob WHERE entry LIKE '%subject_key_destroyed%'",
        "DELETE FROM consent.ledger_sealed WHERE key_id = :bob",
        bob=keys["bob"],
    )
    LedgerJob(sessions, settings).round()
    assert keystore.by_id(keys["bob"]) is not None
    assert "1 keys are there that the ledger says are destroyed" in caplog.text


@pytest.mark.parametrize("hashed_anew", [False, True], ids=["text", "text_and_hash"])
def test_another_text_in_the_place_of_an_entry_destroys_no_key(
    sessions: Sessions,
    settings: Settings,
    keystore: Keystore,
    keys: dict[str, UUID],
    hashed_anew: bool,
) -> None:
    """Under the kept hashes, which alone are compared before the ledger goes on."""
    tamper(sessions, "DELETE FROM consent.ledger_entry WHERE leaf_index = 2",
           "DELETE FROM consent.ledger_sealed WHERE key_id = :bob", bob=keys["bob"])  # fmt: skip
    row = forged(sessions, keys["bob"], index=2)
    if not hashed_anew:
        other = b"\0" * 32
        tamper(sessions, "UPDATE consent.ledger_entry SET leaf_hash = :h WHERE leaf_index = 2",
               h=other)  # fmt: skip
    assert row["index"] == 2
    with pytest.raises(LedgerForked):  # the keystore knows what was signed
        LedgerJob(sessions, settings).round()
    with keystore._begin() as connection:  # one of before it did
        connection.execute(sa.delete(signed_logs))
    LedgerJob(sessions, settings).round()
    assert keystore.by_id(keys["bob"]) is not None


def test_a_key_under_which_something_is_sealed_is_no_destroyed_one(
    sessions: Sessions, settings: Settings, keystore: Keystore, sealing: Sealing
) -> None:
    """Both are of one transaction: what was sealed since an older keystore came back stays."""
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    older = (settings.home / "keystore.db").read_bytes()
    [(key, _)] = keystore.of([ADA]).values()
    erase(sessions, keystore)
    sealing()
    keystore.close()
    (settings.home / "keystore.db").write_bytes(older)
    record(sessions, [choice("email:ada@example.org", "refused")])
    sealing()
    LedgerJob(sessions, settings).round()
    assert isinstance(keystore.by_id(key), SubjectKey)
    assert any("an older keystore was restored" in what for what in problems(sessions, keystore))


def test_what_an_older_key_signed_and_was_published_is_gone_on_with(
    sessions: Sessions, keystore: Keystore, anchor: Anchor, sealing: Sealing
) -> None:
    people(sessions, 1)
    sealing()
    with sessions() as session:
        anchor.add([store.head(session).note])
        seal.rotate(session, keystore, host=HOST, overlap=NOW - NOW, new_log=False)
    people(sessions, 1, start=1)
    assert sealing() == 2


def test_a_new_log_signs_what_is_there_and_one_that_did_not_come_to_it_is_begun_again(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """Who rotates says so, and nobody else; the keystore may have the key, and the ledger not."""
    people(sessions, 1)
    sealing()
    with sessions() as session:  # which dies before it commits
        seal.rotate(session, keystore, host=HOST, overlap=NOW - NOW, new_log=True)
    people(sessions, 1, start=1)
    with pytest.raises(LedgerForked, match="rotate-key --new-log"):
        sealing()
    with sessions.begin() as session:
        vkey = seal.rotate(session, keystore, host=HOST, overlap=NOW - NOW, new_log=True)
        assert open_checkpoint(store.head(session).note, [vkey]).size == store.head(session).size
    assert sealing() == 1


def test_ends_of_keys_are_found_by_their_index(sessions: Sessions, keys: dict[str, UUID]) -> None:
    assert keys
    with sessions() as session:
        assert ending.told(session) == []
        session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        query = f"EXPLAIN SELECT about FROM consent.ledger_entry WHERE {SAYS_DESTROYED}"  # noqa: S608  # ours
        assert "ledger_entry_destroyed" in "".join(session.scalars(sa.text(query)))
