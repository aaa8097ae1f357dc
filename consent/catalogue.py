"""The catalogue of purposes and notices: versioned, and immutable once written."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent import suppression
from consent.defaults import CATALOGUE
from consent.errors import (
    AssessmentMissing,
    LawfulBasisFixed,
    NoticeExists,
    NoticeNotFound,
    PurposeExists,
    PurposeInvalid,
    PurposeNotFound,
)
from consent.purposes import Purpose, Versions, below
from consent.reach import universal
from consent.signals.stamp import UNIVERSAL
from consent.tables import NoticeVersion, PurposeVersion

#: The columns of a purpose version; `renewed` is told by all versions of one.
COLUMNS = tuple(f.name for f in fields(Purpose) if f.name != "renewed")

#: So long data of exempt measurement may be kept: 25 months.
EXEMPT_DAYS = 760
#: A version takes effect within so many days.
FARTHEST_DAYS = 3_653


@cache
def _statement(name: str) -> sa.TextClause:
    return sa.text((files("consent") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def seed(session: Session) -> None:
    """Write the default catalogue where it is missing; safe to repeat and to race."""
    for purpose in CATALOGUE:
        session.execute(insert(PurposeVersion).values(_columns(purpose)).on_conflict_do_nothing())


def _columns(purpose: Purpose) -> dict[str, Any]:
    return {name: getattr(purpose, name) for name in COLUMNS}


def _versions(
    session: Session, key: str | None, at: datetime | None = None
) -> list[tuple[Purpose, datetime]]:
    """Return the versions of one purpose, or of all, in order, each with the time by our clock.

    What is direct marketing is that as of `at`, where one is given. In one round trip, by a
    statement that is made once: every decision asks for its purpose. As objects of all purposes it
    took 3 ms, and as a query that is put together each time .6.
    """
    asked = {"key": key, "at": at}
    found = session.execute(
        _select(key is not None, at is not None), {k: v for k, v in asked.items() if v is not None}
    )
    return [(_purpose(row), row[-1]) for row in found]


#: What is, was or will be below `marketing` is direct marketing, whether or not it says so itself:
#: whoever objects to that (GDPR art. 21(2)) names none of them.
WITH_MARKETING = """
WITH RECURSIVE marketing AS (
  SELECT CAST('marketing' AS text) AS key
  UNION SELECT p.key FROM consent.purpose p JOIN marketing m ON p.parent = m.key{known}
)
"""
#: Versions that were there then; before its first one a purpose is as that says.
_KNOWN = """
  WHERE least(p.created_at, p.effective_from) <= :at
     OR p.version = (SELECT min(f.version) FROM consent.purpose f WHERE f.key = p.key)
"""


@cache
def _select(one: bool, past: bool) -> sa.TextClause:
    where = " WHERE key = :key" if one else ""
    marketing = "direct_marketing OR key IN (SELECT key FROM marketing)"
    columns = ", ".join(marketing if name == "direct_marketing" else name for name in COLUMNS)
    order = " ORDER BY key, version"
    below = WITH_MARKETING.format(known=_KNOWN if past else "")
    query = f"SELECT {columns}, clock_timestamp() FROM consent.purpose{where}{order}"  # noqa: S608 -- names of our own columns
    return sa.text(below + query)


def _purpose(row: Sequence[Any]) -> Purpose:
    return Purpose(**dict(zip(COLUMNS, row, strict=False)))


def purposes(session: Session, *, at: datetime | None = None) -> dict[str, Purpose]:
    """Return of every purpose the version in effect, now or at a time, by key.

    A version whose time has not come decides nothing yet, nor is there a purpose before its first
    version takes effect. Once there is, an earlier time is answered by that one: it is what the
    records of then were made on.
    """
    return _in_effect(_versions(session, None, at), at)


def _in_effect(
    versions: Iterable[tuple[Purpose, datetime]], at: datetime | None
) -> dict[str, Purpose]:
    """Return of each purpose the last version in effect; `versions` are in order.

    One that covers more than those before it renews, whether or not it says so: there are such from
    before that was refused.
    """
    found: dict[str, Purpose] = {}
    counting: dict[str, list[Purpose]] = {}
    for version, now in versions:
        before = found.get(version.key)
        when = at or now
        if version.effective_from > (max(when, now) if before is None else when):
            continue
        same = counting.setdefault(version.key, [])
        renews = version.renews or _wider(version, same) is not None
        if renews:
            same.clear()
        same.append(version)
        renewed = version.version if renews else before.renewed if before else 0
        found[version.key] = replace(version, renewed=renewed)
    return found


def _wider(new: Purpose, counting: Iterable[Purpose]) -> str | None:
    """Say what a version covers that grants on these do not (GDPR art. 9(2)(a)); None: nothing.

    Special categories that were not told of, or an explicit consent that was not asked for.
    """
    if new.lawful_basis != "consent":
        return None
    wanted = set(new.declared.get("special_categories") or ())
    more = {
        c for old in counting for c in wanted - set(old.declared.get("special_categories") or ())
    }
    if more:
        return (
            f"earlier grants do not cover {', '.join(sorted(more))}: a version that adds it renews"
        )
    if new.explicit and not all(old.explicit for old in counting):
        return "earlier grants are not explicit: a version that asks for that renews"
    return None


def purpose(session: Session, key: str, *, at: datetime | None = None) -> Purpose:
    """Return the version of one purpose in effect, now or at a time; raises PurposeNotFound."""
    found = _in_effect(_versions(session, key, at), at).get(key)
    if found is None:
        raise PurposeNotFound(key)
    return found


def versions(session: Session, key: str) -> list[Purpose]:
    """Return all versions of one purpose, oldest first; raises PurposeNotFound."""
    found = [version for version, _ in _versions(session, key)]
    if not found:
        raise PurposeNotFound(key)
    return found


def history(session: Session) -> Versions:
    """Return all versions of all purposes."""
    return Versions(version for version, _ in _versions(session, None))


def count(session: Session) -> int:
    """Return how many versions of purposes there are; none goes, and none changes."""
    return session.scalar(sa.select(sa.func.count()).select_from(PurposeVersion)) or 0


def presented(session: Session, notice: NoticeVersion) -> dict[str, int]:
    """Return, by key, the last version of each purpose that a notice can have told of.

    What was added to the catalogue after the notice, in whichever language it came first, stood in
    no text of it.
    """
    same = (NoticeVersion.key == notice.key, NoticeVersion.version == notice.version)
    written = sa.select(sa.func.min(NoticeVersion.created_at)).where(*same).scalar_subquery()
    query = (
        sa.select(PurposeVersion.key, sa.func.max(PurposeVersion.version))
        .where(PurposeVersion.created_at <= written)
        .group_by(PurposeVersion.key)
    )
    return {key: version for key, version in session.execute(query)}


def ever_declared(session: Session, name: str) -> bool:
    """Say whether any version of any purpose has ever declared something of this name."""
    said = sa.exists().where(PurposeVersion.declared.has_key(name))
    return bool(session.scalar(sa.select(said)))


def announced(session: Session) -> dict[str, Purpose]:
    """Return the last version of every purpose, by key, whether or not its time has come."""
    return purposes(session, at=datetime.max.replace(tzinfo=UTC))


def add_purpose(session: Session, new: Purpose) -> Purpose:
    """Add a purpose, or a next version of one; whoever refused its parent has refused it.

    So it is for who objected to the parent, for who opted out by a universal signal where such
    signals come to be about it, and for what is below the purpose. That begins now, also where the
    version takes effect later; what is said until then is heard too, by who asks for what is
    `announced`. Raises what `check_purpose` does.
    """
    now = lock(session)
    known = check_purpose(session, new)
    parent = versions(session, new.key)[-1].parent if known else None
    signalled = universal(history(session).states(now))
    # When it is seen first, not when this transaction began: it may have waited for the lock.
    at = sa.func.clock_timestamp()
    session.execute(sa.insert(PurposeVersion).values(created_at=at, **_columns(new)))
    tree = announced(session)
    if new.parent not in (None, parent):
        for key in (new.key, *below(tree.values(), new.key)):
            said = {"key": key, "version": tree[key].version, "parent": new.parent}
            session.execute(_statement("refused_above"), said)
            made = session.scalars(_statement("objected_above"), said).all()
            session.execute(_statement("restriction_set"), {"ids": list(made)})
    for key in sorted(universal(history(session).states(now)) - signalled):
        said = {"key": key, "version": tree[key].version, "signalled": list(UNIVERSAL)}
        session.execute(_statement("opted_out_before"), said)
    return new


def lock(session: Session) -> datetime:
    """Let nobody else add a version until this transaction ends, and return the time.

    By the clock of the database, after whoever was waited for: so what takes effect from then on
    does so after anything that was looked at before (`turned`).
    """
    # What was refused is read and written anew by `add_purpose`: nobody is erased meanwhile, or
    # that would bring them back. Before the catalogue, as whoever records a refusal has it.
    suppression.read_lock(session)
    # Whoever else adds a version is waited for; readers wait for nobody.
    session.execute(sa.text("LOCK TABLE consent.purpose IN SHARE ROW EXCLUSIVE MODE"))
    now: datetime = session.scalars(sa.select(sa.func.clock_timestamp())).one()
    return now


def hold(session: Session) -> None:
    """Let nobody add a version of a purpose until this transaction ends."""
    session.execute(sa.text("LOCK TABLE consent.purpose IN SHARE MODE"))


def check_purpose(session: Session, new: Purpose) -> bool:
    """Demand that a version can be added, and say whether there are earlier ones.

    Raises PurposeExists for a version that exists, LawfulBasisFixed for a version on another
    basis: who refused must not be overruled by a change of basis (EDPB Guidelines 05/2020,
    121 to 123), PurposeInvalid for a version that cannot be, or by which grants that still count
    would cover more, and AssessmentMissing for a purpose that needs a data protection impact
    assessment (GDPR art. 35) and names none.
    """
    rows = session.scalars(sa.select(PurposeVersion).where(PurposeVersion.key == new.key)).all()
    if any(row.version == new.version for row in rows):
        raise PurposeExists(f"{new.key} version {new.version}")
    if any(row.lawful_basis != new.lawful_basis for row in rows):
        raise LawfulBasisFixed(f"{new.key} rests on {rows[0].lawful_basis}")
    if rows and new.version < max(row.version for row in rows):
        raise PurposeInvalid("a version follows those that exist")
    if new.linkable and any(not row.linkable for row in rows):
        raise PurposeInvalid("what was collected about nobody stays so: its versions link nobody")
    if new.regime == "us_optout" and new.lawful_basis == "consent":
        raise PurposeInvalid("what is allowed until somebody opts out does not rest on consent")
    if new.regime == "exempt_measurement":
        _demand_exempt(new)
    # Of the far future nothing is known yet, and a typing error in it could not be taken back.
    if new.effective_from > datetime.now(UTC) + timedelta(days=FARTHEST_DAYS):
        raise PurposeInvalid("a version takes effect within ten years")
    _demand_parent(session, new)
    _demand_no_wider(session, new)
    if new.declared.get("dpia_required") and not str(new.declared.get("dpia_ref") or "").strip():
        raise AssessmentMissing(f"{new.key} needs an impact assessment; name it as dpia_ref")
    return bool(rows)


def _demand_exempt(new: Purpose) -> None:
    """Demand the conditions under which measurement needs no consent (CNIL; research 2.10)."""
    if new.linkable:
        raise PurposeInvalid("exempt measurement is not linkable: its data stay by themselves")
    if new.lawful_basis == "consent":
        raise PurposeInvalid("what is exempt from consent does not rest on it")
    if (new.declared.get("retention_days") or 0) > EXEMPT_DAYS:
        raise PurposeInvalid(f"exempt measurement keeps data for {EXEMPT_DAYS} days at most")


def _demand_parent(session: Session, new: Purpose) -> None:
    """Demand that the parent is there when the version takes effect, and never comes below it.

    Also by versions that were announced for a later time.
    """
    if new.parent is None:
        return
    rows = _versions(session, None)
    now = rows[0][1] if rows else datetime.now(UTC)
    start = max(now, new.effective_from)
    if new.parent != new.key and new.parent not in _in_effect(rows, start):
        raise PurposeInvalid(f"the parent {new.parent} is no purpose")
    rows = sorted([*rows, (new, now)], key=lambda row: (row[0].key, row[0].version))
    for when in sorted({start} | {v.effective_from for v, _ in rows if v.effective_from > start}):
        tree = _in_effect(rows, when)
        above, seen = tree[new.key].parent, {new.key}
        while above in tree and above not in seen:
            seen.add(above)
            above = tree[above].parent
        if above == new.key:
            raise PurposeInvalid(f"{new.parent} lies below {new.key}")


def _demand_no_wider(session: Session, new: Purpose) -> None:
    """Demand that no grant that would still count was given for less (GDPR art. 9(2)(a)).

    For fewer special categories, or not explicitly: on a version whose grants are not stale when
    this one takes effect.
    """
    if new.renews:
        return
    known = _versions(session, new.key)
    before = _in_effect(known, new.effective_from).get(new.key)
    counting = [old for old, _ in known if before and old.version >= before.renewed]
    if (why := _wider(new, counting)) is not None:
        raise PurposeInvalid(why)


def add_notice(
    session: Session,
    *,
    key: str,
    version: int,
    language: str,
    purposes: list[str],
    body: str,
    scope: str = "device",
    conditional_on_service: bool = False,
    screenshot_sha256: str | None = None,
    collector_code_sha256: str | None = None,
) -> NoticeVersion:
    """Add a notice version; its SHA-256 is what a consent record points at.

    `scope` says for what the notice asks: the device it is shown on, or the account. Screenshot
    and code of the collector are proved by their hashes (CNIL deliberation 2020-092, on proof).
    Raises NoticeExists, since a notice that somebody agreed to never changes; nor does it ask for
    one thing in one language and for another in the next.
    """
    session.execute(sa.text("LOCK TABLE consent.notice IN SHARE ROW EXCLUSIVE MODE"))
    if session.get(NoticeVersion, (key, version, language)) is not None:
        raise NoticeExists(f"{key} version {version} ({language})")
    others = sa.select(NoticeVersion).where(
        NoticeVersion.key == key, NoticeVersion.version == version
    )
    for other in session.scalars(others):
        asked = (set(other.purposes), other.scope, other.conditional_on_service)
        if asked != (set(purposes), scope, conditional_on_service):
            raise NoticeExists(f"{key} version {version} asks otherwise in {other.language}")
    notice = NoticeVersion(
        key=key,
        version=version,
        language=language,
        purposes=purposes,
        body=body,
        body_sha256=hashlib.sha256(body.encode()).hexdigest(),
        scope=scope,
        conditional_on_service=conditional_on_service,
        screenshot_sha256=screenshot_sha256,
        collector_code_sha256=collector_code_sha256,
        created_at=sa.func.clock_timestamp(),  # after the purposes of this transaction
    )
    session.add(notice)
    session.flush()
    return notice


def notice(session: Session, key: str, version: int, language: str) -> NoticeVersion:
    """Return a notice version; raises NoticeNotFound."""
    found = session.get(NoticeVersion, (key, version, language))
    if found is None:
        raise NoticeNotFound(f"{key} version {version} ({language})")
    return found


def notices(session: Session) -> list[NoticeVersion]:
    """Return all notice versions, by key."""
    order = (NoticeVersion.key, NoticeVersion.version, NoticeVersion.language)
    return list(session.scalars(sa.select(NoticeVersion).order_by(*order)))
