"""Revocation, introspection, metadata, and the registration of clients."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from api.auth import Caller, state_purpose
from app.access import clients, credentials, keys, tokens
from app.access.tables import ClientCredential, RevokedToken, SigningKey
from app.access.write_keys import hash_key
from app.db import Sessions
from app.errors import (
    ClientNotFound,
    DefinitionInvalid,
    PurposeNotAllowed,
    PurposeRequired,
)
from tests.api.oauth.wire import Forge, Known, part, read, refused, register, token_of

# --- giving a token back, and asking what it is worth ------------------------------------------


def introspect(server: TestClient, asking: Known, token: str, **more: str) -> dict[str, Any]:
    answer = server.post("/oauth/introspect", data={"token": token, **more}, auth=asking.basic)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_revoked_token_is_refused_at_once_and_introspection_knows(
    server: TestClient, guarded: TestClient, client: Known
) -> None:
    token, other = token_of(server, client), token_of(server, client)
    for _ in range(2):
        answer = server.post("/oauth/revoke", data={"token": token}, auth=client.basic)
        assert answer.status_code == 200

    refused(read(guarded, token))
    assert introspect(server, client, token) == {"active": False}
    assert read(guarded, other).status_code == 200


def test_a_client_revokes_only_its_own_tokens(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    stranger = register(sessions, "segments:read")
    token = token_of(server, client)
    answer = server.post("/oauth/revoke", data={"token": token}, auth=stranger.basic)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert read(guarded, token).status_code == 200


def test_to_revoke_what_is_no_token_is_no_error(server: TestClient, client: Known) -> None:
    answer = server.post("/oauth/revoke", data={"token": "x.y.z"}, auth=client.basic)
    assert answer.status_code == 200


def test_introspection_tells_a_client_about_its_own_token(
    server: TestClient, client: Known, issuer: str
) -> None:
    token = token_of(server, client)
    claims = part(token, 1)

    assert introspect(server, client, token) == {
        "active": True,
        "token_type": "Bearer",
        "client_id": client.id,
        "sub": client.id,
        "scope": "profiles:read segments:read",
        "purposes": ["ads", "service"],
        "iss": issuer,
        "aud": issuer,
        "iat": claims["iat"],
        "exp": claims["exp"],
        "jti": claims["jti"],
    }


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "something_else"])
def test_a_hint_changes_no_answer(server: TestClient, client: Known, hint: str) -> None:
    token = token_of(server, client)
    assert introspect(server, client, token, token_type_hint=hint)["active"]
    answer = server.post(
        "/oauth/revoke", data={"token": token, "token_type_hint": hint}, auth=client.basic
    )
    assert answer.status_code == 200
    assert introspect(server, client, token) == {"active": False}


def test_introspection_tells_a_stranger_nothing_and_an_administrator_everything(
    server: TestClient, sessions: Sessions, client: Known
) -> None:
    token = token_of(server, client)
    assert introspect(server, register(sessions, "segments:read"), token) == {"active": False}
    assert introspect(server, register(sessions, "clients:admin"), token)["active"]


def test_the_token_of_a_removed_client_is_inactive(
    server: TestClient, sessions: Sessions, client: Known
) -> None:
    token = token_of(server, client)
    with sessions.begin() as session:
        clients.remove(session, client.id)
    assert introspect(server, register(sessions, "clients:admin"), token) == {"active": False}


def test_a_forged_or_expired_token_is_inactive(
    server: TestClient, client: Known, forge: Forge
) -> None:
    for token in (
        "x",
        forge.sign(exp=int(time.time()) - 60),
        forge.sign(header={"alg": "ES256"}),
        forge.sign(key=ECKey.generate_key("P-256")),
        forge.sign(aud=client.id),
    ):
        assert introspect(server, client, token) == {"active": False}


@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
def test_introspection_and_revocation_need_a_client_and_a_token(
    server: TestClient, client: Known, path: str
) -> None:
    token = token_of(server, client)
    answer = server.post(path, data={"token": token})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    public = server.post(path, data={"token": token, "client_id": client.id})
    assert (public.status_code, public.json()["error"]) == (401, "invalid_client")
    nothing = server.post(path, data={"x": "y"}, auth=client.basic)
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_request")


def test_the_metadata_names_what_there_is_and_not_what_there_is_not(
    server: TestClient, issuer: str
) -> None:
    found = server.get("/.well-known/oauth-authorization-server").json()

    assert found["issuer"] == issuer
    assert found["token_endpoint"] == issuer + "/oauth/token"
    assert found["grant_types_supported"] == ["client_credentials"]
    assert tuple(found["scopes_supported"]) == clients.SCOPES
    for endpoint in ("token", "introspection", "revocation"):
        methods = found[f"{endpoint}_endpoint_auth_methods_supported"]
        assert methods == ["client_secret_basic", "client_secret_post", "private_key_jwt"]
        algorithms = found[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert "ES256" in algorithms
        assert {"none", "HS256"}.isdisjoint(algorithms)


# --- clients, keys, purposes -------------------------------------------------------------------


def test_a_secret_is_stored_as_a_hash_alone(sessions: Sessions) -> None:
    with sessions.begin() as session:
        row, secret = clients.add(session, "x", scopes=["profiles:read"], purposes=["b", "a", "b"])
        assert row.client_id.startswith("cl_")
        assert secret.startswith("cs_")
        [kept] = credentials.in_use(session, row, now=datetime.now(UTC))
        assert (kept.secret_hash, kept.hint) == (hash_key(secret), secret[-4:])
        assert row.purposes == ["a", "b"]
        stored = session.scalar(
            sa.select(sa.func.row_to_json(sa.text("client_credential")).cast(sa.Text))
            .select_from(ClientCredential)
            .where(ClientCredential.client_id == row.id)
        )
        assert secret not in str(stored)


def test_an_unknown_scope_is_named_with_the_one_that_was_meant(sessions: Sessions) -> None:
    with sessions.begin() as session:
        with pytest.raises(DefinitionInvalid, match="'profile:read'; did you mean 'profiles:read'"):
            clients.add(session, "x", scopes=["profile:read"], purposes=[])
        with pytest.raises(DefinitionInvalid, match="at least one scope"):
            clients.add(session, "x", scopes=[], purposes=[])


def test_a_removed_client_is_neither_found_nor_listed(sessions: Sessions, client: Known) -> None:
    with sessions.begin() as session:
        assert client.id in {row.client_id for row in clients.list_all(session)}
        clients.remove(session, client.id)
        assert client.id not in {row.client_id for row in clients.list_all(session)}
        with pytest.raises(ClientNotFound):
            clients.find(session, client.id)


def test_the_signing_key_is_made_once_though_two_processes_ask_for_it(sessions: Sessions) -> None:
    def ask_too() -> str:
        with sessions.begin() as session:
            return keys.current(session).key_id

    with sessions.begin() as session:
        session.execute(sa.delete(SigningKey))
    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            made = keys.current(session).key_id
            second = pool.submit(ask_too)
            with suppress(TimeoutError):
                second.result(timeout=0.5)  # the other one waits for this transaction's end
        assert second.result(timeout=10) == made


def test_a_revoked_token_is_forgotten_once_it_could_not_be_used_anyway(
    sessions: Sessions,
) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        tokens.revoke(session, "old", now - timedelta(days=1))
        tokens.revoke(session, "new", now + timedelta(minutes=5))
        ours = RevokedToken.token_id.in_(["old", "new"])
        assert session.scalars(sa.select(RevokedToken.token_id).where(ours)).all() == ["new"]


def test_a_read_of_personal_data_states_a_purpose_the_client_is_registered_for() -> None:
    caller = Caller("cl_x", frozenset(), frozenset({"ads", "service"}))
    assert state_purpose(caller, "ads") == "ads"
    with pytest.raises(PurposeRequired, match="registered for: ads, service"):
        state_purpose(caller, None)
    with pytest.raises(PurposeRequired):
        state_purpose(caller, "")
    with pytest.raises(PurposeNotAllowed, match="'marketing'"):
        state_purpose(caller, "marketing")
