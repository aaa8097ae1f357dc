"""The OAuth 2.0 endpoints and the guard of the routes, on the real database."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol, cast

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey

from api import problems
from api.auth import Caller, requires, state_purpose
from api.routes import oauth
from app.access import clients, keys
from app.access.sources import hash_key
from app.access.tables import Client, RevokedToken, SigningKey
from app.db import Sessions
from app.errors import (
    ClientNotFound,
    DefinitionInvalid,
    PurposeNotAllowed,
    PurposeRequired,
)

FORM = "application/x-www-form-urlencoded"


class Answer(Protocol):
    """What the test client answers, be it made by httpx or by httpx2."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...


@dataclass(frozen=True)
class Known:
    """A registered client, with the secret it was told."""

    id: str
    secret: str

    @property
    def basic(self) -> tuple[str, str]:
        return self.id, self.secret


def register(sessions: Sessions, *scopes: str, purposes: tuple[str, ...] = ()) -> Known:
    with sessions.begin() as session:
        row, secret = clients.add(session, "a test", scopes=scopes, purposes=purposes)
        return Known(row.client_id, secret)


@pytest.fixture
def client(sessions: Sessions) -> Known:
    return register(sessions, "profiles:read", "segments:read", purposes=("ads", "service"))


@pytest.fixture
def issuer(server: TestClient) -> str:
    return str(cast(FastAPI, server.app).state.settings.public_url)


@pytest.fixture
def guarded(server: TestClient) -> Iterator[TestClient]:
    """A server of two routes that share the database, the settings and the key of the real one."""
    app = FastAPI()
    app.state = cast(FastAPI, server.app).state
    problems.install(app)

    @app.get("/one")
    def one(caller: Annotated[Caller, requires("profiles:read")]) -> dict[str, Any]:
        return {"client": caller.client_id, "purposes": sorted(caller.purposes)}

    @app.get("/both")
    def both(caller: Annotated[Caller, requires("profiles:read", "identity:admin")]) -> str:
        return caller.client_id

    with TestClient(app) as guarded:
        yield guarded


def ask(server: TestClient, client: Known, **fields: str) -> Answer:
    form = {"grant_type": "client_credentials", **fields}
    answer: Answer = server.post("/oauth/token", data=form, auth=client.basic)
    return answer


def token_of(server: TestClient, client: Known, **fields: str) -> str:
    answer = ask(server, client, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def read(guarded: TestClient, token: str, path: str = "/one") -> Answer:
    answer: Answer = guarded.get(path, headers={"Authorization": f"Bearer {token}"})
    return answer


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def our_key(sessions: Sessions) -> ECKey:
    with sessions.begin() as session:
        return ECKey.import_key(keys.current(session).private_jwk)


@dataclass(frozen=True)
class Forge:
    """Makes tokens that differ from a good one in one thing."""

    key: ECKey
    good: dict[str, Any]

    def sign(
        self,
        *,
        header: dict[str, Any] | None = None,
        key: ECKey | None = None,
        without: str = "",
        **claims: Any,
    ) -> str:
        changed = {k: v for k, v in {**self.good, **claims}.items() if k != without}
        return jwt.encode(
            {"alg": "ES256", "typ": "at+jwt"} if header is None else header,
            changed,
            key or self.key,
            default_type=None,
        )


@pytest.fixture
def forge(server: TestClient, sessions: Sessions, client: Known) -> Forge:
    return Forge(our_key(sessions), part(token_of(server, client), 1))


def refused(answer: Answer) -> None:
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid-token"
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


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
        "error_description": "The client is unknown or its secret is wrong.",
        "code": "invalid_client",
        "message": "The client is unknown or its secret is wrong.",
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


# --- using a token -----------------------------------------------------------------------------


def test_a_good_token_opens_a_route_and_says_who_calls(
    server: TestClient, guarded: TestClient, client: Known
) -> None:
    answer = read(guarded, token_of(server, client))
    assert answer.json() == {"client": client.id, "purposes": ["ads", "service"]}


def test_a_copy_of_a_good_token_made_by_the_forge_is_accepted(
    guarded: TestClient, forge: Forge
) -> None:
    """Otherwise the forged tokens below would be refused for another reason than theirs."""
    assert read(guarded, forge.sign()).status_code == 200
    long_form = {"alg": "ES256", "typ": "application/AT+JWT"}
    assert read(guarded, forge.sign(header=long_form)).status_code == 200


def test_a_token_without_a_type_is_refused(guarded: TestClient, forge: Forge) -> None:
    refused(read(guarded, forge.sign(header={"alg": "ES256"})))


@pytest.mark.parametrize("kind", ["JWT", "", "at+jwt ", "dpop+jwt"])
def test_a_token_of_another_type_is_refused(guarded: TestClient, forge: Forge, kind: str) -> None:
    refused(read(guarded, forge.sign(header={"alg": "ES256", "typ": kind})))


def test_a_token_for_another_audience_is_refused(
    guarded: TestClient, forge: Forge, client: Known
) -> None:
    refused(read(guarded, forge.sign(aud="https://elsewhere.example")))
    refused(read(guarded, forge.sign(aud=client.id)))
    refused(read(guarded, forge.sign(aud=[])))


def test_a_token_of_another_issuer_is_refused(guarded: TestClient, forge: Forge) -> None:
    refused(read(guarded, forge.sign(iss="https://elsewhere.example")))


def test_an_expired_token_is_refused(guarded: TestClient, forge: Forge) -> None:
    answer = read(guarded, forge.sign(exp=int(time.time()) - 60))
    refused(answer)
    assert "expired" in answer.json()["message"]


def test_a_token_that_never_expires_is_refused(guarded: TestClient, forge: Forge) -> None:
    refused(read(guarded, forge.sign(without="exp")))
    refused(read(guarded, forge.sign(exp="tomorrow")))
    refused(read(guarded, forge.sign(exp=float("nan"))))


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "iat", "sub", "client_id", "jti"])
def test_a_token_that_lacks_a_claim_is_refused(
    guarded: TestClient, forge: Forge, claim: str
) -> None:
    refused(read(guarded, forge.sign(without=claim)))


def test_a_token_from_the_future_is_refused_beyond_the_skew_of_clocks(
    guarded: TestClient, forge: Forge
) -> None:
    assert read(guarded, forge.sign(iat=int(time.time()) + 2)).status_code == 200
    refused(read(guarded, forge.sign(iat=int(time.time()) + 60)))


def test_a_token_signed_by_another_key_is_refused(guarded: TestClient, forge: Forge) -> None:
    other = ECKey.generate_key("P-256")
    refused(read(guarded, forge.sign(key=other)))
    header = {"alg": "ES256", "typ": "at+jwt", "kid": forge.key.kid}
    refused(read(guarded, forge.sign(key=other, header=header)))
    inline = {"alg": "ES256", "typ": "at+jwt", "jwk": other.as_dict(private=False)}
    refused(read(guarded, forge.sign(key=other, header=inline)))


def test_a_token_with_changed_claims_is_refused(guarded: TestClient, forge: Forge) -> None:
    header, _, signature = forge.sign().split(".")
    claims = segment({**forge.good, "scope": "profiles:read identity:admin"})
    refused(read(guarded, f"{header}.{claims}.{signature}"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_an_unsigned_token_is_refused(guarded: TestClient, forge: Forge, algorithm: str) -> None:
    header = segment({"alg": algorithm, "typ": "at+jwt"})
    refused(read(guarded, f"{header}.{segment(forge.good)}."))
    refused(read(guarded, f"{header}.{segment(forge.good)}.{forge.sign().split('.')[2]}"))


def test_a_token_signed_by_hmac_with_the_public_key_is_refused(
    guarded: TestClient, forge: Forge
) -> None:
    public = forge.key.as_dict(private=False)
    pem = forge.key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = forge.key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), der, json.dumps(public).encode(), str(public["x"]).encode()):
        for more in ({}, {"kid": forge.key.kid}):
            header = {"alg": "HS256", "typ": "at+jwt", **more}
            signed = f"{segment(header)}.{segment(forge.good)}"
            mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
            refused(read(guarded, f"{signed}.{segment(mac)}"))


@pytest.mark.parametrize(
    "token",
    [
        "x",
        ".",
        "..",
        "....",
        "a.b.c",
        "é.é.é",
        segment([]) + ".e30.AA",
        segment(["alg"]) + ".e30.AA",
        segment("alg") + ".e30.AA",
        segment({"alg": ["ES256"], "typ": "at+jwt"}) + ".e30.AA",
        segment({"alg": "ES256", "typ": ["at+jwt"]}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt", "kid": {}}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt", "kid": "other"}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt", "crit": 1}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt", "crit": ["b64"], "b64": False}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt", "jku": "http://x"}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt"}) + ".e30.AA",
        segment({"alg": "ES256", "typ": "at+jwt"}) + "." + segment([]) + ".AA",
        segment(b"[" * 50_000) + ".e30.AA",
        segment({"alg": "dir", "enc": "A256GCM", "typ": "at+jwt"}) + ".e30.e30.e30.AA",
        "a" * 60_000,
    ],
)
def test_what_is_no_token_is_refused_and_never_an_error_of_the_server(
    guarded: TestClient, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    refused(guarded.get("/one", headers=headers))


@pytest.mark.parametrize("header", [None, "Bearer", "Basic eDp5", "bearer  "])
def test_a_request_without_a_token_is_refused(guarded: TestClient, header: str | None) -> None:
    refused(guarded.get("/one", headers={"Authorization": header} if header else {}))


def test_a_token_in_the_address_is_no_token(
    server: TestClient, guarded: TestClient, client: Known
) -> None:
    refused(guarded.get("/one", params={"access_token": token_of(server, client)}))


def test_all_scopes_of_a_route_must_hold(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    answer = read(guarded, token_of(server, client), "/both")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")
    assert "identity:admin" in answer.json()["message"]

    powerful = register(sessions, "profiles:read", "identity:admin")
    assert read(guarded, token_of(server, powerful), "/both").status_code == 200
    narrowed = token_of(server, powerful, scope="identity:admin")
    assert read(guarded, narrowed, "/both").status_code == 403


def test_a_token_without_scopes_opens_nothing(guarded: TestClient, forge: Forge) -> None:
    refused(read(guarded, forge.sign(scope="")))
    assert read(guarded, forge.sign(without="scope")).status_code == 403
    assert read(guarded, forge.sign(without="purposes")).json()["purposes"] == []


def test_a_route_cannot_be_guarded_without_a_scope_or_by_an_unknown_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        requires()
    with pytest.raises(ValueError, match="profile:read"):
        requires("profile:read")


def test_every_operation_that_takes_a_token_names_its_scopes(server: TestClient) -> None:
    document = server.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for way in operation.get("security", []):
                if "OAuth2" in way:
                    assert way["OAuth2"], f"{method} {path}"
                    assert set(way["OAuth2"]) <= set(clients.SCOPES), f"{method} {path}"


def test_a_guard_is_described_with_its_scopes(guarded: TestClient) -> None:
    document = guarded.get("/openapi.json").json()
    assert document["paths"]["/both"]["get"]["security"] == [
        {"OAuth2": ["profiles:read", "identity:admin"]}
    ]
    flow = document["components"]["securitySchemes"]["OAuth2"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "/oauth/token"
    assert tuple(flow["scopes"]) == clients.SCOPES


def test_the_tokens_of_a_removed_client_stop_working_at_once(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    token = token_of(server, client)
    with sessions.begin() as session:
        clients.remove(session, client.id)

    refused(read(guarded, token))
    assert ask(server, client).status_code == 401


def test_what_a_client_no_longer_may_do_its_older_tokens_cannot_either(
    server: TestClient, guarded: TestClient, sessions: Sessions, client: Known
) -> None:
    token = token_of(server, client)
    with sessions.begin() as session:
        row = clients.find(session, client.id)
        row.purposes = ["service"]
    assert read(guarded, token).json()["purposes"] == ["service"]
    with sessions.begin() as session:
        row = clients.find(session, client.id)
        row.scopes = ["segments:read"]
    assert read(guarded, token).status_code == 403


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
        assert methods == ["client_secret_basic", "client_secret_post"]


# --- clients, keys, purposes -------------------------------------------------------------------


def test_a_secret_is_stored_as_a_hash_alone(sessions: Sessions) -> None:
    with sessions.begin() as session:
        row, secret = clients.add(session, "x", scopes=["profiles:read"], purposes=["b", "a", "b"])
        assert row.client_id.startswith("cl_")
        assert secret.startswith("cs_")
        assert row.secret_hash == hash_key(secret)
        assert row.purposes == ["a", "b"]
        stored = session.scalar(
            sa.select(sa.func.row_to_json(sa.text("client")).cast(sa.Text))
            .select_from(Client)
            .where(Client.client_id == row.client_id)
        )
        assert secret not in str(stored)


def test_an_unknown_scope_is_named_with_the_one_that_was_meant(sessions: Sessions) -> None:
    with sessions.begin() as session:
        with pytest.raises(DefinitionInvalid, match="'profile:read'; did you mean 'profiles:read'"):
            clients.add(session, "x", scopes=["profile:read"], purposes=[])
        with pytest.raises(DefinitionInvalid, match="at least one scope"):
            clients.add(session, "x", scopes=[], purposes=[])


def test_a_rotated_secret_replaces_the_old_one_at_once(
    server: TestClient, sessions: Sessions, client: Known
) -> None:
    with sessions.begin() as session:
        secret = clients.rotate(session, client.id)
    assert ask(server, client).status_code == 401
    assert ask(server, Known(client.id, secret)).status_code == 200


def test_a_removed_client_is_neither_found_nor_listed(sessions: Sessions, client: Known) -> None:
    with sessions.begin() as session:
        assert client.id in {row.client_id for row in clients.list_all(session)}
        clients.remove(session, client.id)
        assert client.id not in {row.client_id for row in clients.list_all(session)}
        with pytest.raises(ClientNotFound):
            clients.find(session, client.id)
        with pytest.raises(ClientNotFound):
            clients.rotate(session, client.id)


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
        keys.revoke(session, "old", now - timedelta(days=1))
        keys.revoke(session, "new", now + timedelta(minutes=5))
        assert keys.is_revoked(session, "new")
        assert not keys.is_revoked(session, "never")
        session.expire_all()
        assert session.get(RevokedToken, "old") is None


def test_a_read_of_personal_data_states_a_purpose_the_client_is_registered_for() -> None:
    caller = Caller("cl_x", frozenset(), frozenset({"ads", "service"}))
    assert state_purpose(caller, "ads") == "ads"
    with pytest.raises(PurposeRequired, match="registered for: ads, service"):
        state_purpose(caller, None)
    with pytest.raises(PurposeRequired):
        state_purpose(caller, "")
    with pytest.raises(PurposeNotAllowed, match="'marketing'"):
        state_purpose(caller, "marketing")
