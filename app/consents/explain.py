"""The decision about one person, with everybody's word: what the privacy officer asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from identity import people, sweeps
from identity.identifiers import SPELLED

#: A question about so short a time ago is one about now, and took that long to get here.
JUST_NOW = timedelta(seconds=1)
#: Until an address or number has been looked at after a change of how they are spelled, what is
#: said by its new spelling is not heard: nothing is done with the data.
UNREAD = consent.Demand("restriction", None)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and what each identifier of the person says."""

    decision: consent.Decision
    voices: tuple[consent.Voice, ...]
    #: Opt-outs by signals such as Global Privacy Control, and the grants that override such.
    universal: tuple[consent.ConsentRecord, ...] = ()


def explain(
    session: Session,
    person: int,
    acting: int,
    *,
    at: datetime,
    known_at: datetime,
    purpose: str | None = None,
) -> list[Explanation]:
    """Decide for one person, seen from one identifier, for one purpose or for all.

    `at` is the time of the use, `known_at` of our knowledge: with both in the past the answer is
    the one that was given then, with both of this moment it is that of every other decision.
    Raises PurposeNotFound.
    """
    members = people.members(session, [person])
    catalogue = consent.catalogue.purposes(session, at=at)
    if purpose is not None and purpose not in catalogue:
        raise consent.PurposeNotFound(purpose)
    wanted = list(catalogue.values()) if purpose is None else [catalogue[purpose]]
    identifiers = [(m.namespace, m.value) for m in members]
    records = consent.history(session, identifiers)
    demands = consent.demands(session, identifiers, at=at)
    after, until = sweeps.unread(session)
    for m in members:
        if m.namespace in SPELLED and after < m.identifier_id <= until:
            demands.setdefault((m.namespace, m.value), []).append(UNREAD)
    now = min(at, known_at) > datetime.now(UTC) - JUST_NOW
    standings = consent.standings(
        records, at=at, known_at=None if now else known_at, purposes=catalogue
    )
    said = [r for r in records if r.universal and (now or r.recorded_at <= known_at)]
    return [
        replace(
            _explain(p, members, acting, standings, demands),
            universal=tuple(r for r in said if r.purpose == p.key),
        )
        for p in wanted
    ]


def _explain(
    purpose: consent.Purpose,
    members: Sequence[sa.Row[Any]],
    acting: int,
    standings: Mapping[tuple[str, str, str], consent.Said],
    demands: Mapping[tuple[str, str], Sequence[consent.Demand]],
) -> Explanation:
    group = next((m.group_id for m in members if m.identifier_id == acting), None)
    voices, mine = [], None
    for member in members:
        who = (member.namespace, member.value)
        voice = consent.Voice.of(
            who,
            standings.get((*who, purpose.key), consent.UNKNOWN),
            asserted=member.group_id == group,
            bar=consent.strictest(purpose, demands.get(who, ())),
        )
        voices.append(voice)
        if member.identifier_id == acting:
            mine = voice
    return Explanation(consent.decide(purpose, voices, acting=mine), tuple(voices))


def records(
    session: Session, person: int, *, purpose: str | None = None
) -> Sequence[consent.ConsentRecord]:
    """Return the records of all identifiers of a person, oldest first."""
    members = people.members(session, [person])
    return consent.history(session, [(m.namespace, m.value) for m in members], purpose=purpose)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as the API writes it."""
    decision = explanation.decision
    return {
        "purpose": decision.purpose,
        "allow": decision.allow,
        "reason": decision.reason,
        "lawful_basis": decision.lawful_basis,
        "conflict": decision.conflict,
        "record_ids": list(decision.record_ids),
        "identifiers": [
            {
                "namespace": v.namespace,
                "value": v.value,
                "state": v.standing,
                "record_id": v.record_id,
                "link": "asserted" if v.asserted else "probable",
                **({"demand": v.bar} if v.bar else {}),
            }
            for v in explanation.voices
            if v.standing != "unknown" or v.bar
        ],
        "universal_opt_outs": [
            {
                "namespace": r.namespace,
                "value": r.value,
                "kind": r.universal,
                "record_id": str(r.id),
                "effective_at": r.effective_at.isoformat(),
                "signal": r.evidence.get("signal"),
                "notice": r.notice,
            }
            for r in explanation.universal
        ],
    }
