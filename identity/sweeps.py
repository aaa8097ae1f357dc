"""Changes that may concern everybody, carried to all whom they touch: in portions, resumable."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from identity import namespaces, respelling, suspensions
from identity.respelling import SPELLING
from identity.tables import Identifier, Link, Sweep

#: Identifiers, or links, that one step looks through.
WINDOW = 5_000
#: What a sweep carries through: `namespace:crm_id`, `rule:alias`, `run:7`, `spelling:`.
Kind = Callable[[Session, str, tuple[int, int]], list[int]]


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: whom it found, and whether they may be known by another spelling now."""

    what: str
    touched: list[int]
    more: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep has come, of 1."""

    what: str
    share: float
    requested_at: datetime


def request(session: Session, what: str, details: str = "") -> None:
    """Have everybody looked through whom a change touches; asked again it begins anew."""
    of_links = what.startswith(("rule:", "run:"))
    last = sa.select(sa.func.coalesce(sa.func.max(Link.id if of_links else Identifier.id), 0))
    values = {"position": 0, "until": last.scalar_subquery(), "details": details,
              "requested_at": sa.func.clock_timestamp(), "finished_at": None}  # fmt: skip
    row = insert(Sweep).values(what=what, **values)
    anew = {name: row.excluded[name] for name in values}
    session.execute(row.on_conflict_do_update(index_elements=["what"], set_=anew))


def request_spelling(session: Session) -> None:
    """Have stored values looked at if they are spelled by other rules than those of now.

    Call it when a process starts, before it serves: until a value has been looked at, what its
    person says by the new spelling is not heard (`identity.sweep` is what decisions ask).
    """
    rules = respelling.rules()
    known = session.scalar(sa.select(Sweep.details).where(Sweep.what == SPELLING))
    if known != rules:
        request(session, SPELLING, rules)


def step(session: Session, *, window: int = WINDOW) -> Step | None:
    """Look through the next portion of the oldest sweep; None when there is none.

    Its position is written in the same transaction, so that whatever kills the process, nobody is
    left out.
    """
    waiting = sa.select(Sweep).where(Sweep.finished_at.is_(None)).order_by(Sweep.requested_at)
    sweep = session.scalar(waiting.limit(1).with_for_update(skip_locked=True))
    if sweep is None:
        return None
    kind, _, name = sweep.what.partition(":")
    last = min(sweep.position + window, sweep.until)
    touched = KINDS[kind](session, name, (sweep.position, last))
    sweep.position = last
    if last >= sweep.until:
        sweep.finished_at = sa.func.clock_timestamp()
    session.flush()
    return Step(sweep.what, touched, last < sweep.until)


def unread(session: Session) -> tuple[int, int]:
    """Return the bounds of identifiers of which it is not known yet how they are spelled now."""
    query = sa.select(Sweep.position, Sweep.until).where(
        Sweep.what == SPELLING, Sweep.finished_at.is_(None)
    )
    row = session.execute(query).one_or_none()
    return (0, 0) if row is None else (row.position, row.until)


def under_way(session: Session) -> list[Progress]:
    """Return the sweeps that have not ended, in the order in which they are carried out."""
    query = sa.select(Sweep).where(Sweep.finished_at.is_(None)).order_by(Sweep.requested_at)
    return [
        Progress(s.what, round(s.position / max(s.until, 1), 3), s.requested_at)
        for s in session.scalars(query)
    ]


def _namespace(session: Session, name: str, within: tuple[int, int]) -> list[int]:
    return [i for part in namespaces.touched(session, name, within=within) for i in part]


def _rule(session: Session, name: str, within: tuple[int, int]) -> list[int]:
    return [i for part in suspensions.touched(session, rule=name, within=within) for i in part]


def _run(session: Session, name: str, within: tuple[int, int]) -> list[int]:
    found = suspensions.touched(session, run_id=int(name), within=within)
    return [i for part in found for i in part]


def _spelling(session: Session, _: str, within: tuple[int, int]) -> list[int]:
    return respelling.respell(session, within)


KINDS: dict[str, Kind] = {
    "namespace": _namespace, "rule": _rule, "run": _run, "spelling": _spelling,
}  # fmt: skip
