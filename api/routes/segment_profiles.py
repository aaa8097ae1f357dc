"""Segment's Profile API, so that programs written for it read profiles and accounts from us.

The space in the address is the purpose that the reader states. The token is the Basic user name.
Paths, parameters and shapes are those of https://segment.com/docs/unify/profile-api/ as published
in 2026; `withheld` is ours. Events are not bounded to 14 days.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request
from sqlalchemy.orm import Session

from api.auth import state_purpose
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from api.routes.profiles import Reader
from api.slashes import WithSlashes
from app import cursors
from app.errors import AccountNotFound, CursorInvalid, ProfileNotFound, PurposeNotAllowed
from app.profiles import accounts, computed_values, read, summary, timeline
from app.profiles.account_calls import ACCOUNT
from app.profiles.read import View
from app.profiles.traits import Golden
from app.segments import stays
from consent.errors import PurposeNotFound
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/spaces/{space}/collections", tags=["segment profile api"])
USER, GROUP = "/users/profiles/{ref}", "/accounts/profiles/{ref}"

Space = Annotated[
    WithSlashes, Path(description="The purpose that you state.", examples=["service.ops"])
]
Ref = Annotated[WithSlashes, Path(description="type:value", examples=["user_id:u-42"])]
GroupRef = Annotated[WithSlashes, Path(description="type:value", examples=["group_id:acme"])]
Page = Annotated[int, Query(ge=1, le=100, description="At most so many entries.")]
Next = Annotated[str | None, Query(alias="next", description="`cursor.next` of the last page.")]
Listed = Annotated[str | None, Query(description="Names, separated by commas.")]
AUTH = (InvalidToken, InsufficientScope, PurposeNotAllowed, PurposeNotFound)
PERSON = documented(*AUTH, ProfileNotFound, IdentifierInvalid, CursorInvalid)
ACCOUNT_READ = documented(*AUTH, AccountNotFound, CursorInvalid)
Trait = tuple[Any, str | None, datetime | None]


def _seen(session: Db, caller: Reader, space: Space, ref: Ref) -> View:
    return read.view(session, read.find(session, ref), state_purpose(caller, space))


def _account(session: Db, caller: Reader, space: Space, ref: GroupRef) -> accounts.AccountView:
    return accounts.seen(session, ref, state_purpose(caller, space))


Seen = Annotated[View, Depends(_seen)]
Account = Annotated[accounts.AccountView, Depends(_account)]


def _names(listed: str | None) -> tuple[str, ...] | None:
    return tuple(name for name in listed.split(",") if name) if listed else None


def _cursor(request: Request, following: str | None, limit: int) -> dict[str, Any]:
    query = f"?{request.url.query}" if request.url.query else ""
    return {
        "url": request.url.path + query,
        "has_more": following is not None,
        "next": following or "",
        "limit": limit,
    }


def _part(
    entries: Sequence[Any], after: str | None, limit: int
) -> tuple[Sequence[Any], str | None]:
    """Return a page of entries that are all here, and the cursor of the next one."""
    start = cursors.decode(after, int)[0] if after else 0
    end = start + limit
    return entries[max(start, 0) : end], cursors.encode(end) if end < len(entries) else None


class Traits:
    """Which traits are asked for, and how they are shown."""

    def __init__(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200, description="At most so many traits.")] = 10,
        following: Next = None,
        include: Listed = None,
        verbose: Annotated[bool, Query(description="With source and time.")] = False,
        kind: Annotated[Literal["audience", "computed_trait"] | None, Query(alias="class")] = None,
    ) -> None:
        """Take what FastAPI provides: this class is itself a dependency."""
        self.request, self.limit, self.after = request, limit, following
        self.include, self.verbose, self.kind = _names(include), verbose, kind

    def answer(
        self, traits: Mapping[str, Trait], withheld: Iterable[dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a page of traits."""
        chosen = [k for k in sorted(traits) if self.include is None or k in self.include]
        page, following = _part(chosen, self.after, self.limit)
        return {
            "traits": {key: self._shown(traits[key]) for key in page},
            "cursor": _cursor(self.request, following, self.limit),
            "withheld": list(withheld),
        }

    def _shown(self, trait: Trait) -> Any:
        value, source, at = trait
        if not self.verbose:
            return value
        return {
            "value": value,
            "source_id": source,
            "updated_at": at.isoformat() if at else None,
        }


def _plain(traits: Mapping[str, Golden]) -> dict[str, Trait]:
    return {k: (t.value, t.chosen.source, t.chosen.occurred_at) for k, t in traits.items()}


@router.get(f"{USER}/traits", summary="Get a profile's traits", responses=PERSON)
def user_traits(session: Db, view: Seen, asked: Annotated[Traits, Depends()]) -> dict[str, Any]:
    """Return traits, computed traits, and segments as audiences: true inside, false once left.

    Of one name a trait comes first, then a computed trait: the others answer by `class`, too.
    """
    found: dict[str, Trait] = {}
    if asked.kind != "computed_trait":
        for stay in stays.of_views(session, [view])[view.subject_id]:
            found[stay.key] = (stay.left_at is None, None, stay.left_at or stay.entered_at)
    if asked.kind != "audience":
        computed = computed_values.of_views(session, [view], now=datetime.now(UTC))
        for one in computed.get(view.subject_id, ()):
            if one.value is not None:
                found[one.key] = (one.value, None, one.since)
    if asked.kind is None:
        found |= _plain(read.traits(session, view))
    return asked.answer(found, view.withheld)


@router.get(f"{USER}/external_ids", summary="Get a profile's external ids", responses=PERSON)
def user_external_ids(
    session: Db,
    view: Seen,
    request: Request,
    include: Listed = None,
    limit: Page = 25,
    following: Next = None,
) -> dict[str, Any]:
    """Return the identifiers that may be seen, each with the first event in which it acted."""
    types = _names(include)
    known = [
        row
        for row in read.known_identifiers(session, view)
        if types is None or row.namespace in types
    ]
    page, more = _part(known, following, limit)
    ends = timeline.ends(session, view)
    data = []
    for row in page:
        first = ends.get(row.identifier_id)
        data.append(
            {
                **_external_id(row.namespace, row.value),
                "source_id": first.first_source if first else None,
                "created_at": row.first_seen_at.isoformat(),
                "first_message_id": first.first_message_id if first else None,
            }
        )
    return {
        "data": data,
        "cursor": _cursor(request, more, limit),
        "withheld": list(view.withheld),
    }


def _external_id(kind: str, value: str, collection: str = "users") -> dict[str, Any]:
    return {"id": value, "type": kind, "collection": collection, "encoding": "none"}


@router.get(f"{USER}/events", summary="Get a profile's events", responses=PERSON)
def user_events(
    session: Db,
    view: Seen,
    request: Request,
    include: Listed = None,
    exclude: Listed = None,
    start: Annotated[datetime | None, Query(description="ISO 8601; a date is midnight.")] = None,
    end: Annotated[datetime | None, Query(description="ISO 8601, exclusive.")] = None,
    sort: Literal["asc", "desc"] = "desc",
    limit: Page = 10,
    following: Next = None,
) -> dict[str, Any]:
    """Return events, newest first unless `sort=asc`."""
    asked = timeline.Asked(
        names=_names(include),
        without=_names(exclude),
        since=_in_utc(start),
        until=_in_utc(end),
        ascending=sort == "asc",
    )
    rows, more = timeline.page(session, view, asked, cursor=following, limit=limit)
    known = {
        row.identifier_id: _external_id(row.namespace, row.value)
        for row in read.known_identifiers(session, view)
    }
    return {
        "data": [
            {
                "external_ids": [known[i] for i in row.identifier_ids if i in known],
                "type": row.type,
                "event": row.name,
                "message_id": row.message_id,
                "source_id": row.source,
                "timestamp": row.occurred_at.isoformat(),
                "traits" if row.type in ("identify", "group") else "properties": row.properties,
                "context": row.context,
                "related": {"users": str(view.profile_id)},
            }
            for row in rows
        ],
        "cursor": _cursor(request, more, limit),
        "withheld": list(view.withheld),
    }


def _in_utc(stated: datetime | None) -> datetime | None:
    """Return a moment that has a zone: Segment's examples state dates alone."""
    return stated.replace(tzinfo=UTC) if stated and stated.tzinfo is None else stated


@router.get(f"{USER}/metadata", summary="Get a profile's metadata", responses=PERSON)
def user_metadata(session: Db, view: Seen) -> dict[str, Any]:
    """Return when the person was seen first and last, and by which event of which source."""
    known = read.known_identifiers(session, view)
    ends = timeline.ends(session, view)
    last = max(ends.values(), key=lambda row: row.last_at, default=None)
    first = next((ends[row.identifier_id] for row in known if row.identifier_id in ends), None)
    return {
        "metadata": {
            "created_at": known[0].first_seen_at.isoformat() if known else None,
            "updated_at": last.last_at.isoformat() if last else None,
            "expires_at": None,
            "first_message_id": first.first_message_id if first else None,
            "first_source_id": first.first_source if first else None,
            "last_message_id": last.last_message_id if last else None,
            "last_source_id": last.last_source if last else None,
        },
        "withheld": list(view.withheld),
    }


@router.get(f"{USER}/links", summary="Get a profile's linked accounts", responses=PERSON)
def user_links(
    session: Db, view: Seen, request: Request, limit: Page = 20, following: Next = None
) -> dict[str, Any]:
    """Return the accounts and households that the person is in."""
    inside = [
        stay for stay in accounts.of_views(session, [view])[view.subject_id] if stay.until is None
    ]
    page, more = _part(inside, following, limit)
    return {
        "data": [
            {
                "to_collection": "accounts",
                "external_ids": [
                    {
                        **_external_id(_type(stay.type), stay.key, "accounts"),
                        "source_id": stay.source,
                        "created_at": stay.since.isoformat(),
                    }
                ],
            }
            for stay in page
        ],
        "cursor": _cursor(request, more, limit),
        "withheld": list(view.withheld),
    }


def _type(kind: str) -> str:
    return accounts.GROUP_ID if kind == ACCOUNT else kind


@router.get(f"{GROUP}/traits", summary="Get an account's traits", responses=ACCOUNT_READ)
def account_traits(view: Account, asked: Annotated[Traits, Depends()]) -> dict[str, Any]:
    """Return what is said of an account; it has no audiences and no computed traits."""
    return asked.answer(_plain(view.traits) if asked.kind is None else {}, view.withheld)


@router.get(
    f"{GROUP}/external_ids", summary="Get an account's external ids", responses=ACCOUNT_READ
)
def account_external_ids(view: Account, request: Request) -> dict[str, Any]:
    """Return the one id by which an account is known."""
    known = _external_id(_type(view.account.type), view.account.key, "accounts")
    entry = {**known, "created_at": view.account.first_seen_at.isoformat()}
    return {"data": [entry], "cursor": _cursor(request, None, 1), "withheld": list(view.withheld)}


@router.get(f"{GROUP}/metadata", summary="Get an account's metadata", responses=ACCOUNT_READ)
def account_metadata(view: Account) -> dict[str, Any]:
    """Return when an account was spoken of first."""
    created = view.account.first_seen_at.isoformat()
    metadata = {"created_at": created, "expires_at": None}
    return {"metadata": metadata, "withheld": list(view.withheld)}


@router.get(f"{GROUP}/links", summary="Get an account's linked users", responses=ACCOUNT_READ)
def account_links(
    session: Db, view: Account, request: Request, limit: Page = 20, following: Next = None
) -> dict[str, Any]:
    """Return the members whose data may be used for the purpose, with what may be seen of each."""
    found, more = accounts.members(
        session, view.account, view.purpose, cursor=following, limit=limit
    )
    known = _known(session, [str(stay.profile_id) for stay in found], view.purpose)
    return {
        "data": [
            {"to_collection": "users", "external_ids": known[str(stay.profile_id)]}
            for stay in found
        ],
        "cursor": _cursor(request, more, limit),
        "withheld": list(view.withheld),
    }


def _known(
    session: Session, profiles: Sequence[str], purpose: str
) -> dict[str, list[dict[str, Any]]]:
    """Return the identifiers of these profiles that may be seen, by profile."""
    answers = read.find_all(session, profiles)
    found = {ref: one for ref, one in answers.items() if isinstance(one, read.Found)}
    seen = dict(zip(found, read.views(session, list(found.values()), purpose), strict=True))
    rows = read.identifiers_of(session, list(seen.values()))
    return {
        ref: [
            {
                **_external_id(row["namespace"], row["value"]),
                "created_at": row["first_seen_at"],
            }
            for row in summary.known(rows[seen[ref].subject_id] if ref in seen else ())
        ]
        for ref in profiles
    }
