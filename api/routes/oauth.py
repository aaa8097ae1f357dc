"""The OAuth 2.0 endpoints: a token, what it is worth, giving it back, and discovery."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.deps import Configuration, Db
from api.oauth_server import AuthorizationServer, form_body, metadata
from api.resource import Resource
from app.access import keys

EXAMPLE_CLIENT = "cl_6b1f0d2a9c3e4f5a7b8c"
EXAMPLE_TOKEN = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOi…"  # noqa: S105  # shortened


class TokenAnswer(BaseModel):
    """An access token (RFC 6749 §5.1)."""

    access_token: str = Field(examples=[EXAMPLE_TOKEN])
    token_type: str = Field(examples=["Bearer"])
    expires_in: int = Field(description="Seconds from now.", examples=[600])
    scope: str = Field(description="What the token allows.", examples=["profiles:read"])


class IntrospectionAnswer(BaseModel):
    """What a token is worth (RFC 7662 §2.2); of an inactive one, `active` is all there is."""

    active: bool
    token_type: str | None = Field(None, examples=["Bearer"])
    client_id: str | None = Field(None, examples=[EXAMPLE_CLIENT])
    sub: str | None = Field(None, examples=[EXAMPLE_CLIENT])
    scope: str | None = Field(None, examples=["profiles:read"])
    purposes: list[str] | None = Field(None, examples=[["marketing.email"]])
    iss: str | None = Field(None, examples=["http://127.0.0.1:8000"])
    aud: str | None = Field(None, examples=["http://127.0.0.1:8000"])
    iat: int | None = Field(None, examples=[1763856000])
    exp: int | None = Field(None, examples=[1763856600])
    jti: str | None = Field(None, examples=["pV3rZk8wQ1nB5tYc"])


class RevocationAnswer(BaseModel):
    """Nothing: the token is not valid, whatever it was before (RFC 7009 §2.2)."""


class OAuthError(BaseModel):
    """An error of RFC 6749 §5.2; `code` and `message` say the same as on every other route."""

    error: str = Field(examples=["invalid_scope"])
    error_description: str = Field(examples=["This client may not have the scope segments:write."])
    code: str = Field(examples=["invalid_scope"])
    message: str = Field(examples=["This client may not have the scope segments:write."])


class ServerMetadata(BaseModel):
    """What this authorization server offers (RFC 8414 §2)."""

    issuer: str = Field(examples=["http://127.0.0.1:8000"])
    token_endpoint: str
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
    jwks_uri: str
    grant_types_supported: list[str]
    scopes_supported: list[str]
    response_types_supported: list[str]


class PublicKey(BaseModel):
    """The public part of a signing key (RFC 7517)."""

    kty: str = Field(examples=["EC"])
    crv: str = Field(examples=["P-256"])
    x: str
    y: str
    kid: str
    use: str = Field(examples=["sig"])
    alg: str = Field(examples=["ES256"])


class KeySet(BaseModel):
    """The keys with which anybody can check our tokens (RFC 7517 §5)."""

    model_config = ConfigDict(title="JsonWebKeySet")

    keys: list[PublicKey]


class ClientSecretBasic(HTTPBasic):
    """Tells the OpenAPI document of the credentials; it is Authlib that checks them."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Leave the header alone: a bad one is answered as RFC 6749 §5.2 wants it."""


_basic = ClientSecretBasic(
    scheme_name="ClientSecretBasic",
    description="`client_id` and `client_secret`; both may stand in the form instead.",
)
router = Resource(tags=["OAuth 2.0"])
Body = Annotated[bytes, Depends(form_body)]
Server = Annotated[AuthorizationServer, Depends(AuthorizationServer)]

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {
        "model": OAuthError,
        "description": "invalid_request, invalid_scope, invalid_grant or unsupported_grant_type.",
    },
    401: {
        "model": OAuthError,
        "description": "invalid_client: unknown, or a wrong secret or assertion.",
    },
    413: {"description": "The form is too large, as a problem document."},
}
CREDENTIALS = {
    "client_id": {"type": "string", "description": "Unless HTTP Basic is used."},
    "client_secret": {"type": "string", "format": "password"},
    "client_assertion_type": {
        "type": "string",
        "enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    },
    "client_assertion": {
        "type": "string",
        "format": "password",
        "description": "A JWT that the client has signed (RFC 7523 §2.2), in place of a secret: "
        "`iss` and `sub` its id, `aud` the issuer or the token endpoint, `exp` at most 5 minutes "
        "ahead, `jti` new each time.",
    },
}
TOKEN_FIELDS = {
    "token": {"type": "string", "description": "The access token."},
    "token_type_hint": {"type": "string", "description": "Accepted and not needed."},
}


def _form(fields: dict[str, Any], required: str, example: dict[str, str]) -> dict[str, Any]:
    """Return the OpenAPI description of a form that the route reads by itself."""
    schema = {"type": "object", "required": [required], "properties": {**fields, **CREDENTIALS}}
    content = {"application/x-www-form-urlencoded": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/oauth/token",
    summary="Get an access token",
    operation_id="issue_token",
    dependencies=[Security(_basic)],
    responses={200: {"model": TokenAnswer}, **ERRORS},
    openapi_extra=_form(
        {
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            "scope": {
                "type": "string",
                "description": "Separated by spaces; all the client's scopes if it is left out.",
            },
        },
        "grant_type",
        {"grant_type": "client_credentials", "scope": "profiles:read"},
    ),
)
def issue_token(body: Body, server: Server, request: Request) -> Response:
    """The client credentials grant (RFC 6749 §4.4), with a JWT of RFC 9068.

    A scope that the client may not have is answered with `invalid_scope`, never left out.
    """
    return server.answer("token", request, body)


@router.post(
    "/oauth/introspect",
    summary="Ask what a token is worth",
    operation_id="introspect_token",
    dependencies=[Security(_basic)],
    responses={200: {"model": IntrospectionAnswer}, **ERRORS},
    openapi_extra=_form(TOKEN_FIELDS, "token", {"token": EXAMPLE_TOKEN}),
)
def introspect_token(body: Body, server: Server, request: Request) -> Response:
    """Token introspection (RFC 7662), which knows revoked tokens and removed clients.

    A client learns about its own tokens, one with `clients:admin` about all; of every other
    token the answer is `{"active": false}`.
    """
    return server.answer("introspection", request, body)


@router.post(
    "/oauth/revoke",
    summary="Give a token back",
    operation_id="revoke_token",
    dependencies=[Security(_basic)],
    responses={200: {"model": RevocationAnswer}, **ERRORS},
    openapi_extra=_form(TOKEN_FIELDS, "token", {"token": EXAMPLE_TOKEN}),
)
def revoke_token(body: Body, server: Server, request: Request) -> Response:
    """Token revocation (RFC 7009) of the client's own tokens, at once.

    A token that is none, or no longer, is answered with 200 too: it is not valid, as asked.
    """
    return server.answer("revocation", request, body)


@router.get(
    "/.well-known/oauth-authorization-server",
    summary="Discover the OAuth 2.0 endpoints",
    operation_id="read_server_metadata",
    response_model=ServerMetadata,
)
def read_server_metadata(settings: Configuration) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414)."""
    return metadata(settings)


@router.get(
    "/.well-known/jwks.json",
    summary="Get the keys that check our tokens",
    operation_id="read_key_set",
    responses={200: {"model": KeySet}},
)
def read_key_set(session: Db) -> Response:
    """The public keys as a JWK Set (RFC 7517 §5); it may be kept for five minutes.

    A new key stands here ten minutes before it signs, and an old one until its tokens are over.
    """
    kept = f"public, max-age={keys.PUBLIC_FOR}"
    return JSONResponse(keys.public_set(session), headers={"Cache-Control": kept})
