# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL that follows attempts from step to step: one ASOF join per step for all at once.

Chosen by measurement (research/performance.md, part C): on 10 million events the cascade takes
793 ms against 1,191 for a cascade of windows and 2,172 for nested windows.
"""

from dataclasses import dataclass

from app.journeys.funnel_request import FunnelRequest


@dataclass(frozen=True, slots=True)
class Walk:
    """A funnel's request with its lengths of time as SQL, and what attempts carry along.

    `lane` says whether attempts keep to lanes (sessions, held values); `label_step` is the step
    whose place is kept for the breakdown, 0 for none.
    """

    request: FunnelRequest
    width: str | None
    gaps: dict[int, str]
    grace: str | None
    lane: bool
    label_step: int

    @property
    def keys(self) -> str:
        """The columns that an attempt never leaves."""
        return "person_id, lane" if self.lane else "person_id"

    def keys_of(self, relation: str) -> str:
        """The same columns of one relation."""
        return ", ".join(f"{relation}.{key.strip()}" for key in self.keys.split(","))

    def same(self, one: str, two: str) -> str:
        """The condition that two rows are of one lane."""
        return " AND ".join(f"{one}.{key} = {two}.{key}" for key in self.keys.split(", "))

    @property
    def served(self) -> str:
        """Which step an entry takes: the first one, or the first that it fits."""
        if self.request.anchor:
            return "1"
        fits = (f"WHEN m{k} THEN {k}" for k in range(1, len(self.request.steps) + 1))
        return f"CASE {' '.join(fits)} END"

    def within(self, t: str, step: int = 0, entry_t: str = "a.entry_t") -> str:
        """The inclusive tests of the window and of the step's gap; without any, all is within."""
        tests = [] if self.width is None else [f"{t} - {entry_t} <= {self.width}"]
        if step in self.gaps:
            tests.append(f"{t} - a.t <= {self.gaps[step]}")
        return " AND ".join(tests) or "true"

    def deadline(self, step: int) -> str:
        """Until when the step could be taken, NULL when for ever."""
        ends = [] if self.width is None else [f"entry_t + {self.width}"]
        if step in self.gaps:
            ends.append(f"t + {self.gaps[step]}")
        return f"least({', '.join(ends)})" if ends else "NULL::BIGINT"

    def bars(self, step: int) -> str:
        """The events that end an attempt on its way to a step, and what they make of it."""
        outcomes: dict[str, list[str]] = {"removed": [], "excluded": [], "lost": []}
        for k, exclusion in enumerate(self.request.exclusions, start=1):
            if exclusion.bars(step):
                outcomes["removed" if exclusion.effect == "remove" else "excluded"].append(f"x{k}")
        if self.request.lost:
            outcomes["lost"].append("l")
        flags = [flag for found in outcomes.values() for flag in found]
        cases = " ".join(
            f"WHEN {' OR '.join(found)} THEN '{outcome}'"
            for outcome, found in outcomes.items()
            if found
        )
        outcome = f"CASE {cases} END" if cases else "NULL"
        return (
            f"(SELECT {self.keys}, pos, t, {outcome} AS outcome FROM hit"
            f" WHERE {' OR '.join(flags) or 'false'})"
        )


def in_order(walk: Walk) -> list[str]:
    """Steps one after the other; `walked` has the attempts with what became of them.

    A row of a<k> is an attempt after step k: `pos` and `t` are its last event while it goes on or
    has converted, NULL once it has ended; `stop_pos` is the event that ended it, if one did, and
    `deadline` until when a missed step could have been taken.
    In strict order the next event that counts is the first that fits the step or does not repeat
    the one before; if it does not fit, it interrupts.
    """
    taken = ", [pos] AS taken" if walk.grace else ""
    label = "pos" if walk.label_step == 1 else "NULL::BIGINT"
    relations = [
        f"""a1 AS (
        SELECT {walk.keys}, pos AS entry_pos, t AS entry_t, 1 AS depth, 0 AS took, pos, t,
            NULL::VARCHAR AS ended, NULL::BIGINT AS stop_pos, NULL::BIGINT AS stop_t,
            NULL::BIGINT AS deadline, {label} AS label_pos {taken}
        FROM entry)"""
    ]
    steps = walk.request.steps
    for k in range(2, len(steps) + 1):
        relations += _candidates(walk, k)
        relations.append(_met(walk, k))
        relations.append(_passed_over(walk, k) if steps[k - 1].optional else _after(walk, k))
    relations.append(f"""walked AS (
        SELECT * EXCLUDE (pos, t), pos AS end_pos, t AS end_t FROM a{len(steps)})""")
    return relations


def _candidates(walk: Walk, k: int) -> list[str]:
    """With grace: at each instant the events that could take step k, as many as can be in use."""
    if walk.grace is None:
        return []
    return [
        f"""c{k} AS (
        SELECT {walk.keys}, t, list({{'pos': pos, 't': t}}) OVER (
            PARTITION BY {walk.keys} ORDER BY pos
            ROWS BETWEEN CURRENT ROW AND {k - 1} FOLLOWING) AS candidates
        FROM hit WHERE m{k}
        QUALIFY row_number() OVER (PARTITION BY {walk.keys}, t ORDER BY pos) = 1)"""
    ]


def _met(walk: Walk, k: int) -> str:
    """Each attempt with the next event that could take step k, and what bars the way to it."""
    order, same = walk.request.order, walk.same("a", "n")
    seen = f"m{k} OR NOT m{k - 1}" if order == "strict" else f"m{k}"
    if walk.grace is None:
        source = f"a{k - 1} a"
        found = f"""ASOF LEFT JOIN (
                SELECT {walk.keys}, pos, t, m{k} AS fits FROM hit WHERE {seen}) n
            ON {same} AND a.pos < n.pos"""
    else:
        # Steps within the grace may come in any order: the earliest event not yet in use that is
        # no further back than the grace from the latest one taken.
        source = f"""(SELECT a.*, list_filter(n.candidates,
                lambda item: NOT list_contains(a.taken, item.pos))[1] AS pick
            FROM a{k - 1} a ASOF LEFT JOIN c{k} n ON {same} AND a.t - {walk.grace} <= n.t) a"""
        found = "CROSS JOIN (SELECT true AS fits) n"
    n_pos, n_t = ("n.pos", "n.t") if walk.grace is None else ("a.pick.pos", "a.pick.t")
    required = ""
    rival = "NULL::BIGINT"
    if walk.request.steps[k - 1].optional:
        r = next(j for j in range(k, len(walk.request.steps) + 1) if not _optional(walk, j))
        required = f"""ASOF LEFT JOIN (SELECT {walk.keys}, pos FROM hit WHERE m{r}) r
            ON {walk.same("a", "r")} AND a.pos < r.pos"""
        rival = "r.pos"
    return f"""met{k} AS (
        SELECT a.*, {n_pos} AS n_pos, {n_t} AS n_t, {rival} AS r_pos,
            x.pos AS x_pos, x.t AS x_t, x.outcome,
            {n_pos} IS NOT NULL AND {walk.within(n_t, k)} AS met,
            met AND n.fits AS fits,
            x.pos IS NOT NULL AND {walk.within("x.t", k)}
                AND (NOT met OR x.pos < {n_pos} OR (x.pos = {n_pos} AND NOT n.fits)) AS barred
        FROM {source} {found}
        {required}
        {_barred(walk, k)})"""


def _barred(walk: Walk, k: int) -> str:
    """The join of what bars the way to a step; of nothing, DuckDB would sort the attempts anew."""
    if not walk.request.lost and not any(one.bars(k) for one in walk.request.exclusions):
        return """CROSS JOIN (
            SELECT NULL::BIGINT AS pos, NULL::BIGINT AS t, NULL::VARCHAR AS outcome) x"""
    return f"ASOF LEFT JOIN {walk.bars(k)} x ON {walk.same('a', 'x')} AND a.pos < x.pos"


def _optional(walk: Walk, step: int) -> bool:
    return walk.request.steps[step - 1].optional


def _after(walk: Walk, k: int) -> str:
    """The attempts after a step that has to be taken."""
    go = "fits AND NOT barred"
    label = f"CASE WHEN {go} THEN n_pos END" if walk.label_step == k else "label_pos"
    taken = f", if({go}, list_append(taken, n_pos), taken) AS taken" if walk.grace else ""
    pos, t = ("n_pos", "n_t") if not walk.grace else ("greatest(pos, n_pos)", "greatest(t, n_t)")
    return f"""a{k} AS (
        SELECT {walk.keys}, entry_pos, entry_t,
            CASE WHEN {go} THEN {k} ELSE depth END AS depth, took,
            CASE WHEN {go} THEN {pos} END AS pos,
            CASE WHEN {go} THEN {t} END AS t,
            CASE WHEN pos IS NULL THEN ended
                WHEN barred THEN outcome
                WHEN fits THEN NULL
                WHEN met THEN 'broken'
                ELSE 'missed' END AS ended,
            CASE WHEN pos IS NULL THEN stop_pos
                WHEN barred THEN x_pos
                WHEN met AND NOT fits THEN n_pos END AS stop_pos,
            CASE WHEN pos IS NULL THEN stop_t
                WHEN barred THEN x_t
                WHEN met AND NOT fits THEN n_t END AS stop_t,
            CASE WHEN pos IS NULL THEN deadline
                WHEN NOT met AND NOT barred THEN {walk.deadline(k)} END AS deadline,
            {label} AS label_pos {taken}
        FROM met{k})"""


def _passed_over(walk: Walk, k: int) -> str:
    """The attempts after an optional step: taken when its event comes before the required one's.

    An exclusion in between has no say here: it bars the way to the step that is required.
    """
    go = "fits AND NOT barred AND (r_pos IS NULL OR n_pos < r_pos)"
    label = f"CASE WHEN {go} THEN n_pos END" if walk.label_step == k else "label_pos"
    return f"""a{k} AS (
        SELECT {walk.keys}, entry_pos, entry_t, CASE WHEN {go} THEN {k} ELSE depth END AS depth,
            CASE WHEN {go} THEN took + {1 << (k - 1)} ELSE took END AS took,
            CASE WHEN {go} THEN n_pos ELSE pos END AS pos, CASE WHEN {go} THEN n_t ELSE t END AS t,
            ended, stop_pos, stop_t, deadline, {label} AS label_pos
        FROM met{k})"""


def any_order(walk: Walk) -> list[str]:
    """The steps in any order, each with an event of its own; the first step first if anchored.

    Steps are served in written order and take their earliest free event. Each candidate carries
    the ones after it (at most k - 1 can be taken when step k chooses), so that one ASOF join per
    step is enough whatever overlaps.
    """
    size = len(walk.request.steps)
    label = "a.pos" if walk.label_step == 1 else "NULL::BIGINT"
    relations = [
        f"""a1 AS (
        SELECT {walk.keys_of("a")}, a.pos AS entry_pos, a.t AS entry_t, a.served,
            []::BIGINT[] AS taken, a.t AS last_t, x.outcome, {label} AS label_pos,
            CASE WHEN {walk.within("x.t", entry_t="a.t")} THEN x.pos END AS x_pos,
            CASE WHEN {walk.within("x.t", entry_t="a.t")} THEN x.t END AS x_t
        FROM entry a
        ASOF LEFT JOIN {walk.bars(size)} x ON {walk.same("a", "x")} AND a.pos < x.pos)"""
    ]
    last = f"a{1}"
    for k in range(2 if walk.request.anchor else 1, size + 1):
        relations.append(f"""c{k} AS (
            SELECT {walk.keys}, pos, list({{'pos': pos, 't': t}}) OVER (
                PARTITION BY {walk.keys} ORDER BY pos
                ROWS BETWEEN CURRENT ROW AND {k - 1} FOLLOWING) AS candidates
            FROM hit WHERE m{k})""")
        relations.append(f"""met{k} AS (
            SELECT a.*, list_filter(c.candidates,
                lambda item: NOT list_contains(a.taken, item.pos))[1] AS pick
            FROM {last} a ASOF LEFT JOIN c{k} c
                ON {walk.same("a", "c")} AND a.entry_pos < c.pos)""")
        relations.append(f"""b{k} AS (
            SELECT {walk.keys}, entry_pos, entry_t, served,
                if(fits, list_append(taken, pick.pos), taken) AS taken,
                if(fits, greatest(last_t, pick.t), last_t) AS last_t,
                outcome, label_pos, x_pos, x_t
            FROM (SELECT *, served <> {k} AND pick IS NOT NULL AND {walk.within("pick.t")}
                    AND (x_pos IS NULL OR pick.pos < x_pos) AS fits FROM met{k} a))""")
        last = f"b{k}"
    deadline = "NULL::BIGINT" if walk.width is None else f"entry_t + {walk.width}"
    relations.append(f"""walked AS (
        SELECT {walk.keys}, entry_pos, entry_t, 1 + len(taken) AS depth, 0 AS took,
            coalesce(list_max(taken), entry_pos) AS end_pos, last_t AS end_t, x_pos AS stop_pos,
            x_t AS stop_t, label_pos,
            CASE WHEN len(taken) = {size - 1} THEN NULL
                WHEN x_pos IS NULL THEN 'missed'
                ELSE outcome END AS ended,
            CASE WHEN x_pos IS NULL THEN {deadline} END AS deadline
        FROM {last})""")
    return relations
