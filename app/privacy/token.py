"""Short-lived tokens to fetch a package with: what a person gets, who has no client of ours."""

import hmac
from datetime import datetime, timedelta
from uuid import UUID

from app.errors import PackageNotFound
from app.suppression import gate

LIFETIME = timedelta(minutes=15)


def make(package_id: UUID, *, now: datetime) -> tuple[str, datetime]:
    """Return a token for one package, and when it ends."""
    expires_at = now + LIFETIME
    seconds = int(expires_at.timestamp())
    return f"{seconds}.{_signature(package_id, seconds)}", expires_at


def check(package_id: UUID, token: str, *, now: datetime) -> None:
    """Raises PackageNotFound unless the token was made for this package and holds."""
    seconds, _, signature = token.partition(".")
    if (
        not seconds.isdigit()
        or len(seconds) > 12
        or not hmac.compare_digest(signature, _signature(package_id, int(seconds)))
        or int(seconds) <= now.timestamp()
    ):
        raise PackageNotFound("the token does not fit, or no longer")


def _signature(package_id: UUID, seconds: int) -> str:
    return gate.keys().newest.ref(f"package {package_id}", str(seconds)).hex()
