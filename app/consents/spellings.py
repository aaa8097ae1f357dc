"""What somebody said by one spelling of an address or number is their word by every other."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

import consent
from app.consents import in_use
from identity import respelling

#: Of whose record one is a copy, and by whom it says to be collected.
COPY = "spelling_of_record"


def spread(session: Session, identifiers: Collection[int], *, now: datetime) -> set[int]:
    """Record what these said for the other spellings of theirs; return all of them.

    Records are append-only and name a value: so each spelling has a record of each word, with the
    time, notice and evidence of the original, and the latest word counts whichever way it came.
    Safe to repeat.
    """
    found = set(identifiers)
    classes = respelling.spellings(session, found) if found else {}
    if classes:
        consent.catalogue.hold(session)  # what is added below a purpose meanwhile would miss this
    choices = []
    for same in classes.values():
        found.update(i for i, _, _ in same)
        names = [(namespace, value) for _, namespace, value in same]
        records = consent.history(session, names)
        known = {(r.namespace, r.value, r.evidence.get(COPY)) for r in records}
        choices += [
            _copy(record, *name)
            for record in records
            if COPY not in record.evidence
            for name in names
            if name != (record.namespace, record.value) and (*name, str(record.id)) not in known
        ]
    if choices:
        ids = {(n, v): i for same in classes.values() for i, n, v in same}
        denying = {ids[c.namespace, c.value] for c in choices if c.state != "given"}
        in_use.wait(session, denying)  # what is being sent was decided before this
        consent.record(session, choices, received_at=now)
    return found


def _copy(record: consent.ConsentRecord, namespace: str, value: str) -> consent.Choice:
    until = record.valid_until
    return consent.Choice(
        namespace,
        value,
        record.purpose,
        record.state,
        record.effective_at,
        record.collected_by,
        purpose_version=record.purpose_version,
        valid_days=(until - record.effective_at).days if until else None,
        notice=record.notice,
        evidence={**record.evidence, COPY: str(record.id)},
        universal=record.universal,
    )
