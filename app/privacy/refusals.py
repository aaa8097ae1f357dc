"""The journal of refusals: what a restored backup would forget, and have used again.

The worker writes it from what is committed, a second later: so a withdrawal waits for no file, and
none that cannot be written stops one. Each line is sealed with the key of its identifier, which an
erasure destroys.
"""

import logging
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
from sqlalchemy.orm import Session

from app import work
from app.consents import in_use
from app.db import Sessions, advisory_lock, exclusively
from app.errors import JournalUnusable
from app.ledger.keystore import Keystore
from app.ledger.seal import LOCK as SEALER
from app.ledger.seal import demand_own
from app.privacy import refusal_files as files
from app.settings import Settings
from app.suppression import gate
from consent import refusals, suppression
from consent.refusals import Told
from identity import people

log = logging.getLogger("parcours.privacy")

LOCK = "refusals"
#: Records looked at in one step, and lines heard again in one transaction.
MOST, AT_ONCE = 5_000, 1_000
#: What a line is bound to, so that it passes for nothing else that the same key sealed.
LABEL = b"parcours journal of refusals/v1"
#: How long to wait for another process that is at it.
WAIT_SECONDS = 0.5


def advance(sessions: Sessions, keystore: Keystore, settings: Settings) -> bool:
    """Tell the journal what was recorded since; say whether there may be more.

    A database that was restored under a running server hears the journal first. Where there is
    something to tell, the sealer is kept waiting: keys are made under its lock, and none is
    destroyed between the look at what it seals and the line. Raises JournalUnusable and
    LedgerKeyUnusable, also where the keystore is none of this ledger's.
    """
    repeat(sessions, keystore, settings)
    folder, now = settings.refusals, datetime.now(UTC)
    with sessions.begin() as session, advisory_lock(session, LOCK) as mine:
        head = refusals.head(session)
        written = files.last(folder) if mine else head.number + 1
        if written > head.number:
            return False
        news = refusals.news(session, head, most=MOST) if written == head.number else None
        if news is not None and news.nothing:
            return False
        number = head.number
        if news is None:
            demand_own(session, keystore)
            _tell_anew(session, folder, written, head)
        elif news.told:
            demand_own(session, keystore)
            with advisory_lock(session, SEALER) as alone:
                if not alone:
                    return False
                news = refusals.news(session, head, most=MOST)
                number += bool(news.told)
                if news.told:
                    files.append(folder, _sealed(keystore, number, news.told), at=now)
        if news is not None:
            refusals.noted(session, number, news)
    if news is None:
        _begin(sessions, folder, number + 1, now)
        return True
    if news.told:
        files.clear(folder, before=now - timedelta(days=settings.backup_days))
    return news.more


def _begin(sessions: Sessions, folder: Path, number: int, now: datetime) -> None:
    """Begin a journal that is told anew: after the commit, or it would pass for the whole.

    Not where another worker found it gone meanwhile, and tells it anew from a later portion on: a
    file that ends before that would be an older one, which nobody goes on with.
    """
    with sessions.begin() as session, advisory_lock(session, LOCK) as mine:
        if mine and refusals.head(session).number == number and not files.last(folder):
            files.begin(folder, number, at=now)


def _tell_anew(session: Session, folder: Path, written: int, head: refusals.Head) -> None:
    """Have a journal that is gone told anew; raises JournalUnusable for one that is older.

    The next portion says so, and nothing of anybody: there may be nobody to tell of for long.
    """
    if written:
        raise JournalUnusable(
            f"{folder} ends at portion {written} of {head.number}: it is an older one, or another "
            "machine's; restore or share it, or move it away to have it told anew"
        )
    log.warning("the journal of refusals is gone, and told anew")
    refusals.tell_all(session)
    refusals.repeated(session, head.number + 1)


def repeat(sessions: Sessions, keystore: Keystore, settings: Settings) -> int:
    """Write again what the journal tells and this database lacks; return of how many identifiers.

    To be called before anybody is served, after the erasures of their journal. Of who was erased
    nothing is written: their keys are gone, or they are on the suppression list. Raises
    JournalUnusable where lines cannot be opened, since nobody could tell then whose refusals they
    are.
    """
    while behind(sessions, settings):
        with exclusively(sessions, LOCK) as mine:
            if mine:
                return _repeat(sessions, keystore, settings)
        time.sleep(WAIT_SECONDS)
    return 0


def behind(sessions: Sessions, settings: Settings) -> bool:
    """Say whether the journal tells what this database lacks: it was restored."""
    written = files.last(settings.refusals)
    if not written:
        return False
    with sessions() as session:
        return refusals.head(session).number < written


def _repeat(sessions: Sessions, keystore: Keystore, settings: Settings) -> int:
    folder = settings.refusals
    with sessions() as session:
        after = refusals.head(session).number
    found = lost = 0
    last = after
    all_lines = files.lines(folder, after=after)
    while some := list(islice(all_lines, AT_ONCE)):
        if last == after and some[0].number > after + 1 and some[0].sealed:
            log.error(
                "restored: what was refused between portions %d and %d of %s is lost, since these"
                " were deleted: the backup is older than PARCOURS_BACKUP_DAYS",
                after, some[0].number, folder,
            )  # fmt: skip
        told, closed = _opened(keystore, some)
        lost += closed
        last = max(last, max(line.number for line in some))
        with sessions.begin() as session:
            found += _again(session, told)
    if lost:
        raise JournalUnusable(
            f"{lost} lines of {folder} are sealed with keys that the keystore does not have: "
            "restore its newest copy; where it is lost, so is what they say: move the journal away"
        )
    with sessions.begin() as session:
        refusals.repeated(session, last)
    if found:
        log.warning("restored: of %d identifiers refusals were repeated here", found)
    return found


def _again(session: Session, told: Sequence[Told]) -> int:
    suppression.read_lock(session)
    listed = {entry.ref for entry in suppression.entries(session)}
    if listed:
        ring = gate.keys()
        told = [one for one in told if listed.isdisjoint(ring.refs(one.namespace, one.value))]
    ids = people.find_identifiers(session, {(one.namespace, one.value) for one in told})
    in_use.wait(session, ids.values())
    changed = refusals.again(session, told)
    work.touch(
        session,
        ((ids[who], "consent", said) for who, said in sorted(changed.items()) if who in ids),
    )
    return len(changed)


def _sealed(keystore: Keystore, number: int, told: Sequence[Told]) -> list[files.Line]:
    keys = keystore.of({(one.namespace, one.value) for one in told})
    lines = []
    for one in told:
        key_id, key = keys[one.namespace, one.value]
        body = zlib.compress(msgspec.json.encode(one))
        lines.append(files.Line(number, key_id, key.seal(body, LABEL)))
    return lines


def _opened(keystore: Keystore, lines: Sequence[files.Line]) -> tuple[list[Told], int]:
    """Return what lines say, and how many nothing opens, though no erasure destroyed their key."""
    keys = keystore.by_ids({line.key_id for line in lines})
    told, lost = [], 0
    for line in (line for line in lines if line.sealed):
        key = keys.get(line.key_id)
        if key is None:
            lost += line.key_id not in keys
            continue
        body = key.open(line.sealed, LABEL)
        if body is None:
            lost += 1
        else:
            told.append(msgspec.json.decode(zlib.decompress(body), type=Told))
    return told, lost
