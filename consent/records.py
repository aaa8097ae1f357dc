"""Writing consent records, and reading what they amount to."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.resolve import Record, Standing, standing
from consent.tables import ConsentRecord, Denial


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


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written."""

    record_id: str
    namespace: str
    value: str
    purpose: str
    state: str


@cache
def _statement(name: str) -> sa.TextClause:
    return sa.text((files("consent") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def record(
    session: Session, choices: Iterable[Choice], *, received_at: datetime, repeat: bool = True
) -> list[Written]:
    """Append choices to the records and return those that were written.

    With `repeat=False` (the stamp that every event of a browser carries) a choice that only says
    again what already stands at its time is left out, which keeps one record per change of mind
    instead of one per page view.
    """
    rows = [_row(choice, received_at) for choice in choices]
    if not repeat:
        rows = _changes_only(rows)
    if not rows:
        return []
    written = session.execute(
        _statement("record"), {"rows": json.dumps(rows), "repeat": repeat}
    ).all()
    return [Written(str(w.id), w.namespace, w.value, w.purpose, w.state) for w in written]


def _row(choice: Choice, received_at: datetime) -> dict[str, Any]:
    row = asdict(choice)
    days = row.pop("valid_days")
    lapses = (
        choice.effective_at + timedelta(days=days) if days and choice.state == "given" else None
    )
    row["effective_at"] = choice.effective_at.isoformat()
    row["recorded_at"] = received_at.isoformat()
    row["order_time"] = min(choice.effective_at, received_at).isoformat()
    row["valid_until"] = lapses.isoformat() if lapses else None
    return row


def _changes_only(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop, inside one batch, choices that repeat the one before them about the same thing."""
    last: dict[tuple[str, str, str], bool] = {}
    kept = []
    for row in sorted(rows, key=lambda r: (r["order_time"], r["state"] != "given")):
        key = (row["namespace"], row["value"], row["purpose"])
        if last.get(key) is not (given := row["state"] == "given"):
            kept.append(row)
            last[key] = given
    return kept


def history(
    session: Session, identifiers: Sequence[tuple[str, str]], *, purpose: str | None = None
) -> list[ConsentRecord]:
    """Return the records of these identifiers, oldest first."""
    if not identifiers:
        return []
    query = sa.select(ConsentRecord).where(
        sa.tuple_(ConsentRecord.namespace, ConsentRecord.value).in_(list(identifiers))
    )
    if purpose is not None:
        query = query.where(ConsentRecord.purpose == purpose)
    return list(session.scalars(query.order_by(ConsentRecord.seq)))


def standings(
    records: Iterable[ConsentRecord], *, at: datetime, known_at: datetime
) -> dict[tuple[str, str, str], tuple[Standing, str | None]]:
    """Return, by (namespace, value, purpose), what the records amount to at a time."""
    by_key: dict[tuple[str, str, str], list[Record]] = {}
    for row in records:
        by_key.setdefault((row.namespace, row.value, row.purpose), []).append(
            Record(
                state=row.state,  # type: ignore[arg-type]  # the table's CHECK allows these three
                effective_at=row.effective_at,
                recorded_at=row.recorded_at,
                seq=row.seq,
                record_id=str(row.id),
                valid_until=row.valid_until,
            )
        )
    return {key: standing(rows, at=at, known_at=known_at) for key, rows in by_key.items()}


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
        session.execute(_statement("count_denials"), {"rows": json.dumps(rows)})


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
