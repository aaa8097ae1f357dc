"""The steps of requests that change what may be done with a person's data."""

from collections.abc import Mapping

from app import work as touched
from app.consents import record
from app.privacy.step import DONE, NOT_PRESENT, Outcome, Step, Work
from app.resolve import AGAIN
from consent import catalogue, restrictions

#: What an objection to direct marketing names in the place of a purpose (GDPR art. 21(2)).
MARKETING = "marketing"


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
        for namespace, value in work.subject.identifiers:
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
    return Outcome(DONE if written else NOT_PRESENT, {"count": written})


def _restrict(work: Work, kind: str, purpose: str | None) -> Outcome:
    with work.sessions.begin() as session:
        made = restrictions.restrict(
            session,
            work.subject.identifiers,
            kind,
            reason_ref=f"request:{work.request_id}",
            at=work.now,
            purpose_key=purpose,
        )
        # Segments and destinations follow from the worker, as they do a withdrawal.
        touched.touch(session, ((i, AGAIN, {}) for i in work.subject.ids))
    return Outcome(DONE, {"count": len(made)})


PLANS: Mapping[str, Mapping[str, Step]] = {
    "restriction": {"restriction": restrict},
    "objection": {"objection": object_},
    "withdraw_all": {"consents": withdraw_all},
}
