"""The review queue: what a person should decide next, and deciding it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from identity import graph, labels, people, recalibration, reviews
from identity.errors import ReviewDecided, ReviewNotFound
from identity.lock import lock
from identity.tables import Link, Postponement

#: What is asked about: a pair in doubt, or a link that a guard holds.
PAIR, HELD = "pair", "held"
#: Guards that hang on whole people; what others hold is not to be decided pair by pair.
GUARDS = ("conflict", "limit", "size", "bridge")
#: How often links that such guards held were right, before anybody decided here, and how many
#: decisions that weighs: 20 to 50 % on the CDP graph (research/identity.md 4).
HELD_SHARE, HELD_WEIGHT = 0.35, 20.0


def waiting(
    session: Session,
    *,
    now: datetime,
    after: tuple[float, str, int] | None = None,
    limit: int = 100,
) -> Sequence[sa.Row[Any]]:
    """Return what waits for a decision, the most valuable first, after (value, kind, id).

    `value` is the uncertainty of the answer in bits times how many identifiers and held links hang
    on it. One entry for two people, however many pairs they have.
    """
    value, kind, number = after or (None, None, None)
    return _rows(session, now, value=value, kind=kind, id=number, limit=limit)


def find(session: Session, reference: str, *, now: datetime) -> sa.Row[Any]:
    """Return one entry by its reference, postponed ones included; raises ReviewNotFound."""
    kind, number = parse(reference)
    found = _rows(session, now, postponed=True, only_kind=kind, only_id=number, limit=1)
    if not found:
        raise ReviewNotFound(reference)
    return found[0]


def reference(kind: str, number: int) -> str:
    """Return how an entry is called: `12`, or `held-345` for a held link."""
    return str(number) if kind == PAIR else f"{HELD}-{number}"


def parse(reference: str) -> tuple[str, int]:
    """Return kind and number of an entry; raises ReviewNotFound for what is neither."""
    kind = HELD if reference.startswith(f"{HELD}-") else PAIR
    digits = reference.removeprefix(f"{HELD}-")
    if not digits.isascii() or not digits.isdigit() or int(digits) >= 2**63:
        raise ReviewNotFound(reference)
    return kind, int(digits)


def decide(session: Session, reference: str, *, match: bool, by: str, at: datetime) -> graph.Moved:
    """Decide an entry: a match links the two by decision, no match keeps them apart, for good.

    Either becomes a label. Raises ReviewNotFound and ReviewDecided.
    """
    kind, number = parse(reference)
    if kind == PAIR:
        return reviews.decide(session, number, match=match, by=by, at=at)
    lock(session)
    link = session.get(Link, number, with_for_update=True)
    if link is None or link.revoked_at is not None:
        raise ReviewNotFound(reference)
    if link.held is None or link.held.partition(":")[0] not in GUARDS:
        raise ReviewDecided(reference)
    labels.keep(session, link, match=match, origin=HELD, by=by, guard=link.held)
    if match:
        return people.must_link(session, link.left_id, link.right_id, by=by, at=at)
    people.keep_apart(session, link.left_id, link.right_id, by=by, reason=f"held link {number}")
    return graph.reconsider(session, {link.left_id, link.right_id}, at=at)


def postpone(session: Session, reference: str, *, until: datetime, by: str, now: datetime) -> None:
    """Ask about an entry again at a time; raises ReviewNotFound. Safe to repeat."""
    entry = find(session, reference, now=now)
    values = {"until_at": until, "decided_by": by}
    row = insert(Postponement).values(left_id=entry.left_id, right_id=entry.right_id, **values)
    session.execute(row.on_conflict_do_update(index_elements=["left_id", "right_id"], set_=values))


def _rows(session: Session, now: datetime, **chosen: Any) -> Sequence[sa.Row[Any]]:
    curve = recalibration.curve(session)
    return session.execute(
        graph.statement("review_queue"),
        {
            "lows": list(curve.said),
            "shares": list(curve.true),
            "held_share": HELD_SHARE,
            "held_weight": HELD_WEIGHT,
            "now": now,
            "postponed": False,
            "value": None,
            "kind": None,
            "id": None,
            "only_kind": None,
            "only_id": None,
            **chosen,
        },
    ).all()
