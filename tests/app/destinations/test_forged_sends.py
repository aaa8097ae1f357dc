"""A proof of a send by somebody who rules database and ledger: it contradicts itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import consent
from app.consents.record import record
from app.db import Sessions
from app.destinations import evidence, manifest, outbox
from app.destinations.tables import Disclosure
from app.settings import Settings
from consent.ledger import check, check_send
from consent.ledger.canonical import canonical
from consent.tables import PurposeVersion
from identity import graph
from tests.app.destinations.test_evidence import EMAIL, World
from tests.app.ledger.recording import tamper
from tests.end_to_end.conftest import Receiver, receiver

__all__ = ["receiver"]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def world(sessions: Sessions, settings: Settings, receiver: Receiver) -> Iterator[World]:
    made = World(sessions, settings, receiver.url)
    with closing(made.job.keystore):
        yield made


def forge(world: World, change: Change, *, place: int = -1) -> None:
    """Write a decision anew before it is sealed, as who rules the database could."""
    with world.sessions() as session:
        row = session.scalars(sa.select(Disclosure).order_by(Disclosure.id)).all()[place]
        said = json.loads(row.leaf)
    change(said)
    with world.sessions.begin() as session:
        session.execute(
            sa.update(Disclosure)
            .where(Disclosure.id == row.id)
            .values(leaf=canonical(said).decode(), decided_at=said["decided_at"])
        )


def refused(world: World, why: str, *, user: str = "ada") -> None:
    vkeys = world.seal()
    with pytest.raises(check.ProofInvalid, match=why):
        check_send.check_send(world.prove(user, datetime.now(UTC) + timedelta(days=1)), vkeys)


def record_of(world: World, user: str) -> str:
    with world.sessions() as session:
        found = sa.select(consent.ConsentRecord.id).where(consent.ConsentRecord.value == user)
        return str(session.scalars(found.order_by(consent.ConsentRecord.seq.desc())).first())


def at(said: dict[str, Any], by: timedelta) -> None:
    said["decided_at"] = (datetime.fromisoformat(said["decided_at"]) + by).isoformat()


def test_a_send_does_not_rest_on_the_consent_of_somebody_else(world: World) -> None:
    ada, _ = world.agree("ada"), world.agree("bob")
    world.send(ada)
    mine, theirs = record_of(world, "ada"), record_of(world, "bob")
    forge(world, lambda said: said.update(records=[theirs]))
    with world.sessions.begin() as session:
        bob = graph.identify(session, [("user_id", "bob")])["user_id", "bob"]
        session.execute(  # so that his record and its opening are in the package
            sa.update(Disclosure).values(
                identifier_ids=sa.func.array_append(Disclosure.identifier_ids, bob)
            )
        )
    refused(world, "of somebody whom the send does not name")
    assert mine != theirs


def test_a_send_does_not_rest_on_a_consent_that_came_later(world: World) -> None:
    ada = world.agree("ada")
    world.send(ada)
    forge(world, lambda said: at(said, -timedelta(seconds=30)))
    refused(world, "was not in force then")


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (timedelta(days=-2), "logged long after the send"),
        (timedelta(minutes=5), "not decided when its manifest says"),
    ],
    ids=["back-dated", "of the future"],
)
def test_a_send_was_decided_when_its_manifest_was_made(
    world: World, by: timedelta, why: str
) -> None:
    ada = world.agree("ada")
    world.send(ada)
    forge(world, lambda said: at(said, by))
    refused(world, why)


def test_a_send_that_is_dated_otherwise_than_its_manifest_is_refused(world: World) -> None:
    ada = world.agree("ada")
    world.send(ada)
    with world.sessions.begin() as session:
        ahead = Disclosure.decided_at - timedelta(minutes=10)
        session.execute(sa.update(Disclosure).values(decided_at=ahead))
    refused(world, "not decided when its manifest says")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"reason": "told_before", "records": []}, "rests on no consent"),
        ({"reason": "told_before"}, "rests on no consent"),
        ({"reason": "told_before", "records": [], "v": "1"}, "rests on no consent"),
        (
            {"reason": "told_before", "records": [], "v": "1", "kind": "profile.updated"},
            "rests on no consent",
        ),
        ({"reason": "lawful_basis:consent"}, "names no consent"),
        ({"reason": "nobody", "records": []}, "names no consent"),
        ({"records": []}, "names no consent"),
        ({"v": "3"}, "no send of a known form"),
        ({"type": "denial"}, "no send of a known form"),
    ],
    ids=lambda found: ",".join(found) if isinstance(found, dict) else None,
)
def test_nothing_but_consent_excuses_a_send_that_needs_it(
    world: World, change: dict[str, Any], why: str
) -> None:
    ada = world.agree("ada")
    world.send(ada)
    forge(world, lambda said: said.update(change))
    vkeys = world.seal()
    with world.sessions() as session:
        [row] = evidence.sends(session, "user_id", "ada", until=datetime.now(UTC))
        proof = prove_without_before(world, row)
    with pytest.raises(check.ProofInvalid, match=why):
        check_send.check_send(proof, vkeys)


def prove_without_before(world: World, row: Disclosure) -> str:
    """Make a package of what is there, whatever the decision says of earlier ones."""
    with pytest.MonkeyPatch.context() as patch, world.sessions() as session:
        patch.setattr(evidence, "_before", lambda _, row: row)
        patch.setattr(evidence, "GIVEN", json.loads(row.leaf)["reason"])  # records go in too
        return evidence.prove(session, world.job.keystore, row)


def test_what_takes_back_shows_what_the_receiver_was_told_before(world: World) -> None:
    ada, bob = world.agree("ada"), world.agree("bob")
    world.send(ada, bob)
    world.agree("ada", "withdrawn")
    world.send(ada, kind=outbox.EXITED)
    vkeys = world.seal()
    with world.sessions() as session:
        sent = evidence.sends(session, "user_id", "ada", until=datetime.now(UTC))
        proof = json.loads(evidence.prove(session, world.job.keystore, sent[0]))
        [theirs] = evidence.sends(session, "user_id", "bob", until=datetime.now(UTC))
        other = json.loads(evidence.prove(session, world.job.keystore, theirs))
    assert check_send.check_send(json.dumps(proof), vkeys)["send"]["intent"] == "release"
    wrong: list[dict[str, Any]] = [other, proof, {}]
    for before in wrong:
        with pytest.raises((check.ProofInvalid, KeyError)):
            check_send.check_send(json.dumps({**proof, "before": before}), vkeys)


def test_a_consent_to_an_older_version_is_none_where_the_newer_renews(world: World) -> None:
    ada = world.agree("ada")
    with world.sessions.begin() as session:
        newest = consent.catalogue.purpose(session, EMAIL)
        consent.catalogue.add_purpose(
            session, replace(newest, version=newest.version + 1, renews=True)
        )
        consent.catalogue.add_notice(
            session, key="newsletter", version=2, language="de", purposes=[EMAIL], body="Neu?"
        )
    world.agree("ada", notice=2)
    world.send(ada)
    with world.sessions() as session:
        first = sa.select(consent.ConsentRecord.id).order_by(consent.ConsentRecord.seq)
        older = str(session.scalars(first).first())
    forge(world, lambda said: said.update(records=[older]))
    refused(world, "of another version of the purpose")


def test_a_refusal_of_anybody_whom_the_send_names_refutes_it(world: World) -> None:
    """Not only of who granted: it would have denied the other's grant too."""
    ada = world.agree("ada")
    with world.sessions.begin() as session:
        tablet = graph.identify(session, [("anonymous_id", "tablet-of-ada")])
        [device] = tablet.values()
        link = graph.Evidence(ada, device, "event", "identify", datetime.now(UTC))
        graph.reconsider(session, graph.observe(session, [link]), at=datetime.now(UTC))
    world.send(ada)
    with world.sessions.begin() as session:
        record(
            session, "anonymous_id", "tablet-of-ada", {EMAIL: "refused"}, collected_by="test",
            received_at=datetime.now(UTC),
        )  # fmt: skip
    tamper(world.sessions, "UPDATE consent.record SET recorded_at = recorded_at - interval '1 h' "
                           "WHERE state = 'refused'")  # fmt: skip
    refused(world, "had refused it before")


def test_a_manifest_that_no_entry_commits_to_is_found(world: World) -> None:
    world.send(world.agree("ada"))
    world.seal()
    with world.sessions() as session:
        assert evidence.tampered(session) == []
    tamper(
        world.sessions,
        "WITH other AS (INSERT INTO app.manifest (id, destination_id, purpose, hashes)"
        " SELECT gen_random_uuid(), destination_id, purpose, hashes FROM app.manifest RETURNING id)"
        " UPDATE app.disclosure SET manifest_id = (SELECT id FROM other)",
    )
    with world.sessions() as session:
        [wrong] = evidence.tampered(session)
    assert "is in no entry of the ledger" in wrong


@pytest.mark.parametrize("column", ["purpose", "destination_id"])
def test_a_manifest_that_is_given_to_another_destination_or_purpose_is_found(
    world: World, column: str
) -> None:
    world.send(world.agree("ada"))
    world.seal()
    tamper(world.sessions, f"UPDATE app.manifest SET {column} = '77'")  # noqa: S608 -- ours
    with world.sessions() as session:
        [wrong] = evidence.tampered(session)
    assert "commits to" in wrong


def test_a_manifest_that_waits_to_be_sealed_is_nothing_wrong(world: World) -> None:
    world.send(world.agree("ada"))
    manifest.close(world.sessions)
    with world.sessions() as session:
        assert evidence.tampered(session) == []


def sent_in_spite(
    world: World, collected_by: str, *, universal: str | None = None, overrides: bool = False
) -> None:
    """Ada is told of on a grant that a page's key said, an hour after something was refused."""
    with world.sessions.begin() as session:
        now = datetime.now(UTC)
        grant = consent.Choice(
            "user_id", "ada", EMAIL, "given", now, "client:desk" if overrides else "source:shop",
            notice={"key": "newsletter", "version": 1, "language": "de"},
            universal="override" if overrides else None,
        )  # fmt: skip
        ada = graph.identify(session, [("user_id", "ada")])["user_id", "ada"]
        consent.record(session, [grant], received_at=now)
    world.send(ada)
    with world.sessions.begin() as session:
        earlier = now - timedelta(hours=1)
        refusal = consent.Choice(
            "user_id", "ada", EMAIL, "refused", earlier, collected_by, universal=universal
        )
        consent.record(session, [refusal], received_at=earlier)


@pytest.mark.parametrize(
    ("collected_by", "universal", "overrides"),
    [("client:desk", None, False), ("source:shop", "opt_out", False)],
    ids=["better proved", "universal"],
)
def test_a_refusal_is_ended_by_no_grant_that_is_proved_worse_or_overrides_nothing(
    world: World, collected_by: str, universal: str | None, overrides: bool
) -> None:
    sent_in_spite(world, collected_by, universal=universal, overrides=overrides)
    refused(world, "had refused it before")


@pytest.mark.parametrize(
    ("collected_by", "universal", "overrides"),
    [("source:shop", None, False), ("source:shop", "opt_out", True)],
    ids=["as well", "overridden"],
)
def test_a_refusal_is_ended_by_a_grant_that_is_proved_as_well_or_overrides_it(
    world: World, collected_by: str, universal: str | None, overrides: bool
) -> None:
    sent_in_spite(world, collected_by, universal=universal, overrides=overrides)
    vkeys = world.seal()
    assert len(check_send.check_send(world.prove("ada"), vkeys)["records"]) == 2


def test_a_grant_for_another_purpose_ends_no_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send(world.agree("ada"))
    world.agree("ada", "withdrawn")
    with world.sessions.begin() as session:
        record(
            session, "user_id", "ada", {"analytics.audience": "given"}, collected_by="client:desk",
            received_at=datetime.now(UTC),
        )  # fmt: skip
    earlier = (
        "recorded_at = recorded_at - interval '1 h', effective_at = effective_at - interval '2 h'"
    )
    tamper(world.sessions, f"UPDATE consent.record SET {earlier} WHERE value = 'ada' AND seq > 1")  # noqa: S608 -- ours
    history = consent.history
    monkeypatch.setattr(consent, "history", lambda session, whose, **_: history(session, whose))
    refused(world, "had refused it before")


@pytest.mark.parametrize(
    ("changes", "sound"),
    [
        ({}, True),
        ({"renews": True}, False),
        ({"declared": {"special_categories": ["health"]}}, False),
    ],
    ids=["nothing", "renews", "covers more"],
)
def test_a_version_between_that_ended_grants_refutes_a_send(
    world: World, changes: dict[str, Any], sound: bool
) -> None:
    """Also one of before it was refused to cover more without renewing."""
    ada = world.agree("ada")
    world.send(ada)
    with world.sessions.begin() as session:
        newest = consent.catalogue.purpose(session, EMAIL)
        for add in (1, 2):
            values = {**changes, "renews": add == 1 and changes.get("renews", False)}
            version = replace(
                newest, version=newest.version + add,
                effective_from=datetime.now(UTC) - timedelta(hours=1), **values,
            )  # fmt: skip
            columns = {name: getattr(version, name) for name in consent.catalogue.COLUMNS}
            session.execute(sa.insert(PurposeVersion).values(columns))
    forge(world, lambda said: said.update(purpose_version=str(newest.version + 2)))
    vkeys = world.seal()
    proof = world.prove("ada")
    if sound:
        assert len(json.loads(proof)["versions"]) == 2
        assert check_send.check_send(proof, vkeys)["records"]
        return
    with pytest.raises(check.ProofInvalid, match="of another version of the purpose"):
        check_send.check_send(proof, vkeys)
