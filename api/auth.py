"""What a route demands of the bearer token it is called with.

`requires(…)` checks the token against RFC 9068 §4 and then against the database, so that what an
operator takes away is gone at once. This file and `api/oauth_server.py`, which issues the tokens,
alone know Authlib; several of its defaults are too generous for us, and each is turned off
beside its reason.
"""
# mypy: disallow-subclassing-any=False
# Authlib carries no types, and subclassing is the way to configure it.

from dataclasses import dataclass
from typing import Annotated, Any

from authlib.oauth2 import (  # type: ignore[import-untyped]  # Authlib carries no types
    OAuth2Error,
    rfc6750,
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

from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from app.access import clients, keys
from app.errors import ClientNotFound, PurposeNotAllowed, PurposeRequired
from app.settings import Settings

ALGORITHM = "ES256"
#: RFC 9068 §4: the media type with or without its prefix, in any case (RFC 2045 §5.1).
TOKEN_TYPES = ("at+jwt", "application/at+jwt")
#: Servers whose clocks differ a little share one key: without this, a token is refused by the
#: server whose second has not begun yet. RFC 7519 §4.1.4 allows "a few minutes".
CLOCK_SKEW_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a request, with what its token and its registration both allow."""

    client_id: str
    scopes: frozenset[str]
    purposes: frozenset[str]


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


def signing_key(request: Request) -> ECKey:
    """Return the key that signs and checks tokens, read once per process.

    It is read (and on the very first call created) in a transaction of its own: were that the
    request's, a request that fails afterwards would take back a key already in use here.
    """
    state = request.app.state
    if not hasattr(state, "signing_key"):
        with state.sessions.begin() as session:
            state.signing_key = ECKey.import_key(keys.current(session).private_jwk)
    found: ECKey = state.signing_key
    return found


Key = Annotated[ECKey, Depends(signing_key)]


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


def _authenticate(
    needed: SecurityScopes,
    authorization: Annotated[str | None, Depends(_bearer)],
    key: Key,
    session: Db,
    settings: Configuration,
) -> Caller:
    """Return who calls, if the token is valid and has all the scopes that are needed.

    The token is taken from the header alone, never from the address or the body, where it would
    end in logs (RFC 6750 §5.3). Raises InvalidToken and InsufficientScope.
    """
    scheme, token = get_authorization_scheme_param(authorization)
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("Send an access token as Authorization: Bearer.")
    caller, _ = verify(token, key=key, session=session, settings=settings)
    missing = [scope for scope in needed.scopes if scope not in caller.scopes]
    if missing:
        raise InsufficientScope(f"The access token lacks the scope {' '.join(missing)}.")
    return caller


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
        header = jws.extract_compact(token_string.encode()).headers()
        if not _is_ours(header):
            raise rfc6750.InvalidTokenError()
        claims = super().authenticate_token(token_string)
        claims.validate(leeway=CLOCK_SKEW_SECONDS)
        return claims


def _is_ours(header: object) -> bool:
    """Say whether a token has a header as we write it, and nothing we must understand (`crit`).

    joserfc takes it for granted that the header is an object and `crit` a list of texts; what
    is neither ends in a TypeError deep inside (found by fuzzing).
    """
    return (
        isinstance(header, dict)
        and header.get("alg") == ALGORITHM
        and str(header.get("typ")).lower() in TOKEN_TYPES
        and "crit" not in header
    )


def verify(
    token: str, *, key: ECKey, session: Session, settings: Settings
) -> tuple[Caller, dict[str, Any]]:
    """Return whose token this is, and its claims.

    A scope or purpose counts only while the client still has it, and a removed client has none.
    Raises InvalidToken when the token is expired, revoked, malformed, for another audience, of
    another issuer or key, or of a client that was removed.
    """
    try:
        claims = dict(_TokenValidator(key, settings).authenticate_token(token))
    except ExpiredTokenError as error:
        raise InvalidToken("The access token has expired; ask for a new one.") from error
    except (OAuth2Error, JoseError) as error:
        raise InvalidToken("This is no access token of this server for this API.") from error
    try:
        client = clients.find(session, claims["client_id"])
    except ClientNotFound as error:
        raise InvalidToken("The client of this access token was removed.") from error
    if keys.is_revoked(session, claims["jti"]):
        raise InvalidToken("The access token was revoked.")
    caller = Caller(
        client_id=client.client_id,
        scopes=frozenset(claims.get("scope", "").split()) & frozenset(client.scopes),
        purposes=frozenset(claims.get("purposes", ())) & frozenset(client.purposes),
    )
    return caller, claims
