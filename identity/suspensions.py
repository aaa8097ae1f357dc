"""Takes back all that one matching run, or one rule, has linked; and lets it count again."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from identity.errors import SuspensionNotFound
from identity.lock import lock
from identity.tables import Link, Suspension


def suspend(
    session: Session, *, run_id: int | None = None, rule: str | None = None, by: str
) -> None:
    """Take a run or a rule back; its links are held as `undone`. Safe to repeat.

    The caller has the people of `touched` looked at again. Nothing is deleted: links that another
    rule shows too stay, and a pair that a later run scores otherwise is decided anew.
    """
    lock(session)  # a step under way may add links of the run or rule
    row = insert(Suspension).values(run_id=run_id, rule=rule, decided_by=by)
    session.execute(row.on_conflict_do_nothing())


def resume(session: Session, *, run_id: int | None = None, rule: str | None = None) -> None:
    """Let a run or a rule count again; raises SuspensionNotFound."""
    lock(session)
    gone = session.execute(
        sa.delete(Suspension)
        .where(Suspension.run_id.is_not_distinct_from(run_id))
        .where(Suspension.rule.is_not_distinct_from(rule))
        .returning(Suspension.id)
    ).all()
    if not gone:
        raise SuspensionNotFound(rule or f"run {run_id}")


def list_all(session: Session) -> list[Suspension]:
    """Return what is taken back now, in the order of the decisions."""
    return list(session.scalars(sa.select(Suspension).order_by(Suspension.id)))


def touched(
    session: Session,
    *,
    run_id: int | None = None,
    rule: str | None = None,
    within: tuple[int, int] | None = None,
    portion: int = 10_000,
) -> Iterator[list[int]]:
    """Yield, in portions, who is linked by a run or a rule; `within` are bounds of links."""
    mine: list[sa.ColumnElement[bool]] = [Link.revoked_at.is_(None)]
    if within:
        mine += [Link.id > within[0], Link.id <= within[1]]
    if rule is None:
        mine += [Link.kind == "match", Link.evidence_id == run_id]
    else:
        mine.append(sa.or_(Link.rule == rule, Link.also.contains([rule])))
    ends = sa.union(sa.select(Link.left_id.label("id")).where(*mine),
                    sa.select(Link.right_id.label("id")).where(*mine))  # fmt: skip
    found = session.scalars(sa.select(ends.subquery().c.id).order_by(sa.text("id")))
    for part in found.partitions(portion):
        yield list(part)
