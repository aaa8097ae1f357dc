"""Evidence of sends: the proof of one, whether all are as they were, and how long they are kept."""

import base64
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import reads
from app.db import statement
from app.destinations.manifest import GIVEN, MOST, TOLD_BEFORE
from app.destinations.tables import Disclosure, Manifest
from app.errors import SendNotFound
from consent.errors import LedgerEntryNotSealed
from consent.ledger import KeyById, manifest, opening, store
from consent.ledger.check import unbase64
from consent.ledger.check_send import SEND, named
from consent.ledger.entry import word
from consent.ledger.sealer import catalogue_id
from identity import people

#: What an entry says of a manifest that must be so.
COMMITTED = ("destination", "purpose", "root", "sends")
#: Wrong decisions or manifests that are told of at most.
MOST_LISTED = 100


def sends(
    session: Session,
    namespace: str,
    value: str,
    *,
    until: datetime,
    destination: str | None = None,
    purpose: str | None = None,
) -> list[Disclosure]:
    """Return the decisions to send about the person of an identifier, the newest first.

    `destination` is an id or a name, also of one that was removed since. What is sent for several
    purposes was decided for each.
    """
    person = people.find(session, namespace, value)
    if person is None:
        return []
    members = {member.identifier_id for member in people.members(session, [person])}
    reads.saw(session, members, purpose=None)
    asked: sa.ColumnElement[Any] = sa.cast(sorted(members), Disclosure.identifier_ids.type)
    query = sa.select(Disclosure).where(
        Disclosure.identifier_ids.overlap(asked), Disclosure.decided_at <= until
    )
    order = (Disclosure.decided_at.desc(), Disclosure.id.desc())
    found = list(session.scalars(query.order_by(*order)))
    return [
        row
        for row in found
        if purpose in (None, row.purpose)
        and (
            destination is None
            or destination in (str(row.destination_id), said(row)["destination"]["name"])
        )
    ]


def said(row: Disclosure) -> Any:
    """Return what a decision says."""
    return json.loads(row.leaf)


def last(
    session: Session,
    namespace: str,
    value: str,
    *,
    until: datetime,
    destination: str,
    purpose: str | None = None,
) -> Disclosure:
    """Return the last send about a person to a destination until a time; raises SendNotFound.

    What took something back, or righted it, is none: for that nobody had to agree.
    """
    found = sends(session, namespace, value, until=until, destination=destination, purpose=purpose)
    for row in found:
        if said(row)["reason"] != TOLD_BEFORE:
            return row
    raise SendNotFound(f"nothing was sent to {destination} about this person until {until}")


def prove(session: Session, keys: KeyById, row: Disclosure) -> str:
    """Return the proof of a send with all that it rests on, which `check_send` checks offline.

    It is personal data: identifiers, consent records and their keys are in it. Raises
    LedgerEntryNotSealed while the send, or a record that it rests on, waits for the sealer, and
    SendNotFound where what it takes back is on record no more.
    """
    send, before = said(row), {}
    if send["reason"] == TOLD_BEFORE:
        before = {"before": _leaf(session, _before(session, row))}
    records = _records(session, send, row.identifier_ids)
    sealed = [(one, index) for one in records if (index := _index(session, one, send)) is not None]
    purpose = catalogue_id("purpose", send["purpose"], int(send["purpose_version"]))
    return json.dumps(
        {
            "format": SEND,
            **_leaf(session, row),
            **before,
            "identifiers": _named(session, send, row.identifier_ids),
            "purpose": _proof(session, store.index_of(session, purpose)),
            "versions": list(_versions(session, send, records)),
            "records": [
                {"proof": _proof(session, index), "opening": opening(session, keys, index)}
                for _, index in sealed
            ],
            "notices": list(_notices(session, [one for one, _ in sealed])),
        },
        indent=1,
        ensure_ascii=False,
    )


def _leaf(session: Session, row: Disclosure) -> dict[str, Any]:
    """Return a send with the way to its manifest, and that with its way to the signed root."""
    if row.manifest_id is None or row.place is None:
        raise LedgerEntryNotSealed(f"the send of {row.decided_at.isoformat()} will be sealed soon")
    found = session.get_one(Manifest, row.manifest_id)
    hashes = _hashes(found)
    path = manifest.tree(hashes).inclusion_proof(row.place, len(hashes))
    return {
        "leaf": row.leaf,
        "place": row.place,
        "path": [base64.b64encode(step).decode() for step in path],
        "manifest": _proof(session, store.index_of(session, found.id)),
    }


def _before(session: Session, row: Disclosure) -> Disclosure:
    """Return the send that told a receiver of the profile that it is told to give back."""
    earlier = sa.select(Disclosure).where(
        Disclosure.destination_id == row.destination_id,
        Disclosure.purpose == row.purpose,
        Disclosure.identifier_ids.overlap(
            sa.cast(row.identifier_ids, Disclosure.identifier_ids.type)
        ),
        Disclosure.decided_at < row.decided_at,
    )
    for one in session.scalars(earlier.order_by(Disclosure.decided_at.desc())):
        if said(one)["reason"] != TOLD_BEFORE and said(one)["profile"] == said(row)["profile"]:
            return one
    raise SendNotFound("what this takes back is on record no more")


def _hashes(of: Manifest) -> list[bytes]:
    return [of.hashes[start : start + 32] for start in range(0, len(of.hashes), 32)]


def _proof(session: Session, index: int) -> str:
    return store.prove(session, index).write()


def _named(session: Session, send: Any, ids: Collection[int]) -> list[str]:
    """Return the identifiers that a send names, as far as they are known still."""
    nonce = unbase64(send["nonce"])
    found = [f"{i.namespace}:{i.value}" for i in people.identifiers(session, ids)]
    return sorted(one for one in found if named(nonce, one) in send["identifiers"])


def _records(session: Session, send: Any, ids: Collection[int]) -> list[consent.ConsentRecord]:
    """Return what those on whose word a send rests have said of its purpose."""
    if send["reason"] != GIVEN:
        return []
    whose = sorted((i.namespace, i.value) for i in people.identifiers(session, ids))
    return consent.history(session, whose, purpose=send["purpose"])


def _versions(
    session: Session, send: Any, records: Sequence[consent.ConsentRecord]
) -> Iterator[str]:
    """Yield the versions before that of a send, from the oldest that it was agreed to for."""
    agreed = [record.purpose_version for record in records if str(record.id) in send["records"]]
    wanted = int(send["purpose_version"])
    for one in consent.catalogue.versions(session, send["purpose"]) if agreed else ():
        if min(agreed) <= one.version < wanted:
            about = catalogue_id("purpose", one.key, one.version)
            yield _proof(session, store.index_of(session, about))


def _index(session: Session, record: consent.ConsentRecord, send: Any) -> int | None:
    """Return the entry of a record; None for a later one that waits to be sealed."""
    try:
        return store.index_of(session, record.id)
    except LedgerEntryNotSealed:
        if str(record.id) in send["records"]:
            raise
        return None


def _notices(
    session: Session, records: Sequence[consent.ConsentRecord]
) -> Iterator[dict[str, str]]:
    """Yield the notices of these records with their texts, each once."""
    shown = {
        (str(n["key"]), int(n["version"]), str(n["language"]))
        for n in (record.notice for record in records)
        if n is not None
    }
    for key, version, language in sorted(shown):
        notice = consent.catalogue.notice(session, key, version, language)
        about = catalogue_id("notice", key, version, language)
        yield {"proof": _proof(session, store.index_of(session, about)), "text": notice.body}


def tampered(session: Session) -> list[str]:
    """Say which decisions and manifests are not what the ledger commits to, the first of them.

    What was deleted, with a person or in time, is none of them.
    """
    rows = session.execute(statement("app.destinations", "tampered"), {"most": MOST_LISTED})
    wrong = [f"send {row.id} is not what manifest {row.manifest_id} holds" for row in rows]
    query = sa.select(Manifest).order_by(Manifest.made_at, Manifest.id)
    for some in session.scalars(query.execution_options(yield_per=100)).partitions():
        # In this order: what is sealed in between is found by one of them.
        waits = store.waiting(session, [one.id for one in some])
        entries = store.said_about(session, [one.id for one in some])
        for one in some:
            hashes = _hashes(one)
            root = base64.b64encode(manifest.tree(hashes).root()).decode()
            entry = entries.get(one.id)
            about = (str(one.destination_id), word(one.purpose), root, str(len(hashes)))
            if entry is None:
                if one.id not in waits:
                    wrong.append(f"manifest {one.id} is in no entry of the ledger")
            elif tuple(entry.get(name) for name in COMMITTED) != about:
                wrong.append(f"manifest {one.id} is not what entry {entry['index']} commits to")
    return wrong[:MOST_LISTED]


def forget(session: Session, *, before: datetime) -> bool:
    """Delete what was decided before a time, some at once; say whether there may be more."""
    old = sa.select(Disclosure.id).where(Disclosure.decided_at < before).limit(MOST)
    gone = session.execute(sa.delete(Disclosure).where(Disclosure.id.in_(old)))
    if int(gone.rowcount) == MOST:  # type: ignore[attr-defined]  # a delete's result has it
        return True
    session.execute(sa.delete(Manifest).where(Manifest.made_at < before))
    return False
