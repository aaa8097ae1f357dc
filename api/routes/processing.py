"""The record of processing activities."""

import io
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, Response

from api.auth import Caller, requires
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.accountability import bundle as bundles
from app.accountability import html_page, markdown
from app.accountability.processing import record_of_processing
from app.db import snapshot
from app.errors import LedgerKeyUnusable
from app.ledger.keystore import Keystore

router = Resource(tags=["privacy"])
#: The page loads nothing and runs nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The record.",
        "content": {
            "application/json": {"example": {"controller": None, "activities": [], "gaps": []}},
            "text/markdown": {"example": "# Record of processing activities\n"},
            "text/html": {"example": "<!doctype html><h1>Record of processing activities</h1>"},
        },
    }
}


@router.get(
    "/v1/record-of-processing",
    summary="Get the record of processing activities",
    response_model=None,
    responses={**documented(InvalidToken, InsufficientScope), **PAGE},
)
def get_record(
    session: Db,
    caller: Annotated[Caller, requires("privacy:read")],
    form: Annotated[Literal["json", "markdown", "html"], Query(alias="format")] = "json",
    people: Annotated[
        bool, Query(description="Count the people whom each purpose in use allows and denies.")
    ] = True,
) -> dict[str, Any] | Response:
    """Return the record (GDPR art. 30) as it is now: what is declared and what really flows.

    It names nobody but the controller's own. `gaps` says what is missing.
    """
    record = record_of_processing(session, at=datetime.now(UTC), people=people)
    if form == "json":
        return record
    if form == "html":
        return HTMLResponse(html_page.page(record), headers={"Content-Security-Policy": POLICY})
    return Response(markdown.page(record), media_type="text/markdown; charset=utf-8")


@router.get(
    "/v1/audit-bundle",
    summary="Get a bundle for auditors",
    response_class=Response,
    responses={
        **documented(InvalidToken, InsufficientScope, LedgerKeyUnusable),
        200: {"description": "A ZIP file.", "content": {"application/zip": {}}},
    },
)
def get_bundle(
    request: Request,
    settings: Configuration,
    caller: Annotated[Caller, requires("privacy:read", "ledger:read")],
) -> Response:
    """Return what an auditor asks for, signed with the ledger's key; it names no person.

    `parcours consent verify-bundle` checks the folder that the file unpacks to, on any machine.
    What waits for the ledger is not in it yet. The server needs the keystore.
    """
    now = datetime.now(UTC)
    with closing(Keystore(settings)) as keystore, TemporaryDirectory() as home:
        signers = [k.signer for k in keystore.signing_keys(at=now)] if keystore.exists else []
        if not signers:
            raise LedgerKeyUnusable("no signing key is here; the worker makes it")
        folder = Path(home) / "bundle"
        with snapshot(request.app.state.sessions) as session:
            bundles.write(session, folder, signers, settings, at=now)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
    return Response(
        packed.getvalue(),
        media_type="application/zip",
        headers={
            "content-disposition": f'attachment; filename="audit-{now:%Y-%m-%d}.zip"',
            "cache-control": "no-store",
        },
    )
