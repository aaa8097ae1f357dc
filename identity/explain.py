"""Explains people: which links hold them together, which were held back, what was merged."""

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, people
from identity.tables import Link, Merge, Run, Split


def links(session: Session, person: int) -> list[dict[str, Any]]:
    """Return every link that touches a person, with its evidence and what became of it."""
    return describe_links(session, people.links(session, person))


def links_of(session: Session, ids: Collection[int]) -> list[dict[str, Any]]:
    """Return these links, described."""
    found = session.scalars(sa.select(Link).where(graph.among(Link.id, ids)).order_by(Link.id))
    return describe_links(session, found)


def describe_links(session: Session, found: Iterable[Link]) -> list[dict[str, Any]]:
    """Return links as the API shows them: `status` is followed, held or revoked.

    Of a link that consent stops nothing is told of what was compared.
    """
    rows = list(found)
    names = _names(session, {i for link in rows for i in (link.left_id, link.right_id)})
    return [
        {
            "id": link.id,
            "kind": link.kind,
            "rule": link.rule,
            "left": names[link.left_id],
            "right": names[link.right_id],
            "status": "revoked" if link.revoked_at else "held" if link.held else "followed",
            "held_because": link.held,
            "revoked_by": link.revoked_by,
            **_evidence(link),
            "first_at": link.first_at.isoformat(),
        }
        for link in rows
    ]


def _evidence(link: Link) -> dict[str, Any]:
    refused = (link.held or "").startswith("consent:")
    return {
        "match_weight": None if refused else link.weight,
        "probability": None if refused else link.probability,
        "evidence": {"id": link.evidence_id, **({} if refused else link.evidence)},
    }


def describe_merge(session: Session, merge: Merge) -> dict[str, Any]:
    """Return a merge with the links that caused it."""
    profiles = people.profile_ids(session, {merge.survivor_id, merge.absorbed_id})
    return {
        "id": merge.id,
        "survivor": str(profiles[merge.survivor_id]),
        "absorbed": str(profiles[merge.absorbed_id]),
        "at": merge.at.isoformat(),
        "undone_at": merge.undone_at.isoformat() if merge.undone_at else None,
        "undone_by": merge.undone_by,
        "links": describe_links(session, people.merge_links(session, merge)),
    }


def describe_split(session: Session, split: Split) -> dict[str, Any]:
    """Return a split: whom a part left, its own id since, and the identifiers that went."""
    profiles = people.profile_ids(session, {split.person_id, split.part_id})
    names = _names(session, set(split.identifier_ids))
    return {
        "id": split.id,
        "person": str(profiles[split.person_id]),
        "part": str(profiles[split.part_id]),
        "identifiers": [names[i] for i in split.identifier_ids],
        "at": split.at.isoformat(),
    }


def describe_run(run: Run) -> dict[str, Any]:
    """Return a matching run: asked, waiting, running, done or failed, and what it did."""
    return {
        "id": run.id,
        "state": run.state,
        "requested_at": run.requested_at.isoformat(),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "parameters": run.parameters,
        "result": run.result,
    }


def _names(session: Session, ids: set[int]) -> dict[int, str]:
    return {r.id: f"{r.namespace}:{r.value}" for r in people.identifiers(session, ids)}
