"""The sealer: one at a time, it brings what was recorded into the ledger and signs checkpoints."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions, advisory_lock
from app.errors import AnchorUnusable, LedgerForked, LedgerKeyUnusable
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from consent.ledger import Signer, step
from consent.ledger.check import Checkpoint, ProofInvalid, open_checkpoint
from consent.ledger.dated import FULL
from consent.ledger.store import Head, head, tree, vkeys

#: Entries of one step, hence at most of one checkpoint: 2 s of work.
MOST = FULL
LOCK = "ledger"
#: How long another who holds the lock is waited for, and how often it is looked.
PATIENCE_SECONDS, PAUSE_SECONDS = 0.5, 0.05


def run(
    sessions: Sessions,
    keystore: Keystore,
    anchor: Anchor,
    *,
    host: str,
    most: int = MOST,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Seal what waits, and return how many entries that made; 0 where another process is at it.

    Whoever needs a key of the keystore for a moment is waited for. `host` names the log when it
    begins. Raises LedgerKeyUnusable, and LedgerForked when fewer or other entries are here than
    were signed before.
    """
    made = 0
    keystore.rewrap()
    patience = time.monotonic() + PATIENCE_SECONDS
    while not stop():
        with sessions.begin() as session, advisory_lock(session, LOCK) as mine:
            if mine:
                destroyed = keystore.untold()
                signers = _signers(session, keystore, host)
                demand_same(session, keystore, anchor, signers)
                done = step(session, keystore, signers, most=most, destroyed=destroyed)
                note = head(session).note if done else ""
        if not mine:
            if time.monotonic() > patience:
                return made
            time.sleep(PAUSE_SECONDS)
            continue
        keystore.told(list(destroyed))
        if note:  # after the commit: it is of what is there
            keystore.signed(signers[0].origin, note)
        made += done
        if done < most:
            return made
    return made


def rotate(
    session: Session, keystore: Keystore, *, host: str, overlap: timedelta, new_log: bool
) -> str:
    """Give the ledger a new signing key and return its vkey.

    The old one signs beside it for the time of the overlap. A new log has a new name and is held
    against no earlier checkpoint: for when the database was restored from a backup that lacks
    what was signed since, or the keystore is lost. It signs what is there here, at the word of who
    asks for it, and once: the sealer goes on from nothing that its own keys did not sign. Waits for
    who seals: each of two would make the first key of another log. The caller commits.
    """
    wait = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(LOCK, 0))
    session.execute(sa.select(wait))
    now = datetime.now(UTC)
    keys = keystore.signing_keys(at=now)
    origin = _name(host) if new_log or not keys else keys[0].signer.origin
    if not keys and not new_log and vkeys(session):
        raise LedgerKeyUnusable(LOST)
    signer = keystore.add_signing_key(origin, at=now, overlap=overlap)
    if new_log and head(session).size:
        step(session, keystore, [signer], most=0)
    return signer.vkey


LOST = (
    "the keystore has no signing key, though the ledger was signed; restore the keystore, "
    "or begin a new log with `parcours ledger rotate-key --new-log`"
)


def _signers(session: Session, keystore: Keystore, host: str) -> list[Signer]:
    """Return the keys that sign now; the first one is made."""
    now = datetime.now(UTC)
    keys = [key.signer for key in keystore.signing_keys(at=now)]
    if not keys:
        demand_own(session, keystore)
        keys = [keystore.add_signing_key(_name(host), at=now, overlap=timedelta(0))]
    return keys


def demand_own(session: Session, keystore: Keystore) -> None:
    """Raise LedgerKeyUnusable for a keystore that signed nothing of a ledger that was signed.

    It is lost, or this is a machine with an empty one: what it seals, no other will open.
    """
    if vkeys(session) and not keystore.signing_keys(at=datetime.now(UTC)):
        raise LedgerKeyUnusable(LOST)


def _name(host: str) -> str:
    """Return a name that no other log has (C2SP tlog-checkpoint: origin)."""
    return f"{host}/ledger/{secrets.token_hex(4)}"


def demand_same(
    session: Session, keystore: Keystore, anchor: Anchor, signers: Sequence[Signer]
) -> None:
    """Refuse to go on when the ledger is not what was signed last, and what follows it signed.

    A log signs nothing that contradicts what it signed before (C2SP tlog-checkpoint), nor what
    somebody wrote behind that who has the database alone: the newest checkpoint is signed by one
    of `signers`, or the one that was published last, which a key of before may have signed. That
    holds under whatever name it was signed: `rotate` alone lets a log begin on what another signed.
    Where the anchor cannot be read the ledger goes on, and who publishes says that it cannot. The
    keystore knows too what was signed last: an anchor may be left behind where the database is
    restored on another machine. Raises LedgerForked.
    """
    last, here, origin = None, head(session), signers[0].origin
    with suppress(AnchorUnusable):
        last = anchor.last(origin)
    for claim in (last, keystore.last_signed(origin)):
        if claim is not None:
            _demand_begins_with(session, here, claim)
    if here.size == 0:
        return
    claimed = here.size, here.root
    if last is not None and (last.size, last.root) == claimed:
        return
    try:
        said = open_checkpoint(here.note, [signer.vkey for signer in signers])
    except ProofInvalid as error:
        raise LedgerForked(
            f"no key of this installation signed the newest checkpoint, of {here.size} entries, so "
            "nothing more is signed: see `parcours ledger verify --full`; where the keystore is an "
            "older one and no anchor is left, run `parcours ledger rotate-key --new-log` once"
        ) from error
    if (said.size, said.root) != claimed:
        raise LedgerForked(f"the newest checkpoint is not the one of {here.size} entries")


def _demand_begins_with(session: Session, here: Head, last: Checkpoint) -> None:
    if last.size > here.size:
        raise LedgerForked(
            f"{last.size} entries were signed and {here.size} are here, so nothing more is "
            "signed: see `parcours ledger verify`; if an older backup of the database was restored "
            "and the rest is lost, run `parcours ledger rotate-key --new-log` once"
        )
    if tree(session, here.size).root(last.size) != last.root:
        raise LedgerForked(f"the first {last.size} entries are others than were signed")
