"""What takes use away, told to a journal beside the database, and heard again after a restore.

Refusals and withdrawals, restrictions and objections, ages: all that denies, of one identifier at a
time. What gives is not in it: a restored database that lacks a yes denies until it is said again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.ledger.store import statement
from consent.tables import RefusalJournal

Identifier = tuple[str, str]


@dataclass(slots=True)
class Told:
    """What the journal says of one identifier, in rows as the tables have them."""

    namespace: str
    value: str
    records: list[dict[str, Any]]
    restrictions: list[dict[str, Any]]
    ages: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Head:
    """How many portions the journal has, and up to which record (transaction, seq) it tells."""

    number: int
    transaction: str
    seq: int


@dataclass(frozen=True, slots=True)
class News:
    """What the journal does not tell yet: by identifier, and where it is told then."""

    told: Sequence[Told]
    mark: tuple[str, int]
    due: Sequence[Mapping[str, str]]
    #: Whether there is nothing at all to note, and whether there may be more.
    nothing: bool
    more: bool


def head(session: Session) -> Head:
    """Return where the journal ends, as far as this database knows."""
    transaction = sa.cast(RefusalJournal.transaction, sa.Text)
    row = session.execute(sa.select(RefusalJournal.number, transaction, RefusalJournal.seq)).one()
    return Head(*row)


def news(session: Session, since: Head, *, most: int) -> News:
    """Return what was recorded since, up to so many records, in the order of the commits."""
    mark = {"transaction": since.transaction, "seq": since.seq, "most": most}
    rows = session.execute(statement("refusals_new"), mark).all()
    stands = session.execute(statement("refusals_due"), {"most": most}).all()
    told: dict[Identifier, Told] = {}
    for row in rows:
        if row.said is not None:
            _of(told, row).records.append(row.said)
    for row in stands:
        one = _of(told, row)
        one.restrictions, one.ages = row.restrictions, row.ages
    due = [{"namespace": r.namespace, "value": r.value, "transaction": r.transaction}
           for r in stands]  # fmt: skip
    last = (rows[-1].transaction, rows[-1].seq) if rows else (since.transaction, since.seq)
    more = most in (len(rows), len(stands))
    return News(list(told.values()), last, due, not rows and not due, more)


def _of(told: dict[Identifier, Told], row: Any) -> Told:
    who = (row.namespace, row.value)
    return told.setdefault(who, Told(*who, [], [], []))


def noted(session: Session, number: int, news: News) -> None:
    """Note that the journal has so many portions now, and tells these."""
    transaction = sa.cast(news.mark[0], RefusalJournal.transaction.type)
    values = {"number": number, "transaction": transaction, "seq": news.mark[1]}
    session.execute(sa.update(RefusalJournal).values(values))
    if news.due:
        session.execute(statement("refusals_told"), {"rows": _json(news.due)})


def tell_all(session: Session) -> None:
    """Have the journal tell everything anew, from the first record on: it is gone."""
    begun = {"transaction": sa.cast("0", RefusalJournal.transaction.type), "seq": 0}
    session.execute(sa.update(RefusalJournal).values(begun))
    session.execute(sa.text(
        "INSERT INTO consent.journal_due (namespace, value) "
        "SELECT namespace, value FROM consent.restriction "
        "UNION SELECT namespace, value FROM consent.age_band ON CONFLICT DO NOTHING"
    ))  # fmt: skip


def repeated(session: Session, number: int) -> None:
    """Note that this database has heard all that the journal told up to this portion."""
    session.execute(sa.update(RefusalJournal).values(number=number))


def waiting_since(session: Session) -> datetime | None:
    """Return since when the oldest of what the journal does not tell yet is on record."""
    here = head(session)
    mark = {"transaction": here.transaction, "seq": here.seq}
    since: datetime | None = session.execute(statement("refusals_waiting"), mark).scalar_one()
    return since


def again(session: Session, told: Sequence[Told]) -> dict[Identifier, dict[str, str]]:
    """Write what the journal tells and this database lacks; return whose use that takes away.

    By purpose, as the worker is told. Nothing that is here is changed but by being ended, so the
    same may be told again, and what was told earlier.
    """
    changed: dict[Identifier, dict[str, str]] = {}
    records = [_row(one, row) for one in told for row in one.records]
    if records:
        for row in session.execute(statement("refusals_again"), {"rows": _json(records)}):
            changed.setdefault((row.namespace, row.value), {})[row.purpose] = row.state
    restrictions = [_row(one, row) for one in told for row in one.restrictions]
    if restrictions:
        found = session.execute(statement("restrictions_again"), {"rows": _json(restrictions)})
        _state(session, rows := found.all())
        for row in rows:
            changed.setdefault((row.namespace, row.value), {})[row.purpose_key or "all"] = row.kind
    ages = [_row(one, row) for one in told for row in one.ages]
    if ages:
        for row in session.execute(statement("ages_again"), {"rows": _json(ages)}):
            changed.setdefault((row.namespace, row.value), {})["all"] = row.band
    return changed


def _state(session: Session, rows: Sequence[Any]) -> None:
    """Have this ledger tell of them: the one that was restored does not."""
    made = [row.id for row in rows if row.made]
    session.execute(statement("restriction_set"), {"ids": made})
    session.execute(
        statement("restriction_lifted"), {"ids": [row.id for row in rows if row.lifted]}
    )


def _row(of: Told, row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "namespace": of.namespace, "value": of.value}


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()
