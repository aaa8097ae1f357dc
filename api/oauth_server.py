"""How a client gets, examines and gives back an access token: the authorization server.

Authlib has the grants and endpoints but no adapter to Starlette. Here it serves one request at a
time, in the request's own transaction; `api/routes/oauth.py` holds the addresses.
"""
# mypy: disallow-subclassing-any=False
# Authlib carries no types, and subclassing is the way to configure it.

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qs

from authlib.oauth2 import (  # type: ignore[import-untyped]  # Authlib carries no types
    OAuth2Error,
    rfc6749,
    rfc7009,
    rfc7662,
    rfc9068,
)
from fastapi import Request
from fastapi.responses import JSONResponse
from joserfc.jwk import ECKey, KeySet
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.responses import Response

from api.auth import ALGORITHM, Keys, Limits, verify
from api.client_assertion import METHOD, ClientAssertion
from api.deps import Configuration, Db
from api.errors import InvalidToken
from app.access import clients, credentials, keys, public_keys, tokens
from app.access.tables import Client
from app.errors import BodyTooLarge, ClientNotFound
from app.settings import Settings

CLIENT_AUTHENTICATION = ("client_secret_basic", "client_secret_post", METHOD)
GRANT = "client_credentials"
LARGEST_FORM = 16_384
MOST_FIELDS = 20
#: What RFC 6749 §5.2 does not let an error_description hold.
FORBIDDEN = re.compile(r"[^\x20\x21\x23-\x5B\x5D-\x7E]")


async def form_body(request: Request) -> bytes:
    """Return the raw body of a form; raises BodyTooLarge before it has read much too much."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            raise BodyTooLarge(f"A form of this server has at most {LARGEST_FORM} bytes.")
    return bytes(body)


class _FormRequest(rfc6749.OAuth2Request):
    """What Authlib reads of a request.

    Its address is the public one: what the client used, where a proxy ends TLS in front of us.
    So Authlib's demand for https (RFC 6749 §3.2) holds for the address that matters, needs no
    `X-Forwarded-Proto` from anybody and no AUTHLIB_INSECURE_TRANSPORT; loopback may be http.
    """

    def __init__(self, path: str, headers: Headers, body: bytes, settings: Settings) -> None:
        super().__init__("POST", settings.public_url.rstrip("/") + path, headers=headers)
        self._form = _fields(headers, body)
        self.payload = rfc6749.requests.BasicOAuth2Payload(self._form)

    @property
    def form(self) -> dict[str, str]:
        return self._form


def _fields(headers: Headers, body: bytes) -> dict[str, str]:
    """Return the fields of a form; each may stand once, an empty one is none (RFC 6749 §3.2)."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise rfc6749.InvalidRequestError("Send the fields as application/x-www-form-urlencoded.")
    try:
        fields = parse_qs(body.decode(), errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise rfc6749.InvalidRequestError("The body is not a form.") from error
    if any(len(values) > 1 for values in fields.values()):
        raise rfc6749.InvalidRequestError("A field stands twice.")
    return {name: values[0] for name, values in fields.items()}


class _Registered:
    """A client as Authlib asks it (`ClientMixin`); it shows only its id when logged."""

    def __init__(self, row: Client, session: Session) -> None:
        self.row = row
        self._session = session

    def __repr__(self) -> str:
        return f"<client {self.row.client_id}>"

    def get_client_id(self) -> str:
        return self.row.client_id

    def check_client_secret(self, secret: str) -> bool:
        return credentials.has_secret(self._session, self.row, secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in CLIENT_AUTHENTICATION

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == GRANT

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return what was asked for, already checked, or all the client's scopes."""
        asked = (scope or "").split()
        return " ".join(s for s in self.row.scopes if s in asked or not asked)


class _ClientCredentials(rfc6749.ClientCredentialsGrant):
    """RFC 6749 §4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTHENTICATION

    def validate_requested_scope(self) -> None:
        """Refuse a request that asks for more than the client may have (RFC 6749 §3.3).

        Authlib hands out the allowed part, be it empty, with status 200: the client then learns
        from a 403 much later what was wrong here.
        """
        asked = (self.request.payload.scope or "").split()
        refused = [scope for scope in asked if scope not in self.client.row.scopes]
        if refused:
            raise rfc6749.InvalidScopeError(
                FORBIDDEN.sub("?", f"This client may not have the scope {' '.join(refused)}.")
            )

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Issue the token; Authlib's own method writes it into the log."""
        token = self.generate_token(scope=self.request.payload.scope, include_refresh_token=False)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class _TokenGenerator(rfc9068.JWTBearerTokenGenerator):
    """RFC 9068 §2, for this API instead of for the client, and for minutes instead of ten days."""

    def __init__(self, key: ECKey, settings: Settings) -> None:
        super().__init__(
            issuer=settings.public_url,
            alg=ALGORITHM,
            expires_generator=settings.token_lifetime_seconds,
        )
        self._keys = KeySet([key])

    def get_jwks(self) -> KeySet:
        """Return a set, because only for a set is the header given the `kid`."""
        return self._keys

    def get_audiences(self, client: _Registered, user: None, scope: str) -> str:
        return str(self.issuer)

    def get_extra_claims(
        self, client: _Registered, grant_type: str, user: None, scope: str
    ) -> dict[str, Any]:
        return {"purposes": client.row.purposes}


@dataclass(frozen=True, slots=True)
class _Issued:
    """A valid token of ours, as Authlib asks it (`TokenMixin`)."""

    claims: dict[str, Any]

    def check_client(self, client: _Registered) -> bool:
        return bool(self.claims["client_id"] == client.row.client_id)


class _TokenFinder:
    """What introspection and revocation share.

    Authlib's own endpoints for JWTs know no revocation, and answer nothing at all to the hint
    `refresh_token`. A hint only ever speeds a search up (RFC 7009 §2.1): it is ignored.
    """

    CLIENT_AUTH_METHODS = CLIENT_AUTHENTICATION
    server: "AuthorizationServer"

    def check_params(self, request: _FormRequest, client: _Registered) -> None:
        if "token" not in request.form:
            raise rfc6749.InvalidRequestError("The field token is missing.")

    def query_token(self, token: str, hint: str | None) -> _Issued | None:
        return self.server.find_token(token)


class _Introspection(_TokenFinder, rfc7662.IntrospectionEndpoint):
    """RFC 7662: a client learns about its own tokens, an administrator about all."""

    def check_permission(self, token: _Issued, client: _Registered, request: _FormRequest) -> bool:
        return token.check_client(client) or "clients:admin" in client.row.scopes

    def create_introspection_payload(self, token: _Issued | None) -> dict[str, Any]:
        if token is None:
            return {"active": False}
        return {"active": True, "token_type": "Bearer", **token.claims}


class _Revocation(_TokenFinder, rfc7009.RevocationEndpoint):
    """RFC 7009: a client takes back a token of its own."""

    def revoke_token(self, token: _Issued, request: _FormRequest) -> None:
        expires_at = datetime.fromtimestamp(token.claims["exp"], UTC)
        tokens.revoke(self.server.session, token.claims["jti"], expires_at)


class AuthorizationServer(rfc6749.AuthorizationServer):
    """The OAuth 2.0 endpoints, for one request and within its transaction."""

    def __init__(self, known: Keys, limits: Limits, session: Db, settings: Configuration) -> None:
        """Take what FastAPI provides: this class is itself a dependency."""
        super().__init__()
        self.known = known
        self.limits = limits
        self.session = session
        self.settings = settings
        self.register_grant(_ClientCredentials)
        self.register_token_generator("default", self._generate)
        self.register_client_auth_method(METHOD, ClientAssertion(session, settings))
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def answer(
        self,
        endpoint: Literal["token", "introspection", "revocation"],
        request: Request,
        body: bytes,
    ) -> Response:
        """Return the answer of an endpoint; an error is one of RFC 6749 §5.2, as JSON."""
        try:
            asked = _FormRequest(request.url.path, request.headers, body, self.settings)
            if endpoint == "token" and not asked.payload.grant_type:
                raise rfc6749.InvalidRequestError("The field grant_type is missing.")
            given: Response = (
                self.create_token_response(asked)
                if endpoint == "token"
                else self.create_endpoint_response(endpoint, asked)
            )
        except OAuth2Error as error:
            return self.handle_response(*error())
        return given

    def find_token(self, token: str) -> _Issued | None:
        """Return a token of ours while it is valid."""
        try:
            _, claims = verify(
                token, known=self.known, session=self.session, settings=self.settings
            )
        except InvalidToken:
            return None
        return _Issued(claims)

    def query_client(self, client_id: str) -> _Registered | None:
        """Return the client as Authlib asks for it."""
        try:
            return _Registered(clients.find(self.session, client_id), self.session)
        except ClientNotFound:
            return None

    def authenticate_client(
        self, request: _FormRequest, methods: tuple[str, ...], endpoint: str = "token"
    ) -> _Registered:
        """Return the client that authenticated itself, by one method and no more (§2.3).

        Whatever was wrong, the answer is the same 401: Authlib tells an unknown client from a
        wrong secret, answers 400 to one of them, and fails on credentials that are not text.
        """
        shown = {"client_secret", "client_assertion"}.intersection(request.form)
        if len(shown) + ("authorization" in request.headers) > 1:
            raise rfc6749.InvalidRequestError("The client authenticates itself in two ways.")
        try:
            found: _Registered = super().authenticate_client(request, methods, endpoint)
            if request.form.get("client_id", found.get_client_id()) != found.get_client_id():
                raise rfc6749.InvalidClientError()  # RFC 7521 §4.2
        except (rfc6749.InvalidClientError, ValueError) as error:
            raise rfc6749.InvalidClientError(
                "The client is unknown, or its secret or assertion is wrong.", status_code=401
            ) from error
        self.limits.admit(found.row.client_id, found.row.requests_per_second, found.row.burst)
        return found

    def _generate(self, **asked: Any) -> dict[str, Any]:
        """Issue a token with the key that signs at this moment."""
        key = ECKey.import_key(keys.current(self.session).private_jwk)
        token: dict[str, Any] = _TokenGenerator(key, self.settings)(**asked)
        return token

    def create_oauth2_request(self, request: _FormRequest) -> _FormRequest:
        """Return the request, which `answer` has adapted."""
        return request

    def handle_response(
        self, status: int, body: dict[str, Any], headers: list[tuple[str, str]]
    ) -> Response:
        """Return Authlib's answer; an error says what it is in the words of our other errors."""
        told: Mapping[str, str] = {k: v for k, v in headers if k.lower() != "content-type"}
        if "error" in body:
            message = FORBIDDEN.sub("?", body.get("error_description") or body["error"])
            body = {**body, "error_description": message, "code": body["error"], "message": message}
        if status == 401:
            # Authlib leaves out the realm, without which there is no challenge (RFC 7617 §2).
            told = {**told, "WWW-Authenticate": 'Basic realm="parcours", charset="UTF-8"'}
        return JSONResponse(body, status_code=status, headers=told)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody: Authlib's signals have no listeners here."""


def metadata(settings: Settings) -> dict[str, Any]:
    """Return what this authorization server offers (RFC 8414 §2)."""
    base = settings.public_url.rstrip("/")
    methods = list(CLIENT_AUTHENTICATION)
    return {
        "issuer": settings.public_url,
        "token_endpoint": f"{base}/oauth/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": list(public_keys.ALL),
        "introspection_endpoint": f"{base}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": list(public_keys.ALL),
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": list(public_keys.ALL),
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": [GRANT],
        "scopes_supported": list(clients.SCOPES),
        # Required, though a server without an authorization endpoint has none to name.
        "response_types_supported": [],
    }
