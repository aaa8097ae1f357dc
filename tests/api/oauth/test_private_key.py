"""`private_key_jwt`: a client authenticates itself by what it signs, each assertion once."""

import hashlib
import hmac
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from authlib.oauth2.rfc7523 import (  # type: ignore[import-untyped]  # Authlib carries no types
    private_key_jwt_sign,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from app.access import assertions, clients, credentials, public_keys
from app.access.tables import ClientAssertion
from app.db import Sessions
from tests.api.oauth.wire import Answer, segment

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ENDPOINT = "https://parcours.test/oauth/token"


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "first"})


@pytest.fixture
def signer(sessions: Sessions, key: ECKey) -> str:
    """The id of a client that has this key and no secret."""
    return registered(sessions, key)


def registered(sessions: Sessions, *keys: Key) -> str:
    with sessions.begin() as session:
        client = clients.register(session, "signs", scopes=["profiles:read"], purposes=[])
        add(session, client, *keys)
        return client.client_id


def add(session: Any, client: Any, *keys: Key) -> None:
    text = json.dumps({"keys": [key.as_dict(private=False) for key in keys]})
    credentials.add_keys(session, client, public_keys.read(text), now=datetime.now(UTC))


def claims(client_id: str, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"iss": client_id, "sub": client_id, "aud": ENDPOINT, "iat": now, "exp": now + 60}
    return {k: v for k, v in {**said, "jti": uuid4().hex, **more}.items() if v is not None}


def sign(key: Key, said: dict[str, Any], **header: Any) -> str:
    plain = {"alg": "ES256", "kid": key.kid, **header}
    named = {k: v for k, v in plain.items() if v is not None}
    return jwt.encode(named, said, key, algorithms=[named["alg"]])


def present(server: TestClient, assertion: str, **fields: str) -> Answer:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": TYPE,
        "client_assertion": assertion,
        **fields,
    }
    answer: Answer = server.post("/oauth/token", data=form)
    return answer


def refused(answer: Answer) -> None:
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text
    assert "access_token" not in answer.text


def test_a_client_gets_a_token_by_what_it_signs_and_no_secret(
    server: TestClient, signer: str, key: ECKey
) -> None:
    answer = present(server, sign(key, claims(signer)))
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == "profiles:read"
    header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    read = server.get("/v1/profiles/user_id:nobody?purpose=x", headers=header)
    assert read.json()["code"] == "purpose-not-allowed"


def test_the_assertions_that_authlib_makes_for_clients_are_taken(
    server: TestClient, signer: str, key: ECKey
) -> None:
    made = private_key_jwt_sign(key, signer, ENDPOINT, alg="ES256", expires_in=300)
    assert present(server, made).status_code == 200


@pytest.mark.parametrize("audience", ["https://parcours.test", [ENDPOINT]])
def test_the_issuer_is_an_audience_too(
    server: TestClient, signer: str, key: ECKey, audience: Any
) -> None:
    assert present(server, sign(key, claims(signer, aud=audience))).status_code == 200


@pytest.mark.parametrize(
    ("other", "algorithms"),
    [
        (RSAKey.generate_key(2048, {"kid": "r"}), ("RS256", "PS256")),
        (ECKey.generate_key("P-384", {"kid": "e"}), ("ES384",)),
        (OKPKey.generate_key("Ed25519", {"kid": "o"}), ("Ed25519",)),
    ],
    ids=["RSA", "P-384", "Ed25519"],
)
def test_each_kind_of_key_signs_with_its_own_algorithms(
    server: TestClient, sessions: Sessions, other: Key, algorithms: tuple[str, ...]
) -> None:
    client_id = registered(sessions, other)
    for algorithm in algorithms:
        answer = present(server, sign(other, claims(client_id), alg=algorithm))
        assert answer.status_code == 200, algorithm


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "https://elsewhere.example"},
        {"aud": [ENDPOINT, "https://elsewhere.example"]},
        {"aud": []},
        {"aud": None},
        {"aud": "https://parcours.test/oauth/introspect"},
        {"iss": "cl_other"},
        {"iss": None},
        {"sub": None},
        {"sub": ["cl_other"]},
        {"sub": "a\0b"},
        {"exp": None},
        {"exp": int(time.time()) - 120},
        {"exp": int(time.time()) + 1_000_000_000},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 10**400},
        {"nbf": int(time.time()) + 3_600},
        {"iat": int(time.time()) + 3_600},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": {"a": 1}},
        {"jti": "x" * 501},
    ],
    ids=map(str, count()),  # times differ between the processes that collect
)
def test_claims_that_are_not_right_are_refused(
    server: TestClient, signer: str, key: ECKey, wrong: dict[str, Any]
) -> None:
    refused(present(server, sign(key, claims(signer, **wrong))))


def test_an_assertion_may_end_at_most_five_minutes_ahead(
    server: TestClient, signer: str, key: ECKey
) -> None:
    now = int(time.time())
    assert present(server, sign(key, claims(signer, exp=now + 299))).status_code == 200
    refused(present(server, sign(key, claims(signer, exp=now + 305))))


def test_a_clock_may_be_off_by_half_a_minute(server: TestClient, signer: str, key: ECKey) -> None:
    now = int(time.time())
    for good in ({"iat": now + 25, "nbf": now + 25}, {"exp": now - 25}):
        assert present(server, sign(key, claims(signer, **good))).status_code == 200
    for bad in ({"nbf": now + 40}, {"exp": now - 40}):
        refused(present(server, sign(key, claims(signer, **bad))))


def test_an_assertion_counts_once_also_when_it_got_no_token(
    server: TestClient, signer: str, key: ECKey
) -> None:
    assertion = sign(key, claims(signer))
    assert present(server, assertion).status_code == 200
    refused(present(server, assertion))
    asks_too_much = sign(key, claims(signer))
    assert present(server, asks_too_much, scope="clients:admin").json()["error"] == "invalid_scope"
    refused(present(server, asks_too_much))
    # The same id under another signature is the same assertion.
    again = claims(signer, jti="once")
    assert present(server, sign(key, again)).status_code == 200
    refused(present(server, sign(key, {**again, "exp": again["exp"] + 1})))


def test_of_two_connections_with_one_assertion_one_gets_a_token(
    server: TestClient, signer: str, key: ECKey
) -> None:
    for _ in range(3):
        assertion = sign(key, claims(signer))
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(present, server, assertion) for _ in range(8)]
        assert sorted(one.result().status_code for one in asked) == [200] + [401] * 7


def test_clients_do_not_use_up_each_others_ids(
    server: TestClient, sessions: Sessions, signer: str, key: ECKey
) -> None:
    other = registered(sessions, key)
    for client_id in (signer, other):
        assert present(server, sign(key, claims(client_id, jti="1"))).status_code == 200


def test_what_is_remembered_is_bounded_and_forgotten_when_over(
    server: TestClient,
    sessions: Sessions,
    signer: str,
    key: ECKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assertions, "MOST", 3)
    for _ in range(3):
        assert present(server, sign(key, claims(signer))).status_code == 200
    answer = present(server, sign(key, claims(signer)))
    assert (answer.status_code, answer.json()["code"]) == (429, "rate-limited")
    assert 300 <= int(answer.headers["retry-after"]) <= 400
    with sessions.begin() as session:
        earlier = ClientAssertion.expires_at - timedelta(minutes=7)
        session.execute(sa.update(ClientAssertion).values(expires_at=earlier))
    assert present(server, sign(key, claims(signer))).status_code == 200
    with sessions() as session:
        mine = ClientAssertion.client_id == clients.find(session, signer).id
        assert session.scalar(sa.select(sa.func.count()).where(mine)) == 1


def test_keys_of_others_open_nothing(
    server: TestClient, sessions: Sessions, signer: str, key: ECKey
) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "first"})
    refused(present(server, sign(stranger, claims(signer))))
    inline = {"jwk": stranger.as_dict(private=False)}
    refused(present(server, sign(stranger, claims(signer), **inline)))
    refused(present(server, sign(stranger, claims(signer), jku="https://elsewhere.example")))
    # A key with the same `kid`, of another client.
    other = registered(sessions, stranger)
    refused(present(server, sign(stranger, claims(signer))))
    refused(present(server, sign(key, claims(other))))
    refused(present(server, sign(key, claims(signer), kid="second")))
    refused(present(server, sign(key, claims("cl_nobody"))))


def test_no_algorithm_but_that_of_the_key_is_taken(
    server: TestClient, signer: str, key: ECKey
) -> None:
    said = claims(signer)
    for name in ("none", "None"):
        refused(present(server, f"{segment({'alg': name})}.{segment(said)}."))
    pem = key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public = json.dumps(key.as_dict(private=False)).encode()
    for secret in (pem, pem.strip(), public, b""):
        signed = f"{segment({'alg': 'HS256', 'kid': key.kid})}.{segment(said)}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        refused(present(server, f"{signed}.{segment(mac)}"))


def test_an_access_token_is_no_assertion_and_an_assertion_no_access_token(
    server: TestClient, sessions: Sessions, signer: str, key: ECKey
) -> None:
    refused(present(server, sign(key, claims(signer), typ="at+jwt")))
    refused(present(server, sign(key, claims(signer), crit=["b64"], b64=True)))
    for kind in ("JWT", "client-authentication+jwt"):
        assert present(server, sign(key, claims(signer), typ=kind)).status_code == 200
    header = {"Authorization": f"Bearer {sign(key, claims(signer), typ='at+jwt')}"}
    assert server.get("/v1/profiles", headers=header).status_code == 401


@pytest.mark.parametrize(
    "assertion",
    [
        "x",
        "..",
        "a.b.c",
        "é.é.é",
        segment([]) + ".e30.AA",
        segment({"alg": ["ES256"]}) + ".e30.AA",
        segment({"alg": "ES256", "kid": {}}) + ".e30.AA",
        segment({"alg": "ES256", "typ": ["x"]}) + ".e30.AA",
        segment({"alg": "ES256"}) + "." + segment([]) + ".AA",
        segment({"alg": "ES256"}) + "." + segment(b"[" * 5_000) + ".AA",
        segment({"alg": "ES256"}) + "." + segment({"sub": 7}) + ".AA",
        segment(b"[" * 5_000) + ".e30.AA",
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_assertion_is_refused_and_never_an_error_of_the_server(
    server: TestClient, assertion: str
) -> None:
    refused(present(server, assertion))


def test_a_client_authenticates_itself_in_one_way_and_as_itself(
    server: TestClient, signer: str, key: ECKey
) -> None:
    both = present(server, sign(key, claims(signer)), client_secret="cs_x")
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    refused(present(server, sign(key, claims(signer)), client_id="cl_other"))
    refused(present(server, sign(key, claims(signer)), client_assertion_type="other"))
    assert present(server, sign(key, claims(signer)), client_id=signer).status_code == 200


def test_one_key_replaces_another_without_an_outage(
    server: TestClient, sessions: Sessions, signer: str, key: ECKey
) -> None:
    second = ECKey.generate_key("P-256", {"kid": "second"})
    with sessions.begin() as session:
        add(session, clients.find(session, signer), second)
    for one in (key, second):
        assert present(server, sign(one, claims(signer))).status_code == 200
        assert present(server, sign(one, claims(signer), kid=None)).status_code == 200
    with sessions.begin() as session:
        found, now = clients.find(session, signer), datetime.now(UTC)
        first = credentials.in_use(session, found, now=now)[0]
        credentials.end(session, [first], keep=timedelta(), now=now)
    refused(present(server, sign(key, claims(signer))))
    assert present(server, sign(second, claims(signer))).status_code == 200


def test_neither_assertion_nor_what_is_in_it_is_logged(
    server: TestClient, signer: str, key: ECKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good, bad = sign(key, claims(signer)), sign(key, claims(signer, aud="https://x.example"))
    present(server, good)
    present(server, bad)
    for text in (good, bad):
        for section in text.split(".")[1:]:
            assert section not in caplog.text


def test_introspection_and_revocation_take_assertions_too(
    server: TestClient, signer: str, key: ECKey
) -> None:
    token = present(server, sign(key, claims(signer))).json()["access_token"]
    for path, active in (("introspect", True), ("revoke", None), ("introspect", False)):
        form = {
            "token": token,
            "client_assertion_type": TYPE,
            "client_assertion": sign(key, claims(signer)),
        }
        answer = server.post(f"/oauth/{path}", data=form)
        assert answer.status_code == 200
        assert answer.json().get("active") is active
