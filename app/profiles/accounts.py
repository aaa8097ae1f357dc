"""Accounts and households as one purpose may see them: what they are like, and who is in them.

What is said of an account was said by people's events, so each value and each membership is as
usable as the identifier that brought it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.access import reads
from app.consents import denials
from app.consents.permission import Permission, permissions, unit
from app.db import statement
from app.errors import AccountNotFound
from app.profiles import paths, trait_rules
from app.profiles.account_calls import ACCOUNT
from app.profiles.read import View, withheld
from app.profiles.survivorship import COUNTED, LATEST, Survivorship
from app.profiles.tables import Account, AccountMember, AccountTrait
from app.profiles.traits import Golden, TraitValue, fold
from identity import graph, people

#: So many who told a trait of an account latest are decided about first: by a step that asks for
#: its value, and where it is read with what differs from it.
LATEST_TELLERS, LATEST_READ = 100, 1_000
#: How Segment calls the id of an account.
GROUP_ID = "group_id"


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account seen for one purpose: its traits, and what was withheld of them and why."""

    account: Account
    purpose: str
    traits: Mapping[str, Golden]
    withheld: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Stay:
    """Somebody's being in an account, by what their identifiers' events say together.

    In it still while one of their identifiers is (`until` is None).
    """

    account_id: UUID
    type: str
    key: str
    since: datetime
    until: datetime | None
    message_id: str
    source: str | None
    profile_id: UUID | None = None


def find(session: Session, reference: str) -> Account:
    """Return the account of an account id or `type:id`; `group_id:x` is `account:x`.

    Raises AccountNotFound: also of one that nobody's event speaks of any more.
    """
    query = sa.select(Account)
    try:
        query = query.where(Account.account_id == UUID(reference))
    except ValueError:
        kind, _, key = reference.partition(":")
        kind = ACCOUNT if kind == GROUP_ID else kind
        query = query.where(Account.type == kind, Account.key == key)
    account = session.scalar(query.where(_spoken_of()))
    if account is None:
        raise AccountNotFound("no account is known by this reference")
    return account


def _spoken_of() -> sa.ColumnElement[bool]:
    member = sa.select(AccountMember.account_id).where(AccountMember.account_id == Account.id)
    trait = sa.select(AccountTrait.account_id).where(AccountTrait.account_id == Account.id)
    return sa.or_(member.exists(), trait.exists())


def seen(session: Session, reference: str, purpose: str) -> AccountView:
    """Return what may be used of one account for the purpose.

    Raises AccountNotFound, also where nobody who speaks of it may be used; PurposeNotFound.
    """
    found = views(session, [find(session, reference)], purpose)
    if not found:
        raise AccountNotFound("no account is known by this reference")
    return found[0]


def page(
    session: Session, purpose: str, *, kind: str | None, cursor: str | None, limit: int
) -> tuple[list[AccountView], str | None]:
    """Return a page of the accounts with what may be used of them for the purpose, oldest first.

    Those that nobody who may be used speaks of are passed over, so a page may be short. Raises
    CursorInvalid, PurposeNotFound.
    """
    after = cursors.decode(cursor, int)[0] if cursor else 0
    query = sa.select(Account).where(Account.id > after, _spoken_of()).order_by(Account.id)
    if kind is not None:
        query = query.where(Account.type == kind)
    found = list(session.scalars(query.limit(limit + 1)))
    following = cursors.encode(found[limit - 1].id) if len(found) > limit else None
    return views(session, found[:limit], purpose), following


def views(session: Session, accounts: Sequence[Account], purpose: str) -> list[AccountView]:
    """Return what may be used of these accounts for the purpose, in six statements or fewer.

    Left out are accounts that nobody who may be used speaks of: who is where is somebody's data. Of
    the many who tell one trait the latest are looked at, as long as one of them may be used. Notes
    what is denied. Raises PurposeNotFound.
    """
    known = consent.catalogue.purpose(session, purpose)
    rows, decided = _by_latest(
        session, known, "account_said", [account.id for account in accounts],
        lambda row: (row.account_id, row.key, row.source),
    )  # fmt: skip
    reads.saw(session, [i for i, p in decided.items() if p.allowed], purpose=purpose)
    rules = trait_rules.in_force(session)
    by_account: dict[int, list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        by_account[row.account_id].append(row)
    told = {row.account_id for row in rows if _may(decided, row.identifier_id)}
    told |= _with_members(session, known, {account.id for account in accounts} - told)
    return [
        _view(account, purpose, by_account[account.id], decided, rules)
        for account in accounts
        if account.id in told
    ]


def _with_members(session: Session, known: consent.Purpose, accounts: Collection[int]) -> set[int]:
    """Return those of these accounts that somebody who may be used for the purpose is or was in."""
    if not accounts:
        return set()
    rows, decided = _by_latest(
        session, known, "account_spoken_by", accounts, lambda row: row.account_id
    )
    allowed = {i for i, p in decided.items() if p.allowed}
    reads.saw(session, allowed, purpose=known.key)
    return {row.account_id for row in rows if row.identifier_id in allowed}


def _view(
    account: Account,
    purpose: str,
    rows: Sequence[sa.Row[Any]],
    decided: Mapping[int, Permission],
    rules: Mapping[str, Survivorship],
) -> AccountView:
    prefix = f"{account.type}."
    own = {
        key.removeprefix(prefix): LATEST if rule.rule in COUNTED else rule
        for key, rule in rules.items()
        if key.startswith(prefix)
    }
    said = [
        TraitValue(
            r.key, r.value, r.occurred_at, r.received_at, r.source_seq, r.event_id, r.message_id,
            r.source, f"{r.namespace}:{r.value_of}",
        )
        for r in rows
        if _may(decided, r.identifier_id)
    ]  # fmt: skip
    of = [decided[i] for i in sorted({r.identifier_id for r in rows}) if i in decided]
    return AccountView(account, purpose, fold(said, own), withheld(of))


def _may(decided: Mapping[int, Permission], identifier: int) -> bool:
    return identifier in decided and decided[identifier].allowed


def _by_latest(
    session: Session,
    known: consent.Purpose,
    query: str,
    accounts: Collection[int],
    of: Callable[[sa.Row[Any]], Any],
) -> tuple[Sequence[sa.Row[Any]], dict[int, Permission]]:
    """Ask who speaks of these accounts, and what is decided of them, which is noted.

    Of each (`of`) that very many speak of only the latest, as long as one of them may be used:
    deciding about 100,000 takes 20 s.
    """
    most = LATEST_READ
    while True:
        bound = {"accounts": sorted(accounts), "purpose": known.key, "most": most}
        rows = session.execute(statement("app.profiles", query), bound).all()
        subjects = {getattr(row, unit(known)) for row in rows}
        asked = permissions(session, known, subjects) if subjects else []
        speaking = {row.identifier_id for row in rows}
        decided = {p.identifier_id: p for p in asked if p.identifier_id in speaking}
        told: dict[Any, list[bool]] = defaultdict(list)
        for row in rows:
            told[of(row)].append(_may(decided, row.identifier_id))
        if all(any(may) for may in told.values() if len(may) >= most):
            break
        most *= 10
    denied = {i: p.reason for i, p in decided.items() if not p.allowed}
    denials.note(session, "read", known.key, denied, at=datetime.now(UTC))
    return rows, decided


def members(
    session: Session,
    account: Account,
    purpose: str,
    *,
    cursor: str | None,
    limit: int,
    past: bool = False,
) -> tuple[list[Stay], str | None]:
    """Return a page of the people in an account whose data may be used for the purpose.

    With `past`, those as well who were removed. Others are passed over in silence, so a page may be
    short. Raises CursorInvalid, PurposeNotFound.
    """
    known = consent.catalogue.purpose(session, purpose)
    subjects = session.scalars(
        statement("app.profiles", "account_people"),
        {
            "account": account.id,
            "purpose": purpose,
            "groups": known.link_confidence == "deterministic",
            "after": cursors.decode(cursor, int)[0] if cursor else 0,
            "limit": limit + 1,
        },
    ).all()
    following = cursors.encode(subjects[limit - 1]) if len(subjects) > limit else None
    asked = subjects[:limit]
    decided = permissions(session, known, asked) if asked else []
    whose = {p.identifier_id: p.person_id for p in decided if p.allowed}
    reads.saw(session, whose, purpose=purpose)
    profiles = people.profile_ids(session, set(whose.values()))
    stays = _stays(session, whose, purpose, account=account.id)
    return [
        Stay(s.account_id, s.type, s.key, s.since, s.until, s.message_id, s.source, profiles[who])
        for who in asked
        for s in stays.get(who, ())
        if past or s.until is None
    ], following


def of_views(session: Session, seen: Sequence[View]) -> dict[int, list[Stay]]:
    """Return by subject the accounts that each view is or was in, as its purpose may know."""
    whose = {i: view.subject_id for view in seen for i in view.allowed}
    found = _stays(session, whose, seen[0].purpose, account=None) if whose else {}
    return {view.subject_id: found.get(view.subject_id, []) for view in seen}


def _stays(
    session: Session, whose: Mapping[int, int], purpose: str, *, account: int | None
) -> dict[int, list[Stay]]:
    """Return by subject what the identifiers of each say together of its being in accounts."""
    rows = session.execute(
        statement("app.profiles", "account_stays"),
        {"identifiers": graph.array(whose), "purpose": purpose, "account": account},
    )
    said: dict[tuple[int, int], list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        said[whose[row.identifier_id], row.id].append(row)
    stays: dict[int, list[Stay]] = defaultdict(list)
    for (subject, _), one in said.items():
        stays[subject].append(_together(one))
    return stays


def _together(rows: Iterable[sa.Row[Any]]) -> Stay:
    """Return one stay of what several identifiers of one person say of it.

    One that was removed by another identifier has come back with its last call.
    """
    every = list(rows)
    gone = every[0].left_at
    inside = [row for row in every if gone is None or row.seen_at > gone]
    first = min(inside or every, key=lambda row: (row.joined_at, row.joined_message_id))
    back = bool(inside) and gone is not None and first.joined_at <= gone
    return Stay(
        first.account_id, first.type, first.key, first.seen_at if back else first.joined_at,
        None if inside else gone, first.joined_message_id, first.joined_source,
    )  # fmt: skip


def beside(session: Session, told_by: Collection[int], *, most: int) -> set[int]:
    """Return the people in accounts of which identifiers of these people told a trait.

    What may be used of an account changes for all of them with what one of these allows. Nobody
    where there are more than `most`.
    """
    if not told_by:
        return set()
    query = sa.text(
        "SELECT DISTINCT p.person_id FROM app.account_trait t"
        " JOIN identity.current_person i ON i.identifier_id = t.identifier_id"
        " JOIN app.account_member m ON m.account_id = t.account_id"
        " JOIN identity.current_person p ON p.identifier_id = m.identifier_id"
        " WHERE i.person_id = ANY(CAST(:people AS bigint[])) LIMIT :limit"
    )
    found = set(session.scalars(query, {"people": graph.array(told_by), "limit": most + 1}))
    return found if len(found) <= most else set()


def tellers(
    session: Session, members_of: Collection[int], names: Collection[str], purpose: str
) -> set[int]:
    """Return who told one of these traits (or paths) of an account that these are or were in.

    The decision about a set of people must be about these too, where traits of groups are used. Of
    an account that very many tell of only the latest, as long as one of them may be used: the
    latest value counts, and deciding about all of them would hold up every step.
    """
    if not members_of or not names:
        return set()
    keys = {*names, *(way[0] for name in names if (way := paths.split(name)) is not None)}
    bound = {"people": graph.array(members_of), "keys": sorted(keys), "purpose": purpose}
    most = LATEST_TELLERS
    while True:
        rows = session.execute(
            statement("app.profiles", "account_tellers"), {**bound, "most": most}
        ).all()
        found = {row.person_id for row in rows}
        told: dict[tuple[int, str], list[int]] = defaultdict(list)
        for row in rows:
            told[row.account_id, row.key].append(row.identifier_id)
        many = [ids for ids in told.values() if len(ids) >= most]
        if many:
            decided = permissions(session, purpose, found)
            allowed = {p.identifier_id for p in decided if p.allowed}
            many = [ids for ids in many if allowed.isdisjoint(ids)]
        if not many:
            return found
        most *= 10
