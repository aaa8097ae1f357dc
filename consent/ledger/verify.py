"""Examines the ledger: every entry, the tree, the signatures, and the records behind it.

What is found names the first entry that is wrong. Who rules the database and the signing key can
make a ledger that is sound in itself: against that only checkpoints that somebody else holds help.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.errors import LedgerEntryNotFound
from consent.ledger.check import ProofInvalid, open_checkpoint
from consent.ledger.dated import HELD_BACK, OUT_OF_ORDER
from consent.ledger.report import Claim, Report
from consent.ledger.scan import KeysById, Scan
from consent.ledger.sealer import LIST, catalogue_id, is_stated
from consent.ledger.store import head, statement, tree, vkeys
from consent.ledger.tables import LedgerCheckpoint, LedgerEntry, LedgerStatement


def verify(
    session: Session,
    *,
    external: Iterable[str] = (),
    trusted: Collection[str] = (),
    own: Collection[str] = (),
    full: bool = False,
    keys: KeysById | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Examine the ledger, as the session sees it, and return what was found.

    `external` are checkpoints that were kept outside the database. With `trusted` keys a signature
    of any other counts for nothing; else those that the database names are believed. `own` are the
    public keys with which this installation signs: one of them has to have signed the newest
    checkpoint, or somebody else wrote all of it and named their own key. `full` reads
    every entry; without it the newest checkpoint and the external ones are held against the kept
    hashes. With `keys`, what is sealed is opened and compared with the records.
    """
    report = Report(size=head(session).size)
    believed = list(trusted) or vkeys(session)
    signed = _signed(session, report, believed, full=full)
    held = list(_external(report, external, believed))
    if own and head(session).note:
        try:
            open_checkpoint(head(session).note, own)
        except ProofInvalid:
            what = "the newest checkpoint is signed by no key of this installation (any more)"
            report.wrong(
                None, f"{what}; after a new key was made, `parcours ledger seal` signs one"
            )
    report.checkpoints, report.external = len(signed), len(held)
    if full:
        Scan(session, report, signed, held, keys).run(progress)
        _unsealed(session, report)
    else:
        _roots(session, report, signed + held)
    return report


def _signed(
    session: Session, report: Report, believed: Collection[str], *, full: bool
) -> list[Claim]:
    """Return what the checkpoints of the database claim, and tell which are not signed."""
    columns = (LedgerCheckpoint.size, LedgerCheckpoint.root, LedgerCheckpoint.note)
    query = sa.select(*columns).order_by(LedgerCheckpoint.size)
    if not full:
        query = query.where(LedgerCheckpoint.size == report.size)
    claims, before = [], 0
    for size, root, note in session.execute(query.execution_options(yield_per=1_000)):
        who = f"the checkpoint of {size} entries"
        try:
            said = open_checkpoint(note, believed)
            if (said.size, said.root) != (size, root):
                report.wrong(before, f"{who} says something else than was signed")
        except ProofInvalid as error:
            report.wrong(before, f"{who} is not signed: {error}")
        claims.append(Claim(size, root, who))
        before = size
    return claims


def _external(report: Report, notes: Iterable[str], believed: Collection[str]) -> Iterator[Claim]:
    for note in notes:
        try:
            said = open_checkpoint(note, believed)
        except ProofInvalid as error:
            report.wrong(None, f"a checkpoint from outside is not signed: {error}")
            continue
        yield Claim(said.size, said.root, f"the checkpoint of {said.size} entries from outside")


def _roots(session: Session, report: Report, claims: list[Claim]) -> None:
    """Hold roots against the kept hashes."""
    kept, good, before = tree(session, report.size), 0, 0
    for claim in sorted(claims):
        good, before = (good, before) if claim.size == before else (before, claim.size)
        try:
            right = claim.size <= report.size and kept.root(claim.size) == claim.root
        except LedgerEntryNotFound as error:
            report.wrong(good, f"the tree is incomplete: {error}")
            return
        if not right:
            report.wrong(min(good, report.size), claim.refuted(report.size))
            return


def _unsealed(session: Session, report: Report) -> None:
    """Look for what decides and is not in the ledger, though it should be by now."""
    last = head(session)
    now: datetime = session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    before = now - HELD_BACK
    asked = {
        "transaction": last.mark[0],
        "seq": last.mark[1],
        "signed_at": last.created_at,
        "before": before,
    }
    row = session.execute(statement("ledger_unsealed"), asked).one()
    for number, what, first in (
        (row.slipped_in, "records were slipped in later", row.first_slipped_in),
        (row.unbegun, "records name a transaction that never was", row.first_unbegun),
        (row.waiting, "records have waited for the sealer for more than a day", row.first_waiting),
    ):
        if number:
            report.wrong(None, f"{number} {what}, the first is {first}")
    row = session.execute(statement("ledger_unstated")).one()
    if row.restrictions:
        found = f"{row.restrictions} restrictions were set or lifted without the ledger"
        report.wrong(None, f"{found}, the first is {row.first}")
    for what in _unsealed_versions(session, before=before):
        report.wrong(None, f"{what} has waited for the sealer for more than a day")
    query = sa.select(LedgerStatement.about, LedgerStatement.kind, LedgerStatement.public)
    for about, kind, public in session.execute(query.order_by(LedgerStatement.id)):
        if not is_stated(kind, public, about):
            report.wrong(None, f"statement {about} is of a form that nobody states: {kind}")
    if last.created_at and last.created_at > now + OUT_OF_ORDER:
        report.wrong(None, f"the last checkpoint is dated {last.created_at}, in the future")


def _unsealed_versions(session: Session, *, before: datetime) -> Iterator[str]:
    """Yield the versions of purposes, notices and vendor lists that decide and have no entry."""
    here = {
        catalogue_id(row.kind, row.key, row.version, row.language): (row.kind, row.key)
        for row in session.execute(statement("ledger_catalogue"))
        if row.created_at < before
    }
    here |= {
        catalogue_id(LIST, "iab", row.version): (LIST, str(row.version))
        for row in session.execute(statement("ledger_lists"), {"versions": None})
        if row.created_at < before
    }
    query = sa.select(LedgerEntry.about, LedgerEntry.entry).where(LedgerEntry.about.in_(here))
    for about, entry in session.execute(query):
        if f'"type":"{here[about][0]}"' in entry:  # and not something else that took its place
            del here[about]
    yield from (" ".join(name) for name in here.values())
