"""Secrets, keys and tokens that are replaced, revoked or limited while clients use them."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import KeySet

from api.auth import TokenKeys
from app.access import clients, credentials, keys, tokens
from app.access.tables import ClientCredential, SigningKey
from app.db import Sessions
from app.errors import CredentialNotFound
from tests.api.oauth.wire import Known, ask, part, read, refused, token_of


def rotated(sessions: Sessions, client: Known, keep: timedelta) -> Known:
    """Give a client another secret, and let the others go on for a while."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        found = clients.find(session, client.id)
        others = credentials.in_use(session, found, now=now)
        credentials.end(session, others, keep=keep, now=now)
        return Known(client.id, credentials.add_secret(session, found, now=now))


def test_two_secrets_work_at_once_until_the_older_one_ends(
    server: TestClient, sessions: Sessions, client: Known
) -> None:
    newer = rotated(sessions, client, timedelta(hours=1))
    assert (ask(server, client).status_code, ask(server, newer).status_code) == (200, 200)
    with sessions.begin() as session:  # the hour is over
        ends = ClientCredential.expires_at - timedelta(hours=1)
        session.execute(sa.update(ClientCredential).values(expires_at=ends))
    assert (ask(server, client).status_code, ask(server, newer).status_code) == (401, 200)


def test_a_secret_that_leaked_ends_at_once_and_one_that_was_to_end_earlier_still_does(
    server: TestClient, sessions: Sessions, client: Known
) -> None:
    second = rotated(sessions, client, timedelta(minutes=1))
    third = rotated(sessions, client, timedelta(hours=1))
    with sessions() as session:
        rows = credentials.in_use(session, clients.find(session, client.id), now=datetime.now(UTC))
        left = [(row.expires_at - datetime.now(UTC)) if row.expires_at else None for row in rows]
    assert left[0] is not None
    assert left[0] <= timedelta(minutes=1)
    fourth = rotated(sessions, client, timedelta())
    answers = [ask(server, one).status_code for one in (client, second, third, fourth)]
    assert answers == [401, 401, 401, 200]


def test_the_credential_of_another_client_is_not_found(sessions: Sessions, client: Known) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        other, _ = clients.add(session, "other", scopes=["profiles:read"], purposes=[])
        mine = credentials.in_use(session, clients.find(session, client.id), now=now)[0]
        with pytest.raises(CredentialNotFound):
            credentials.find(session, other, mine.id, now=now)


def test_all_tokens_of_a_client_are_void_at_once_and_those_of_others_not(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    token = token_of(server, client)
    with sessions.begin() as session:
        other, secret = clients.add(session, "other", scopes=["profiles:read"], purposes=[])
    theirs = token_of(server, Known(other.client_id, secret))
    with sessions.begin() as session:
        tokens.revoke_all(clients.find(session, client.id), now=datetime.now(UTC))
    refused(read(guarded, token))
    assert read(guarded, theirs).status_code == 200
    with sessions.begin() as session:  # a second later
        clients.find(session, client.id).tokens_from = datetime.now(UTC) - timedelta(seconds=1)
    assert read(guarded, token_of(server, client)).status_code == 200


# --- the keys that sign tokens -----------------------------------------------------------------


@pytest.fixture(autouse=True)
def _one_key(server: TestClient, sessions: Sessions) -> None:
    """Begin each test with no signing key at all, and with a server that remembers none."""
    with sessions.begin() as session:
        session.execute(sa.delete(SigningKey))
    cast(FastAPI, server.app).state.token_keys = TokenKeys(sessions)


def kid(token: str) -> str:
    return str(part(token, 0)["kid"])


def later(sessions: Sessions, by: timedelta) -> None:
    """Let time pass for the signing keys."""
    with sessions.begin() as session:
        moved = {
            "signs_from": SigningKey.signs_from - by,
            "retired_at": SigningKey.retired_at - by,
        }
        session.execute(sa.update(SigningKey).values(moved))


def public(server: TestClient) -> list[str]:
    return [key["kid"] for key in server.get("/.well-known/jwks.json").json()["keys"]]


def test_a_new_key_is_public_before_it_signs_and_the_old_one_until_its_tokens_are_over(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    before = token_of(server, client)
    with sessions.begin() as session:
        second = keys.rotate(session, now=datetime.now(UTC)).key_id
    assert public(server) == [second, kid(before)]
    assert kid(token_of(server, client)) == kid(before), "not everybody knows the new key yet"

    later(sessions, keys.PUBLIC_BEFORE)
    after = token_of(server, client)
    assert kid(after) == second
    assert public(server) == [second, kid(before)]
    assert [read(guarded, token).status_code for token in (before, after)] == [200, 200]
    known = KeySet.import_key_set(server.get("/.well-known/jwks.json").json())
    for token in (before, after):
        assert jwt.decode(token, known, algorithms=["ES256"]).claims["client_id"] == client.id

    later(sessions, keys.ACCEPTED_AFTER)
    assert public(server) == [second]
    refused(read(guarded, before))
    assert read(guarded, after).status_code == 200


def test_a_key_that_was_lost_is_void_at_once_with_all_its_tokens(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    lost = token_of(server, client)
    assert read(guarded, lost).status_code == 200
    with sessions.begin() as session:
        keys.rotate(session, now=datetime.now(UTC), at_once=True)
    refused(read(guarded, lost))
    assert kid(lost) not in public(server)
    introspected = server.post("/oauth/introspect", data={"token": lost}, auth=client.basic)
    assert introspected.json() == {"active": False}
    cast(FastAPI, guarded.app).state.token_keys._looked -= 1  # a second passes
    assert read(guarded, token_of(server, client)).status_code == 200


def test_a_server_whose_clock_is_behind_signs_with_the_new_key_and_makes_none(
    sessions: Sessions,
) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        keys.current(session, now=now)
        second = keys.rotate(session, now=now, at_once=True).key_id
        behind = now - timedelta(seconds=90)
        assert keys.current(session, now=behind).key_id == second
        assert [key.key_id for key in keys.known(session, now=behind)] == [second]


def test_keys_that_were_retired_long_ago_are_forgotten(sessions: Sessions) -> None:
    with sessions.begin() as session:
        now = datetime.now(UTC)
        first = keys.current(session, now=now).key_id
        keys.rotate(session, now=now)
        keys.rotate(session, now=now + timedelta(days=3))
        session.expire_all()
        assert session.get(SigningKey, first) is None
        assert len(session.scalars(sa.select(SigningKey)).all()) == 2


# --- limits ------------------------------------------------------------------------------------


def test_a_client_is_limited_and_told_when_to_come_back_and_others_are_not(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    token = token_of(server, client)
    with sessions.begin() as session:
        other, secret = clients.add(session, "other", scopes=["profiles:read"], purposes=[])
        found = clients.find(session, client.id)
        found.requests_per_second, found.burst = 0.1, 3
    theirs = token_of(server, Known(other.client_id, secret))
    assert [read(guarded, token).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    answer = read(guarded, token)
    assert answer.json()["code"] == "rate-limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert ask(server, client).status_code == 429, "tokens come from the same bucket"
    assert read(guarded, theirs).status_code == 200
    with sessions.begin() as session:
        clients.find(session, client.id).requests_per_second = None
    assert read(guarded, token).status_code == 200, "a limit that is lifted is gone at once"
