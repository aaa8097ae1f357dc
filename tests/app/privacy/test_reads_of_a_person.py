"""Who read a person is in the person's access package, and goes with the person."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from app.access import clients, reads
from app.access.tables import PersonRead
from app.privacy import gather, subject
from identity import people
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ada, bob

PURPOSE = "analytics.audience"


def test_reads_are_told_to_the_person_and_erased_with_the_person_alone(world: World) -> None:
    ada(world)
    bob(world)
    with world.sessions.begin() as session:
        crm, _ = clients.add(session, "crm", scopes=["profiles:read"], purposes=[PURPOSE])
        ids = {who: people.find(session, "user_id", who) or 0 for who in ("ada-1815", "bob-7")}
        noted(session, crm.client_id, PURPOSE, ids["ada-1815"])
        noted(session, crm.client_id, PURPOSE, *ids.values())
        noted(session, crm.client_id, None, ids["bob-7"])
    with world.sessions() as session:
        found = subject.find(session, [("user_id", "ada-1815")])
        told = gather.everything(session, world.settings, found, [])["reads"]
    assert [(one["reader"], one["purpose"], one["operation"]) for one in told] == [
        ("crm", PURPOSE, "GET /v1/x"),
        ("crm", PURPOSE, "GET /v1/x"),
    ]
    assert "bob" not in str(told)

    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    with world.sessions() as session:
        left = [set(row.identifier_ids) for row in rows(session)]
        bobs = {m.identifier_id for m in people.members(session, [ids["bob-7"]])}
    assert left == [{ids["bob-7"]}, bobs]


def rows(session: Any) -> list[PersonRead]:
    return list(session.scalars(sa.select(PersonRead).order_by(PersonRead.id)))


def noted(session: Any, client_id: str, purpose: str | None, *ids: int) -> None:
    reads.begin(session, client_id=client_id, operation="GET /v1/x")
    reads.saw(session, ids, purpose=purpose)
    reads.write(session, at=datetime.now(UTC))
