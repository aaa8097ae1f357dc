"""What a route demands of the bearer token it is called with.

`requires(…)` checks the token against RFC 9068 §4 and then against the database, so that what an
operator takes away is gone at once. This file, `api/oauth_server.py`, which issues the tokens,
and `api/client_assertion.py` alone know Authlib; several of its defaults are too generous for us,
and each is turned off beside its reason.
"""
# mypy: disallow-subclassing-any=False
# Authlib carries no types, and subclassing is the way to configure it.

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from authlib.oauth2 import (  # type: ignore[import-untyped]  # Authlib carries no types
    OAuth2Error,
    rfc9068,
)
from fastapi import Depends, Request, params
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2, SecurityScopes
from fastapi.security.utils import get_authorization_scheme_param
from joserfc import jws
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, KeySet
from sqlalchemy.orm import Session

from api import write_key
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken, WriteKeyNotEnough
from app.access import clients, keys, reads, sources, tokens, write_keys
from app.access.limits import ClientLimits
from app.db import Sessions
from app.errors import PurposeNotAllowed, PurposeRequired
from app.settings import Settings

ALGORITHM = "ES256"
#: RFC 9068 §4: the media type with or without its prefix, in any case (RFC 2045 §5.1).
TOKEN_TYPES = ("at+jwt", "application/at+jwt")
#: Servers whose clocks differ a little share one key: without this, a token is refused by the
#: server whose second has not begun yet. RFC 7519 §4.1.4 allows "a few minutes".
CLOCK_SKEW_SECONDS = 5
#: The least time between two looks for keys, in seconds: tokens that name keys which do not exist
#: cost no more than that.
PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a request, with what its token and its registration both allow."""

    client_id: str
    scopes: frozenset[str]
    purposes: frozenset[str]
    requests_per_second: float | None = None
    burst: int | None = None


def state_purpose(caller: Caller, purpose: str | None) -> str:
    """Return the purpose of a read of personal data, which the caller must state.

    Raises PurposeRequired when none is stated and PurposeNotAllowed when the client is not
    registered for it.
    """
    allowed = ", ".join(sorted(caller.purposes)) or "none"
    if not purpose:
        raise PurposeRequired(
            "State why you read personal data, with ?purpose= or the header Purpose; "
            f"this client is registered for: {allowed}."
        )
    if purpose not in caller.purposes:
        raise PurposeNotAllowed(
            f"This client is not registered for {purpose!r}; it is registered for: {allowed}."
        )
    return purpose


class TokenKeys:
    """The keys by which tokens are checked, looked for again when a token names another.

    That one was retired meanwhile is asked with every token, in the database.
    """

    def __init__(self, sessions: Sessions) -> None:
        """Look keys up in this database."""
        self._sessions = sessions
        self._known: dict[str, ECKey] = {}
        self._looked = -PAUSE

    def find(self, key_id: str) -> ECKey | None:
        """Return the key of this `kid`."""
        if key_id not in self._known and time.monotonic() - self._looked >= PAUSE:
            with self._sessions() as session:
                rows = keys.known(session, now=datetime.now(UTC))
            self._known = {row.key_id: ECKey.import_key(row.private_jwk) for row in rows}
            self._looked = time.monotonic()
        return self._known.get(key_id)


def token_keys(request: Request) -> TokenKeys:
    """Return the keys by which this process checks tokens."""
    state = request.app.state
    if not hasattr(state, "token_keys"):
        state.token_keys = TokenKeys(state.sessions)
    found: TokenKeys = state.token_keys
    return found


Keys = Annotated[TokenKeys, Depends(token_keys)]


_bearer = OAuth2(
    flows=OAuthFlows(
        clientCredentials=OAuthFlowClientCredentials(
            tokenUrl="/oauth/token", scopes=dict(clients.MEANING)
        )
    ),
    scheme_name="OAuth2",
    description="An access token of `POST /oauth/token`, sent as `Authorization: Bearer …`.",
    auto_error=False,
)


def client_limits(request: Request) -> ClientLimits:
    """Return the rate limits of the clients in this process."""
    state = request.app.state
    if not hasattr(state, "client_limits"):
        state.client_limits = ClientLimits()
    found: ClientLimits = state.client_limits
    return found


Limits = Annotated[ClientLimits, Depends(client_limits)]


def _authenticate(
    request: Request,
    needed: SecurityScopes,
    authorization: Annotated[str | None, Depends(_bearer)],
    known: Keys,
    limits: Limits,
    session: Db,
    settings: Configuration,
) -> Caller:
    """Return who calls, if the token is valid and has all the scopes that are needed.

    The token is taken from the header alone, as a bearer token or as the user name of Basic, never
    from the address or the body, where it would end in logs (RFC 6750 §5.3). Raises InvalidToken,
    InsufficientScope, WriteKeyNotEnough and RateLimited.
    """
    scheme, token = get_authorization_scheme_param(authorization)
    if _is_write_key(session, scheme.lower(), token):
        raise WriteKeyNotEnough("A write key sends and reads nothing; send an access token.")
    if scheme.lower() == "basic":  # as programs send it that were written for Segment's Profile API
        scheme, token = "bearer", write_key.basic_user(token) or ""
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("Send an access token as Authorization: Bearer.")
    caller, _ = verify(token, known=known, session=session, settings=settings)
    limits.admit(caller.client_id, caller.requests_per_second, caller.burst)
    missing = [scope for scope in needed.scopes if scope not in caller.scopes]
    if missing:
        raise InsufficientScope(f"The access token lacks the scope {' '.join(missing)}.")
    operation = f"{request.method} {request.scope['route'].path}"
    reads.begin(session, client_id=caller.client_id, operation=operation)
    return caller


def _is_write_key(session: Session, scheme: str, credentials: str) -> bool:
    """Say whether these are the write key of a source, wherever SDKs put it in the header."""
    key = (write_key.basic_user(credentials) if scheme == "basic" else credentials) or ""
    return key.startswith(write_keys.PREFIX) and sources.find_by_key(session, key) is not None


def requires(*scopes: str) -> params.Security:
    """Return the dependency of a route that demands every one of these scopes.

    `caller: Annotated[Caller, requires("profiles:read")]`. Without any scope a guard would
    admit every token, and a misspelt one nobody: both raise ValueError when the route is made.
    """
    if not scopes:
        raise ValueError("a route demands at least one scope")
    if unknown := set(scopes).difference(clients.SCOPES):
        raise ValueError(f"unknown scopes: {sorted(unknown)}")
    return params.Security(dependency=_authenticate, scopes=list(scopes))


class _TokenValidator(rfc9068.JWTBearerTokenValidator):
    """RFC 9068 §4, with the type and the algorithm demanded before the key is touched.

    Authlib accepts a token without `typ`, so that any JWT signed by this key would do, and
    leaves the choice of the algorithm to the token (RFC 8725 §3.1, §3.11).
    """

    def __init__(self, key: ECKey, settings: Settings) -> None:
        super().__init__(issuer=settings.public_url, resource_server=settings.public_url)
        self._keys = KeySet([key])

    def get_jwks(self) -> KeySet:
        return self._keys

    def authenticate_token(self, token_string: str) -> Any:
        claims = super().authenticate_token(token_string)
        claims.validate(leeway=CLOCK_SKEW_SECONDS)
        return claims


def _key_id(token: str) -> str | None:
    """Return the `kid` of a token whose header is as we write it; None of every other.

    It must name its key, hold nothing that we must understand (`crit`), and be an object: joserfc
    takes that for granted, and what is none ends in a TypeError deep inside (found by fuzzing).
    """
    header: object = jws.extract_compact(token.encode()).headers()
    ours = (
        isinstance(header, dict)
        and header.get("alg") == ALGORITHM
        and str(header.get("typ")).lower() in TOKEN_TYPES
        and "crit" not in header
        and isinstance(header.get("kid"), str)
    )
    return header["kid"] if ours and isinstance(header, dict) else None


def verify(
    token: str, *, known: TokenKeys, session: Session, settings: Settings
) -> tuple[Caller, dict[str, Any]]:
    """Return whose token this is, and its claims.

    A scope or purpose counts only while the client still has it, and a removed client has none.
    Raises InvalidToken when the token is expired, revoked, malformed, for another audience, of
    another issuer or key, or of a client that was removed.
    """
    try:
        key_id = _key_id(token)
        key = None if key_id is None else known.find(key_id)
        if key is None or key_id is None:
            raise InvalidToken("This is no access token of this server for this API.")
        claims = dict(_TokenValidator(key, settings).authenticate_token(token))
    except ExpiredTokenError as error:
        raise InvalidToken("The access token has expired; ask for a new one.") from error
    except (OAuth2Error, JoseError) as error:
        raise InvalidToken("This is no access token of this server for this API.") from error
    stands = tokens.standing(
        session,
        client_id=claims["client_id"],
        token_id=claims["jti"],
        key_id=key_id,
        now=datetime.now(UTC),
    )
    if stands is None:
        raise InvalidToken("The client of this access token was removed.")
    client = stands.client
    void = client.tokens_from is not None and claims["iat"] < client.tokens_from.timestamp()
    if stands.revoked or stands.key_retired or void:
        raise InvalidToken("The access token was revoked.")
    caller = Caller(
        client_id=client.client_id,
        scopes=frozenset(claims.get("scope", "").split()) & frozenset(client.scopes),
        purposes=frozenset(claims.get("purposes", ())) & frozenset(client.purposes),
        requests_per_second=client.requests_per_second,
        burst=client.burst,
    )
    return caller, claims
