# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""For whom a treatment that was drawn by lot changes what they do (research §4.15).

Two models, one of each arm, say how likely the outcome is with the treatment and without; who is
scored was in neither. A ranking is worth something if those on top are changed more than others.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import numpy as np

from app.errors import AnalysisTooLarge
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.compare import ALARM
from app.journeys.compare_answer import SampleRatio
from app.journeys.definition import definition_hash
from app.journeys.funnel_request import microseconds_of
from app.journeys.intervals import newcombe
from app.journeys.predicate import (
    POSITION,
    SAID,
    Parameters,
    during,
    json_pointer,
    known,
    microseconds,
)
from app.journeys.predicate import sql as said_in_sql
from app.journeys.significance import sample_ratio, shares
from app.journeys.uplift_answer import (
    SEED,
    Arm,
    Effect,
    Ranking,
    UpliftBand,
    UpliftResult,
    UpliftSemantics,
)
from app.journeys.uplift_request import UpliftQuery

#: Parts of the people, each scored by models of the others; bands; values of a text that count.
FOLDS, BANDS, MOST_VALUES = 5, 10, 12
#: Larger numbers are names: their squares would be no numbers.
LARGEST = 1e15
#: People who are read at most: some 300 bytes of memory each.
MOST_PEOPLE = 1_000_000
Connection = duckdb.DuckDBPyConnection
Array = Any


class _Drawn:
    """Who was drawn and what became of them, as arrays."""

    def __init__(self, connection: Connection, query: UpliftQuery, as_of: datetime) -> None:
        parameters = Parameters()
        rows = connection.execute(_drawn(query, as_of, parameters), parameters.values).fetchall()
        if len(rows) > MOST_PEOPLE:  # the arms of a part of them would be another experiment
            raise AnalysisTooLarge(f"more than {MOST_PEOPLE} people were drawn; ask of a range")
        over = [row for row in rows if row[2]]
        self.in_progress = len(rows) - len(over)
        self.people = np.array([row[0] for row in over], dtype=np.int64)
        self.treated = np.array([row[1] for row in over], dtype=bool)
        self.came = np.array([row[3] for row in over], dtype=bool)
        self.names, self.features = _features(query.props, [row[4:] for row in over])

    def arm(self, treated: bool, among: Array | None = None) -> tuple[int, int]:
        """How many are in an arm, and how many of them came to the outcome."""
        here = self.treated if treated else ~self.treated
        here = here if among is None else here & among
        return int(here.sum()), int((here & self.came).sum())

    def thin(self, least: int) -> str | None:
        """Why nothing can be learnt of them, if so."""
        for treated, called in ((True, "treated"), (False, "control")):
            n, k = self.arm(treated)
            if min(k, n - k) < least:
                return f"of the {n} {called} {k} came to the outcome; both must be {least} at least"
        return None if self.names else "the properties say the same of everybody, or nothing"

    def scores(self) -> Array:
        """What the treatment should change of each, by models that have not seen them."""
        from app.journeys import learning  # noqa: PLC0415  # loads SciPy

        fold = np.random.default_rng(SEED).permutation(len(self.people)) % FOLDS
        found = np.zeros(len(self.people))
        for part in range(FOLDS):
            here, others = fold == part, fold != part
            with_, without = (
                learning.fit(self.names, self.features[others & arm], self.came[others & arm])
                for arm in (self.treated, ~self.treated)
            )
            found[here] = with_.scores(self.features[here]) - without.scores(self.features[here])
        return np.round(found, 9)  # sums of doubles differ in the last digits


def uplift(connection: Connection, query: UpliftQuery, *, as_of: datetime) -> UpliftResult:
    """Learn, score and judge over the view `event`. Read-only."""
    from app.journeys.qini import qini  # noqa: PLC0415  # with the model alone

    drawn = _Drawn(connection, query, as_of)
    (n1, k1), (n2, k2) = drawn.arm(True), drawn.arm(False)
    effect, ratio = None, None
    if n1 and n2:
        verdict = shares(k1, n1, k2, n2)
        effect = Effect(
            difference=k1 / n1 - k2 / n2,
            interval=newcombe(k1, n1, k2, n2),
            test=verdict.test,
            statistic=verdict.statistic,
            p=verdict.p,
        )
        sizes = sample_ratio((n1, n2), query.shares)
        ratio = SampleRatio(statistic=sizes.statistic or 0.0, p=sizes.p, alarm=sizes.p < ALARM)
    refused = drawn.thin(query.least)
    ranking, chance = None, None
    bands: tuple[UpliftBand, ...] = ()
    if refused is None:
        scores = drawn.scores()
        lot = np.random.default_rng(SEED + 1).random(len(scores))
        ranking, chance = (
            Ranking(qini=found.value, interval=found.interval, curve=found.curve)
            for found in (qini(one, drawn.treated, drawn.came, SEED) for one in (scores, lot))
        )
        bands = tuple(_band(drawn, scores, band, who) for band, who in _bands(scores))
    said = query.model_dump(mode="json")
    return UpliftResult(
        semantics=UpliftSemantics(window=said["window"], least=query.least),
        treated=_arm("treated", n1, k1),
        control=_arm("control", n2, k2),
        effect=effect,
        sample_ratio=ratio,
        in_progress=drawn.in_progress,
        refused=refused,
        features=drawn.names,
        ranking=ranking,
        chance=chance,
        finds=None if ranking is None else ranking.interval[0] > 0,
        bands=bands,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: Connection, query: UpliftQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `arm:treated`, `arm:control`, and of a band
    `band:1`, `treated:1`, `control:1`. Raises BucketInvalid.
    """
    kind, place = parse(number)
    drawn = _Drawn(connection, query, as_of)
    arms = {"treated": drawn.treated, "control": ~drawn.treated}
    who: Array = None
    if kind == "arm" and len(place) == 1:
        who = arms.get(str(place[0]))
    elif kind in ("band", *arms) and len(place) == 1 and drawn.thin(query.least) is None:
        bands = dict(_bands(drawn.scores()))
        who = bands.get(place[0]) if isinstance(place[0], int) else None
        who = who if who is None or kind == "band" else who & arms[kind]
    if who is None:
        raise unknown(number, "arm:treated, arm:control, band:N, treated:N, control:N")
    return sorted(int(person) for person in drawn.people[who])


def _bands(scores: Array) -> Sequence[tuple[int, Array]]:
    """The tenths of the people, the highest scores first; who has one score is kept in order."""
    order = np.argsort(-scores, kind="stable")
    found = []
    for number, places in enumerate(np.array_split(order, min(BANDS, len(order))), 1):
        who: Array = np.zeros(len(scores), dtype=bool)
        who[places] = True
        found.append((number, who))
    return found


def _arm(name: str, n: int, k: int, band: int | None = None) -> Arm:
    number = bucket("arm", name) if band is None else bucket(name, band)
    return Arm(n=n, k=k, share=k / n if n else None, bucket=number)


def _band(drawn: _Drawn, scores: Array, band: int, who: Array) -> UpliftBand:
    (n1, k1), (n2, k2) = drawn.arm(True, who), drawn.arm(False, who)
    both = n1 > 0 and n2 > 0
    return UpliftBand(
        band=band,
        n=int(who.sum()),
        predicted=round(float(scores[who].mean()), 6),
        treated=_arm("treated", n1, k1, band),
        control=_arm("control", n2, k2, band),
        difference=k1 / n1 - k2 / n2 if both else None,
        interval=newcombe(k1, n1, k2, n2) if both else None,
        bucket=bucket("band", band),
    )


def _features(props: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], Array]:
    """Return the features of the entries: numbers as they are, texts as one column a value.

    A property is of numbers where all its values are. The rarest values of a text, and those of
    nobody or of everybody, make no column.
    """
    names: list[str] = []
    columns: list[Array] = []
    for number, prop in enumerate(props):
        said = [row[number] for row in rows]
        values = [_number(one) for one in said]
        if all(value is not None for value, one in zip(values, said, strict=True) if one):
            made = {prop: np.array([value or 0.0 for value in values])}
        else:
            told = Counter(one for one in said if one)
            counts = sorted(told.items(), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]
            texts = np.array(said, dtype=object)
            made = {f"{prop} = {one}": (texts == one).astype(float) for one, _ in counts}
        for name, column in made.items():
            if len(column) and column.min() < column.max():
                names.append(name)
                columns.append(column)
    empty = np.zeros((len(rows), 0))
    return tuple(names), np.column_stack(columns) if columns else empty


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) <= LARGEST else None


def _drawn(query: UpliftQuery, as_of: datetime, parameters: Parameters) -> str:
    """SQL of everybody who was drawn: person, treated, over, came, and each property as text."""
    window = f"{parameters.bind(microseconds_of(query.window))}::BIGINT"
    now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
    entered = during(query.range.start, query.range.end, parameters)
    values = [
        f"json_extract_string(told, {parameters.bind(json_pointer(path))})" for path in query.props
    ]
    entry, treated, control, outcome = (
        said_in_sql(match, parameters)
        for match in (query.entry, query.treated, query.control, query.outcome)
    )
    return f"""
WITH placed AS MATERIALIZED (
    SELECT person_id, epoch_us(occurred_at) AS t, {entry} AS enters, {treated} AS treated,
        {control} AS control, {outcome} AS wins, {SAID} AS told, {POSITION} AS pos
    FROM event WHERE {known(as_of, parameters)}),
first_entry AS (
    SELECT person_id, min(pos) AS pos, arg_min(t, pos) AS t, arg_min(told, pos) AS told,
        arg_min(treated, pos) AS treated, arg_min(control, pos) AS control
    FROM placed WHERE enters AND {entered} GROUP BY person_id),
won AS (
    SELECT DISTINCT e.person_id FROM first_entry e
    JOIN placed p ON p.person_id = e.person_id AND p.wins AND p.pos > e.pos
        AND p.t - e.t <= {window})
SELECT e.person_id, treated, t + {window} <= {now}, w.person_id IS NOT NULL, {", ".join(values)}
FROM first_entry e LEFT JOIN won w USING (person_id)
WHERE treated <> control ORDER BY e.person_id LIMIT {MOST_PEOPLE + 1}"""
