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
#: Whoever said no is not asked again for so long, where the purpose does not say otherwise: about
#: six months (CNIL, guidelines on trackers of 17 September 2020; research/consent.md 2.10).
ASK_AGAIN_DAYS = 180


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and what each identifier of the person says."""

    decision: consent.Decision
    voices: tuple[consent.Voice, ...]
    #: Opt-outs by signals such as Global Privacy Control, and the grants that override such.
    universal: tuple[consent.ConsentRecord, ...] = ()
    #: Until when who said no is not to be asked again. It binds whoever asks, and decides no use.
    do_not_ask_before: datetime | None = None


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
    decision = consent.decide(purpose, voices, acting=mine)
    return Explanation(decision, tuple(voices), do_not_ask_before=_not_before(purpose, voices))


def _not_before(purpose: consent.Purpose, voices: Sequence[consent.Voice]) -> datetime | None:
    """Return until when a refusal is respected, by the last one that any identifier stands by."""
    if purpose.lawful_basis != "consent":
        return None
    said = [v.order_time for v in voices if v.against and v.order_time is not None]
    days = purpose.declared.get("ask_again_days")
    return max(said) + timedelta(days=ASK_AGAIN_DAYS if days is None else days) if said else None


def records(
    session: Session, person: int, *, purpose: str | None = None
) -> Sequence[consent.ConsentRecord]:
    """Return the records of all identifiers of a person, oldest first."""
    members = people.members(session, [person])
    return consent.history(session, [(m.namespace, m.value) for m in members], purpose=purpose)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as the API writes it."""
    decision, before = explanation.decision, explanation.do_not_ask_before
    return {
        "purpose": decision.purpose,
        "allow": decision.allow,
        "reason": decision.reason,
        "lawful_basis": decision.lawful_basis,
        "conflict": decision.conflict,
        "record_ids": list(decision.record_ids),
        "do_not_ask_before": before.isoformat() if before else None,
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
