"""Who claims several identifiers shows control of each, whatever becomes of the keys meanwhile."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.errors import IdentityNotShown, PrivacyRequestState
from app.privacy import check, requests
from app.settings import Settings
from app.suppression import gate
from identity import identifiers
from tests.app.privacy.conftest import World

MINE, NOT_MINE = "email:mallory@example.org", "email:victim@example.org"
OLD, NEW = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def keys(world: World, *those: str) -> None:
    gate.use(Settings(**{**world.settings.model_dump(), "suppression_key": ",".join(those)}))


def asked(world: World) -> UUID:
    with world.sessions.begin() as session:
        return requests.open_(
            session, world.settings, kind="access", by="test", now=datetime.now(UTC),
            identifiers=[identifiers.parse(MINE), identifiers.parse(NOT_MINE)],
        ).id  # fmt: skip


def issue(world: World, request: UUID, who: str) -> str:
    with world.sessions.begin() as session:
        now = datetime.now(UTC)
        return check.issue(session, request, identifiers.parse(who), "code", by="t", now=now)[0]


def confirm(world: World, request: UUID, who: str, secret: str) -> None:
    named = identifiers.parse(who)
    check.confirm(world.sessions, request, named, secret, by="t", now=datetime.now(UTC))


def test_an_identifier_that_was_checked_under_two_keys_is_one(world: World) -> None:
    keys(world, OLD)
    request = asked(world)
    confirm(world, request, MINE, issue(world, request, MINE))
    keys(world, NEW, OLD)
    confirm(world, request, MINE, issue(world, request, MINE))
    assert world.shown(request)["state"] == "awaiting_identity", "nobody showed the other"
    confirm(world, request, NOT_MINE, issue(world, request, NOT_MINE))
    assert world.shown(request)["state"] == "verified"


def test_secrets_are_counted_over_both_keys(world: World) -> None:
    keys(world, OLD)
    request = asked(world)
    first = issue(world, request, NOT_MINE)
    keys(world, NEW, OLD)
    issue(world, request, NOT_MINE)
    with pytest.raises(IdentityNotShown):  # the newer one made it void
        confirm(world, request, NOT_MINE, first)
    for _ in range(check.MOST_ISSUED - 2):
        issue(world, request, NOT_MINE)
    with pytest.raises(PrivacyRequestState):
        issue(world, request, NOT_MINE)
