"""The token endpoint: who gets a token, with which scopes, and who gets none."""

import logging
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey

from api.routes import oauth
from app.db import Sessions
from tests.api.oauth.wire import FORM, Known, ask, our_key, part, read, token_of

# --- getting a token ---------------------------------------------------------------------------


def test_a_token_is_an_rfc_9068_access_token_for_this_api(
    server: TestClient, client: Known, issuer: str, sessions: Sessions
) -> None:
    answer = ask(server, client)

    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert 60 <= body["expires_in"] <= 3600
    assert body["scope"] == "profiles:read segments:read"
    assert "refresh_token" not in body
    header, claims = part(body["access_token"], 0), part(body["access_token"], 1)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": our_key(sessions).kid}
    assert claims["iss"] == claims["aud"] == issuer
    assert claims["sub"] == claims["client_id"] == client.id
    assert claims["exp"] - claims["iat"] == body["expires_in"]
    assert claims["scope"] == "profiles:read segments:read"
    assert claims["purposes"] == ["ads", "service"]
    assert claims["jti"] != part(token_of(server, client), 1)["jti"]


def test_the_public_key_set_checks_a_token_and_shows_nothing_private(
    server: TestClient, client: Known
) -> None:
    token = token_of(server, client)
    [public] = server.get("/.well-known/jwks.json").json()["keys"]

    assert set(public) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    checked = jwt.decode(token, ECKey.import_key(public), algorithms=["ES256"])
    assert checked.claims["client_id"] == client.id


def test_the_secret_may_stand_in_the_form(server: TestClient, client: Known) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": client.id,
        "client_secret": client.secret,
    }
    assert server.post("/oauth/token", data=form).status_code == 200


def test_a_client_gets_the_scopes_it_asks_for_and_no_more(
    server: TestClient, client: Known
) -> None:
    assert ask(server, client, scope="segments:read").json()["scope"] == "segments:read"


@pytest.mark.parametrize(
    "scope",
    [
        "segments:write",
        "profiles:read segments:write",
        "no:such",
        'quo"te\\é\n',
        "PROFILES:READ",
    ],
)
def test_a_scope_that_is_not_allowed_is_invalid_scope_and_never_left_out(
    server: TestClient, client: Known, scope: str
) -> None:
    answer = ask(server, client, scope=scope)

    assert answer.status_code == 400
    body = answer.json()
    assert body["error"] == body["code"] == "invalid_scope"
    assert body["error_description"] == body["message"]
    assert "access_token" not in body


@pytest.mark.parametrize("way", ["basic", "post"])
@pytest.mark.parametrize("wrong", ["secret", "client"])
def test_a_wrong_secret_and_an_unknown_client_are_the_same_invalid_client(
    server: TestClient, client: Known, way: str, wrong: str
) -> None:
    known = Known("cl_nobody", client.secret) if wrong == "client" else Known(client.id, "cs_no")
    if way == "basic":
        answer = ask(server, known)
    else:
        form = {
            "grant_type": "client_credentials",
            "client_id": known.id,
            "client_secret": known.secret,
        }
        answer = server.post("/oauth/token", data=form)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.json() == {
        "error": "invalid_client",
        "error_description": "The client is unknown, or its secret or assertion is wrong.",
        "code": "invalid_client",
        "message": "The client is unknown, or its secret or assertion is wrong.",
    }


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!",
        "Basic /////w==",
        "Basic AAA6AAA=",
        "Bearer x",
        "Basic Og==",
    ],
)
def test_credentials_that_make_no_sense_are_invalid_client(
    server: TestClient, credentials: str
) -> None:
    answer = server.post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": credentials},
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&client_secret=cs_x", "invalid_request"),
        ("grant_type=%ff", "invalid_request"),
        ("&".join(f"f{n}=1" for n in range(30)), "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=%22%0a%C3%A9", "unsupported_grant_type"),
    ],
)
def test_a_form_that_cannot_be_answered_is_an_error_of_rfc_6749(
    server: TestClient, client: Known, body: str, error: str
) -> None:
    answer = server.post(
        "/oauth/token", content=body, headers={"Content-Type": FORM}, auth=client.basic
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["code"] == error
    assert answer.json()["message"].isascii()


@pytest.mark.parametrize(
    "verifier", ["", f"&code_verifier={'a' * 43}", "&code_verifier=a&code_challenge_method=plain"]
)
def test_83_no_code_is_taken_with_or_without_pkce_because_nobody_logs_in(
    server: TestClient, client: Known, verifier: str
) -> None:
    """Of the check on PKCE: what is absent, or plain, is refused, since every code is."""
    body = f"grant_type=authorization_code&code=x&redirect_uri=https://a.example{verifier}"
    answer = server.post(
        "/oauth/token", content=body, headers={"Content-Type": FORM}, auth=client.basic
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    found = server.get("/.well-known/oauth-authorization-server").json()
    assert "authorization_endpoint" not in found
    assert found["response_types_supported"] == []
    assert not [path for path in server.get("/openapi.json").json()["paths"] if "authorize" in path]


def test_a_nul_in_a_client_id_is_an_unknown_client(server: TestClient) -> None:
    answer = server.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "client_id": "a\0b", "client_secret": "x"},
    )
    assert answer.status_code == 401


def test_a_token_is_not_asked_for_in_json(server: TestClient, client: Known) -> None:
    answer = server.post(
        "/oauth/token", json={"grant_type": "client_credentials"}, auth=client.basic
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_form_without_end_is_too_large(server: TestClient, client: Known) -> None:
    answer = server.post(
        "/oauth/token",
        content="scope=" + "a" * 20_000,
        headers={"Content-Type": FORM},
        auth=client.basic,
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_plain_http_is_refused_on_an_address_that_is_not_loopback(
    server: TestClient, client: Known
) -> None:
    state = cast(FastAPI, server.app).state
    app = FastAPI()
    app.state.sessions = state.sessions
    app.state.settings = state.settings.model_copy(update={"public_url": "http://cdp.example"})
    app.include_router(oauth.router)
    with TestClient(app) as exposed:
        answer = ask(exposed, client)
    assert (answer.status_code, answer.json()["error"]) == (400, "insecure_transport")


def test_neither_secret_nor_token_is_logged(
    server: TestClient, guarded: TestClient, client: Known, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = token_of(server, client)
    read(guarded, token)
    server.post("/oauth/introspect", data={"token": token}, auth=client.basic)
    ask(server, Known(client.id, "cs_wrong"))

    assert client.secret not in caplog.text
    assert "cs_wrong" not in caplog.text
    assert token not in caplog.text
    assert token.rsplit(".", 1)[1] not in caplog.text
