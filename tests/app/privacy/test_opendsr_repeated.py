"""An OpenDSR request that comes again under its id is signed for as it first came, or refused."""

import json
from typing import Any

import httpx
import sqlalchemy as sa

from app.privacy import opendsr
from app.privacy.tables import PrivacyRequest
from tests.app.privacy.conftest import World
from tests.app.privacy.test_opendsr import body, controller

__all__ = ["controller"]


def test_80_another_body_under_the_same_id_is_refused_and_never_signed(
    world: World, controller: dict[str, str]
) -> None:
    def post(content: bytes) -> Any:
        return world.server.post("/opendsr/requests", content=content, headers=controller)

    sent = json.dumps(body()).encode()
    first = post(sent)
    assert first.status_code == 201
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    assert opendsr.call_back(world.sessions, world.settings, client) == 1  # keeps what came first
    assert post(sent).json() == first.json()
    for other in (json.dumps(body(subject_request_type="access")).encode(), sent + b" "):
        refused = post(other)
        assert refused.status_code == 409, refused.text
        assert refused.json()["code"] == "privacy-request-differs"
        assert "x-opendsr-signature" not in refused.headers
    with world.sessions() as session:
        [kept] = session.scalars(sa.select(PrivacyRequest)).all()
        assert kept.kind == "erasure"
