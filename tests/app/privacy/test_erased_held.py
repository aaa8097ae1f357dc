"""Erasure of what is held until its person answers."""

import sqlalchemy as sa

from app.access import sources
from tests.app.privacy.conftest import World


def test_what_waited_for_an_answer_goes_too(world: World) -> None:
    with world.sessions.begin() as session:
        made = sources.add(
            session, "holds", collection_purpose="analytics.audience", pending_seconds=3600
        )[1]
    said = {"userId": "ada-1815", "event": "Seen", "writeKey": made}
    assert world.server.post("/v1/track", json=said).json()["held"] == 1
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert shown["tasks"][0]["result"]["held_events"] == 1
    with world.sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.held")) == 0
