"""Repeats the erasures of the journal that a restored database has undone."""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from app.lake import copy
from app.ledger import ending
from app.ledger.keystore import Keystore
from app.privacy import former, journal, overtaken, redact
from app.privacy.erase import erase
from app.privacy.subject import Subject, spelt
from app.privacy.tables import ErasureLeft
from app.settings import Settings
from app.suppression import gate
from consent import erasure as consents
from consent import suppression
from consent.suppression import Entry
from identity import erasure as identities

#: How long to wait for the sealer of the ledger, and for who has the lake's files, in seconds.
WAIT_SECONDS = 0.5


def repeat(
    sessions: Sessions,
    settings: Settings,
    lines: Sequence[journal.Line],
    missing: Sequence[journal.Line],
) -> None:
    """Do again what these `missing` lines did; what a crash had left undone is done as well."""
    with sessions() as session:
        found = _identifiers(session, missing)
    for line in missing:
        _again(sessions, settings, line, found, _lifted(lines, line))
    with sessions() as session:
        left = session.scalars(sa.select(ErasureLeft.erasure_id)).all()
    for one in left:
        of = next((line for line in lines if line.id == one), None)
        _elsewhere(sessions, settings, one, of)
    copy.begin_anew_if_incomplete(sessions, settings.lake_dir)
    while copy.rewrite_removed(sessions, settings.lake_dir) is None:
        time.sleep(WAIT_SECONDS)
    copy.forget_replaced(sessions, settings.lake_dir, before=time.time() + 1)
    with sessions.begin() as session:
        session.execute(sa.delete(ErasureLeft))


def _lifted(lines: Sequence[journal.Line], since: journal.Line) -> set[bytes]:
    """Return the hashes that may be stored again since then."""
    later = lines[lines.index(since) :]
    return {e.ref for line in later if line.what == journal.LIFTED for e in line.entries}


def _identifiers(
    session: Session, lines: Collection[journal.Line]
) -> dict[bytes, tuple[int, str, str]]:
    """Return the identifiers of this database that the lines name, by their hashes."""
    wanted = {entry.ref for line in lines for entry in line.entries}
    ring = gate.keys()
    found = {}
    for portion in identities.every(session):
        for one, namespace, value in portion:
            for ref in ring.refs(namespace, value):
                if ref in wanted:
                    found[ref] = (one, namespace, value)
    for was in former.every(session):
        for ref in wanted.intersection(ring.refs(*was.identifier)) - found.keys():
            found[ref] = (was.former_id, *was.identifier)
    return found


def _again(
    sessions: Sessions,
    settings: Settings,
    line: journal.Line,
    found: dict[bytes, tuple[int, str, str]],
    lifted: set[bytes],
) -> None:
    if line.what == journal.LIFTED:
        with sessions.begin() as session:
            consents.begun(session, line.id, reason_ref=line.reason_ref, what="lifted_again")
            suppression.lift(session, [entry.ref for entry in line.entries])
        return
    here = [found[entry.ref] for entry in line.entries if entry.ref in found]
    person = Subject(tuple((n, v) for _, n, v in here), tuple(i for i, _, _ in here))
    with sessions() as session:
        person = spelt(session, person)
    now = datetime.now(UTC)
    erase(
        sessions,
        settings,
        person,
        erasure_id=line.id,
        reason_ref=line.reason_ref,
        at=now,
        since=line.at,
        entries=line.entries,
        what="erased_again",
        suppress=[Entry(*entry) for entry in line.entries if entry.ref not in lifted],
    )


def _elsewhere(
    sessions: Sessions, settings: Settings, erasure_id: UUID, line: journal.Line | None
) -> None:
    """Do what an erasure does beside its transaction; a crash costs that it is done once more."""
    now = datetime.now(UTC)
    with sessions() as session:
        person = Subject.of_json(session.get_one(ErasureLeft, erasure_id).subject)
    redact.rejected(sessions, person)
    redact.others(sessions, person)
    refs = {ref for one in person.identifiers for ref in gate.keys().refs(*one)}
    refs.update(entry.ref for entry in (line.entries if line else ()))
    with sessions.begin() as session:
        by = line.reason_ref if line else f"erasure:{erasure_id}"
        overtaken.by_erasure(session, refs, person, by=by, now=now)
    _destroy_keys(sessions, settings, person, now)


def _destroy_keys(sessions: Sessions, settings: Settings, person: Subject, now: datetime) -> None:
    """Destroy the person's keys of the ledger, once the sealer lets us."""
    keystore = Keystore(settings)
    if not keystore.exists:
        return
    try:
        while ending.destroy(sessions, keystore, person.identifiers, at=now) is None:
            time.sleep(WAIT_SECONDS)
    finally:
        keystore.close()
