"""Evidence of sends and of denials ends with the person; that of others holds."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.consents import denials
from app.consents.tables import DeniedUse
from app.destinations import evidence, manifest
from app.destinations.deliver import deliver
from app.destinations.tables import Disclosure, Manifest
from app.ledger.job import LedgerJob
from consent import ledger, restrictions
from consent.ledger import check_send, store
from identity import people
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, ada, bob
from tests.app.privacy.test_erasure_steps import destination


def test_what_was_sent_and_denied_is_forgotten_with_the_person_and_others_stay_proved(
    world: World,
) -> None:
    ada(world)
    bob(world)
    client = destination(world, [])
    with world.sessions.begin() as session:
        ids = {who: people.find(session, "user_id", who) or 0 for who in ("ada-1815", "bob-7")}
        session.execute(
            sa.text(
                "INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type,"
                " payload, state, due_at, created_at)"
                " SELECT d.id, gen_random_uuid(), i.id, i.profile_id, 'segment.entered',"
                " '{\"segment\": \"buyers\"}', 'waiting', now(), now()"
                " FROM app.destination d, identity.identifier i WHERE i.id = any(:people)"
            ),
            {"people": list(ids.values())},
        )
        now = datetime.now(UTC)
        denied = dict.fromkeys(ids.values(), "withdrawn")
        denials.note(session, "export", "ads.share", denied, at=now)
        denials.note(session, "read", "ads.share", {ids["ada-1815"]: "refused"}, at=now)
        restrictions.restrict(
            session, [("user_id", "ada-1815")], "objection", reason_ref="request:1", at=now,
            purpose_key="ads.share",
        )  # fmt: skip
    with client:
        while deliver(world.sessions, client):
            pass
    manifest.close(world.sessions)
    job = LedgerJob(world.sessions, world.settings)
    job.round()
    with world.sessions() as session:
        proofs = {who: proof(session, job, who) for who in ids}
        vkeys = store.vkeys(session)

    done = {
        t["store"]: t["state"]
        for t in world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")["tasks"]
    }
    assert (done["tables"], done["ledger"], done["destination"]) == ("done", "done", "waiting")

    assert world.where(*ADA) == set(), "before the destination has answered, too"
    with world.sessions() as session:
        assert [d.identifier_ids for d in session.scalars(sa.select(DeniedUse))] == [[ids["bob-7"]]]
        [left] = session.scalars(sa.select(Disclosure))
        assert ids["bob-7"] in left.identifier_ids
        [kept] = session.scalars(sa.select(Manifest))
        assert len(kept.hashes) == 64, "the hash of what is gone stays, or nothing would be proved"
        assert proof(session, job, "bob-7") is not None
        with pytest.raises(Exception, match="nothing was sent"):
            proof(session, job, "ada-1815")
        job.round()
        report = ledger.verify(session, full=True, keys=job.keystore.by_ids)
        assert report.problems == []
        assert evidence.tampered(session) == []
    for given in proofs.values():  # what was proved before still is
        assert check_send.check_send(given, vkeys)["send"]["reason"] == "given"
    job.keystore.close()


def proof(session: Any, job: LedgerJob, user: str) -> str:
    now = datetime.now(UTC)
    row = evidence.last(session, "user_id", user, until=now, destination="mail")
    return evidence.prove(session, job.keystore, row)
