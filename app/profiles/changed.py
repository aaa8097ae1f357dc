"""The profiles that changed after a place in the feed, for programs that keep a copy."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

import consent
from app.profiles import changes, read
from app.profiles.read import Found, View
from identity import people


@dataclass(frozen=True, slots=True)
class Page:
    """Who changed, each with the sequence that says so, and which ids are nobody's any more."""

    views: list[tuple[View, str]]
    gone: list[tuple[str, str]]
    following: str | None
    more: bool


def page(
    session: Session,
    purpose: str,
    *,
    after: str | None,
    limit: int,
    purposes: Collection[str],
) -> Page:
    """Return the profiles that the next `limit` changes of the feed concern, as they are now.

    Each once in a page. Those who do not allow the purpose are among them, withheld: who keeps a
    copy must empty it. An id whose profile was merged into another's or erased is `gone`. Changes
    that a reader with these purposes is not told of concern nobody here. Raises CursorInvalid and
    PurposeNotFound.
    """
    news = changes.read(session, after=after, types=(), limit=limit)
    seen: dict[str, str] = {}
    for row, _ in changes.told(session, news.rows, purposes):
        for profile in (str(row.profile_id), row.data.get("other_profile_id")):
            if profile is not None:
                seen.pop(profile, None)
                seen[profile] = changes.sequence(row)
    found = {
        ref: one for ref, one in read.find_all(session, seen).items() if isinstance(one, Found)
    }
    latest: dict[int, str] = {}
    for ref, one in found.items():
        latest[one.person_id] = max(seen[ref], latest.get(one.person_id, ""))
    subjects = _subjects(session, purpose, found.values())
    views = read.views(session, subjects, purpose)
    here = {str(view.profile_id) for view in views}
    return Page(
        [(view, latest[view.person_id]) for view in views],
        [(ref, place) for ref, place in seen.items() if ref not in here],
        news.following,
        news.more,
    )


def _subjects(session: Session, purpose: str, found: Collection[Found]) -> list[Found]:
    """Return each person once; where only asserted links count, each of their groups."""
    persons = {one.person_id: one for one in found}
    known = consent.catalogue.purpose(session, purpose)
    if known.link_confidence != "deterministic" or not persons:
        ids = people.profile_ids(session, set(persons)) if persons else {}
        return [Found(p, ids[p], p, p) for p in persons]
    groups = {m.group_id: m.person_id for m in people.members(session, set(persons))}
    ids = people.profile_ids(session, set(groups))
    return [Found(person, ids[group], group, group) for group, person in groups.items()]
