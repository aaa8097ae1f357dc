"""The steps of an erasure, a store each: what is done there, or why something stays."""

import time
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from app.destinations import file_removal, registry
from app.destinations.tables import Delivery, Destination
from app.lake import copy
from app.ledger import ending
from app.ledger.keystore import Keystore
from app.privacy import forward, overtaken, package_store, redact, requests, vault
from app.privacy.erase import erase
from app.privacy.step import (
    DONE,
    FAILED,
    NOT_PRESENT,
    NOT_SUPPORTED,
    RETAINED,
    WAITING,
    Outcome,
    Step,
    Work,
)
from app.privacy.subject import Subject
from app.suppression import gate
from identity import erasure, graph

#: How often to ask whether a destination has answered, in seconds.
ASK_SECONDS = 5.0
#: What is left to the controller where nothing is sent (GDPR art. 19): any more, now, or at all.
BY_HAND = "tell this receiver yourself: nothing is sent to it any more"
SWITCHED_OFF = "tell this receiver yourself, or switch it on: it is told then, and not before"
NOT_TAKEN = "tell this receiver yourself: it does not take the message"
#: The message to a destination that was told of the person.
ERASED = "profile.erased"


def tables(work: Work) -> Outcome:
    """Erase from the tables, and plan a task for each destination that was told of the person."""
    erased = erase(
        work.sessions,
        work.settings,
        work.subject,
        erasure_id=work.request_id,
        reason_ref=f"request:{work.request_id}",
        at=work.now,
        anew=work.anew,
    )
    messages: dict[str, list[str]] = {}
    with work.sessions() as session:  # also after a crash between the erasure and this
        # Whoever was found to be the person while it waited was erased and is told of as well.
        subject = Subject.of_json(
            requests.find(session, work.request_id).subject or {"identifiers": []}
        )
        told = sa.select(Delivery.destination_id, Delivery.message_id).where(
            Delivery.type == ERASED, graph.among(Delivery.person_id, subject.ids)
        )
        for row in session.execute(told):
            messages.setdefault(str(row.destination_id), []).append(str(row.message_id))
    more = tuple(("destination", to, {"messages": sent}) for to, sent in messages.items())
    state = DONE if erased is None or any(erased.values()) else NOT_PRESENT
    return Outcome(state, {**(erased or {"repeated": True}), **subject.doubts}, more=more)


def rejected_events(work: Work) -> Outcome:
    """Delete the rejected events that name the person."""
    return _counted(redact.rejected(work.sessions, work.subject.sure))


def others(work: Work) -> Outcome:
    """Take the person's identifiers out of what others' events say."""
    return _counted(redact.others(work.sessions, work.subject.sure))


def lake(work: Work) -> Outcome:
    """Write the lake's files anew, and delete the old ones once nobody reads them any more."""
    began = work.result.get("rewritten_at")
    if began is None:
        files = copy.rewrite_removed(work.sessions, work.settings.lake_dir)
        if files is None:
            return Outcome(WAITING, work.result, again=1.0)
        again = min(ASK_SECONDS, work.settings.erasure_grace_seconds)
        return Outcome(WAITING, {"rewritten_at": time.time(), "files": files}, again=again)
    grace = work.settings.erasure_grace_seconds
    # Files that left the listing later hold nothing of the person; their time may be set a little
    # after they left, hence once more the grace.
    waiting = copy.forget_replaced(
        work.sessions, work.settings.lake_dir, before=time.time() - grace, until=began + grace
    )
    if waiting != 0:
        return Outcome(WAITING, work.result, again=1.0)
    return Outcome(DONE if work.result["files"] else NOT_PRESENT, {"files": work.result["files"]})


def ledger(work: Work) -> Outcome:
    """Destroy the keys under which the ledger's entries of the person are sealed."""
    keystore = Keystore(work.settings)
    if not keystore.exists:
        return Outcome(NOT_PRESENT)
    try:
        gone = ending.destroy(work.sessions, keystore, work.subject.sure.identifiers, at=work.now)
    finally:
        keystore.close()
    return Outcome(WAITING, again=0.5) if gone is None else _counted(len(gone))


def proofs(work: Work) -> Outcome:
    """Say what the vault keeps against legal claims, and until when."""
    with work.sessions() as session:
        kept = vault.of_erasure(session, work.request_id)
    if not kept:
        return Outcome(NOT_PRESENT)
    return Outcome(
        RETAINED,
        {
            "count": len(kept),
            "purposes": sorted({entry.purpose for entry in kept}),
            "until": max(entry.kept_until for entry in kept).date().isoformat(),
            "why": "GDPR art. 17(3)(e)",
        },
    )


def packages(work: Work) -> Outcome:
    """Delete packages that were made for the person, and what other requests hold of them."""
    person = work.subject.sure
    refs = [ref for i in person.identifiers for ref in gate.keys().refs(*i)]
    with work.sessions.begin() as session:
        mine = package_store.of_person(session, refs)
        package_store.remove(session, work.settings, mine, now=work.now)
        by = f"request:{work.request_id}"
        ended = overtaken.by_erasure(session, refs, person, by=by, now=work.now)
    state = DONE if mine or ended else NOT_PRESENT
    return Outcome(state, {"count": len(mine), "requests_ended": ended})


def destination(work: Work) -> Outcome:
    """Ask whether a destination took the message that the profile is gone; send it anew if not."""
    messages = work.result["messages"]
    with work.sessions.begin() as session:
        rows = session.scalars(sa.select(Delivery).where(Delivery.message_id.in_(messages))).all()
        found = session.get(Destination, int(work.target))
        if found is None or len(rows) < len(messages):  # removed when that still deleted it
            return Outcome(NOT_SUPPORTED, {**work.result, "why": registry.REMOVED})
        result = {**work.result, "name": found.name}
        if all(row.state == "delivered" for row in rows):
            return Outcome(DONE, {**result, "told_at": work.now.isoformat()})
        if file_removal.waits(found):
            return Outcome(WAITING, result, again=ASK_SECONDS)
        if found.removed_at is not None:
            who = {"kind": found.kind, "url": found.url, "purpose": found.purpose}
            result |= {"receiver": {**found.declared, **who}, "why": registry.REMOVED}
            return Outcome(NOT_SUPPORTED, {**result, "to_do": BY_HAND})
        if not found.enabled:
            kept_here = rows[0].type == ERASED and file_removal.forget(
                session,
                found,
                [row.profile_id for row in rows],
                [UUID(one) for row in rows for one in row.payload.get("told_as", ())],
                now=work.now,
            )
            if kept_here is None:
                return Outcome(WAITING, result, again=ASK_SECONDS)
            if kept_here:
                return Outcome(DONE, {**result, "told_at": work.now.isoformat()})
            result |= {"why": found.why_disabled or "disabled", "to_do": SWITCHED_OFF}
            return Outcome(NOT_SUPPORTED, result)
        failed = [row for row in rows if row.state in ("failed", "dropped")]
        if any(row.last_status in (404, 405, 501) for row in failed):
            result |= {"why": f"HTTP {failed[0].last_status}", "to_do": NOT_TAKEN}
            return Outcome(NOT_SUPPORTED, result)
        for row in failed:  # given up after three days: begin again, and tell the officer
            row.state, row.attempts, row.due_at, row.ended_at = "waiting", 0, work.now, None
        why = next((row.reason for row in rows if row.reason), None)
        return Outcome(FAILED if failed else WAITING, {**result, "why": why}, again=ASK_SECONDS)


def models(work: Work) -> Outcome:
    """Say what was learnt while the person was there: statistics of all, of no single person."""
    with work.sessions() as session:
        learnt_at = erasure.learnt_at(session)
    if learnt_at is None:
        return Outcome(NOT_PRESENT)
    why = "shares and name frequencies of all records; learnt anew without the person"
    return Outcome(RETAINED, {"learnt_at": learnt_at.isoformat(), "why": why})


def backups(work: Work) -> Outcome:
    """Say until when backups hold the person; the journal erases again what is restored."""
    until = work.now + timedelta(days=work.settings.backup_days)
    return Outcome(
        RETAINED,
        {"until": until.date().isoformat(), "why": "erased again before a restored backup is used"},
    )


def _counted(number: int) -> Outcome:
    return Outcome(DONE if number else NOT_PRESENT, {"count": number})


#: In this order. Nothing is done elsewhere before the tables let nothing in any more.
STEPS: dict[str, Step] = {
    "tables": tables,
    "rejected_events": rejected_events,
    "others": others,
    "lake": lake,
    "ledger": ledger,
    "vault": proofs,
    "packages": packages,
    "destination": destination,
    forward.STORE: forward.step,
    "models": models,
    "backups": backups,
}
