# ruff: noqa: S608 - only conditions of our own become text; what people wrote is bound
"""Who is still a customer, and what they are to buy, by how often and how lately they bought.

The model (`buy_till_die`) is learnt from what there was at one horizon before `as_of`, and judged
by what came since; then it is learnt anew from all there is, to say what comes next.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import duckdb
import numpy as np
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.buy_till_die import BgNbd, Customers, fit
from app.journeys.definition import Frozen, definition_hash
from app.journeys.next_purchase_request import NextPurchaseQuery
from app.journeys.predicate import Parameters, known, sql

#: Customers, and those of them who came back, that a model must have learnt from.
LEAST, LEAST_REPEATERS = 100, 50
#: How far the purchases that came may be from those foretold, as a share of these.
FARTHEST = 0.5
BANDS = 10
_DAY, _WEEK = 86_400_000_000, 7.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Connection = duckdb.DuckDBPyConnection


class NextPurchaseSemantics(Frozen):
    """Every choice behind the figures."""

    model: Literal["BG/NBD (Fader, Hardie and Lee 2005), maximum likelihood"] = (
        "BG/NBD (Fader, Hardie and Lee 2005), maximum likelihood"
    )
    time: Literal["weeks; purchases of one day (UTC) are one"] = (
        "weeks; purchases of one day (UTC) are one"
    )
    alive: Literal["probability of not being gone for good"] = (
        "probability of not being gone for good"
    )
    judged: Literal["learnt from what there was one horizon ago, held against what came since"] = (
        "learnt from what there was one horizon ago, held against what came since"
    )
    refused: Literal[
        "too few customers or repeaters, no maximum, or foretold by half too wrong"
    ] = "too few customers or repeaters, no maximum, or foretold by half too wrong"
    horizon: str
    evidence: Literal["observational"] = "observational"


class Fitted(Frozen):
    """The parameters; `alpha` is in weeks."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float


class Held(Frozen):
    """A tenth of the customers judged, from those who were to buy most: foretold, and come."""

    n: int
    expected: float
    observed: int


class Judged(Frozen):
    """How well the model foretold the horizon that is over, of who was a customer before it."""

    n: int
    expected: float
    observed: int
    calibration: tuple[Held, ...]


class PurchaseBand(Frozen):
    """A tenth of the customers, from those who are to buy most: means of what is foretold."""

    band: int
    n: int
    alive: float
    chance: float
    expected: float
    bucket: str


class NextPurchaseResult(Frozen):
    """An answer; `refused` says why nothing is foretold."""

    semantics: NextPurchaseSemantics
    profiles: int
    repeaters: int
    purchases: int
    refused: str | None
    parameters: Fitted | None
    quality: Judged | None
    alive: float | None
    buyers: float | None
    expected: float | None
    bands: tuple[PurchaseBand, ...]
    as_of: AwareDatetime
    definition_hash: str


@dataclass(frozen=True, slots=True)
class _Learnt:
    people: Any
    customers: Customers
    purchases: int
    model: BgNbd | None
    quality: Judged | None
    refused: str | None

    def order(self, horizon: float) -> Any:
        """The places of the customers, from who is to buy most."""
        assert self.model is not None  # noqa: S101 - who asks has seen that nothing is refused
        return np.argsort(-self.model.expected(self.customers, horizon), kind="stable")


def next_purchase(
    connection: Connection, query: NextPurchaseQuery, *, as_of: datetime
) -> NextPurchaseResult:
    """Fit, judge and foretell over the view `event`. Read-only."""
    learnt, horizon = _learn(connection, query, as_of), _weeks(query.horizon)
    model, of = learnt.model, learnt.customers
    bands: list[PurchaseBand] = []
    sums: dict[str, float] = {}
    if learnt.refused is None and model is not None:
        alive, chance = model.alive(of), model.chance(of, horizon)
        expected = model.expected(of, horizon)
        sums = {"alive": alive.sum(), "buyers": chance.sum(), "expected": expected.sum()}
        for number, part in enumerate(np.array_split(learnt.order(horizon), BANDS), 1):
            bands.append(
                PurchaseBand(
                    band=number,
                    n=len(part),
                    alive=float(alive[part].mean()),
                    chance=float(chance[part].mean()),
                    expected=float(expected[part].mean()),
                    bucket=bucket("band", number),
                )
            )
    return NextPurchaseResult(
        semantics=NextPurchaseSemantics(
            horizon=query.model_dump(mode="json")["horizon"],
        ),
        profiles=len(of),
        repeaters=int((of.repeats > 0).sum()),
        purchases=learnt.purchases,
        refused=learnt.refused,
        parameters=None
        if model is None
        else Fitted(
            r=model.r, alpha=model.alpha, a=model.a, b=model.b,
            log_likelihood=model.log_likelihood,
        ),
        quality=learnt.quality,
        alive=sums.get("alive"),
        buyers=sums.get("buyers"),
        expected=sums.get("expected"),
        bands=tuple(bands),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )  # fmt: skip


def people(
    connection: Connection, query: NextPurchaseQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people of `band:` with its number, ascending; raises BucketInvalid."""
    kind, place = parse(number)
    learnt = _learn(connection, query, as_of)
    match (kind, place):
        case "band", [int() as band] if learnt.refused is None and 1 <= band <= BANDS:
            part = np.array_split(learnt.order(_weeks(query.horizon)), BANDS)[band - 1]
            return sorted(int(one) for one in learnt.people[part])
    raise unknown(number, "band")


def about(
    connection: Connection, query: NextPurchaseQuery, as_of: datetime, named: list[int]
) -> dict[int, dict[str, Any]]:
    """Return what is foretold of each of these people."""
    learnt, horizon = _learn(connection, query, as_of), _weeks(query.horizon)
    if learnt.refused is not None or learnt.model is None:
        return {}
    model, of = learnt.model, learnt.customers
    alive, chance, expected = (
        model.alive(of), model.chance(of, horizon), model.expected(of, horizon)
    )  # fmt: skip
    place = {int(person): row for row, person in enumerate(learnt.people)}
    return {
        person: {
            "alive": float(alive[place[person]]),
            "chance": float(chance[place[person]]),
            "expected": float(expected[place[person]]),
        }
        for person in named
        if person in place
    }


def _learn(connection: Connection, query: NextPurchaseQuery, as_of: datetime) -> _Learnt:
    parameters = Parameters()
    rows = connection.execute(
        f"""SELECT DISTINCT person_id, epoch_us(occurred_at) // {_DAY} AS day FROM event
        WHERE {known(as_of, parameters)} AND {sql(query.purchase, parameters)} ORDER BY ALL""",
        parameters.values,
    ).fetchnumpy()
    person, day = np.asarray(rows["person_id"]), np.asarray(rows["day"], np.int64)
    end = (as_of - _EPOCH) // timedelta(days=1)
    who, now = _customers(person, day, end)
    again = int((now.repeats > 0).sum())
    if len(who) < LEAST or again < LEAST_REPEATERS:
        why = (
            f"{len(who)} customers, {again} of whom came back; {LEAST} and {LEAST_REPEATERS} needed"
        )
        return _Learnt(who, now, len(day), None, None, why)
    model = fit(now)
    quality = _judge(person, day, end, query.horizon)
    refused = None
    if model is None or quality is None:
        refused = "no parameters fit best, or too few customers one horizon ago to judge by"
    elif abs(quality.observed - quality.expected) > FARTHEST * quality.expected:
        refused = f"foretold {quality.expected:.0f} purchases of the last horizon, not the"
        refused += f" {quality.observed} that came"
    return _Learnt(who, now, len(day), model, quality, refused)


def _judge(person: Any, day: Any, end: int, horizon: timedelta) -> Judged | None:
    """Fit on what there was one horizon ago, and hold that against what came since."""
    cut = end - horizon // timedelta(days=1)
    before = day <= cut
    who, then = _customers(person[before], day[before], cut)
    if len(who) < LEAST or int((then.repeats > 0).sum()) < LEAST_REPEATERS:
        return None
    model = fit(then)
    if model is None:
        return None
    later = np.bincount(np.searchsorted(who, person[~before & np.isin(person, who)]),
                        minlength=len(who))  # fmt: skip
    expected = model.expected(then, (end - cut) / _WEEK)
    parts = np.array_split(np.argsort(-expected, kind="stable"), BANDS)
    return Judged(
        n=len(who),
        expected=float(expected.sum()),
        observed=int(later.sum()),
        calibration=tuple(
            Held(n=len(part), expected=float(expected[part].sum()),
                 observed=int(later[part].sum()))
            for part in parts
        ),
    )  # fmt: skip


def _customers(person: Any, day: Any, end: int) -> tuple[Any, Customers]:
    """Return who bought, ascending, and what the model needs of them; days are in order."""
    who, first, count = np.unique(person, return_index=True, return_counts=True)
    begun = day[first] if len(who) else day
    last = day[first + count - 1] if len(who) else day
    return who, Customers(
        repeats=(count - 1).astype(float),
        recency=(last - begun) / _WEEK,
        age=(end - begun) / _WEEK,
    )


def _weeks(horizon: timedelta) -> float:
    return (horizon // timedelta(days=1)) / _WEEK
