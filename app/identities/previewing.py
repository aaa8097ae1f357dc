"""What a change of identity would do to people, consents and segments; nothing is written.

In one read-only transaction on one snapshot: PostgreSQL itself refuses whatever would be written.
It takes no lock but those of reading (ACCESS SHARE), so events are stitched meanwhile; only a
change of the schema waits.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import consent
from app.consents.permission import permissions
from app.db import Sessions, statement
from app.segments import compile as compiled
from app.segments import members as segments
from identity import graph, people
from identity.errors import PreviewTooLarge
from identity.preview import ANY, Bounds, Preview, Proposal, largest, preview, reviews_from

#: People of each kind that are shown.
EXAMPLES = 5
#: PostgreSQL's code for a statement that took too long.
CANCELLED = "57014"
#: Where the decision about everybody looks up who is whose.
SOURCE = "identity.current_person"


def run(
    sessions: Sessions,
    proposal: Proposal,
    *,
    merge: float,
    review: float,
    new_review: float | None = None,
    purpose: str | None = None,
    bounds: Bounds = ANY,
) -> dict[str, Any]:
    """Compute a preview: people merged and split, the largest, consents, segments, examples.

    `merge` and `review` are the thresholds in force (`preview.preview`). Identifiers of examples
    are shown for a stated purpose, as far as those people allow it. What exceeds the bounds is
    given up. Raises NamespaceRulesInvalid, ModelNotFound, PreviewTooLarge and PurposeNotFound.
    """
    try:
        with sessions() as session:
            session.connection(
                execution_options={
                    "isolation_level": "REPEATABLE READ",
                    "postgresql_readonly": True,
                }
            )
            if bounds.until is not None:
                left = max(1, round(1000 * (bounds.until - time.monotonic())))
                session.execute(sa.text(f"SET LOCAL statement_timeout = {left}"))
            found = preview(session, proposal, merge=merge, bounds=bounds)
            said = _changed(session, found, purpose, bounds)
            waiting, reaching = reviews_from(session, review if new_review is None else new_review)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != CANCELLED:
            raise
        raise PreviewTooLarge("it takes too long; use parcours identity preview") from None
    lower = new_review is not None and new_review < review
    return {**said, "reviews": {"before": waiting, "after": None if lower else reaching}}


def _changed(
    session: Session, found: Preview, purpose: str | None, bounds: Bounds
) -> dict[str, Any]:
    now, then = largest(session, found)
    merges, splits = found.merges, found.splits
    return {
        "identifiers_looked_at": found.looked_at,
        "people_before": len(found.before),
        "people_after": len(found.after),
        "people_merged": sum(len(olds) for olds in merges.values()),
        "people_split": len(splits),
        "largest_before": now,
        "largest_after": then,
        "consent_conflicts": _conflicts(session, found),
        "segments": _segments(session, found, bounds),
        "examples": _examples(session, found, merges, splits, purpose),
    }


def _conflicts(session: Session, found: Preview) -> dict[str, int]:
    """Count, by purpose, people put together of whom one part gives what another refuses."""
    was = {i: person for person, members in found.before.items() for i in members}
    joined = {p: found.after[p] for p in found.merges}
    will = {i: person for person, members in joined.items() for i in members}
    rows = session.execute(
        statement("app.identities", "standings"), {"ids": graph.array(will.keys())}
    )
    said: dict[tuple[int, str], dict[int, set[bool]]] = {}
    for row in rows:
        if row.state in ("given", "refused", "withdrawn"):
            parts = said.setdefault((will[row.identifier_id], row.purpose), {})
            parts.setdefault(was[row.identifier_id], set()).add(row.state == "given")
    counts: dict[str, int] = {}
    for (_, key), parts in said.items():
        before = any(len(words) > 1 for words in parts.values())
        if not before and len({word for words in parts.values() for word in words}) > 1:
            counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def _segments(session: Session, found: Preview, bounds: Bounds) -> list[dict[str, Any]]:
    """Return the segments whose size would change: who is in, by the rule as of now."""
    if not found.before:
        return []
    now = datetime.now(UTC)
    was = {i: person for person, members in found.before.items() for i in members}
    will = {i: person for person, members in found.after.items() for i in members}
    groups = {row.identifier_id: row.group_id for row in people.members(session, found.before)}
    changed = []
    for segment in segments.list_all(session):
        bounds.demand()
        purpose = consent.catalogue.purpose(session, segment.purpose)
        sql, values = compiled.members_query(
            session, segments.rule_of(segment), purpose, now=now, people=None
        )
        before = _members(session, sql, values, was, groups)
        after = _members(session, sql, values, will, found.group)
        if before != after:
            size = segment.members
            changed.append(
                {"segment": segment.key, "purpose": segment.purpose, "before": size,
                 "after": size - len(before) + len(after), "come": len(after - before),
                 "go": len(before - after)}
            )  # fmt: skip
    return changed


def _members(
    session: Session,
    sql: str,
    values: Mapping[str, Any],
    person: Mapping[int, int],
    group: Mapping[int, int],
) -> set[int]:
    """Return who of the people concerned meets a rule, by another answer to who is whose."""
    head, found, body = sql.partition("WITH permission AS")
    if head or not found or SOURCE not in body:
        raise RuntimeError("a rule of segments is not decided over identity.current_person")
    imagined = statement("app.identities", "imagined").text
    asked = f"WITH imagined AS MATERIALIZED ({imagined}), permission AS"
    asked += body.replace(SOURCE, "imagined")
    rows = [{"identifier_id": i, "group_id": group[i], "person_id": p} for i, p in person.items()]
    moved = {**values, "moved": graph.rows_of(rows)}
    return set(session.scalars(sa.text(asked), moved))


def _examples(
    session: Session,
    found: Preview,
    merges: Mapping[int, Collection[int]],
    splits: Mapping[int, Collection[int]],
    purpose: str | None,
) -> list[dict[str, Any]]:
    """Return the largest merges and splits, with the identifiers that may be shown."""
    joined = sorted(merges, key=lambda p: (-len(found.after[p]), p))[:EXAMPLES]
    parted = sorted(splits, key=lambda p: (-len(found.before[p]), p))[:EXAMPLES]
    shown = [("merge", found.before, merges[p]) for p in joined]
    shown += [("split", found.after, splits[p]) for p in parted]
    ids = {i for _, world, persons in shown for p in persons for i in world[p]}
    names = _names(session, ids, purpose)
    profiles = people.profile_ids(session, {p for _, _, persons in shown for p in persons})
    return [
        {
            "kind": kind,
            "people": [
                {
                    "profile_id": str(profiles[p]),
                    "identifiers": len(world[p]),
                    "shown": [names[i] for i in world[p] if i in names],
                }
                for p in persons
            ],
        }
        for kind, world, persons in shown
    ]


def _names(session: Session, ids: Iterable[int], purpose: str | None) -> dict[int, str]:
    wanted = set(ids)
    if purpose is None or not wanted:
        return {}
    persons = set(people.people_of(session, wanted).values())
    allowed = {p.identifier_id for p in permissions(session, purpose, persons) if p.allowed}
    rows = people.identifiers(session, wanted & allowed)
    return {row.id: f"{row.namespace}:{row.value}" for row in rows}
