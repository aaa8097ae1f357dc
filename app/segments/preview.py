"""Says of a rule that is not saved whom it would select now."""

import time
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import reads
from app.db import read_only
from app.segments import compile as compiled
from app.segments import members, names, uses
from identity import people

#: Profiles that are shown.
EXAMPLES = 10
#: A preview that takes longer is given up: somebody waits for it.
LONGEST = "30s"


def preview(session: Session, *, purpose: str, rule: Any, now: datetime) -> dict[str, Any]:
    """Return size, examples and warnings; nothing is stored and nobody is told.

    There is no size while a computed trait that the rule asks for is not complete. Raises
    DefinitionInvalid and PurposeNotFound.
    """
    found = consent.catalogue.purpose(session, purpose)
    parsed = members.parse(rule)
    uses.check(session, parsed, purpose)
    waits = uses.waits_for(session, parsed, purpose)
    started = time.perf_counter()
    inside: set[int] = set()
    if not waits:
        with read_only(session):
            session.execute(sa.text(f"SET LOCAL statement_timeout = '{LONGEST}'"))
            inside = compiled.members(session, parsed, found, now=now)
    some = sorted(inside)[:EXAMPLES]
    ids = people.profile_ids(session, some)
    reads.saw(session, some, purpose=purpose)
    return {
        "purpose": purpose,
        "size": None if waits else len(inside),
        "examples": [{"profile_id": str(ids[person])} for person in some],
        "milliseconds": round((time.perf_counter() - started) * 1000, 1),
        "waits_for": waits,
        "warnings": names.warnings(session, parsed),
    }
