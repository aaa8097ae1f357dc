"""Everything that was recorded becomes one entry, exactly once, whoever commits when."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from typer.testing import CliRunner

import consent
from api.cli.root import app
from app.db import Sessions
from app.errors import LedgerForked, LedgerKeyUnusable
from app.ledger import seal
from app.ledger.anchor import Anchor, publish
from app.ledger.keystore import FILE, Keystore
from app.settings import Settings
from consent import ledger
from consent.defaults import CATALOGUE
from consent.errors import LedgerEntryNotFound, LedgerEntryNotSealed, StatementInvalid
from consent.ledger import check, store
from tests.app.ledger.recording import HOST, NOW, choice, entries, people, record, tamper

Sealing = Callable[..., int]


def test_records_purposes_notices_and_statements_become_entries_once(
    sessions: Sessions, sealing: Sealing
) -> None:
    written = people(sessions, 3)
    with sessions.begin() as session:
        consent.catalogue.add_notice(
            session, key="banner", version=1, language="fr", purposes=["ads.share"], body="Bonjour"
        )
        manifest = ledger.append(session, "decision_manifest", {"allowed": "10", "denied": "2"})
        act = ledger.append(session, "admin", {"act": "unlock"}, body={"by": "Ada", "n": 0.5})
    purposes = len(CATALOGUE)
    assert sealing() == 1 + purposes + 1 + 1 + 2 + 3
    assert sealing() == 0
    with sessions() as session:
        found = entries(session)
        kinds = Counter(entry["type"] for entry in found)
        assert kinds == {
            "purpose": purposes, "notice": 1, "key_event": 2, "decision_manifest": 1, "admin": 1,
            "consent": 3,
        }  # fmt: skip
        assert [entry["index"] for entry in found] == [str(n) for n in range(len(found))]
        for about in (UUID(written[0].record_id), manifest, act):
            proof = store.prove(session, store.index_of(session, about))
            said = check.check(proof.write(), store.vkeys(session)).entry
            assert said["type"] in kinds
        [notice] = [entry for entry in found if entry["type"] == "notice"]
        assert notice["sha256"] == sha256(b"Bonjour").hexdigest()
        assert session.scalar(sa.text("SELECT count(*) FROM consent.ledger_statement")) == 0
    assert people(sessions, 1)
    assert sealing() == 1


def test_an_entry_of_a_record_says_what_may_be_said(sessions: Sessions, sealing: Sealing) -> None:
    notice = {"key": "banner", "version": 1, "language": "fr", "body_sha256": "ab" * 32}
    record(sessions, [choice("email:ada@example.org", "refused", notice=notice)])
    sealing()
    with sessions() as session:
        said = entries(session)[-1]
    assert {name: said[name] for name in said if name not in ("subject", "body", "logged")} == {
        "v": "1", "type": "consent", "index": said["index"], "purpose": "ads.share",
        "purpose_version": "1", "state": "refused", "order_time": "2026-11-28T09:00Z",
        "source": "source:web", "notice": "ab" * 32,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", said["logged"])


def test_e64_no_leaf_holds_personal_data_and_no_two_entries_of_one_person_share_a_reference(
    sessions: Sessions, sealing: Sealing
) -> None:
    emails = [f"person{n}@example.org" for n in range(20)]
    evidence = {
        "ip": "203.0.113.7",
        "name": "Ada Lovelace",
        "big": 2**70,
        "n": 1.25e300,
        "\u0001": "😀",
    }
    for state in ("given", "refused", "given"):
        record(sessions, [choice(f"email:{e}", state, evidence=evidence) for e in emails])
    record(sessions, [choice("phone:+33612345687"), choice("user_id:203.0.113.9")])
    with sessions.begin() as session:
        body = {"name": "Ada Lovelace", "email": emails[0]}
        ledger.append(session, "dsr", {"event": "opened"}, subject=("email", emails[0]), body=body)
    sealing()
    with sessions() as session:
        leaves = session.scalars(sa.text("SELECT entry FROM consent.ledger_entry")).all()
        found = entries(session)
    text = "\n".join(leaves)
    values = [*emails, "+33612345687", "203.0.113.9", "203.0.113.7", "Lovelace", "33612345687"]
    hashes = [sha256(v.encode()).hexdigest() for v in values]
    for secret in [*values, *hashes, *(f"email:{e}" for e in emails)]:
        assert secret not in text
        assert secret.upper() not in text.upper()
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w", text)
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", text)
    assert not re.search(r"\b[0-9a-f]{64}\b", "\n".join(t for t in leaves if '"consent"' in t))
    persons = [e for e in found if "subject" in e]
    assert len(persons) == 20 * 3 + 2 + 1
    assert len({e["subject"] for e in persons}) == len({e["body"] for e in persons}) == len(persons)


@pytest.mark.parametrize(
    ("kind", "public"),
    [
        ("consent", {}), ("gossip", {}), ("dsr", {"who": "ada@example.org"}),
        ("dsr", {"who": "Ada Lovelace"}), ("dsr", {"ip": "203.0.113.7"}), ("dsr", {"ip": "::1"}),
        ("dsr", {"phone": "+33612345687"}), ("dsr", {"n": 5}), ("dsr", {"index": "5"}),
        ("dsr", {"Word": "x"}), ("dsr", {"x": "y" * 201}), ("dsr", {"x": "é"}),
    ],
)  # fmt: skip
def test_a_statement_that_might_tell_of_somebody_is_refused(
    sessions: Sessions, kind: str, public: dict[str, str]
) -> None:
    with sessions() as session, pytest.raises(StatementInvalid):
        ledger.append(session, kind, public)


def test_e60_writers_that_commit_out_of_order_get_one_index_each(
    sessions: Sessions, sealing: Sealing
) -> None:
    sealing()
    early, late = sessions(), sessions()
    with early.begin(), late.begin():
        [first] = consent.record(early, [choice("user_id:early")], received_at=datetime.now(UTC))
        [second] = consent.record(late, [choice("user_id:late")], received_at=datetime.now(UTC))
        late.commit()
        assert sealing() == 0, "the earlier one is still running"
        people(sessions, 2)
        assert sealing() == 0
    early.close()
    late.close()
    assert sealing() == 4
    assert sealing() == 0
    with sessions() as session:
        indices = [store.index_of(session, UUID(w.record_id)) for w in (first, second)]
    people(sessions, 25, start=100)  # one transaction, as everything from before migration 0006
    assert sealing(most=4) == 25
    with sessions() as session:
        assert len(set(indices)) == 2
        assert ledger.verify(session, full=True).sound


def test_e60_sealers_beside_writers_leave_no_gap_and_no_double(
    sessions: Sessions, keystore: Keystore, anchor: Anchor
) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def seal_on() -> None:
        try:
            while not stop.is_set():
                seal.run(sessions, keystore, anchor, host=HOST, most=7)
        except BaseException as error:
            failed.append(error)

    def write(number: int) -> None:
        for n in range(25):
            people(sessions, 1 + n % 3, start=number * 1_000 + n * 10)

    sealers = [threading.Thread(target=seal_on) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in [*sealers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sealers:
        thread.join()
    seal.run(sessions, keystore, anchor, host=HOST)
    assert failed == []
    with sessions() as session:
        records = session.scalar(sa.text("SELECT count(*) FROM consent.record"))
        found = entries(session)
        assert [int(e["index"]) for e in found] == list(range(len(found)))
        assert sum(e["type"] == "consent" for e in found) == records
        report = ledger.verify(session, full=True, keys=keystore.by_ids)
        assert report.problems == []
        assert report.compared == records


def test_a_sealer_that_dies_before_its_commit_leaves_nothing(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    people(sessions, 3)
    session = sessions()
    ledger.step(session, keystore, [ledger.Signer("x", b"s" * 32)], most=100)
    session.close()
    with sessions() as session:
        assert store.head(session).size == 0
    assert sealing() == 3 + len(CATALOGUE) + 2


def test_a_record_that_waits_is_told_from_one_that_is_not_there(
    sessions: Sessions, sealing: Sealing
) -> None:
    [written] = people(sessions, 1)
    about = UUID(written.record_id)
    with sessions() as session:
        with pytest.raises(LedgerEntryNotSealed):
            store.index_of(session, about)
        with pytest.raises(LedgerEntryNotFound):
            store.index_of(session, UUID(int=7))
    sealing()
    with sessions() as session:
        index = store.index_of(session, about)
        with pytest.raises(LedgerEntryNotFound):
            store.prove(session, index + 1)


#: What is sealed goes with its key, so it may be deleted.
CHANGES = [
    "UPDATE consent.ledger_entry SET entry = '{}'",
    "DELETE FROM consent.ledger_entry",
    "TRUNCATE consent.ledger_entry",
    "UPDATE consent.ledger_node SET hash = ''",
    "DELETE FROM consent.ledger_node",
    "TRUNCATE consent.ledger_node",
    "UPDATE consent.ledger_checkpoint SET note = ''",
    "DELETE FROM consent.ledger_checkpoint",
    "TRUNCATE consent.ledger_checkpoint",
    "UPDATE consent.ledger_key SET vkey = ''",
    "DELETE FROM consent.ledger_key",
    "TRUNCATE consent.ledger_key",
    "UPDATE consent.ledger_sealed SET sealed = ''",
    "UPDATE consent.ledger_statement SET public = '{}'",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_e85_the_role_of_the_product_can_change_nothing_in_the_ledger(
    session: Session, statement: str
) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="append-only"):
        session.execute(sa.text(statement))


def test_a_restored_older_database_is_not_signed_over_what_was_signed_since(
    sessions: Sessions,
    settings: Settings,
    keystore: Keystore,
    anchor: Anchor,
    sealing: Sealing,
) -> None:
    people(sessions, 5)
    sealing()
    with sessions() as session:
        size = store.head(session).size
    people(sessions, 5, start=5)
    sealing()
    publish(sessions, anchor, keystore.vkeys())
    tamper(  # as a restored backup would be
        sessions,
        "DELETE FROM consent.record WHERE value >= 'u-5'",
        "DELETE FROM consent.ledger_entry WHERE leaf_index >= :size",
        "DELETE FROM consent.ledger_sealed WHERE leaf_index >= :size",
        "DELETE FROM consent.ledger_checkpoint WHERE size > :size",
        size=size,
    )
    people(sessions, 1, start=100)
    with pytest.raises(LedgerForked, match=r"entries were signed.*rotate-key --new-log"):
        sealing()
    said = json.loads(command(settings, "doctor", "--json"))
    [wrong] = [row["detail"] for row in said if row["check"] == "ledger"]
    assert "rotate-key --new-log" in wrong
    with sessions() as session:
        report = ledger.verify(session, external=anchor.read())
        assert report.first_bad == size
    with sessions.begin() as session:
        rotated = seal.rotate(session, keystore, host=HOST, overlap=NOW - NOW, new_log=True)
    assert sealing() == 1
    assert publish(sessions, anchor, keystore.vkeys()) == 2
    with sessions() as session:
        origin = store.head(session).note.partition("\n")[0]
        assert len(anchor.read(origin)) == 2 < len(anchor.read())
        assert ledger.verify(session, full=True, external=anchor.read(origin)).sound
        assert not ledger.verify(session, full=True, external=anchor.read()).sound
        proof = store.prove(session, size + 1)
        assert check.check(proof.write(), [rotated]).index == size + 1


def command(settings: Settings, *arguments: str) -> str:
    """What a command prints of this test's installation."""
    environment = {
        "PARCOURS_DATABASE_URL": str(settings.database_url),
        "PARCOURS_DATA_DIR": str(settings.data_dir),
    }
    return CliRunner().invoke(app, list(arguments), env=environment).stdout


def test_a_lost_keystore_is_not_replaced_without_a_word(
    sessions: Sessions, settings: Settings, anchor: Anchor, sealing: Sealing
) -> None:
    people(sessions, 1)
    sealing()
    (settings.home / FILE).unlink()
    other = Keystore(settings)
    people(sessions, 1, start=1)
    with pytest.raises(LedgerKeyUnusable, match="--new-log"):
        seal.run(sessions, other, anchor, host=HOST)
    other.close()
