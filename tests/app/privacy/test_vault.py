"""What is kept against legal claims after an erasure, and how two people open it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.access import clients
from app.db import Sessions
from app.errors import VaultEntryNotFound, VaultOpeningDenied, VaultOpeningState
from app.ledger.job import LedgerJob
from app.ledger.keystore import Keystore
from app.privacy import run, vault, vault_openings
from app.privacy.replay import replay
from consent.ledger.check import check_body, leaf_hash
from consent.ledger.store import entries as ledger_entries
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, ada, restored

ADDRESS = ("email", "adalovelace@gmail.com")
KEPT = ["analytics.audience", "marketing.email", "profile.link"]


def officer(world: World, *scopes: str) -> str:
    with world.sessions.begin() as session:
        made, _ = clients.add(session, "officer", scopes=scopes or ("proof:open",), purposes=())
        return made.client_id


def now() -> datetime:
    return datetime.now(UTC)


def erased(world: World) -> dict[str, Any]:
    """Ada, whose consent is in the ledger, is erased; she refused one purpose and withdrew one."""
    ada(world)
    refusal = {"consent": {"categoryPreferences": {"marketing.sms": False}}}
    world.send({"type": "track", "userId": "ada-1815", "event": "Left", "context": refusal})
    withdrawn = {
        "subject": {"namespace": "user_id", "value": "ada-1815"},
        "decisions": [{"purpose": "marketing.email", "state": "withdrawn"}],
    }
    answer = world.server.post("/v1/consents", json=withdrawn, auth=(world.key, ""))
    assert answer.status_code == 200, answer.text
    job = LedgerJob(world.sessions, world.settings)
    job.round()
    job.keystore.close()
    return world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")


def asked(world: World, by: str, purpose: str | None = None) -> UUID:
    return vault_openings.request(
        world.sessions, [ADDRESS], reason="claim 4711", by=by, now=now(), purpose=purpose
    )


def agree(world: World, opening: UUID, by: str, *, after: timedelta = timedelta(0)) -> None:
    vault_openings.decide(world.sessions, opening, approve=True, by=by, now=now() + after)


def read(
    world: World, opening: UUID, by: str, *, after: timedelta = timedelta(0)
) -> list[dict[str, Any]]:
    return vault_openings.read(world.sessions, world.settings, opening, by=by, now=now() + after)


def whats(world: World, opening: UUID) -> list[str]:
    with world.sessions() as session:
        found = vault_openings.find(session, opening)
        events = vault_openings.describe(session, found, now=now())["events"]
    return [event["what"] for event in events]


def fits_the_ledger(world: World, proof: dict[str, Any]) -> None:
    """The entry is about this record, and the key is gone under which the ledger had sealed it."""
    with world.sessions() as session:
        [row] = ledger_entries(session, start=proof["index"], limit=1)
        assert leaf_hash(row.entry.encode()) == row.leaf_hash
        assert json.loads(row.entry)["purpose"] == proof["said"]["purpose"]
        assert str(row.about) == proof["record"] == proof["said"]["id"]
        opening = json.dumps({"body": proof["body"], "key": proof["key"]})
        assert check_body(json.loads(row.entry), opening) == proof["said"]


def test_what_was_agreed_to_is_kept_and_two_people_open_it(world: World) -> None:
    shown = erased(world)

    assert world.where(*ADA) == set()  # sealed: no table says whose it is
    kept = next(task for task in shown["tasks"] if task["store"] == "vault")
    assert kept["state"] == "retained"
    assert kept["result"]["purposes"] == KEPT
    assert kept["result"]["until"] == (now() + timedelta(days=1_095)).date().isoformat()
    one, other = officer(world), officer(world)
    opening = asked(world, one, "marketing.email")
    for who in (one, other):
        with pytest.raises((VaultOpeningState, VaultOpeningDenied)):
            read(world, opening, who)  # nobody has agreed yet
    with pytest.raises(VaultOpeningDenied):
        agree(world, opening, one)  # the same person twice
    for statement in (  # nor behind the back of the code
        "UPDATE app.vault_opening SET state = 'approved', decided_by = requested_by",
        "DELETE FROM app.vault_event",
        "UPDATE app.vault_event SET by = 'nobody'",
    ):
        with world.sessions.begin() as session, pytest.raises(DBAPIError):
            session.execute(sa.text(statement))
    agree(world, opening, other)
    entries = read(world, opening, one)
    assert entries == read(world, opening, other)

    assert {entry["purpose"] for entry in entries} == {"marketing.email"}
    proofs = [proof for entry in entries for proof in entry["proofs"]]
    said = {(p["said"]["namespace"], p["said"]["value"], p["said"]["state"]) for p in proofs}
    assert said == {("user_id", "ada-1815", "given"), ("anonymous_id", "anon-ada-77", "given")}
    ended = {p["said"]["namespace"]: p["ended_at"] is not None for p in proofs}
    assert ended == {"user_id": True, "anonymous_id": False}
    for proof in proofs:
        fits_the_ledger(world, proof)
    with pytest.raises(VaultOpeningDenied):
        read(world, opening, officer(world))  # a third person
    assert whats(world, opening) == [
        "requested", "denied", "denied", "denied", "approved", "opened", "opened", "denied",
    ]  # fmt: skip
    with world.sessions() as session:  # the ledger tells of each
        stated = session.scalars(
            sa.text("SELECT public ->> 'what' FROM consent.ledger_statement WHERE kind = 'admin'")
        ).all()
    assert sorted(stated) == sorted(["kept", *whats(world, opening)])


def test_nothing_opens_out_of_time_or_for_who_may_not_and_all_is_destroyed_in_time(
    world: World,
) -> None:
    erased(world)
    one, other, stranger = officer(world), officer(world), officer(world, "privacy:process")

    def refused(why: type[Exception], act: Callable[..., object], *args: Any, **more: Any) -> None:
        with pytest.raises(why):
            act(world, *args, **more)

    refused(VaultOpeningDenied, asked, stranger)
    late = asked(world, one)
    refused(VaultOpeningDenied, agree, late, stranger)
    refused(VaultOpeningState, agree, late, other, after=timedelta(hours=72))
    in_time = asked(world, one)
    agree(world, in_time, other, after=timedelta(hours=71))
    refused(VaultOpeningState, agree, in_time, other)  # agreed already
    refused(VaultOpeningState, read, in_time, one, after=timedelta(hours=72))
    taken_back = asked(world, one)
    vault_openings.decide(world.sessions, taken_back, approve=False, by=one, now=now())
    refused(VaultOpeningState, agree, taken_back, other)
    with world.sessions.begin() as session:
        clients.remove(session, other)
    refused(VaultOpeningDenied, read, in_time, one)
    with pytest.raises(VaultEntryNotFound):
        vault_openings.request(
            world.sessions, [("email", "bob@example.org")], reason="x", by=one, now=now()
        )

    with world.sessions() as session:
        keys = [vault.key_of(entry.id) for entry in vault.of(session, [ADDRESS])]
    keystore = Keystore(world.settings)
    assert keystore.existing(keys).keys() == set(keys)
    assert vault.expire(world.sessions, world.settings, now=now()) == 0
    over = now() + timedelta(days=1_096)
    assert vault.expire(world.sessions, world.settings, now=over) == len(keys)
    assert keystore.existing(keys) == {}
    keystore.close()
    with world.sessions() as session:
        assert not session.scalar(sa.text("SELECT count(*) FROM app.vault_entry"))
    run.round_(world.sessions, world.settings)  # a second time, nothing is left to do


def test_a_purpose_says_how_long_its_proofs_are_kept_and_refusals_are_not(
    world: World, token: Callable[..., dict[str, str]]
) -> None:
    headers = token("privacy:process")

    def declare(key: str, version: int, days: Any) -> int:
        body = {"key": key, "version": version, "lawful_basis": "consent",
                "declared": {"proof_retention_days": days}}  # fmt: skip
        return world.server.post("/v1/purposes", json=body, headers=headers).status_code

    assert declare("analytics.audience", 2, 0) == declare("marketing.email", 2, 30) == 201
    assert {declare("x", 1, days) for days in (-1, 40_000, "long", 1.5)} == {422}
    erased(world)
    with world.sessions() as session:
        until = {entry.purpose: entry.kept_until for entry in vault.of(session, [ADDRESS])}
    assert until.keys() == {"marketing.email", "profile.link"}
    assert until["marketing.email"] < now() + timedelta(days=31)

    # The same over HTTP.
    base = "/v1/privacy/vault"
    one, other = token("proof:open"), token("proof:open")
    who = {"subject": "email:adalovelace@gmail.com"}
    assert world.server.get(base, params=who, headers=headers).status_code == 403
    listed = world.server.get(base, params=who, headers=one).json()["data"]
    assert {entry["purpose"] for entry in listed} == until.keys()
    wanted = {"identifiers": [who["subject"]], "reason": "claim", "purpose": "marketing.email"}
    made = world.server.post(f"{base}/openings", json=wanted, headers=one)
    assert (made.status_code, made.json()["state"]) == (201, "pending")
    opening = f"{base}/openings/{made.json()['id']}"
    assert world.server.post(f"{opening}/approval", headers=one).status_code == 403
    assert world.server.post(f"{opening}/proofs", headers=other).status_code == 403
    assert world.server.post(f"{opening}/approval", headers=other).json()["state"] == "approved"
    assert world.server.post(f"{opening}/approval", headers=other).status_code == 409
    answer = world.server.post(f"{opening}/proofs", headers=one)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["data"][0]["proofs"][0]["said"]["purpose"] == "marketing.email"
    [shown] = world.server.get(f"{base}/openings", headers=other).json()["data"]
    assert [event["what"] for event in shown["events"]] == [
        "requested", "denied", "denied", "approved", "denied", "opened",
    ]  # fmt: skip
    assert world.server.post(f"{base}/openings/x/approval", headers=one).status_code == 404


@pytest.mark.long
def test_an_erasure_repeated_in_a_restored_database_seals_anew_from_the_first_day_on(
    world: World, sessions: Sessions
) -> None:
    ada(world)
    job = LedgerJob(world.sessions, world.settings)
    job.round()
    backup = restored(world, sessions, f"backup_{uuid4().hex[:12]}")
    try:
        world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
        with world.sessions() as session:
            first = {entry.id: entry.kept_until for entry in vault.of(session, [ADDRESS])}
        world.sessions = backup

        assert replay(backup, world.settings) == 1

        with backup() as session:
            again = {entry.id: entry.kept_until for entry in vault.of(session, [ADDRESS])}
        assert again.keys() == first.keys()
        assert all(abs(again[key] - first[key]) < timedelta(seconds=5) for key in first)
        assert world.where(*ADA) == set()
        one, other = officer(world), officer(world)
        opening = asked(world, one)
        agree(world, opening, other)
        said = {
            p["said"]["purpose"] for entry in read(world, opening, one) for p in entry["proofs"]
        }
        assert said == set(KEPT)
    finally:
        job.keystore.close()
        backup.kw["bind"].dispose()


@pytest.mark.long
def test_of_many_who_agree_at_once_one_does_and_the_others_are_denied_on_record(
    world: World,
) -> None:
    erased(world)
    one, others = officer(world), [officer(world) for _ in range(6)]
    opening = asked(world, one)

    def try_(who: str) -> bool:
        try:
            agree(world, opening, who)
        except VaultOpeningState:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(try_, others)) == [False] * 5 + [True]
    assert sorted(whats(world, opening)) == ["approved", *["denied"] * 5, "requested"]
