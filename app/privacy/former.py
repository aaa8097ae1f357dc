"""Addresses that were a person's until they were put right: an erasure has to find them too.

Consent records and evidence of the time stay under them (GDPR art. 7(1)). Who they were is kept
sealed under a key of the suppression list, which every erasure needs, and hangs on the identifiers
that the person has instead. So it is theirs through every merge and split of these.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import SuppressionKeyUnusable
from app.privacy.own import own
from app.privacy.tables import FormerIdentifier
from app.suppression import gate
from identity import graph

Identifier = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Former:
    """An address, and the id by which it was known."""

    former_id: int
    identifier: Identifier
    #: How it was written when it was sent.
    spellings: tuple[str, ...] = ()
    #: Whether it may be somebody else's: something was told of it before the person came with it.
    contested: bool = False


def keep(session: Session, ended: Iterable[Former], by: Collection[int], *, at: datetime) -> None:
    """Keep that these were the person's who has the identifiers `by` now.

    What hung on the ones that ended hangs on these from now on. Raises SuppressionKeyUnusable.
    """
    ended = list(ended)
    key = gate.keys_or_new().newest
    rows = [
        {
            "identifier_id": one,
            "former_id": was.former_id,
            "key_id": key.id,
            "sealed": key.seal(_text(was), _about(was.former_id)),
            "ended_at": at,
            "contested": was.contested,
        }
        for was in ended
        for one in sorted(by)
    ]
    moved = (
        session.execute(
            sa.delete(FormerIdentifier)
            .where(graph.among(FormerIdentifier.identifier_id, [was.former_id for was in ended]))
            .returning(
                FormerIdentifier.former_id,
                FormerIdentifier.key_id,
                FormerIdentifier.sealed,
                FormerIdentifier.ended_at,
                FormerIdentifier.contested,
            )
        )
        .mappings()
        .all()
    )
    rows += [{**row, "identifier_id": one} for row in moved for one in sorted(by)]
    if rows:
        session.execute(insert(FormerIdentifier).on_conflict_do_nothing(), rows)


def of(session: Session, ids: Collection[int], named: Collection[Identifier] = ()) -> list[Former]:
    """Return the addresses that these identifiers' person had, but for those somebody else has now.

    What is on record of such a one may be the other's, as it may be of one that is `contested`. No
    doubt is left of those that a request names: whose they are was shown. Raises
    SuppressionKeyUnusable.
    """
    query = sa.select(FormerIdentifier).where(graph.among(FormerIdentifier.identifier_id, ids))
    found = _opened(session.scalars(query.order_by(FormerIdentifier.former_id)))
    known = own(session, [one.identifier for one in found]) if found else []
    taken = {(o.namespace, o.value) for o in known if o.id not in set(ids)}
    return [
        replace(one, contested=one.contested and one.identifier not in named)
        for one in found
        if one.identifier not in taken
    ]


def every(session: Session) -> list[Former]:
    """Return all of them, whosever they are. Raises SuppressionKeyUnusable."""
    return _opened(session.scalars(sa.select(FormerIdentifier)))


def forget(session: Session, ids: Collection[int]) -> None:
    """Forget what identifiers of these ids were, and which were theirs."""
    session.execute(
        sa.delete(FormerIdentifier).where(
            graph.among(FormerIdentifier.identifier_id, ids)
            | graph.among(FormerIdentifier.former_id, ids)
        )
    )


def _opened(rows: Iterable[FormerIdentifier]) -> list[Former]:
    found: dict[int, Former] = {}
    for row in rows:
        if row.former_id in found:
            continue
        key = gate.keys().key(bytes(row.key_id))
        text = key.open(bytes(row.sealed), _about(row.former_id)) if key else None
        if text is None:
            raise SuppressionKeyUnusable("a key that sealed addresses which were put right is gone")
        namespace, value, *spellings = json.loads(text)
        known = (row.former_id, (namespace, value), tuple(spellings), row.contested)
        found[row.former_id] = Former(*known)
    return list(found.values())


def _text(was: Former) -> bytes:
    return json.dumps([*was.identifier, *was.spellings]).encode()


def _about(former_id: int) -> bytes:
    return f"former {former_id}".encode()
