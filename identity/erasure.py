"""Finds what is one person's by what events showed, and erases it from the schema `identity`."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from identity import graph, records
from identity.guards import AGENT, VISITORS
from identity.lock import lock
from identity.respelling import RULE as SPELLING
from identity.tables import Identifier, LearntModel, Link

#: What each table of this schema holds of a person, and what becomes of it.
HOLDS: dict[str, str] = {
    "identity.identifier": "rows of the identifiers",
    "identity.link": "rows of the identifiers",
    "identity.cannot_link": "rows of the identifiers",
    "identity.record": "rows of the identifiers; what others' events say of them is redacted",
    "identity.review": "rows of the identifiers",
    "identity.label": "rows of the identifiers",
    "identity.postponement": "rows of the identifiers",
    "identity.recalibration": "shares of labels, of no single person",
    "identity.merge": "rows of the identifiers; taken out of those of others",
    "identity.split": "rows of the identifiers; taken out of those of others",
    "identity.model": "names that several people bear and how many do; of no single person",
    "identity.run": "counts of nobody",
    "identity.suspension": "which rule or run, of nobody",
    "identity.sweep": "how far a change of rules was carried, of nobody",
    "identity.namespace": "rules that an operator wrote, of nobody",
}

#: Why links are held that may hang on a crowd which their other end was seen with: as one of too
#: many, or as the life of an address. A refusal is said before the latter.
_HELD_BY_NUMBERS = ("frequency", AGENT, "consent:refused")


@dataclass(frozen=True, slots=True)
class Own:
    """An identifier that is the person's, and where it belongs now."""

    id: int
    namespace: str
    value: str
    person_id: int
    profile_id: UUID
    #: Whether more than the word of a page says that it is theirs.
    proved: bool = True


@dataclass(frozen=True, slots=True)
class Other:
    """An identifier that may be the person's: `kind` is the link, None where others are between."""

    id: int
    namespace: str
    value: str
    kind: str | None
    probability: float | None


def called(session: Session, values: Collection[str]) -> Sequence[sa.Row[int, str, str]]:
    """Return the identifiers (id, namespace, value) that are one of these values, however cased.

    Of whatever namespace, and alone: without who else is joined with them. Every identifier is
    looked at.
    """
    wanted = sorted({value.casefold() for value in values})
    query = sa.select(Identifier.id, Identifier.namespace, Identifier.value).where(
        sa.func.lower(Identifier.value) == sa.any_(sa.cast(wanted, ARRAY(sa.Text)))
    )
    return session.execute(query).all()


def others(session: Session, ids: Collection[int]) -> list[Other]:
    """Return who else is connected with these, for a reviewer to look at."""
    found = session.execute(graph.statement("others"), {"ids": graph.array(ids)})
    return [Other(*row) for row in found]


def beside(session: Session, ids: Collection[int]) -> set[int]:
    """Return the identifiers that events showed together with one of these, directly."""
    theirs = sa.select(Link.left_id, Link.right_id).where(
        graph.among(Link.left_id, ids) | graph.among(Link.right_id, ids),
        Link.kind == "event",
        Link.held.is_(None),
        Link.revoked_at.is_(None),
    )
    return {one for link in session.execute(theirs) for one in link} - set(ids)


def joined_at(session: Session, ids: Collection[int]) -> dict[int, datetime]:
    """Return since when each of these is linked with another by events; alone ones are left.

    By the clock of who wrote the link: later than the events came. One that was put right is what
    it is from the time of that, as is what was carried over to it.
    """
    righted = sa.case((Link.rule.in_(("rectification", "rectification_shown")), Link.first_at))
    linked_at = sa.func.min(sa.func.least(Link.created_at, righted))
    found: dict[int, datetime] = {}
    for end in (Link.left_id, Link.right_id):
        query = sa.select(end, linked_at).where(
            graph.among(end, ids), Link.kind == "event", Link.revoked_at.is_(None)
        )
        for one, at in session.execute(query.group_by(end)):
            found[one] = min(at, found.get(one, at))
    return found


def part(session: Session, ids: Collection[int], others: Collection[int]) -> set[int]:
    """Forget that events showed these together with the others; return whom to reconsider then.

    As `forget` does, it forgets what a kiosk or an agent was seen with that is none without.
    """
    if not ids or not others:
        return set()
    lock(session)
    kiosks = _kiosks(session, {*ids, *others})
    session.execute(
        sa.delete(Link).where(
            Link.kind == "event",
            (graph.among(Link.left_id, ids) & graph.among(Link.right_id, others))
            | (graph.among(Link.left_id, others) & graph.among(Link.right_id, ids)),
        )
    )
    return {*ids, *others} | _let_go(session, kiosks)


def forget(session: Session, ids: Collection[int], *, at: datetime) -> tuple[graph.Moved, int]:
    """Erase identifiers and all that is known of them; return who moved by it, and how many.

    People who were joined through them come apart as if they had never been there. A merge with
    them cannot be undone any more, and its undo would bring nothing back. `Moved` may name them:
    they are nobody now. What only their number showed to be a kiosk or an agent joins nobody for
    it: what it was seen with is forgotten too, but not how it was spelled before.
    """
    lock(session)
    wanted = {"ids": graph.array(ids)}
    near = _seen_with(session, ids)
    kiosks = _kiosks(session, {*ids, *near})
    session.execute(graph.statement("erase_evidence"), wanted)
    near |= _let_go(session, kiosks)
    moved = graph.reconsider(session, {*ids, *near}, at=at)
    gone = session.execute(graph.statement("erase_history"), wanted).one()
    return moved, int(gone.identifiers)


def _let_go(session: Session, kiosks: Collection[int]) -> set[int]:
    """Forget what those of these were seen with who are no kiosk or agent any more.

    An address that one of them forgets has a life less, by which the agent of another may be none
    any more: so on until nobody opens. Return all of whom something was forgotten.
    """
    watched, told = set(kiosks), set[int]()
    while opened := (watched - _kiosks(session, watched)):
        near = _seen_with(session, opened)
        watched = (watched | _kiosks(session, opened | near)) - opened
        session.execute(
            sa.delete(Link).where(
                Link.kind == "event",
                Link.rule != SPELLING,
                ~Link.also.contains([SPELLING]),
                graph.among(Link.left_id, opened) | graph.among(Link.right_id, opened),
            )
        )
        told |= opened | near
    return told


def _seen_with(session: Session, ids: Collection[int]) -> set[int]:
    """Return what these were seen with that may be otherwise without them, held links included.

    What a crowd was seen with, and nobody else was, is not, but for what is nobody's. What else it
    was seen with is where that is a crowd too, or shown by an agent: 66,000 logins of a mailbox
    that many type are as they were without it.
    """
    found: set[int] = set()
    crowds = sa.select(Identifier.id).where(
        graph.among(Identifier.id, ids), Identifier.closed == "frequency"
    )
    for mine, end in ((Link.left_id, Link.right_id), (Link.right_id, Link.left_id)):
        other = aliased(Link)
        query = sa.select(end).where(
            graph.among(mine, ids),
            Link.revoked_at.is_(None),
            sa.or_(
                Link.held.is_distinct_from("frequency"),
                # One look-up for each: a set of all that are nobody's is made of a whole table.
                sa.exists().where(Identifier.id == end, Identifier.closed.is_not(None)),
                *(
                    sa.exists().where(
                        side == end,
                        other.id != Link.id,
                        other.revoked_at.is_(None),
                        sa.or_(mine.not_in(crowds), other.held.in_(_HELD_BY_NUMBERS)),
                    )
                    for side in (other.left_id, other.right_id)
                ),
            ),
        )
        found |= set(session.scalars(query))
    return found - set(ids)


def _kiosks(session: Session, ids: Collection[int]) -> set[int]:
    """Return what near these joins nobody because of how many left an address there."""
    closed = graph.imagine(session, ids).people.closed if ids else {}
    return {i for i, why in closed.items() if why in (VISITORS, AGENT)}


def every(session: Session, *, portion: int = 20_000) -> Iterator[list[tuple[int, str, str]]]:
    """Yield all identifiers as (id, namespace, value), a portion at a time."""
    after = 0
    while True:
        rows = session.execute(
            graph.statement("every_identifier"), {"after": after, "limit": portion}
        ).all()
        if not rows:
            return
        after = rows[-1].id
        yield [(row.id, row.namespace, row.value) for row in rows]


def learnt_at(session: Session) -> datetime | None:
    """Return when matching learnt last from all records, if it has."""
    return session.scalar(sa.select(sa.func.max(LearntModel.learnt_at)))


def redact(session: Session, values: Collection[str]) -> set[int]:
    """Take these values out of what is known of others; return of whom they were.

    The caller has them looked at again: guards look at names, and a match of who says nothing any
    more has fallen. All records are looked through before the lock is taken.
    """
    wanted = {"values": sorted(values)}
    ids = session.scalars(graph.statement("naming_records"), wanted).all()
    if not ids:
        return set()
    lock(session)
    known = {**wanted, "ids": graph.array(ids)}
    redacted = session.execute(graph.statement("redact_records"), known).all()
    records.unmatch(session, [row.identifier_id for row in redacted if row.silent])
    return {row.identifier_id for row in redacted}
