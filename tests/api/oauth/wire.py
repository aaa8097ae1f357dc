"""What the OAuth tests say to the server, and how they read its answers."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey

from app.access import clients, keys
from app.db import Sessions

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
            {
                "kid": self.key.kid,
                **({"alg": "ES256", "typ": "at+jwt"} if header is None else header),
            },
            changed,
            key or self.key,
            default_type=None,
        )


def refused(answer: Answer) -> None:
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid-token"
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
