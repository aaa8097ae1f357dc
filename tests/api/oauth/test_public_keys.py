"""What is registered as a client's keys, and what is not."""

import json
from datetime import UTC, datetime
from itertools import count

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from app.access import clients, credentials, public_keys
from app.db import Sessions
from app.errors import DefinitionInvalid
from tests.api.oauth.test_private_key import add
from tests.api.oauth.wire import segment


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "first"})


def test_a_key_is_read_as_jwk_as_set_and_as_pem_and_gets_a_name(key: ECKey) -> None:
    public = key.as_dict(private=False)
    named = {k: v for k, v in public.items() if k != "kid"}
    pem = key.as_pem(private=False).decode()
    for text in (json.dumps(named), json.dumps({"keys": [named]}), pem):
        [found] = public_keys.read(text)
        assert found == {**named, "kid": key.thumbprint()}
    [found] = public_keys.read(json.dumps({**public, "x5c": ["MII…"], "alg": "ES256"}))
    assert found == public


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither"),
        ("[" * 10_000, "neither"),
        ("7", "no list"),
        ("{}", "no public key"),
        ('{"keys": []}', "0 keys"),
        ('{"keys": 7}', "no list"),
        ("[7]", "no object"),
        ('{"kty": "EC", "crv": "P-256", "x": 1, "y": []}', "no public key"),
        ('{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}', "no public key"),
        (json.dumps(OctKey.generate_key(256).as_dict()), "private or symmetric"),
        (json.dumps(ECKey.generate_key("P-256").as_dict(private=True)), "private"),
        (ECKey.generate_key("P-256").as_pem(private=True).decode(), "private"),
        (json.dumps(ECKey.generate_key("P-521").as_dict(private=False)), "P-384"),
        (json.dumps(OKPKey.generate_key("X25519").as_dict(private=False)), "P-384"),
        ("-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----", "no public key in PEM"),
        ('{"keys": [' + ",".join(["{}"] * 40_000) + "]}", "at most"),
    ],
    ids=map(str, count()),  # keys differ between the processes that collect
)
def test_what_is_no_set_of_public_keys_is_not_registered(text: str, why: str) -> None:
    with pytest.raises(DefinitionInvalid, match=why):
        public_keys.read(text)


def test_keys_that_are_too_small_too_large_too_many_or_named_alike_are_not_registered(
    sessions: Sessions, key: ECKey
) -> None:
    public = key.as_dict(private=False)
    small = {"kty": "RSA", "e": "AQAB", "n": segment(b"\xff" * 128)}
    large = {"kty": "RSA", "e": "AQAB", "n": segment(b"\xff" * 2_000)}
    for text, why in (
        (json.dumps(small), "1024 bits"),
        (json.dumps(large), "16000 bits"),
        (json.dumps({"keys": [{**public, "kid": str(n)} for n in range(11)]}), "11 keys"),
        (json.dumps({"keys": [public, public]}), "same kid"),
        (json.dumps({**public, "kid": "x" * 201}), "at most 200"),
        (json.dumps({**public, "kid": ["x"]}), "at most 200"),
        (json.dumps({**public, "use": "enc"}), "not for signatures"),
    ):
        with pytest.raises(DefinitionInvalid, match=why):
            public_keys.read(text)
    with sessions.begin() as session:
        client = clients.register(session, "x", scopes=["profiles:read"], purposes=[])
        add(session, client, key)
        with pytest.raises(DefinitionInvalid, match="of this kid"):
            add(session, client, key)
        for _ in range(9):
            credentials.add_secret(session, client, now=datetime.now(UTC))
        with pytest.raises(DefinitionInvalid, match="at most 10"):
            credentials.add_secret(session, client, now=datetime.now(UTC))
