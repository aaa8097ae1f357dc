"""The suppression list against the erasure journal, which somebody with the database has not."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.privacy import journal
from consent import erasure as consents
from consent import suppression


def differing(session: Session, lines: Sequence[journal.Line]) -> list[str]:
    """Say how the list differs from what the journal says was put on it and taken off.

    Who was taken off by hand could be stored again; who was put on is refused. Of what the journal
    says and this database has still to do nothing is said.
    """
    done = consents.done(session)
    expected: set[bytes] = set()
    for line in lines:
        refs = {entry.ref for entry in line.entries} if line.id in done else set()
        expected = expected | refs if line.what == journal.ERASED else expected - refs
    here = {entry.ref for entry in suppression.entries(session)}
    return [
        f"{number} identifiers {what} by no erasure of the journal"
        for number, what in (
            (len(expected - here), "were taken off the suppression list"),
            (len(here - expected), "were put on the suppression list"),
        )
        if number
    ]
