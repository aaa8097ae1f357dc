"""Runs probabilistic matching when it is asked for, or when new attributes have arrived.

A whole run compares everybody and learns from all of them; it is due once a day. In between, what
is new is compared with those it could be, by what the last whole run has learnt: the cost is
proportional to what is new.
"""

import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace
from sqlalchemy.orm import Session

import consent
from app import pipeline
from app.db import Sessions
from identity import candidates, judged, known, matching, models, recalibration, reviews
from identity.blocking import LeftOut
from identity.engines import engine
from identity.isotonic import Curve
from identity.learnt import SLACK, Learnt, in_force, stays
from identity.matching import Outcome
from identity.reviews import ALL, NEW
from identity.whole import MEGABYTES, Whole

log = logging.getLogger("parcours.matching")

#: New records that are compared in one transaction. Splink's own price of a call is that of some
#: thousand records (research/identity.md 5).
AT_ONCE = 2_000
#: Pairs of a whole run that are linked in one transaction, and records whose keys are noted in one.
LINKED_AT_ONCE = 5_000
KEPT_AT_ONCE = 20_000
#: So many are sorted into the index of keys together.
MANY_KEYS = 20_000
#: A whole run is no dearer once so many records are new, and once a fifth of all are.
MANY = 1_000
SHARE = 0.2
#: After runs that failed the next is asked for at the latest after so long.
LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """From which probability, as the model says it, a pair is joined, and a person is asked.

    `merge` is what the former means, after a recalibration. From `stay` on what is joined stays so.
    """

    auto: float
    review: float
    merge: float
    stay: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """As they are meant: from when on pairs are joined, usually and at the lowest, or asked about.

    `curve` says what the model's probabilities mean, `slack` is as `stays` takes it.
    """

    usual: float
    lowest: float
    review: float
    curve: Curve
    slack: float = SLACK

    def by(self, learnt: Learnt | None) -> Limits:
        """Return the limits that go with what was learnt."""
        merge = in_force(learnt, self.usual, self.lowest)
        auto = self.curve.least(merge)
        return Limits(auto, self.curve.least(self.review), merge, stays(auto, self.slack))


@dataclass(frozen=True, slots=True)
class Way:
    """How a run is done: where it may spill what exceeds its memory, and whom it tells."""

    spill: Path | None = None
    megabytes: int = MEGABYTES
    tell: Callable[[str], None] = lambda _message: None


PLAIN = Way()


@dataclass(slots=True)
class Result:
    """What a run did.

    `left_out` says, by blocking rule, which keys were used for nothing because more than `most`
    records share them; `alone` counts records that share nothing else, and so met nobody. Of the
    `linked` so many stay `undone`, because their run or rule was taken back. `outscored` are
    matches, and `closed` undecided reviews, of which the run no longer finds what they were for.
    `model_run` is the run that has learnt what it scored by, `merge_threshold` the probability from
    which it joined.
    """

    records: int = 0
    pairs: int = 0
    linked: int = 0
    reviews: int = 0
    merged: int = 0
    undone: int = 0
    outscored: int = 0
    closed: int = 0
    model_run: int | None = None
    merge_threshold: float | None = None
    alone: int = 0
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, outcome: matching.Outcome) -> None:
        """Count what came of some pairs."""
        self.pairs += outcome.pairs
        self.linked += outcome.linked
        self.reviews += outcome.reviews
        self.merged += len(outcome.moved.merged)
        self.undone += outcome.undone

    def leave_out(self, left_out: Mapping[str, LeftOut], alone: int) -> None:
        """Count what was compared with nobody."""
        self.alone += alone
        for rule, more in left_out.items():
            known = self.left_out.setdefault(rule, {"most": more.most, "keys": 0, "records": 0})
            known["keys"] += more.keys
            known["records"] += more.records


def request_if_needed(sessions: Sessions, *, interval: float, whole_every: float) -> None:
    """Ask for a run when records are new and `interval` seconds have passed since the last one.

    It is a whole one when none has learnt yet (or too little: `LEAST_LEARNT`), when the last that
    did is older than `whole_every` seconds, or when much is new. After one that failed the next of
    its kind waits twice as long each time, a day at most: what ends a run is likely there at its
    next try too. Meanwhile who is new is still compared, by what was learnt last.
    """
    with sessions.begin() as session:
        now, last = datetime.now(UTC), reviews.last_run(session)
        if last is not None and now - last.requested_at <= timedelta(seconds=interval):
            return
        if not candidates.count_new(session, 1):
            return
        learnt_at, learnt = matching.learnt_at(session), matching.model(session)
        if learnt is None or learnt_at is None:
            wanted = [ALL]
        else:
            few = max(MANY, int(SHARE * learnt.records))
            stale = now - learnt_at > timedelta(seconds=whole_every)
            base = [NEW] if learnt.records >= matching.LEAST_LEARNT else []
            whole = stale or candidates.count_new(session, few + 1) > few
            wanted = [ALL, *base] if whole else [NEW]
        for scope in wanted:
            if _may_try(reviews.failures(session, scope), interval, now):
                reviews.request_run(session, {"asked_by": "schedule"}, scope=scope)
                return


def _may_try(failed: reviews.Failures, interval: float, now: datetime) -> bool:
    """Say whether the wait after runs that failed is over."""
    if failed.at is None:
        return True
    doubled = timedelta(seconds=max(interval, 1.0) * 2.0 ** min(failed.times, 20))
    return now - failed.at > max(timedelta(seconds=interval), min(doubled, LONGEST_WAIT))


def run_waiting(
    sessions: Sessions,
    *,
    auto: float,
    review: float,
    lowest: float | None = None,
    way: Way = PLAIN,
) -> int | None:
    """Do the run that waits, if one does; return its id.

    Where records say little, pairs may be joined below `auto`, if there is a `lowest`. The scoring
    happens outside any transaction, since an open one would hold back every reader of the event
    stream for as long as Splink works. What changed meanwhile is respected: consent and constraints
    are asked again when the links are followed. A run that a crash cut short is taken up again.
    """
    with sessions.begin() as session:
        started = reviews.start_run(session)
    if started is None:
        return None
    run_id, wanted = started
    least = auto if lowest is None else max(lowest, review)
    set_to = {"auto_merge_threshold": auto, "least_merge_threshold": least}
    parameters = {**set_to, "review_threshold": review}
    with sessions() as session:
        curve, before = recalibration.curve(session), reviews.last_whole(session)
    # Who sets another threshold means what is joined too: until a run over all has gone by it.
    said = before.parameters if before else {"auto_merge_threshold": None}
    same = all(said.get(name, value) == value for name, value in set_to.items())
    thresholds = Thresholds(auto, least, review, curve, slack=SLACK if same else 0)
    try:
        if wanted.get("scope") == NEW:
            result = _match_new(sessions, run_id, thresholds, way)
        else:
            with sessions.begin() as session:
                _count_excluded(session)
            result = _match_all(sessions, run_id, thresholds, way, wanted)
        with sessions.begin() as session:
            reviews.finish_run(session, run_id, "done", asdict(result), parameters)
    except Exception as error:
        log.exception("matching run %d failed", run_id)
        with sessions.begin() as session:
            reviews.finish_run(
                session, run_id, "failed", {"error": type(error).__name__}, parameters
            )
    return run_id


def _match_all(
    sessions: Sessions,
    run_id: int,
    thresholds: Thresholds,
    way: Way,
    wanted: Mapping[str, Any] = MappingProxyType({}),
) -> Result:
    """Compare everybody with everybody, and learn; or score by the model that is pinned.

    Everything comes and goes by portions, each in a transaction of its own. Whatever cuts a run
    short, the next one does all of it again, to the same end: a link that is there is not made
    twice, and who is new stays new until all links are.
    """
    if way.spill is not None:
        shutil.rmtree(way.spill, ignore_errors=True)  # what a killed run left
        way.spill.mkdir(mode=0o700, parents=True)
    with Whole(way.spill, way.megabytes) as whole:
        with sessions() as session:
            pinned, held = known.pinned(session), models.held_on_to(session)
            for some in candidates.every(session):
                whole.add(some)
                way.tell(f"{whole.records:,} records read")
        with engine(wanted, way.spill) as compare:
            found = whole.compare(
                threshold=thresholds.by(None).review,
                compare=compare,
                progress=way.tell,
                by=pinned.learnt if pinned else None,
            )
        learnt = None if found is None else found.learnt
        if learnt is not None and not (pinned and learnt is pinned.learnt):
            afforded = whole.affords(thresholds.usual, thresholds.lowest, thresholds.curve)
            learnt = replace(learnt, merge=afforded)
        limits = thresholds.by(learnt)
        result = Result(records=whole.records, merge_threshold=limits.merge)
        for pairs in whole.pairs(LINKED_AT_ONCE):
            with sessions.begin() as session:
                result.add(_apply(session, pairs, run_id, limits))
            way.tell(f"{result.pairs:,} pairs decided")
        _take_back(sessions, whole, run_id, limits, result)
        _keep_keys(sessions, whole, way)
        if found is not None and learnt is not None:
            result.leave_out(found.blocks.left_out, found.blocks.alone)
            result.model_run = run_id
            if pinned is not None and learnt is pinned.learnt:
                result.model_run = pinned.run_id
            else:
                with sessions.begin() as session:
                    models.give_way(session, held)  # it knew nothing of a field of now
                    matching.keep_model(session, learnt, run_id)
    return result


def _take_back(
    sessions: Sessions, whole: Whole, run_id: int, limits: Limits, result: Result
) -> None:
    """Hold the matches of records that were compared and are likely no more; close reviews.

    Of whom these joined people are asked now, where it is in doubt.
    """
    with sessions() as session:
        gone = whole.unlikely(judged.matches(session), limits.stay)
        ends = {i: (left, right) for some in gone for i, left, right in some}
        sure = whole.certain(judged.reviews(session), limits.review, limits.auto)
        asked = [i for some in sure for i in some]
    matches = sorted(ends)
    for start in range(0, len(matches), LINKED_AT_ONCE):
        with sessions.begin() as session:
            _outscore(session, matches[start : start + LINKED_AT_ONCE], result)
    if ends:
        for pairs in whole.pairs(LINKED_AT_ONCE, ends.values()):
            with sessions.begin() as session:
                result.reviews += matching.ask(session, pairs, run_id=run_id)
    for start in range(0, len(asked), LINKED_AT_ONCE):
        with sessions.begin() as session:
            result.closed += judged.close(session, asked[start : start + LINKED_AT_ONCE])


def _outscore(session: Session, matches: Collection[int], result: Result) -> None:
    pipeline.after_move(session, judged.outscore(session, matches, at=datetime.now(UTC)))
    result.outscored += len(matches)


def _keep_keys(sessions: Sessions, whole: Whole, way: Way) -> None:
    """Note the keys of who was compared: from now on new records find them.

    Where nothing is known that this version of the program has learnt, the keys of all.
    """
    with sessions.begin() as session:
        anew = matching.model(session) is None
        many = whole.records if anew else whole.new
        if many > MANY_KEYS:
            candidates.defer_keys(session)
    kept = 0
    for noted in whole.keys(KEPT_AT_ONCE, anew=anew):
        with sessions.begin() as session:
            candidates.keep_keys(session, noted)
        kept += len(noted)
        way.tell(f"{kept:,} of {many:,} records noted as compared")
    with sessions.begin() as session:
        candidates.sort_keys(session)


def _match_new(sessions: Sessions, run_id: int, thresholds: Thresholds, way: Way) -> Result:
    """Compare what is new with whom it could be, some at a time until nothing is."""
    result = Result()
    while True:
        with sessions() as session:
            base, table = known.model(session), candidates.new(session, AT_ONCE)
        if not table.num_rows:
            return result
        # Another version of this program has learnt it, or nobody yet, or too few taught it.
        if base is None or base.learnt.records < matching.LEAST_LEARNT:
            return _match_all(sessions, run_id, thresholds, way)
        learnt, result.model_run = base.learnt, base.run_id
        limits = thresholds.by(learnt)
        result.merge_threshold = limits.merge
        fresh = candidates.with_keys(table)
        with sessions() as session:
            before = judged.of(session, fresh.changed)
            beside = {i for pair in before.ends for i in pair}
            among = candidates.neighbours(session, fresh, learnt.most, beside)
        pairs = matching.score_new(fresh, among, learnt, review=limits.review, again=before.ends)
        if pairs is None:
            return _match_all(sessions, run_id, thresholds, way)
        with sessions.begin() as session:
            result.add(_apply(session, pairs, run_id, limits))
            _judge_again(session, before, among, pairs, run_id, limits, result)
            candidates.keep_keys(session, fresh.noted())
        result.records += len(fresh)
        result.leave_out(among.left_out, among.alone)
        way.tell(f"{result.records:,} new records compared")


def _judge_again(
    session: Session,
    before: judged.Judged,
    among: candidates.Neighbours,
    pairs: matching.Pairs,
    run_id: int,
    limits: Limits,
    result: Result,
) -> None:
    """Take back what was judged of records as they were, and is not what they say now.

    As a whole run does: matches of which both sides were compared, and reviews.
    """
    seen = set(among.table.column("record_id").to_pylist())
    said = {(p.left, p.right): p.probability for p in pairs}
    gone = {
        (left, right): i
        for i, left, right in before.matches
        if left in seen and right in seen and said.get((left, right), 0.0) < limits.stay
    }
    if gone:
        _outscore(session, gone.values(), result)
        doubted = [p for p in pairs if (p.left, p.right) in gone]
        result.reviews += matching.ask(session, doubted, run_id=run_id)
    sure = [i for i, left, right in before.reviews
            if not limits.review <= said.get((left, right), 0.0) < limits.auto]  # fmt: skip
    if sure:
        result.closed += judged.close(session, sure)


def _apply(session: Session, pairs: matching.Pairs, run_id: int, limits: Limits) -> Outcome:
    now = datetime.now(UTC)
    outcome = matching.apply(session, pairs, auto=limits.auto, at=now, run_id=run_id)
    pipeline.after_move(session, outcome.moved)
    return outcome


def _count_excluded(session: Session) -> None:
    """Count the records that consent keeps out of matching."""
    consent.count_denials(
        session,
        use="match",
        denials=[(consent.LINK, why, n) for why, n in candidates.excluded(session).items()],
        at=datetime.now(UTC),
    )
