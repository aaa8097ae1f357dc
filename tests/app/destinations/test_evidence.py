"""Check 61: the proof of one send, with all it rests on; and that nothing of it can be changed."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from typer.testing import CliRunner

import consent
from api.cli.root import app
from app.access.tables import PersonRead
from app.consents.record import record
from app.db import Sessions
from app.destinations import evidence, manifest, outbox, registry
from app.destinations.deliver import deliver
from app.destinations.tables import Delivery, Destination, Disclosure, Manifest
from app.errors import SendNotFound
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent import ledger, restrictions
from consent.errors import LedgerEntryNotSealed
from consent.ledger import check, check_send, store
from identity import graph, people
from tests.app.ledger.recording import tamper
from tests.end_to_end.conftest import Received, Receiver, receiver

__all__ = ["receiver"]
EMAIL, TEXT = "marketing.email", "Dürfen wir Ihnen schreiben? 🗞"
SHOT = "ab" * 32


class World:
    """A destination that hears of people, a ledger, and a notice in German."""

    def __init__(self, sessions: Sessions, settings: Settings, url: str) -> None:
        self.sessions, self.settings = sessions, settings
        self.job = LedgerJob(sessions, settings)
        with sessions.begin() as session:
            self.crm = Destination(
                name="crm", kind="webhook", url=url, secret="whsec_c2VjcmV0", purpose=EMAIL,
                segments=["s"], enabled=True,
            )  # fmt: skip
            session.add(self.crm)
            consent.catalogue.add_notice(
                session, key="newsletter", version=1, language="de", purposes=[EMAIL], body=TEXT,
                screenshot_sha256=SHOT,
            )  # fmt: skip

    def agree(self, user: str, state: str = "given", *, notice: int = 1) -> int:
        with self.sessions.begin() as session:
            person = graph.identify(session, [("user_id", user)])["user_id", user]
            record(
                session, "user_id", user, {EMAIL: state}, collected_by="source:shop",
                received_at=datetime.now(UTC),
                notice={"key": "newsletter", "version": notice, "language": "de"},
            )  # fmt: skip
        return person

    def send(self, *persons: int, kind: str = outbox.ENTERED) -> None:
        now = datetime.now(UTC)
        with self.sessions.begin() as session:
            profiles = people.profile_ids(session, persons)
            session.add_all(
                Delivery(
                    destination_id=self.crm.id, message_id=uuid4(), person_id=person,
                    profile_id=profiles[person], type=kind, payload={"segment": "s"},
                    state="waiting", due_at=now, created_at=now,
                )
                for person in persons
            )  # fmt: skip
        with httpx.Client() as client:
            while deliver(self.sessions, client):
                pass

    def seal(self) -> list[str]:
        manifest.close(self.sessions)
        self.job.round()
        with self.sessions() as session:
            return store.vkeys(session)

    def prove(self, user: str, until: datetime | None = None) -> str:
        with self.sessions() as session:
            row = evidence.last(
                session, "user_id", user, until=until or datetime.now(UTC), destination="crm"
            )
            return evidence.prove(session, self.job.keystore, row)


@pytest.fixture
def world(sessions: Sessions, settings: Settings, receiver: Receiver) -> Iterator[World]:
    made = World(sessions, settings, receiver.url)
    with closing(made.job.keystore):
        yield made


def told(received: Received) -> Any:
    return json.loads(received.body)


def test_61_a_send_is_proved_with_the_consent_it_rests_on_by_one_command(
    world: World, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    ada, bob = world.agree("ada"), world.agree("bob")
    world.send(ada, bob)
    until = datetime.now(UTC)
    with pytest.raises(LedgerEntryNotSealed):
        world.prove("ada")
    [vkey] = world.seal()
    world.agree("ada", "withdrawn")
    world.seal()
    with world.sessions.begin() as session:
        registry.remove(session, world.crm.id, now=datetime.now(UTC))  # of last year, and gone

    began = monotonic()
    asked = ["prove-send", "user_id:ada", "--destination", "crm", "--until", until.isoformat()]
    made = CliRunner().invoke(app, ["ledger", *asked], env=environment(settings))
    assert monotonic() - began < 60
    assert made.exit_code == 0, made.output
    file = tmp_path / "send.json"
    file.write_text(made.stdout, encoding="utf-8")
    checked = CliRunner().invoke(app, ["ledger", "check", str(file), "--vkey", vkey])
    assert checked.exit_code == 0, checked.output

    found = check_send.check_send(made.stdout, [vkey])
    [message] = [
        m for m in receiver.received if told(m)["data"]["identifiers"] == {"user_id": ["ada"]}
    ]
    send = found["send"]
    assert send["message"] == message.headers["webhook-id"]
    assert send["profile"] == told(message)["data"]["profile_id"]
    assert (send["kind"], send["purpose"], send["reason"]) == (outbox.ENTERED, EMAIL, "given")
    assert send["destination"] == {"id": str(world.crm.id), "name": "crm", "host": "127.0.0.1"}
    assert found["identifiers"] == ["user_id:ada"]
    assert [r["state"] for r in found["records"]] == ["given", "withdrawn"]
    assert send["records"] == [found["records"][0]["id"]], "the withdrawal came after it"
    [notice] = found["notices"]
    assert (notice["text"], notice["language"], notice["screenshot_sha256"]) == (TEXT, "de", SHOT)
    assert found["manifest"]["sends"] == "2"
    listed = CliRunner().invoke(
        app, ["ledger", "sends", "user_id:ada", "--json"], env=environment(settings)
    )
    assert [row["message"] for row in json.loads(listed.stdout)] == [send["message"]]
    assert "bob" not in made.stdout


def test_61_it_is_proved_over_http_too_for_who_may_read_consents_and_the_ledger(
    world: World, server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    world.send(world.agree("ada"))
    header, path = token("consents:read", "ledger:read"), "/v1/consents/sends"
    asked = {"subject": "user_id:ada", "destination": "crm"}
    [listed] = server.get(path, params=asked, headers=header).json()["data"]
    assert (listed["reason"], listed["sealed"], len(listed["records"])) == ("given", False, 1)
    assert server.get("/v1/consents/send-proof", params=asked, headers=header).status_code == 409
    vkeys = world.seal()
    proof = server.get("/v1/consents/send-proof", params=asked, headers=header)
    assert check_send.check_send(proof.text, vkeys)["send"]["message"] == listed["message"]
    other = {**asked, "destination": "erp"}
    assert server.get("/v1/consents/send-proof", params=other, headers=header).status_code == 404
    alone = token("consents:read")
    assert server.get("/v1/consents/send-proof", params=asked, headers=alone).status_code == 403
    with world.sessions() as session:
        noted = set(session.scalars(sa.select(PersonRead.operation)))
    assert noted >= {f"GET {path}", "GET /v1/consents/send-proof"}


def environment(settings: Settings) -> dict[str, str]:
    return {
        "PARCOURS_DATABASE_URL": str(settings.database_url),
        "PARCOURS_DATA_DIR": str(settings.data_dir),
    }


def test_61_a_proof_of_a_send_that_was_changed_anywhere_is_refused(world: World) -> None:
    world.send(world.agree("ada"), world.agree("bob"), world.agree("cyd"))
    vkeys = world.seal()
    proof, other = world.prove("ada"), json.loads(world.prove("bob"))
    assert check_send.check_send(proof, vkeys)["identifiers"] == ["user_id:ada"]

    def refused(change: Callable[[Any], Any]) -> None:
        given = json.loads(proof)
        change(given)
        with pytest.raises((check.ProofInvalid, KeyError, ValueError)):
            check_send.check_send(json.dumps(given), vkeys)

    def within(text: str, **values: Any) -> str:
        return json.dumps({**json.loads(text), **values}, separators=(",", ":"), sort_keys=True)

    refused(lambda p: p.update(identifiers=["user_id:bob"]))
    refused(lambda p: p.update(identifiers=[]))
    refused(lambda p: p.update(leaf=within(p["leaf"], decided_at="2020-01-01T00:00:00+00:00")))
    refused(lambda p: p.update(place=p["place"] + 1))
    refused(lambda p: p["path"].pop())
    refused(lambda p: p.update(records=[]))
    refused(lambda p: p.update(records=other["records"]))
    refused(lambda p: p.update(purpose=p["manifest"]))
    refused(lambda p: p.update(manifest=p["purpose"]))
    refused(lambda p: p.update(notices=[]))
    refused(lambda p: p["notices"][0].update(text=TEXT + " "))
    refused(lambda p: p["records"][0].update(opening=p["records"][0]["opening"].replace(
        '\\"given\\"', '\\"denied\\"')))  # fmt: skip
    raw = b64decode(json.loads(proof)["path"][0])
    refused(lambda p: p["path"].__setitem__(0, b64encode(raw[:-1] + b"\0").decode()))
    with pytest.raises(check.ProofInvalid):
        check_send.check_send(proof, [])


def test_a_send_after_a_refusal_was_on_record_is_not_proved(world: World) -> None:
    """Somebody who rules the database makes a decision that consent did not allow."""
    ada = world.agree("ada")
    world.send(ada)
    world.agree("ada", "withdrawn")
    tamper(world.sessions, "UPDATE consent.record SET recorded_at = recorded_at - interval '1 h' "
                           "WHERE state = 'withdrawn'")  # fmt: skip
    vkeys = world.seal()
    with pytest.raises(check.ProofInvalid, match="had refused it before"):
        check_send.check_send(world.prove("ada"), vkeys)


def test_a_send_rests_on_nothing_that_was_logged_long_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send(world.agree("ada"))
    vkeys = world.seal()
    proof = world.prove("ada")
    assert check_send.check_send(proof, vkeys)["records"]
    in_manifest = check_send._in_manifest(json.loads(proof), vkeys)
    monkeypatch.setattr(check_send, "_in_manifest", lambda *_: in_manifest)
    monkeypatch.setattr(check_send, "LATE", -timedelta(minutes=5))  # as if the entry came later
    with pytest.raises(check.ProofInvalid, match="the send names was logged long after"):
        check_send.check_send(proof, vkeys)


def test_what_takes_back_is_noted_and_rests_on_no_consent(world: World) -> None:
    ada = world.agree("ada")
    world.send(ada)
    world.agree("ada", "withdrawn")
    world.send(ada, kind=outbox.EXITED)
    vkeys = world.seal()
    with world.sessions() as session:
        rows = evidence.sends(session, "user_id", "ada", until=datetime.now(UTC))
        said = [evidence.said(row) for row in rows]
        assert [(s["kind"], s["reason"], len(s["records"])) for s in said] == [
            (outbox.EXITED, manifest.TOLD_BEFORE, 0),
            (outbox.ENTERED, "given", 1),
        ]
        proof = evidence.prove(session, world.job.keystore, rows[0])
    assert check_send.check_send(proof, vkeys)["records"] == []
    assert json.loads(world.prove("ada"))["records"], "the last one that somebody had to agree to"
    with world.sessions() as session, pytest.raises(SendNotFound):
        evidence.last(
            session, "user_id", "ada", destination="crm",
            until=datetime.now(UTC) - timedelta(days=1),
        )  # fmt: skip


def test_what_was_changed_of_sends_in_the_database_is_found(world: World) -> None:
    world.send(world.agree("ada"), world.agree("bob"))
    world.seal()

    def wrong() -> list[str]:
        with world.sessions() as session:
            return evidence.tampered(session)

    assert wrong() == []
    tamper(world.sessions, "UPDATE app.disclosure SET leaf = replace(leaf, 'segment.', 'segmenT.') "
                           "WHERE place = 1")  # fmt: skip
    assert len(wrong()) == 1
    asked = ["ledger", "verify", "--full", "--json"]
    found = CliRunner().invoke(app, asked, env=environment(world.settings))
    assert found.exit_code == 1
    assert "is not what manifest" in json.loads(found.stdout)["problems"][0]["what"]
    tamper(world.sessions, "UPDATE app.disclosure SET leaf = replace(leaf, 'segmenT.', 'segment.')")
    assert wrong() == []
    tamper(world.sessions, "UPDATE app.manifest SET hashes = set_byte(hashes, 40, 7)")
    assert any("commits to" in what for what in wrong())


def test_evidence_is_deleted_in_time_and_the_ledger_stays_sound(world: World) -> None:
    world.send(world.agree("ada"))
    world.seal()
    with world.sessions.begin() as session:
        assert not evidence.forget(session, before=datetime.now(UTC) - timedelta(days=1))
        assert session.scalar(sa.select(sa.func.count()).select_from(Disclosure)) == 1
        assert not evidence.forget(session, before=datetime.now(UTC))
        for table in (Disclosure, Manifest):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0
        assert ledger.verify(session, full=True).sound
        assert evidence.tampered(session) == []


def test_a_purpose_on_another_basis_is_proved_by_the_purpose_alone(world: World) -> None:
    with world.sessions.begin() as session:
        world.crm = session.get_one(Destination, world.crm.id)
        world.crm.purpose = "service.operation"
    with world.sessions.begin() as session:
        ada = graph.identify(session, [("user_id", "ada")])["user_id", "ada"]
    world.send(ada)
    vkeys = world.seal()
    found = check_send.check_send(world.prove("ada"), vkeys)
    assert found["send"]["reason"] == "lawful_basis:contract"
    assert (found["records"], found["notices"]) == ([], [])


def test_restrictions_are_entries_of_the_ledger(world: World) -> None:
    """Set and lifted, sealed, compared with the rows, and told of nobody in public."""
    now = datetime.now(UTC)
    ada = ("user_id", "ada")
    with world.sessions.begin() as session:
        assert restrictions.restrict(session, [ada], "restriction", reason_ref="request:1", at=now)
        restrictions.restrict(
            session, [ada], "objection", reason_ref="request:2", at=now, purpose_key=EMAIL
        )
        assert restrictions.lift(session, "request:1", at=now + timedelta(hours=1)) == 1
    world.seal()

    def problems() -> list[str]:
        with world.sessions() as session:
            report = ledger.verify(session, full=True, keys=world.job.keystore.by_ids)
            return [problem.what for problem in report.problems]

    assert problems() == []
    with world.sessions() as session:
        [lifted, standing] = restrictions.of(session, [ada])
        assert lifted.lift_id is not None
        said = store.said_about(session, [lifted.entry_id, lifted.lift_id, standing.entry_id])
        opened = ledger.opening(
            session, world.job.keystore, store.index_of(session, standing.entry_id)
        )
        proof = store.prove(session, store.index_of(session, lifted.lift_id)).write()
        vkeys = store.vkeys(session)
    public = [(s["event"], s["restriction"], s.get("purpose")) for s in said.values()]
    assert sorted(public, key=str) == sorted(
        [
            ("set", "restriction", None),
            ("lifted", "restriction", None),
            ("set", "objection", EMAIL),
        ],
        key=str,
    )
    assert check.check(proof, vkeys).entry["event"] == "lifted"
    body = check.check_body(said[standing.entry_id], str(opened))
    assert (body["value"], body["reason_ref"]) == ("ada", "request:2")
    assert not any(word in json.dumps(list(said.values())) for word in ('"ada"', "request:"))

    tamper(world.sessions, "UPDATE consent.restriction SET to_at = now() WHERE lift_id IS NULL")
    assert any("was changed" in what for what in problems())
    tamper(world.sessions, "UPDATE consent.restriction SET to_at = NULL WHERE lift_id IS NULL")
    assert problems() == []
    tamper(world.sessions, "UPDATE consent.restriction SET to_at = now() + interval '1 d', "
                           "lift_id = gen_random_uuid() WHERE lift_id IS NULL")  # fmt: skip
    assert any("without the ledger" in what for what in problems())
    tamper(world.sessions, "DELETE FROM consent.restriction")
    assert any("is gone" in what for what in problems())
