"""Stating how old somebody is, with what follows from it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app import work
from app.consents import in_use
from app.suppression import gate
from consent import ages, ledger
from identity import graph


def state(
    session: Session,
    namespace: str,
    value: str,
    told: Sequence[ages.Span],
    *,
    stated_by: str,
    at: datetime,
) -> UUID:
    """Put on record how old the person of a canonical identifier is, and return its ledger entry.

    In force from the commit on.

    Segments and destinations hear of it from the worker. The ledger has it, sealed: that a guardian
    had to agree, or had not, can be shown only with what was known of the age then (GDPR art. 8(2),
    7(1)). Raises SubjectSuppressed.
    """
    gate.refuse(session, [(namespace, value)])
    ids = graph.identify(session, [(namespace, value)])
    in_use.wait(session, ids.values())
    ages.state(session, namespace, value, told, stated_by=stated_by, at=at)
    entry = ledger.append(
        session,
        "admin",
        {"act": "age_stated"},
        subject=(namespace, value),
        body={
            "stated_by": stated_by,
            "stated_at": at.isoformat(),
            "bands": [
                {
                    "band": span.band,
                    "from": span.from_at.isoformat(),
                    "to": span.to_at and span.to_at.isoformat(),
                }
                for span in told
            ],
        },
    )
    bands = {"all": told[0].band if told else "adult"}
    work.touch(session, [(one, "consent", bands) for one in ids.values()])
    return entry
