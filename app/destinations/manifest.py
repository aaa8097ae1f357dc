"""Manifests of sends: about whom what was sent to whom, for which purpose, on which consent.

Who sends notes each decision in the transaction that makes it, before the network is touched, so
that nothing leaves without. The ledger's job gathers what was noted by destination and purpose, and
one entry of the ledger commits to all of it (GDPR art. 5(2), 7(1)).
"""

import base64
import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import usable
from app.db import Sessions, advisory_lock, statement
from app.destinations.tables import Destination, Disclosure, Manifest
from consent import ledger
from consent.ledger import check_send, manifest
from consent.ledger.check import leaf_hash
from consent.ledger.entry import minute, word
from identity import people

#: Decisions in one manifest at most: half a second of work.
MOST = 5_000
#: Why what rests on consent is sent.
GIVEN = "given"
#: Why what takes back or rights a message is sent: its receiver was told before (GDPR art. 19).
TOLD_BEFORE = check_send.TOLD_BEFORE
#: Nobody allows it any more, in the moment between decision and note: this is proved by nothing.
NOBODY = "nobody"
#: A decision as it waits: id, destination, purpose, leaf, when.
Noted = sa.Row[int, int, str, str, datetime]


@dataclass(frozen=True, slots=True)
class Sent:
    """A decision to send. `identifiers` (id, namespace, value) are whom it is about.

    Of a send for several purposes: those that are sent, and on whose word one of these rests.
    """

    row: sa.Row[Any]
    message: str
    reason: str
    identifiers: Sequence[sa.Row[int, str, str]]
    #: What its receiver is to do (`kind.Record`).
    intent: str = "hold"


def note(session: Session, destination: Destination, sends: Sequence[Sent]) -> None:
    """Note decisions to send to a destination, as it is now: some statements for all of them.

    What is sent for several purposes is decided for each. The destination's own is noted last: the
    proof of a send is of that one, unless another is asked for.
    """
    giving = [sent for sent in sends if sent.reason not in (TOLD_BEFORE, NOBODY)]
    for key in destination.also_for:
        _note(session, destination, consent.catalogue.purpose(session, key), giving)
    purpose = consent.catalogue.purpose(session, destination.purpose)
    _note(session, destination, purpose, sends)


def _note(
    session: Session, destination: Destination, purpose: consent.Purpose, sends: Sequence[Sent]
) -> None:
    if not sends:
        return
    if purpose.key != destination.purpose:
        basis = purpose.lawful_basis
        why = GIVEN if basis == "consent" else f"lawful_basis:{basis}"
        sends = [replace(sent, reason=why) for sent in sends]
    asking = {one.id for sent in sends if sent.reason == GIVEN for one in sent.identifiers}
    relied = _relied_on(session, purpose, asking)
    if destination.also_for and purpose.mode != "per_identifier":
        sends = _with_speakers(session, purpose, relied, sends)
    # After that, or what was given in between would be relied on before it was on record.
    now: datetime = session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    rows = [_row(sent, destination, purpose, relied, now) for sent in sends]
    session.execute(sa.insert(Disclosure), rows)


def _with_speakers(
    session: Session, purpose: consent.Purpose, relied: "_Relied", sends: Sequence[Sent]
) -> list[Sent]:
    """Name on whose word a purpose rests, beside what is sent: another one may keep them from it.

    Of those who are one with what is sent, who has agreed and may be used for this purpose: as a
    send for it alone would name them. Where each has to agree, who is sent has, and nobody else.
    """
    used = {one.id for sent in sends if sent.reason == GIVEN for one in sent.identifiers}
    said = usable(session, purpose.key, used | relied.speakers) if used else {}
    speak: dict[int, set[int]] = defaultdict(set)
    for i in relied.speakers:
        if i in said and said[i].allowed:
            speak[said[i].group_id].add(i)
    speakers = {i for ids in speak.values() for i in ids}
    named = {i.id: i for i in people.identifiers(session, speakers)} if speakers else {}
    found = []
    for sent in sends:
        ids = {one.id for one in sent.identifiers}
        if sent.reason == GIVEN:
            more = {i for one in ids & said.keys() for i in speak[said[one].group_id]} - ids
            about = [*sent.identifiers, *(named[i] for i in sorted(more))]
            sent = replace(sent, identifiers=about)
        found.append(sent)
    return found


class _Relied:
    """The grants on record of some people for one purpose."""

    def __init__(self, purpose: consent.Purpose, rows: Sequence[sa.Row[Any]]) -> None:
        """`rows` are those of `relied_on.sql`."""
        self._alone = purpose.mode == "per_identifier"
        self._group = {row.identifier_id: row.group_id for row in rows}
        #: Who has agreed.
        self.speakers = self._group.keys()
        self._grants: dict[int, dict[int, str]] = defaultdict(dict)
        for row in rows:
            whose = row.identifier_id if self._alone else row.group_id
            self._grants[whose][row.identifier_id] = str(row.record_id)

    def of(self, identifiers: Collection[int]) -> dict[int, str]:
        """Return the records on which the use of these identifiers rests, by whose they are."""
        whose = {i if self._alone else self._group.get(i, i) for i in identifiers}
        return {
            i: record
            for one in whose
            for i, record in self._grants[one].items()
            if i in identifiers  # who of a group may not be used speaks for nobody
        }


def _relied_on(session: Session, purpose: consent.Purpose, used: Collection[int]) -> _Relied:
    """Return the grants on record for a purpose of these identifiers and those joined with them."""
    if not used:
        return _Relied(purpose, [])
    asked = {"purpose": purpose.key, "renewed": purpose.renewed, "explicit": purpose.explicit}
    rows = session.execute(
        statement("app.destinations", "relied_on"), {**asked, "identifiers": sorted(used)}
    )
    return _Relied(purpose, rows.all())


def _row(
    sent: Sent, to: Destination, purpose: consent.Purpose, relied: _Relied, now: datetime
) -> dict[str, Any]:
    row, ids = sent.row, {i.id for i in sent.identifiers}
    grants = relied.of(ids) if sent.reason == GIVEN else {}
    said = {
        "type": "send",
        "message": sent.message,
        "attempt": str(row.attempts),
        "kind": row.type,
        "intent": sent.intent,
        "segment": row.payload.get("segment"),
        "destination": {
            "id": str(to.id),
            "name": to.name,
            "host": urlsplit(to.url).hostname or "",
        },
        "profile": str(row.profile_id),
        "purpose": purpose.key,
        "purpose_version": str(purpose.version),
        "lawful_basis": purpose.lawful_basis,
        "vendor": str(to.tcf_vendor) if to.tcf_vendor is not None else None,
        "reason": sent.reason,
        "records": sorted(grants.values()),
        "decided_at": now.isoformat(),
    }
    names = [f"{i.namespace}:{i.value}" for i in sent.identifiers]
    return {
        "destination_id": to.id,
        "purpose": purpose.key,
        "identifier_ids": sorted(ids),
        "leaf": manifest.leaf(said, names, secrets.token_bytes(manifest.NONCE)),
        "decided_at": now,
    }


def close(sessions: Sessions, *, most: int = MOST) -> int:
    """Make manifests of what was noted, and state them in the ledger; return how many decisions.

    A step is one transaction, and what it did not come to is done by the next.
    """
    done = 0
    while True:
        with sessions.begin() as session, advisory_lock(session, "manifests") as mine:
            rows = _waiting(session, most) if mine else []
            for (destination, purpose), some in groupby(
                rows, key=lambda row: (row.destination_id, row.purpose)
            ):
                _close(session, destination, purpose, list(some))
        done += len(rows)
        if len(rows) < most:
            return done


def _waiting(session: Session, most: int) -> Sequence[Noted]:
    first = sa.select(Disclosure.id).where(Disclosure.manifest_id.is_(None))
    columns = (Disclosure.id, Disclosure.destination_id, Disclosure.purpose, Disclosure.leaf,
               Disclosure.decided_at)  # fmt: skip
    query = sa.select(*columns).where(Disclosure.id.in_(first.order_by(Disclosure.id).limit(most)))
    order = (Disclosure.destination_id, Disclosure.purpose, Disclosure.id)
    return session.execute(query.order_by(*order)).all()


def _close(session: Session, destination: int, purpose: str, rows: Sequence[Noted]) -> None:
    hashes = [leaf_hash(row.leaf.encode()) for row in rows]
    made = Manifest(
        id=uuid4(), destination_id=destination, purpose=purpose, hashes=b"".join(hashes)
    )
    session.add(made)
    session.flush()
    times = [row.decided_at for row in rows]
    ledger.append(
        session,
        "decision_manifest",
        {
            "destination": str(destination),
            "purpose": word(purpose),
            "sends": str(len(rows)),
            "root": base64.b64encode(manifest.tree(hashes).root()).decode(),
            "first": minute(min(times)),
            "last": minute(max(times)),
        },
        about=made.id,
    )
    places = [{"id": r.id, "manifest_id": made.id, "place": n} for n, r in enumerate(rows)]
    session.execute(
        statement("app.destinations", "in_manifest"),
        {"rows": msgspec.json.encode(places).decode()},
    )
