"""Packages of data subjects' requests, fetched by a token; and the end of a suppression."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Response
from fastapi.params import Security
from fastapi.security import APIKeyQuery
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.errors import PackageNotFound, SuppressionKeyUnusable
from app.privacy import lifting, package_store, token
from identity import identifiers
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/privacy", tags=["privacy"])

Officer = Annotated[Caller, requires("privacy:process")]
AUTH = (InvalidToken, InsufficientScope)
PackageToken = APIKeyQuery(
    name="token",
    scheme_name="PackageToken",
    description="A token of `POST …/packages/{package_id}/token`.",
    auto_error=False,
)


def _now() -> datetime:
    return datetime.now(UTC)


@router.post(
    "/packages/{package_id}/token",
    status_code=201,
    summary="Get a token to fetch a package with",
    responses=documented(*AUTH, PackageNotFound),
)
def package_token(session: Db, caller: Officer, package_id: str) -> dict[str, str]:
    """Return a token that holds for 15 minutes, and the address to fetch the package from."""
    package = package_store.find(session, _package(package_id), now=_now())
    made, expires_at = token.make(package.id, now=_now())
    return {
        "token": made,
        "url": f"/v1/privacy/packages/{package.id}?token={made}",
        "expires_at": expires_at.isoformat(),
    }


@router.get(
    "/packages/{package_id}",
    summary="Fetch a package",
    response_class=Response,
    responses=documented(PackageNotFound),
)
def fetch_package(
    session: Db,
    settings: Configuration,
    package_id: str,
    token_: Annotated[str | None, Security(PackageToken)],
) -> Response:
    """Return the ZIP file, to whoever has a token for it."""
    wanted = _package(package_id)
    token.check(wanted, token_ or "", now=_now())
    package = package_store.find(session, wanted, now=_now())
    return Response(
        package_store.path_of(settings, package).read_bytes(),
        media_type="application/zip",
        headers={
            "content-disposition": f'attachment; filename="{package.id}.zip"',
            "cache-control": "no-store",
        },
    )


def _package(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise PackageNotFound("") from error


class LiftIn(BaseModel):
    """Whose data may be stored again, and by which act of theirs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "identifiers": ["email:ada@example.org"],
                "act": "opened a new account on 2027-03-01",
            }
        },
    )

    identifiers: list[str] = Field(min_length=1, max_length=20)
    act: str = Field(min_length=1, max_length=500)


@router.post(
    "/suppressions/lift",
    summary="Let data of an erased person be stored again",
    responses=documented(*AUTH, IdentifierInvalid, SuppressionKeyUnusable),
)
def lift(session: Db, settings: Configuration, caller: Officer, wanted: LiftIn) -> dict[str, int]:
    """Take identifiers off the suppression list, after a new and explicit act of the person."""
    lifted = lifting.lift(
        session,
        settings,
        [identifiers.parse(one) for one in wanted.identifiers],
        reason_ref=f"{caller.client_id}: {wanted.act}",
        now=_now(),
    )
    return {"lifted": lifted}
