"""The guard of the routes: which tokens open them, and which do not."""

import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from api.auth import requires
from app.access import clients
from app.db import Sessions
from tests.api.oauth.wire import Forge, Known, ask, read, refused, register, segment, token_of

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
    headers = {b"Authorization": f"Bearer {token}".encode()}
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
