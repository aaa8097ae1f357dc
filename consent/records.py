"""Writing consent records, and reading what they amount to."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from consent.errors import ConsentRecordNotFound
from consent.purposes import Purpose
from consent.resolve import Record, Said, standing
from consent.tables import ConsentRecord, Denial

#: More identifiers than this are not listed one by one as changed.
MOST_CHANGES = 10_000
#: By identifier, when its records change, in order.
Moments = Mapping[tuple[str, str], Sequence[datetime]]


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision to record: this identifier, this purpose, this state, since then."""

    namespace: str
    value: str
    purpose: str
    state: str
    effective_at: datetime
    collected_by: str
    purpose_version: int = 1
    valid_days: int | None = None
    notice: dict[str, Any] | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    #: `opt_out`: a signal such as Global Privacy Control, sent to every site. `override`: a grant
    #: made on a notice that names such a signal.
    universal: str | None = None
    #: When the person was last asked, where a stamp says so: that renews what lapsed since.
    answered_at: datetime | None = None

    @property
    def stamp(self) -> bool:
        """Whether it is what an event carried along; such a grant lifts no explicit refusal."""
        return self.evidence.get("event_stamp") is True


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written, and in which transaction."""

    record_id: str
    namespace: str
    value: str
    purpose: str
    state: str
    transaction: int
    #: Since when it counts.
    order_time: datetime
    #: When it counts, begins or lapses.
    moments: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What others recorded since a mark: the next mark, and whom it concerns.

    `identifiers` is None when it concerns too many to list. `purposes` is a greater number whenever
    a version was added to the catalogue, or has taken effect.
    """

    mark: int
    purposes: int
    identifiers: frozenset[tuple[str, str]] | None


@cache
def _statement(name: str) -> sa.TextClause:
    return sa.text((files("consent") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


def record(
    session: Session,
    choices: Iterable[Choice],
    *,
    received_at: datetime,
    repeat: bool = True,
    changes: Moments | None = None,
) -> list[Written]:
    """Append choices to the records and return those that were written.

    With `repeat=False` (what events say) the stamp that every event of a browser carries is left
    out where it only says again what already stands at its time, which keeps one record per change
    of mind instead of one per page view. Nor does such a stamp lift a refusal that was explicit, or
    give anew what has lapsed, unless it was answered after that was given. An answer is left out
    where it came before, with the same time.
    `changes` are the `moments` since the first choice of each identifier, where known already.
    No record is dated later than the database's clock: one of a server whose clock is ahead would
    outrank what others record until they have caught up.
    """
    written: list[Written] = []
    said = list(choices)
    for part in [said] if repeat else _rounds(session, said, received_at, changes):
        rows = _json([_row(choice, received_at) for choice in part])
        found = session.execute(_statement("record"), {"rows": rows, "repeat": repeat})
        written += [_written(*row) for row in found]
    return written


def _written(
    record_id: UUID,
    namespace: str,
    value: str,
    purpose: str,
    state: str,
    transaction: str,
    order_time: datetime,
    effective_at: datetime,
    valid_until: datetime | None,
) -> Written:
    moments = (order_time, effective_at, *((valid_until,) if valid_until else ()))
    key = (str(record_id), namespace, value, purpose, state)
    return Written(*key, int(transaction), order_time, moments)


def _rounds(
    session: Session,
    choices: Sequence[Choice],
    received_at: datetime,
    changes: Moments | None,
) -> list[list[Choice]]:
    """Split a batch so that each choice is compared with what the one before it left behind.

    A choice that repeats the one before it about the same thing is dropped here, before anything
    is built of it: a browser stamps every event, so that of 100 events' choices two or three
    remain, and the others were two thirds of the time of a batch. Of what remains about one thing
    the first goes into the first round, the second into the second: compared with the table
    alone, "given, refused" after a refusal would lose its second half.
    """
    ordered = sorted(choices, key=lambda c: (min(c.effective_at, received_at), c.state != "given"))
    if changes is None:
        changes = _changes(session, ordered)
    last: dict[tuple[str, str, str], tuple[int, Choice]] = {}
    rounds: list[list[Choice]] = []
    for choice in ordered:
        key = (choice.namespace, choice.value, choice.purpose)
        number, before = last.get(key, (-1, None))
        if before is not None and _repeats(choice, before, changes):
            continue
        last[key] = number + 1, choice
        if number + 1 == len(rounds):
            rounds.append([])
        rounds[number + 1].append(choice)
    return rounds


def _changes(session: Session, ordered: Sequence[Choice]) -> Moments:
    """Return when the records of those who choose more than once change after the first."""
    first: dict[tuple[str, str], datetime] = {}
    several: dict[tuple[str, str], datetime] = {}
    for choice in ordered:
        who = (choice.namespace, choice.value)
        before = first.setdefault(who, choice.effective_at)
        if before != choice.effective_at:
            several[who] = min(before, choice.effective_at, several.get(who, before))
    return moments(session, several) if several else {}


def _repeats(choice: Choice, before: Choice, changes: Moments) -> bool:
    """Say whether a choice says what the one before it says at its time already."""
    same = (choice.state == "given") is (before.state == "given")
    if not choice.stamp:  # an answer repeats another of the same time alone
        again = choice.effective_at == before.effective_at and choice.universal == before.universal
        return same and again and not before.stamp
    if choice.universal is not None and choice.universal != before.universal:
        return False  # it counts for more than what says the same without it
    if choice.answered_at is not None and choice.answered_at != before.answered_at:
        return False  # it may renew what has lapsed, as the one before it did not
    theirs = changes.get((choice.namespace, choice.value), ())
    if changes_within(theirs, before.effective_at, choice.effective_at):
        return False  # somebody was heard to say something else in between
    # What is dated in the future gives nothing yet; what has lapsed since is not given anew.
    return same and (choice.state != "given" or before.effective_at <= choice.effective_at)


def changes_within(moments: Sequence[datetime], after: datetime, until: datetime) -> bool:
    """Say whether one of these moments, in order, lies after the first time and not the second."""
    place = bisect_right(moments, after)
    return place < len(moments) and moments[place] <= until


def _lapses(choice: Choice) -> datetime | None:
    """Return when a grant ends; one of a clock at the end of time must not stop the others.

    It counts from the answer, which a browser may say for the first time months later.
    """
    if choice.valid_days is None or choice.state != "given":
        return None
    try:
        since = min(choice.effective_at, choice.answered_at or choice.effective_at)
        return since + timedelta(days=choice.valid_days)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _row(choice: Choice, received_at: datetime) -> dict[str, Any]:
    answered = {"answered_at": choice.answered_at.isoformat()} if choice.answered_at else {}
    return {
        "namespace": choice.namespace,
        "value": choice.value,
        "purpose": choice.purpose,
        "purpose_version": choice.purpose_version,
        "state": choice.state,
        "effective_at": choice.effective_at,
        "received_at": received_at,
        "valid_until": _lapses(choice),
        "notice": choice.notice,
        "collected_by": choice.collected_by,
        "evidence": {**choice.evidence, **answered},
        "universal": choice.universal,
        "answered_at": choice.answered_at,
    }


def history(
    session: Session, identifiers: Sequence[tuple[str, str]], *, purpose: str | None = None
) -> list[ConsentRecord]:
    """Return the records of these identifiers, oldest first."""
    # As two arrays: a list of pairs exhausts the server's stack from some thousands on.
    asked = sa.select(
        sa.func.unnest(sa.cast([namespace for namespace, _ in identifiers], ARRAY(sa.Text))),
        sa.func.unnest(sa.cast([value for _, value in identifiers], ARRAY(sa.Text))),
    )
    query = sa.select(ConsentRecord).where(
        sa.tuple_(ConsentRecord.namespace, ConsentRecord.value).in_(asked)
    )
    if purpose is not None:
        query = query.where(ConsentRecord.purpose == purpose)
    return list(session.scalars(query.order_by(ConsentRecord.seq)))


def find(session: Session, record_id: UUID) -> ConsentRecord:
    """Return one record; raises ConsentRecordNotFound."""
    row = session.scalar(sa.select(ConsentRecord).where(ConsentRecord.id == record_id))
    if row is None:
        raise ConsentRecordNotFound(str(record_id))
    return row


def changes_since(session: Session, mark: int, own: Collection[int] = ()) -> Changes:
    """Return whose records others have written since a mark, and the mark to ask with next.

    For who remembers consent: what was read after a mark holds as long as the changes since that
    mark do not name its identifier. Exact, whatever commits late: a mark is the oldest transaction
    that was still running. `own` are transactions that need no mention.
    """
    row = session.execute(
        _statement("changes"), {"mark": mark, "own": [str(t) for t in own], "most": MOST_CHANGES}
    ).one()
    named = row.identifiers
    return Changes(
        int(row.mark),
        row.purposes,
        None if named is None else frozenset((namespace, value) for namespace, value in named),
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """When an identifier's records last and next change by themselves, around a time."""

    newest: datetime
    since: datetime | None
    until: datetime | None


def bounds(
    session: Session, identifiers: Mapping[tuple[str, str], datetime]
) -> dict[tuple[str, str], Bounds]:
    """Return, of identifiers with records, between which moments around a time nothing changes.

    A moment is when a record counts from, when a grant begins or when it lapses; `newest` is the
    latest time from which a record counts.
    """
    found = session.execute(_statement("bounds"), {"rows": _times(identifiers)})
    return {(r.namespace, r.value): Bounds(r.newest, r.since, r.next) for r in found}


def bounds_of(
    written: Iterable[Written], identifiers: Mapping[tuple[str, str], datetime]
) -> dict[tuple[str, str], Bounds]:
    """Return the `bounds` of those of the identifiers that have no records but these."""
    out: dict[tuple[str, str], Bounds] = {}
    for row in written:
        who = (row.namespace, row.value)
        at = identifiers.get(who)
        if at is None:
            continue
        found = out.get(who)
        newest, since, until = (
            (found.newest, found.since, found.until) if found else (row.order_time, None, None)
        )
        for moment in row.moments:
            if moment > at:
                until = moment if until is None else min(until, moment)
            else:
                since = moment if since is None else max(since, moment)
        out[who] = Bounds(max(newest, row.order_time), since, until)
    return out


def moments(session: Session, identifiers: Mapping[tuple[str, str], datetime]) -> Moments:
    """Return, of identifiers with records, the moments after a time at which these change.

    Whoever has no record at all is not in it.
    """
    found = session.execute(_statement("moments"), {"rows": _times(identifiers)})
    return {(row.namespace, row.value): row.moments or () for row in found}


def _times(identifiers: Mapping[tuple[str, str], datetime]) -> str:
    return _json([{"namespace": n, "value": v, "at": at} for (n, v), at in identifiers.items()])


def standings(
    records: Iterable[ConsentRecord],
    *,
    at: datetime,
    known_at: datetime | None,
    purposes: Mapping[str, Purpose],
) -> dict[tuple[str, str, str], Said]:
    """Return, by (namespace, value, purpose), what the records amount to at a time.

    `known_at` None asks about now, `at` being the asker's clock (`consent.resolve.standing`).
    `purposes` are those in effect at that time; what is told of another counts as it was told.
    """
    by_key: dict[tuple[str, str, str], list[Record]] = {}
    for row in records:
        by_key.setdefault((row.namespace, row.value, row.purpose), []).append(
            Record(
                row.state,  # type: ignore[arg-type]  # the table's CHECK allows these three
                row.effective_at,
                row.recorded_at,
                row.seq,
                str(row.id),
                valid_until=row.valid_until,
                universal=row.universal,
                purpose_version=row.purpose_version,
                stamp=row.stamp,
                unproven=row.unproven,
                account_wide=row.account_wide,
                guardian=row.guardian,
                proof=row.proof,
                counts_from=row.order_time,
            )
        )
    return {
        key: standing(rows, at=at, known_at=known_at, purpose=purposes.get(key[2]))
        for key, rows in by_key.items()
    }


def count_denials(
    session: Session, *, use: str, denials: Iterable[tuple[str, str, int]], at: datetime
) -> None:
    """Add (purpose, reason, count) denials of one use to the day's counters.

    Sorted, so that two writers lock the counters in the same order.
    """
    rows = [
        {"day": at.date().isoformat(), "use": use, "purpose": p, "reason": r, "denials": n}
        for p, r, n in sorted(denials)
        if n
    ]
    if rows:
        session.execute(_statement("count_denials"), {"rows": _json(rows)})


def denials(session: Session) -> list[dict[str, Any]]:
    """Return how often each use was denied, by purpose and reason, over all days."""
    total = sa.func.sum(Denial.denials).label("denials")
    query = (
        sa.select(Denial.use, Denial.purpose, Denial.reason, total)
        .group_by(Denial.use, Denial.purpose, Denial.reason)
        .order_by(Denial.use, Denial.purpose, Denial.reason)
    )
    return [
        {"use": r.use, "purpose": r.purpose, "reason": r.reason, "denials": int(r.denials)}
        for r in session.execute(query)
    ]
