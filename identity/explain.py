"""Explains people: which links hold them together, which were held back, what was merged."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, people, words
from identity.bars import HOUSEHOLD, PRIOR
from identity.respelling import RULE as SPELLING
from identity.tables import Link, Merge, Run, Split
from identity.words import Language

#: Comparisons that spoke for a match, or against it, are named from so many bits on.
SPEAKS = 0.5


def links(session: Session, person: int, language: Language = "en") -> list[dict[str, Any]]:
    """Return every link that touches a person, with its evidence and what became of it."""
    return describe_links(session, people.links(session, person), language)


def links_of(
    session: Session, ids: Collection[int], language: Language = "en"
) -> list[dict[str, Any]]:
    """Return these links, described."""
    found = session.scalars(sa.select(Link).where(graph.among(Link.id, ids)).order_by(Link.id))
    return describe_links(session, found, language)


def describe_links(
    session: Session, found: Iterable[Link], language: Language = "en"
) -> list[dict[str, Any]]:
    """Return links as the API shows them: `status` is followed, held or revoked, `text` says all.

    Of a link that consent stops nothing is told of what was compared.
    """
    rows = list(found)
    names = _names(session, {i for link in rows for i in (link.left_id, link.right_id)})
    told = [
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
    return [{**link, "text": in_words(link, language)} for link in told]


def in_words(link: Mapping[str, Any], language: Language) -> str:
    """Say of a described link what it is, what spoke for it, and why it is not followed."""
    said = {"left": link["left"], "right": link["right"], "day": link["first_at"][:10]}
    sentences = []
    if link["kind"] != "match":
        kind = "spelling" if link["rule"] == SPELLING else link["kind"]
        sentences.append(words.say(language, kind, rule=link["rule"], **said))
    elif link["match_weight"] is None:
        sentences.append(words.say(language, "match.untold", **said))
    else:
        # What was likely once keeps the weight that it had.
        likely = link["probability"] or 1 / (1 + 2.0 ** min(-link["match_weight"], 1000))
        share = words.percent(language, likely)
        sentences.append(words.say(language, "match", probability=share, **said))
        sentences += _reasons(link["evidence"], language)
    if link["status"] == "held":
        guard = words.guard(language, link["held_because"])
        sentences.append(words.say(language, "link.held", guard=guard))
    elif link["status"] == "revoked":
        sentences.append(words.say(language, "link.revoked"))
    return " ".join(sentences)


def _reasons(evidence: Mapping[str, Any], language: Language) -> list[str]:
    """Name what spoke for a match, and what against it, the most telling first."""
    bits = {name: n for name, n in evidence.items() if name not in ("id", PRIOR, HOUSEHOLD)}
    found = []
    for key, sign in (("match.for", 1), ("match.against", -1)):
        ranked = sorted(bits, key=lambda name: (-sign * bits[name], name))
        spoke = [words.name(language, name) for name in ranked if sign * bits[name] >= SPEAKS]
        if spoke:
            found.append(words.say(language, key, fields=", ".join(spoke)))
    return found


def _evidence(link: Link) -> dict[str, Any]:
    refused = (link.held or "").startswith("consent:")
    return {
        "match_weight": None if refused else link.weight,
        "probability": None if refused else link.probability,
        "evidence": {"id": link.evidence_id, **({} if refused else link.evidence)},
    }


def describe_merge(session: Session, merge: Merge, language: Language = "en") -> dict[str, Any]:
    """Return a merge with the links that caused it; `text` says why, a sentence or two a link."""
    profiles = people.profile_ids(session, {merge.survivor_id, merge.absorbed_id})
    caused = describe_links(session, people.merge_links(session, merge), language)
    happened = {"day": merge.at.isoformat()[:10], "count": len(caused)}
    text = [words.say(language, "merge", **happened), *(link["text"] for link in caused)]
    if merge.undone_at:
        day = merge.undone_at.isoformat()[:10]
        text.append(words.say(language, "merge.undone", day=day, by=merge.undone_by))
    return {
        "id": merge.id,
        "survivor": str(profiles[merge.survivor_id]),
        "absorbed": str(profiles[merge.absorbed_id]),
        "at": merge.at.isoformat(),
        "undone_at": merge.undone_at.isoformat() if merge.undone_at else None,
        "undone_by": merge.undone_by,
        "links": caused,
        "text": text,
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
