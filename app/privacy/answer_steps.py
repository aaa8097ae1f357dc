"""The steps of requests other than erasure: packages, and what stops the use of data."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from app import work as touched
from app.consents import in_use, record
from app.destinations import outbox
from app.errors import SubjectSuppressed
from app.privacy import erasure_steps, forward, gather, package_store, packages
from app.privacy.erasure_steps import SWITCHED_OFF
from app.privacy.rectify import rectify
from app.privacy.step import DONE, NOT_PRESENT, Outcome, Step, Work
from app.suppression import gate
from consent import catalogue, restrictions, suppression
from consent.purposes import MARKETING, below
from identity import people


def restrict(work: Work) -> Outcome:
    """Let the person's data be stored and used for nothing else (GDPR art. 18)."""
    return _restrict(work, restrictions.RESTRICTION, None)


def object_(work: Work) -> Outcome:
    """Stop what the person objects to: one purpose, direct marketing, or all that can be."""
    purpose = work.details.get("purpose")
    if purpose == MARKETING:
        return _restrict(work, restrictions.MARKETING, None)
    return _restrict(work, restrictions.OBJECTION, purpose)


def withdraw_all(work: Work) -> Outcome:
    """Record a withdrawal of every purpose that rests on consent, for each identifier."""
    written = 0
    with work.sessions.begin() as session:
        rests = [p.key for p in catalogue.purposes(session).values() if p.lawful_basis == "consent"]
        for namespace, value in work.subject.sure.identifiers:
            if _erased(session, (namespace, value)):
                continue
            done = record.record(
                session,
                namespace,
                value,
                dict.fromkeys(rests, "withdrawn"),
                collected_by=f"request:{work.request_id}",
                received_at=work.now,
                evidence={"request": str(work.request_id)},
            )
            written += len(done)
        result = _result(session, work, written)
    return Outcome(DONE if written else NOT_PRESENT, result)


def _result(session: Session, work: Work, count: int) -> dict[str, Any]:
    """Return what was done, and what is left to the officer.

    Receivers that are switched off go on holding the person.
    """
    who = set(work.subject.ids) | set(people.people_of(session, work.subject.ids).values())
    result = {"count": count, **work.subject.doubts}
    off = outbox.untold(session, who, now=work.now)
    if off:
        said = [result["to_do"]] if "to_do" in result else []
        result |= {"switched_off": off, "to_do": "; ".join([*said, SWITCHED_OFF])}
    return result


def _erased(session: Session, identifier: tuple[str, str]) -> bool:
    """Say whether nothing of an identifier is here to be withdrawn, nor may be written."""
    try:
        gate.refuse(session, [identifier])
    except SubjectSuppressed:
        return True
    return False


def access(work: Work) -> Outcome:
    """Make the package of everything (GDPR art. 15)."""
    with work.sessions() as session:
        facts = gather.everything(session, work.settings, work.subject, _refs(work))
        why = gather.explanation(session, work.subject)
        purposes = [asdict(p) for p in catalogue.purposes(session).values()]
    return _packed(work, packages.access(facts, why, purposes))


def portability(work: Work) -> Outcome:
    """Make the package that another service, or this one, can take over (GDPR art. 20)."""
    with work.sessions() as session:
        events = gather.segment_events(session, work.subject)
        facts = gather.everything(session, work.settings, work.subject, _refs(work))
    return _packed(work, packages.portability(events, facts["consents"]))


def explain(work: Work) -> Outcome:
    """Make the package that says why (GDPR art. 15(1)(h), 22)."""
    with work.sessions() as session:
        why = gather.explanation(session, work.subject)
        facts = gather.everything(session, work.settings, work.subject, _refs(work))
    whole = {**why, "segments": facts["segments"], "withheld": facts["withheld"]}
    return _packed(work, {"explain.json": json.dumps(whole, ensure_ascii=False).encode()})


def _refs(work: Work) -> list[bytes]:
    return [ref for i in work.subject.sure.identifiers for ref in gate.keys().refs(*i)]


def _packed(work: Work, files: packages.Files) -> Outcome:
    content = packages.packed(files, request_id=work.request_id, kind=work.kind, made_at=work.now)
    with work.sessions.begin() as session:
        made = package_store.of_request(session, work.request_id)
        if not made:  # a crash after the last one lost only that it was noted
            package_store.keep(session, work.settings, work.request_id, content, now=work.now)
    result = {"files": len(files) + 1, **work.subject.doubts}
    return Outcome(DONE if work.subject.ids else NOT_PRESENT, result)


def _restrict(work: Work, kind: str, purpose: str | None) -> Outcome:
    """Set it for a purpose and for those below it, as a refusal goes down the tree; or for all."""
    made = 0
    with work.sessions.begin() as session:
        suppression.read_lock(session)  # what is being deleted was decided before this
        in_use.wait(session, work.subject.ids)  # and what is being sent
        # Of who was erased nothing is used, nor is anything of them to be here again.
        here = [one for one in work.subject.sure.identifiers if not _erased(session, one)]
        wanted = [purpose]
        if purpose is not None:
            catalogue.hold(session)  # a purpose below it that is added meanwhile would miss this
            wanted += below(catalogue.announced(session).values(), purpose)
        for one in wanted:
            done = restrictions.restrict(
                session,
                here,
                kind,
                reason_ref=f"request:{work.request_id}",
                at=work.now,
                purpose_key=one,
            )
            made += len(done)
        # Links, segments and destinations follow from the worker, as they do a withdrawal.
        said = {one or "all": kind for one in wanted}
        touched.touch(session, ((i, "consent", said) for i in work.subject.ids))
        result = _result(session, work, made)
    return Outcome(DONE if here else NOT_PRESENT, result)


PLANS: Mapping[str, Mapping[str, Step]] = {
    "access": {"package": access, forward.STORE: forward.step},
    "portability": {"package": portability, forward.STORE: forward.step},
    "explain": {"package": explain},
    "rectification": {
        "profile": rectify,
        "lake": erasure_steps.lake,
        "destination": erasure_steps.destination,
    },
    "restriction": {"restriction": restrict},
    "objection": {"objection": object_},
    "withdraw_all": {"consents": withdraw_all},
}
