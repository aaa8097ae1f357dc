"""Accounts and households: groups of people, what they are like and who is in them."""

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from api.auth import state_purpose
from api.conditional import NOT_MODIFIED
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from api.routes.profiles import (
    READ,
    Reader,
    Seen,
    StatedHeader,
    StatedQuery,
    Unless,
    frame,
    stated_once,
)
from api.slashes import WithSlashes
from app.errors import AccountNotFound, CursorInvalid, PurposeNotAllowed, PurposeRequired
from app.profiles import accounts, summary
from consent.errors import PurposeNotFound

router = Resource(tags=["accounts"])

Ref = Annotated[
    WithSlashes,
    Path(
        description="An account id, or type:id; `group_id:acme` is `account:acme`.",
        examples=["account:acme"],
    ),
]
Past = Annotated[bool, Query(description="Also who was removed, and until when.")]
ERRORS = (PurposeRequired, InvalidToken, InsufficientScope, PurposeNotAllowed, PurposeNotFound)

ACCOUNT: dict[str, Any] = {
    "account_id": "0b0c3c62-6d0e-4a42-9a39-9c2a8c5e2f10",
    "type": "account",
    "id": "acme",
    "first_seen_at": "2026-11-02T09:12:00+00:00",
    "purpose": "marketing.email",
    "traits": {"plan": "business", "employees": 120},
    "withheld": [{"what": "part", "reason": "refused", "identifiers": 1}],
}
MEMBERS: dict[str, Any] = {
    "account_id": "0b0c3c62-6d0e-4a42-9a39-9c2a8c5e2f10",
    "purpose": "marketing.email",
    "data": [
        {
            "profile_id": "9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11",
            "since": "2026-11-02T09:12:00+00:00",
            "until": None,
            "source": "website",
            "message_id": "ajs-next-1",
        }
    ],
    "next_cursor": None,
}


@router.get("/v1/accounts", summary="List accounts", responses=documented(*ERRORS, CursorInvalid))
def list_accounts(
    session: Db,
    caller: Reader,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    kind: Annotated[str | None, Query(alias="type", examples=["household"])] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return accounts, oldest first, with what may be used of each for the purpose.

    Those that nobody whose data may be used speaks of are left out, so a page may be short.
    """
    wanted = state_purpose(caller, stated_once(purpose, stated))
    found, following = accounts.page(session, wanted, kind=kind, cursor=cursor, limit=limit)
    return {"data": [summary.account(one) for one in found], "next_cursor": following}


@router.get(
    "/v1/accounts/{ref}",
    summary="Read an account",
    responses=documented(*ERRORS, AccountNotFound, ok=ACCOUNT) | NOT_MODIFIED,
)
def read_account(
    session: Db,
    caller: Reader,
    ref: Ref,
    unless: Unless,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
) -> Response:
    """Return what is said of an account by the people whose data may be used for the purpose."""
    wanted = state_purpose(caller, stated_once(purpose, stated))
    view = accounts.seen(session, ref, wanted)
    return unless.answer(summary.account(view))


@router.get(
    "/v1/accounts/{ref}/traits",
    summary="Read an account's traits with their provenance",
    responses=documented(*ERRORS, AccountNotFound) | NOT_MODIFIED,
)
def read_account_traits(
    session: Db,
    caller: Reader,
    ref: Ref,
    unless: Unless,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
) -> Response:
    """Return each trait with its value and the source, time, event and identifier that set it."""
    wanted = state_purpose(caller, stated_once(purpose, stated))
    view = accounts.seen(session, ref, wanted)
    found = summary.account(view)
    return unless.answer({**found, "traits": summary.with_provenance(view.traits)})


@router.get(
    "/v1/accounts/{ref}/members",
    summary="List the members of an account",
    responses=documented(*ERRORS, AccountNotFound, CursorInvalid, ok=MEMBERS),
)
def list_account_members(
    session: Db,
    caller: Reader,
    ref: Ref,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    past: Past = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return who is in an account, since when, and the call that says so; a page may be short."""
    wanted = state_purpose(caller, stated_once(purpose, stated))
    account = accounts.seen(session, ref, wanted).account
    found, following = accounts.members(
        session, account, wanted, cursor=cursor, limit=limit, past=past
    )
    return {
        "account_id": str(account.account_id),
        "purpose": wanted,
        "data": [summary.stay_of(one) for one in found],
        "next_cursor": following,
    }


@router.get(
    "/v1/profiles/{ref}/accounts",
    summary="Read the accounts that a person is in",
    tags=["profiles"],
    responses=READ,
)
def read_accounts(session: Db, view: Seen, unless: Unless, past: Past = False) -> Response:
    """Return the accounts and households of a person, since when, and the call that says so."""
    found = accounts.of_views(session, [view])[view.subject_id]
    data = [summary.stay_in(one) for one in found if past or one.until is None]
    return unless.answer(frame(view, data=data))
