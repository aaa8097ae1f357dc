"""The review queue as a person sees it: both records side by side; and what a decision does."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import cursors, pipeline
from app.access import reads
from app.identities import explaining
from identity import graph, labels, pairs, people, queue, words
from identity.bars import of_evidence
from identity.words import Language


def page(
    session: Session,
    *,
    now: datetime,
    cursor: str | None,
    limit: int,
    purpose: str | None,
    language: Language,
) -> dict[str, Any]:
    """Return what waits for a decision, the most valuable first, and the cursor of what follows.

    Values move as people and decisions do: who reads the queue while it is worked off may meet an
    entry twice or miss it, and meets it when the queue is read anew. Raises CursorInvalid.
    """
    after = cursors.decode(cursor, float, str, int) if cursor else None
    rows = queue.waiting(session, now=now, after=after, limit=limit)
    more = len(rows) == limit
    following = cursors.encode(rows[-1].value, rows[-1].kind, rows[-1].id) if more else None
    return {
        "data": _described(session, rows, purpose, language),
        "next_cursor": following,
    }


def entry(
    session: Session, reference: str, *, now: datetime, purpose: str | None, language: Language
) -> dict[str, Any]:
    """Return one entry of the queue; raises ReviewNotFound."""
    row = queue.find(session, reference, now=now)
    return _described(session, [row], purpose, language)[0]


def decide(session: Session, reference: str, *, match: bool, by: str, at: datetime) -> graph.Moved:
    """Decide an entry and carry through what it changes; raises ReviewNotFound, ReviewDecided."""
    moved = queue.decide(session, reference, match=match, by=by, at=at)
    pipeline.after_move(session, moved)
    return moved


def undo(session: Session, merge_id: int, *, by: str, at: datetime) -> graph.Moved:
    """Take a merge back, carry it through, and note that the matches it rested on were wrong.

    Raises MergeNotFound and MergeAlreadyUndone.
    """
    matches = labels.matches_of(session, merge_id)
    moved = people.undo(session, merge_id, by=by, at=at)
    labels.keep_undo(session, matches, by=by)
    pipeline.after_move(session, moved)
    return moved


def _described(
    session: Session, rows: Sequence[sa.Row[Any]], purpose: str | None, language: Language
) -> list[dict[str, Any]]:
    """Return entries with both records and the weight of each field, all compared at once."""
    ids = {i for row in rows for i in (row.left_id, row.right_id)}
    names = {r.id: f"{r.namespace}:{r.value}" for r in people.identifiers(session, ids)}
    profiles = people.profile_ids(session, {p for row in rows for p in (row.one, row.other)})
    persons = people.people_of(session, ids)
    reads.saw(session, ids, purpose=purpose)
    compared, fields = pairs.compared(session, {(row.left_id, row.right_id) for row in rows})
    values, withheld = explaining.shown_fields(session, fields, purpose)
    described = []
    for row in rows:
        ends = row.left_id, row.right_id
        known = compared.get(ends)
        fall = known.waterfall if known else of_evidence(row.evidence, {}) if row.evidence else None
        sizes = {row.one: row.one_size, row.other: row.other_size}
        described.append(
            {
                "id": queue.reference(row.kind, row.id),
                "kind": row.kind,
                "left": names[row.left_id],
                "right": names[row.right_id],
                "match_weight": row.weight,
                "probability": row.probability,
                "likely": row.likely,
                "guard": row.guard,
                "guard_text": words.guard(language, row.guard) if row.guard else None,
                "uncertainty": row.uncertainty,
                "value": row.value,
                "at_stake": {
                    "left": {
                        "profile_id": str(profiles[persons[row.left_id]]),
                        "identifiers": sizes[persons[row.left_id]],
                    },
                    "right": {
                        "profile_id": str(profiles[persons[row.right_id]]),
                        "identifiers": sizes[persons[row.right_id]],
                    },
                    "held_links": row.held,
                },
                "evidence": row.evidence,
                "comparison": explaining.side_by_side(fall, ends, values, language)
                if fall
                else None,
                "created_at": row.created_at.isoformat(),
                "withheld": withheld if fields.keys() & set(ends) else [],
            }
        )
    return described
