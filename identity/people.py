"""People: finding them by any id they ever had, their members, merges, undo and constraints."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from identity import graph
from identity.errors import MergeAlreadyUndone, MergeNotFound
from identity.lock import lock
from identity.statements import run
from identity.tables import CannotLink, Identifier, Link, Merge, Split


def find(session: Session, namespace: str, value: str) -> int | None:
    """Return the person an identifier belongs to now, or None."""
    return session.scalar(
        sa.select(Identifier.person_id).where(
            Identifier.namespace == namespace, Identifier.value == value
        )
    )


def find_identifier(session: Session, namespace: str, value: str) -> int | None:
    """Return the id of an identifier, or None."""
    return session.scalar(
        sa.select(Identifier.id).where(Identifier.namespace == namespace, Identifier.value == value)
    )


def find_identifiers(
    session: Session, names: Collection[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the ids of those of these (namespace, value) that are known; makes none."""
    listed = sorted(names)
    wanted = (
        sa.func.unnest(
            sa.cast([n for n, _ in listed], ARRAY(sa.Text)),
            sa.cast([v for _, v in listed], ARRAY(sa.Text)),
        )
        .table_valued("namespace", "value")
        .render_derived(name="wanted")
    )
    query = sa.select(Identifier.id, Identifier.namespace, Identifier.value).join(
        wanted,
        sa.and_(Identifier.namespace == wanted.c.namespace, Identifier.value == wanted.c.value),
    )
    return {(row.namespace, row.value): row.id for row in session.execute(query)}


def has_any(session: Session, namespace: str) -> bool:
    """Say whether anybody is known by an identifier of this namespace."""
    query = sa.select(sa.exists().where(Identifier.namespace == namespace))
    return bool(session.scalar(query))


def find_profile(session: Session, profile_id: UUID) -> int | None:
    """Return the person a profile id stands for now: ids of merged people keep answering."""
    return session.scalar(
        sa.select(Identifier.person_id).where(Identifier.profile_id == profile_id)
    )


def profile_ids(session: Session, people: Collection[int]) -> dict[int, UUID]:
    """Return the profile id of each person: that of the oldest identifier."""
    query = sa.select(Identifier.id, Identifier.profile_id).where(
        graph.among(Identifier.id, people)
    )
    return {row.id: row.profile_id for row in session.execute(query)}


def members(session: Session, people: Collection[int]) -> Sequence[sa.Row[Any]]:
    """Return the identifiers of these people: identifier_id, namespace, value, group, person."""
    return session.execute(graph.statement("members"), {"people": graph.array(people)}).all()


def identifiers(session: Session, ids: Collection[int]) -> list[sa.Row[int, str, str]]:
    """Return id, namespace and value of these identifiers."""
    query = sa.select(Identifier.id, Identifier.namespace, Identifier.value)
    return list(session.execute(query.where(graph.among(Identifier.id, ids))))


def people_of(session: Session, identifiers: Collection[int]) -> dict[int, int]:
    """Return the person each identifier belongs to now."""
    query = sa.select(Identifier.id, Identifier.person_id).where(
        graph.among(Identifier.id, identifiers)
    )
    return {row.id: row.person_id for row in session.execute(query)}


def merges(
    session: Session,
    *,
    person: int | None = None,
    after: int = 0,
    limit: int = 100,
    newest: bool = False,
) -> list[Merge]:
    """Return merges in the order they happened, or the `newest` first, of one person or of all.

    Of a person also those by which its parts had been put together before they came to it.
    """
    order = Merge.id.desc() if newest else Merge.id
    query = sa.select(Merge).where(Merge.id > after).order_by(order).limit(limit)
    if person is not None:
        mine = [row.identifier_id for row in members(session, [person])]
        of = graph.among(Merge.survivor_id, mine), graph.among(Merge.absorbed_id, mine)
        query = query.where(sa.or_(*of))
    return list(session.scalars(query))


def find_merge(session: Session, merge_id: int) -> Merge:
    """Return a merge; raises MergeNotFound."""
    merge = session.get(Merge, merge_id)
    if merge is None:
        raise MergeNotFound(str(merge_id))
    return merge


def splits(session: Session, *, after: int = 0, limit: int = 100) -> list[Split]:
    """Return which parts left whom, in the order in which they did."""
    return list(
        session.scalars(sa.select(Split).where(Split.id > after).order_by(Split.id).limit(limit))
    )


def held(
    session: Session, *, reason: str | None = None, after: int = 0, limit: int = 100
) -> list[Link]:
    """Return links that a guard stops, in the order in which they were made.

    All but those that consent stops, unless asked for by their reason: nobody has to look at them.
    """
    query = sa.select(Link).where(Link.held.is_not(None), Link.revoked_at.is_(None))
    chosen = Link.held == reason if reason else Link.held.not_like("consent:%")
    return list(
        session.scalars(query.where(chosen, Link.id > after).order_by(Link.id).limit(limit))
    )


def held_counts(session: Session) -> dict[str, int]:
    """Return how many links each guard stops."""
    query = sa.select(Link.held, sa.func.count()).where(
        Link.held.is_not(None), Link.revoked_at.is_(None)
    )
    return {str(why): n for why, n in session.execute(query.group_by(Link.held))}


def merge_links(session: Session, merge: Merge) -> list[Link]:
    """Return the links between the absorbed identifiers and the survivor's side of the person.

    What has come to the person since through the absorbed identifiers alone is on their side: it
    leaves with them when the merge is undone.
    """
    absorbed = set(merge.absorbed_identifier_ids)
    survivors = sorted(_side(session, merge.survivor_id, absorbed))
    inside = sorted(absorbed)
    crossing = sa.or_(
        sa.and_(graph.among(Link.left_id, inside), graph.among(Link.right_id, survivors)),
        sa.and_(graph.among(Link.right_id, inside), graph.among(Link.left_id, survivors)),
    )
    return list(session.scalars(sa.select(Link).where(crossing).order_by(Link.id)))


def _side(session: Session, start: int, without: set[int]) -> set[int]:
    """Return what hangs together with an identifier when these others are left out.

    Over links that are followed, or would be but for consent.
    """
    side, frontier = {start}, {start}
    followed = sa.or_(Link.held.is_(None), Link.held.startswith("consent:"))
    while frontier:
        query = sa.select(Link.left_id, Link.right_id).where(
            sa.or_(graph.among(Link.left_id, frontier), graph.among(Link.right_id, frontier)),
            Link.revoked_at.is_(None),
            followed,
        )
        found = {i for row in session.execute(query) for i in (row.left_id, row.right_id)}
        frontier = found - side - without
        side |= frontier
    return side


def undo(session: Session, merge_id: int, *, by: str, at: datetime) -> graph.Moved:
    """Take one merge back: the links that made it are revoked and the two stay apart for good.

    Nothing else was ever changed by the merge, so both people answer as before it; decisions that
    fell for it count again. First go the
    decisions and matches; then, of what events show, the links that would unite the two all the
    same. One that is held without them (a shared phone) stays and is held again, since revoking
    it would leave the phone to one of the two.

    Raises MergeNotFound and MergeAlreadyUndone.
    """
    lock(session)
    merge = session.get(Merge, merge_id, with_for_update=True)
    if merge is None:
        raise MergeNotFound(str(merge_id))
    if merge.undone_at is not None:
        raise MergeAlreadyUndone(str(merge_id))
    standing = [link for link in merge_links(session, merge) if link.revoked_at is None]
    touched = {merge.survivor_id, *merge.absorbed_identifier_ids}
    why = f"undo of merge {merge_id} by {by}"
    for link in standing:
        if link.kind != "event":
            link.revoked_at, link.revoked_by = at, why
    session.flush()
    still = graph.followed(session, touched)
    for link in standing:
        if link.id in still:
            link.revoked_at, link.revoked_by = at, why
    for link in standing:
        if link.revoked_at is not None:
            touched |= {link.left_id, link.right_id}  # who shows an address may hang on its links
            if fell := link.evidence.get("apart"):
                session.execute(graph.statement("keep_apart_again"), {"rows": graph.rows_of(fell)})
    keep_apart(
        session, merge.survivor_id, merge.absorbed_id, by=by, reason=f"undo of merge {merge_id}"
    )
    merge.undone_at, merge.undone_by = at, by
    session.flush()
    return graph.reconsider(session, touched, at=at)


def keep_apart(session: Session, one: int, other: int, *, by: str, reason: str) -> None:
    """Decide that two identifiers are two people; safe to repeat."""
    left, right = sorted((one, other))
    session.execute(
        insert(CannotLink)
        .values(left_id=left, right_id=right, decided_by=by, reason=reason)
        .on_conflict_do_nothing()
    )


def must_link(session: Session, one: int, other: int, *, by: str, at: datetime) -> graph.Moved:
    """Decide that two identifiers are one person; earlier decisions to the contrary fall.

    Those are the ones that keep the people apart to whom the two belong now, whichever of their
    identifiers it was decided about, and an undo that revoked this very link.
    """
    lock(session)
    left, right = sorted((one, other))
    run(session, "let_together", {"one": left, "other": right, "by": by, "at": at})
    return graph.reconsider(session, {left, right}, at=at)


def links(session: Session, person: int) -> list[Link]:
    """Return every link that touches a person's identifiers: followed, held and revoked."""
    mine = sa.select(Identifier.id).where(Identifier.person_id == person)
    query = sa.select(Link).where(sa.or_(Link.left_id.in_(mine), Link.right_id.in_(mine)))
    return list(session.scalars(query.order_by(Link.id)))


#: The links that are followed, with how probable each is, for who walks them in SQL.
FOLLOWED = (
    "SELECT left_id, right_id, coalesce(probability, 1) AS probability FROM identity.link"
    " WHERE held IS NULL AND revoked_at IS NULL"
)


def confidence(session: Session, person: int) -> float:
    """Return how sure it is that a person is one: 1 where everything was asserted.

    Otherwise the probability of the weakest link that they would not be one without, the links
    as probable or less all gone: the weakest of the tree that the most probable links make.
    """
    part = {row.identifier_id: row.group_id for row in members(session, [person])}
    ways = [
        (1.0 if link.probability is None else link.probability, link.left_id, link.right_id)
        for link in links(session, person)
        if link.held is None and link.revoked_at is None
    ]
    weakest = 1.0
    for probability, left, right in sorted(ways, reverse=True):
        if left in part and right in part and part[left] != part[right]:
            weakest = probability
            joined = part[right]
            part = {i: part[left] if of == joined else of for i, of in part.items()}
    return weakest


def version(session: Session) -> int:
    """Return a number that grows with every merge, split and undo: the state of who is who."""
    total = sa.func.count() + sa.func.count(Merge.undone_at)
    merged = session.scalar(sa.select(total).select_from(Merge)) or 0
    return merged + (session.scalar(sa.select(sa.func.count()).select_from(Split)) or 0)
