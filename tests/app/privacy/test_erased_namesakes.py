"""What is called like an address of the person, or a hash of it, goes with them (71)."""

import hashlib

import sqlalchemy as sa

from app.privacy import subject
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import ADA, SENT, ada, bob


def test_71_a_login_or_device_that_is_called_like_the_address_goes_with_it(world: World) -> None:
    ada(world)
    bob(world)
    world.send(
        {"type": "page", "name": "Home", "anonymousId": SENT.upper(), "context": GIVEN},
        {"type": "track", "event": "Bought", "userId": "adalovelace@gmail.com", "context": GIVEN},
        # Somebody else on whose device the address was given for an id.
        {"type": "track", "event": "Bought", "userId": "carl-3", "anonymousId": SENT,
         "context": GIVEN},
    )  # fmt: skip
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert shown["state"] == "closed"
    assert world.where(*ADA) == set()
    with world.sessions() as session:
        left = session.scalars(sa.text("SELECT value FROM identity.identifier")).all()
        events = session.scalars(sa.text("SELECT user_id FROM app.event ORDER BY id")).all()
    assert {"bob-7", "carl-3"} <= set(left)
    assert events.count("carl-3") == 1
    assert world.send({"type": "page", "anonymousId": SENT, "context": GIVEN}) == ["suppressed"]


def test_71_hashes_of_an_address_that_others_events_hold_are_found(world: World) -> None:
    ada(world)
    spelt = ("adalovelace@gmail.com", "ada.lovelace+shop@gmail.com")
    digests = [hashlib.new(n, s.encode()).hexdigest() for n in subject.DIGESTS for s in spelt]
    other = hashlib.sha256(b"bob@example.org").hexdigest()
    world.send(
        {"type": "track", "userId": "bob-7", "event": "Shown", "context": GIVEN,
         "properties": {"audience": [*digests, other], "url": f"/?em={digests[0].upper()}&n=1"}},
        {"type": "page", "name": "Home", "anonymousId": digests[-1], "context": GIVEN},
    )  # fmt: skip
    assert "app.event" in world.where(*digests)
    rejected = {"userId": "bob-7", "writeKey": world.key, "properties": {"em": digests[1]}}
    world.server.post("/v1/track", json=rejected)
    assert "app.rejected_event" in world.where(digests[1])
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert world.where(*digests) == set()
    with world.sessions() as session:
        said = session.scalar(sa.text("SELECT properties FROM app.event WHERE name = 'Shown'"))
    assert said == {"audience": ["[erased]"] * 6 + [other], "url": "/?em=[erased]&n=1"}
