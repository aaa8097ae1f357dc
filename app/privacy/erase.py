"""Erases one person from the tables, in one transaction that no writer and no job is beside."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import pipeline
from app.consents import in_use
from app.db import Sessions, statement
from app.pending import hold
from app.pending.vault import Vault
from app.privacy import former, journal, vault
from app.privacy.subject import Subject, is_still
from app.privacy.tables import ErasureLeft
from app.segments import members as segments
from app.settings import Settings
from app.suppression import gate
from app.suppression.key import NORMALISER
from consent import erasure as consents
from consent import suppression
from consent.suppression import Entry
from identity import erasure as identities
from identity import graph
from identity.lock import lock

#: The jobs that hold what they read in memory. Those that take seconds are waited for first, while
#: nothing else is held: whoever waits for the others keeps everybody's events waiting.
LONG_JOBS, JOBS = ("segments", "journeys"), ("pending", "pipeline")


def erase(
    sessions: Sessions,
    settings: Settings,
    subject: Subject,
    *,
    erasure_id: UUID,
    reason_ref: str,
    at: datetime,
    since: datetime | None = None,
    entries: Collection[Entry] | None = None,
    suppress: Collection[Entry] | None = None,
    what: str = "erased",
    anew: Callable[[Session], Subject] | None = None,
) -> dict[str, int] | None:
    """Erase the person of these identifiers from the tables, and let nothing of them in again.

    By provenance: events in which one of the identifiers acts, and what was made of them. Of an
    `unproved` address the bare identifier goes; it is not suppressed. Whoever was joined with the
    person by a match or a decision stays, with all of their own. Writers wait meanwhile, some
    milliseconds for each thousand events. Erasing nobody, or again, is on record as such. `since`,
    `entries` and `suppress` are those of the journal, where an erasure is repeated; what is then
    left to be done elsewhere is noted by the same transaction (`ErasureLeft`). `anew` finds the
    person anew, and writes down who that is, where others are theirs by now.

    Return how much of what was erased, None where this very erasure was carried out before. Raises
    SuppressionKeyUnusable, HoldKeyUnusable, LedgerKeyUnusable, JournalUnusable; then nothing was
    erased.
    """
    key = gate.keys_or_new().newest
    with sessions.begin() as session:  # what is on its way out takes its time, with nothing held
        in_use.wait(session, subject.ids)
    with sessions.begin() as session:
        _wait(session, LONG_JOBS)
        _wait(session, JOBS)
        lock(session)
        suppression.write_lock(session)
        if erasure_id in consents.done(session):
            return None
        if anew is not None and not is_still(session, subject):
            subject = anew(session)
        # After these, as for who writes a withdrawal: nothing of the person is on its way out now.
        in_use.wait(session, subject.ids)
        line = None
        if entries is None:
            entries = [Entry(key.ref(n, v), key.id, n) for n, v in subject.sure.identifiers]
            told = (erasure_id, journal.ERASED, at, reason_ref, NORMALISER, tuple(entries))
            line = journal.Line(*told)
        consents.begun(session, erasure_id, reason_ref=reason_ref, what=what)
        listed = entries if suppress is None else suppress
        suppression.suppress(session, listed, normaliser=NORMALISER, reason_ref=reason_ref)
        vault.keep(
            session,
            settings,
            subject.sure.identifiers,
            erasure_id=erasure_id,
            since=since or at,
            at=at,
        )
        erased = _from_tables(session, settings, subject, erasure_id, at)
        session.flush()
        if line is not None:
            journal.append(settings.journal, line)
        else:
            session.add(ErasureLeft(erasure_id=erasure_id, subject=subject.as_json()))
    return erased


def _wait(session: Session, jobs: Sequence[str]) -> None:
    """Wait until none of these jobs is at it, and keep them waiting."""
    for job in jobs:
        session.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:job, 0))"), {"job": job}
        )


def _from_tables(
    session: Session, settings: Settings, subject: Subject, erasure_id: UUID, at: datetime
) -> dict[str, int]:
    ids = graph.array(subject.ids)
    events = session.execute(statement("app.privacy", "erase_events"), {"ids": ids}).one()
    session.execute(statement("app.privacy", "erase_unread"), {"ids": ids})
    memberships = segments.forget(session, subject.ids)
    profiles = session.execute(
        statement("app.privacy", "erase_profiles"),
        {"ids": ids, "at": at, "message_ids": list(events.message_ids)},
    ).one()
    session.execute(statement("app.privacy", "erase_deliveries"), {"ids": ids, "at": at})
    session.execute(statement("app.privacy", "erase_evidence"), {"ids": ids})
    records = consents.forget(session, erasure_id, subject.sure.identifiers)
    held = _held(session, settings, subject)
    former.forget(session, subject.ids)
    moved, gone = identities.forget(session, subject.ids, at=at)
    _carry_on(session, moved, frozenset(subject.ids))
    return {
        "identifiers": gone,
        "events": events.events,
        "traits": profiles.traits,
        "memberships": memberships,
        "changes": profiles.changes,
        "consent_records": records,
        "held_events": held,
    }


def _held(session: Session, settings: Settings, subject: Subject) -> int:
    keyring = Vault(settings).keyring()
    if keyring is None:
        return 0
    return sum(hold.destroy(session, keyring, *one) for one in subject.sure.identifiers)


def _carry_on(session: Session, moved: graph.Moved, gone: frozenset[int]) -> None:
    """Carry through, for those who are left, that they came apart from who was erased."""
    parted = [new for old, new in moved.split if old in gone and new not in gone]
    left = graph.Moved(
        created=tuple(parted),
        merged=tuple(p for p in moved.merged if gone.isdisjoint(p)),
        split=tuple(p for p in moved.split if gone.isdisjoint(p)),
        people=moved.people - gone,
    )
    pipeline.after_move(session, left)
