"""The product on one page: what happens to events after they are safe.

    append ─► resolve ─► project ─► refresh ─► enqueue
    (events)  (identity) (profiles) (segments) (destinations, change feed)

`append` runs in the request. The rest runs here, in commit order, in small batches, each in one
transaction together with the mark of how far it has come: whatever kills the process, every event
goes through exactly once.
"""

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import work
from app.db import Sessions, advisory_lock
from app.destinations import outbox
from app.events import stream
from app.journeys import due
from app.profiles import account_calls, accounts, computing, history
from app.profiles.changes import News, publish
from app.profiles.project import project
from app.resolve import SPELLED, resolve
from app.segments import concerns, doubts, looking, refreshing, uses
from app.segments import members as segments
from app.segments.tables import Segment
from identity import people
from identity.graph import Moved

#: Events in one transaction: enough to share the cost of a commit, few enough to stay quick.
BATCH = 2_000
#: So many people in accounts of which something is new does a step ask about beside its own.
MOST_BESIDE = 5_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did; `more` says that it stopped at its limit and not for want of work."""

    events: int = 0
    touched: int = 0
    more: bool = False

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.events or self.touched)


def step(session: Session, *, limit: int = BATCH) -> Step:
    """Take the next events and what else was touched through the whole product.

    One process at a time: a second one that finds the lock taken has nothing to do.
    """
    with advisory_lock(session, "pipeline") as mine:
        if not mine:
            return Step()
        events = stream.next_outlines(session, "pipeline", limit)
        touched = work.take(session, limit)
        if not events and not touched:
            return Step()
        now = datetime.now(UTC)
        consents = {t.identifier_id for t in touched if t.why in ("consent", SPELLED)}
        again = {t.identifier_id for t in touched if t.why == work.AGAIN}
        moved = resolve(session, events, consents, now=now, again=again)
        changed = project(session, events)
        grouped = account_calls.project(session, events, most=MOST_BESIDE)
        listed = segments.list_all(session)
        followed = due.followed(session)
        seen = {e.identifier_ids[0] for e in events} | grouped if followed else grouped
        asked = {t.identifier_id for t in touched if t.why != doubts.UNTOLD}
        untold = {t.identifier_id for t in touched} - asked
        persons = people.people_of(session, seen | asked | changed | untold)
        affected = {persons[i] for i in asked} | moved.people
        denied = doubts.heard(touched, persons)
        updated = computing.follow(session, affected, now=now, events=events)
        updated |= {persons[i] for i in changed}
        publish(session, _news(persons, updated, moved, touched), at=now)
        if listed:
            asks = concerns.of_all(session, listed)
            news = concerns.News(
                whole=frozenset({*affected, *moved.created}),
                events=computing.named_in(
                    session, {n for one in asks.values() for n in one.events}, events
                ),
                traits={persons[i] for i in changed},
                computed=updated,
                groups=_in_accounts(session, asks, events, affected, grouped, persons),
            )
            deltas: list[segments.Delta] = []
            for segments_asked, people_asked in concerns.portions(listed, asks, news):
                deltas += advance(session, segments_asked, people_asked, moved, now=now)
            publish(session, _entered(doubts.still_in(session, denied, deltas)), at=now)
        outbox.follow(
            session, affected, now=now, changed={persons[i] for i in changed},
            doubted=denied | dict.fromkeys(doubts.kept_back(touched, persons), doubts.ALL),
        )  # fmt: skip
        if followed:
            due.mark(session, set(persons.values()) | moved.people, now=now)
        if events:
            stream.done(session, "pipeline", events[-1])
        return Step(len(events), len(touched), max(len(events), len(touched)) == limit)


def advance(
    session: Session,
    listed: Iterable[Segment],
    concerned: Collection[int],
    moved: Moved,
    *,
    now: datetime,
) -> list[segments.Delta]:
    """Refresh these segments for the people concerned and tell destinations who came and went."""
    merged = {p for pair in moved.merged for p in pair}
    split = {p for pair in moved.split for p in pair}
    everything = list(listed)
    if not everything or not concerned:
        return []
    deltas = refreshing.refresh(
        session, everything, now=now, people=concerned, merged=merged, split=split
    )
    announce(session, *deltas, now=now)
    return deltas


def _in_accounts(
    session: Session,
    asks: Mapping[int, concerns.Concerns],
    events: Iterable[stream.Outline],
    told_by: Collection[int],
    grouped: Collection[int],
    persons: Mapping[int, int],
) -> set[int]:
    """Return of whom what segments may use of their accounts may be another now.

    Who speaks of an account, and all who are in one of which a trait changed (`grouped`), or of
    which these people told a trait. Of more than MOST_BESIDE only the speakers: the others are
    found by the next look, as one account must not hold up the events of all.
    """
    if not any(one.groups for one in asks.values()):
        return set()
    found = {persons[i] for i in grouped}
    if len(found) <= MOST_BESIDE:
        found |= accounts.beside(session, told_by, most=MOST_BESIDE - len(found))
    else:
        found &= {persons[e.identifier_ids[0]] for e in events}
    return found


def announce(session: Session, *deltas: segments.Delta, now: datetime) -> None:
    """Publish who entered and left segments, and queue it for the destinations that listen."""
    news = []
    for delta in deltas:
        about = {"segment": delta.segment, "purpose": delta.purpose}
        news += _entered([delta])
        news += [News("segment.exited", p, {**about, "reason": why}) for p, why in delta.left]
    publish(session, news, at=now)
    for delta in deltas:
        outbox.enqueue(session, delta, now=now)


def _entered(deltas: Iterable[segments.Delta]) -> list[News]:
    return [
        News("segment.entered", person, {"segment": delta.segment, "purpose": delta.purpose})
        for delta in deltas
        for person in delta.entered
    ]


def can_fill(session: Session) -> bool:
    """Say whether this request may itself compute the segments that it defines: few are known.

    If so no step is under way from now on until it ends. Nobody else defines any meanwhile. Before
    any segment is locked.
    """
    uses.hold(session)
    few = looking.few(session)
    if few:
        history.wait_for_steps(session)
    return few


def fill(session: Session, listed: Sequence[Segment], *, at_once: bool) -> None:
    """Compute the members of segments that are new or changed, now or by the worker's next look.

    A look goes in portions beside steps of the pipeline, so that no request holds up the product;
    `at_once` is what `can_fill` said. The caller holds the locks of segments that were there.
    """
    looking.ask_for(session, listed)
    if at_once:
        now = datetime.now(UTC)
        deltas = refreshing.refresh(session, listed, now=now, seconds=refreshing.STEP_SECONDS)
        announce(session, *deltas, now=now)
    work.wake(session)
    session.flush()


def refresh_all(sessions: Sessions) -> None:
    """Look through everybody for every segment."""
    with sessions() as session:
        groups = looking.due(session, now=None)
    _look_all(sessions, groups)


def refresh_next(sessions: Sessions) -> bool:
    """Look through everybody for the segments that waited longest; say whether any was due.

    Windows pass and consents lapse although nothing happens. Those of one purpose are looked
    through together, with no segment locked, and who has moved is settled in small transactions:
    steps of the pipeline go on meanwhile. An erasure waits for the looks under way, hence as many
    at a time as are taken side by side.
    """
    with sessions() as session:
        groups = looking.due(session, now=datetime.now(UTC))
    _look_all(sessions, groups[: looking.BESIDE])
    return bool(groups)


def _look_all(sessions: Sessions, groups: Iterable[Sequence[Segment]]) -> None:
    """Look for several purposes side by side; an error of one leaves the others their look.

    In daemon threads, which nobody waits for who has been told to stop.
    """
    waiting = deque(groups)
    errors: list[Exception] = []

    def work() -> None:
        while True:
            try:
                group = waiting.popleft()
            except IndexError:
                return
            try:
                _look(sessions, group)
            except Exception as error:  # raised below, where it can be handled
                errors.append(error)

    threads = [Thread(target=work, name="look", daemon=True) for _ in range(looking.BESIDE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _look(sessions: Sessions, group: Sequence[Segment]) -> None:
    started, now = time.perf_counter(), datetime.now(UTC)
    with sessions.begin() as session:
        looking.begin(session, group, now=now)
    with sessions.begin() as session:  # a step that does not know of a definition ends before
        history.wait_for_steps(session)
    with sessions.begin() as session:
        found = looking.look(session, group, now=now)
    for first in range(0, len(found.people), looking.PORTION):
        people = found.people[first : first + looking.PORTION]
        with sessions.begin() as session:
            moment = datetime.now(UTC)
            deltas = refreshing.refresh(
                session, found.segments, now=moment, people=people, settled=True
            )
            announce(session, *deltas, now=moment)
    spent = (time.perf_counter() - started) * 1000
    with sessions.begin() as session:
        looking.done(session, found, now=now, milliseconds=spent)


def after_move(session: Session, moved: Moved) -> None:
    """Carry through what a decision about identity changed: undo, review, matching run.

    In the same transaction, so that whoever asks after it sees people, segments and feed agree.
    """
    now = datetime.now(UTC)
    updated = computing.follow(session, moved.people, now=now)
    publish(session, _news({}, updated, moved, ()), at=now)
    if due.followed(session):
        due.mark(session, moved.people, now=now)
    listed = segments.list_all(session)
    advance(session, listed, moved.people, moved, now=now)
    asks = concerns.of_all(session, listed)
    beside = _in_accounts(session, asks, (), moved.people, (), {}) - moved.people
    advance(session, [s for s in listed if asks[s.id].groups], beside, moved, now=now)
    outbox.follow(session, set(moved.people), now=now)
    work.wake(session)


def _news(
    persons: dict[int, int],
    updated: set[int],
    moved: Moved,
    touched: Iterable[sa.Row[Any]],
) -> list[News]:
    """Return the news of one step, each person's in the order in which they are true."""
    news = _moves(moved)
    changed = updated.union(moved.grown)
    news += computing.updated(changed - {old for _, old in moved.merged})
    choices: dict[int, dict[str, str]] = {}
    for row in touched:
        if row.why == "consent":
            choices.setdefault(persons[row.identifier_id], {}).update(row.details)
    news += [News("consent.changed", p, {"purposes": choices[p]}) for p in sorted(choices)]
    return news


def _moves(moved: Moved) -> list[News]:
    news = [News("profile.created", p) for p in moved.created]
    news += [News("profile.merged", old, other_person_id=new) for new, old in moved.merged]
    news += [News("profile.split", old, other_person_id=new) for old, new in moved.split]
    return news
