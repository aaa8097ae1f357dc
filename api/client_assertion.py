"""How a client shows that it has a private key: an assertion that it signed (RFC 7523 §2.2).

Authlib checks signature, issuer, subject, audience and times. What it leaves open is decided here:
which algorithms a key may sign with, how long an assertion may live, and that each counts once.
"""
# mypy: disallow-subclassing-any=False
# Authlib carries no types, and subclassing is the way to configure it.

from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.oauth2 import (  # type: ignore[import-untyped]  # Authlib carries no types
    rfc6749,
    rfc7523,
)
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy.orm import Session

from app.access import assertions, credentials, public_keys
from app.access.tables import Client
from app.settings import Settings

METHOD = "private_key_jwt"
#: How far the clock of a client may be off: it is somebody else's.
SKEW_SECONDS = 30
#: How far ahead of ours the end of an assertion may be. Authlib takes one of 31 years.
LONGEST_SECONDS = 300
LONGEST_TOKEN_ID = 500
#: What an assertion may say that it is; most say nothing, or just that it is a JWT. One that says
#: more says it so that it cannot be taken for something else (RFC 8725 §3.11).
TYPES = (None, "jwt", "client-authentication+jwt", "application/client-authentication+jwt")


class ClientAssertion(rfc7523.JWTBearerClientAssertion):
    """Authenticates one client by one assertion, in the transaction of its request."""

    CLIENT_AUTH_METHOD = METHOD

    def __init__(self, session: Session, settings: Settings) -> None:
        """Look keys up, and note what was used, in this session."""
        super().__init__(leeway=SKEW_SECONDS)
        self._session = session
        self._settings = settings
        self._client: Client | None = None
        self._now = datetime.now(UTC)

    def get_audiences(self) -> list[str]:
        """Return what names this server: its issuer, or the address where tokens are given."""
        base = self._settings.public_url
        return [base, base.rstrip("/") + "/oauth/token"]

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims, before anything in them is believed."""
        try:
            header, claims = super().extract_assertion(assertion)
        except RecursionError as error:  # claims of 5,000 brackets
            raise rfc6749.InvalidClientError(description="Invalid JWT payload.") from error
        if not _is_plain(header):
            raise rfc6749.InvalidClientError(description="The header of the assertion is not ours.")
        return header, claims

    def resolve_client_public_key(self, client: Any) -> KeySet:
        """Return the keys of the client in use, and of nobody else."""
        self._client = client.row
        found = credentials.keys_of(self._session, client.row, now=self._now)
        return KeySet([public_keys.imported(jwk) for jwk in found])

    def process_assertion_claims(self, assertion: str, resolve_key: KeySet) -> dict[str, Any]:
        """Return the claims, once a key of the client that may sign so has signed them.

        An assertion need not name its key: while one key replaces another, both are tried.
        """
        header = jws.extract_compact(assertion.encode()).headers()
        for key in resolve_key.keys:
            allowed = public_keys.algorithms(key)  # type: ignore[arg-type]  # none is symmetric
            if header["alg"] not in allowed or header.get("kid", key.kid) != key.kid:
                continue
            try:
                token = jwt.decode(assertion, key, algorithms=allowed)
            except JoseError:
                continue
            self.verify_claims(token.claims)
            return token.claims
        raise rfc6749.InvalidClientError(description="No key of the client has signed this.")

    def verify_claims(self, claims: dict[str, Any]) -> None:
        """Check the claims; that the assertion is used for the first time comes last."""
        audience = claims.get("aud")
        if isinstance(audience, list) and len(audience) != 1:
            # What is for several servers can be passed on by one of them to another.
            raise rfc6749.InvalidClientError(description="The assertion is not for us alone.")
        ends = claims.get("exp")
        latest = self._now.timestamp() + LONGEST_SECONDS
        if isinstance(ends, bool) or not isinstance(ends, int | float) or not ends <= latest:
            raise rfc6749.InvalidClientError(description="The assertion lives too long.")
        super().verify_claims(claims)

    def validate_jti(self, claims: dict[str, Any], jti: object) -> bool:
        """Say whether this assertion is used for the first time, and remember it."""
        if self._client is None or not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_TOKEN_ID:
            return False
        ends = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=SKEW_SECONDS)
        return assertions.take(self._session, self._client, jti, expires_at=ends, now=self._now)


def _is_plain(header: object) -> bool:
    """Say whether the header is of an assertion, and holds nothing that we must understand."""
    if not isinstance(header, dict) or "crit" in header:
        return False
    kind = header.get("typ")
    return (
        header.get("alg") in public_keys.ALL
        and (kind.lower() if isinstance(kind, str) else kind) in TYPES
        and isinstance(header.get("kid", ""), str)
    )
