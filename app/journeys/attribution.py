# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Which touches led to the conversions, by several models side by side (research §4.10).

The rules share out each conversion, Markov and Shapley all of them; whatever the model, its credits
and the conversions without a touch are all the conversions there were.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import fsum
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.attribution_request import MODELS, AttributionQuery, Model
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.credit import (
    CONVERTED,
    LOST,
    MOST_PLAYERS,
    Label,
    removal_effects,
    shapley_of_rates,
)
from app.journeys.definition import Frozen, definition_hash
from app.journeys.predicate import Parameters
from app.journeys.touches import touches

Row = Mapping[str, Any]

#: Models that share out each conversion by itself; `shapley` is one: a conversion is worth the
#: same to every coalition that holds its channels, so they share it equally (Zhao, Mahboobi and
#: Bagheri 2018), exactly and for any number of channels.
RULES: tuple[Model, ...] = tuple(m for m in MODELS if m not in ("markov", "shapley_rate"))


class AttributionSemantics(Frozen):
    """Every choice behind the numbers of attribution."""

    unit: Literal["path: touches of one profile since the conversion before, in the look-back"] = (
        "path: touches of one profile since the conversion before, in the look-back"
    )
    conversion_is_touch: Literal[False] = False
    lookback: str
    lookback_inclusive: Literal[True] = True
    lost: Literal["no conversion follows within the look-back; until it is over: in progress"] = (
        "no conversion follows within the look-back; until it is over: in progress"
    )
    label: str
    half_life: str
    direct: tuple[str, ...]
    position: Literal["40/20/40; two touches 50/50"] = "40/20/40; two touches 50/50"
    j_shaped: Literal["20/20/60; two touches 25/75"] = "20/20/60; two touches 25/75"
    inverse_j: Literal["60/20/20; two touches 75/25"] = "60/20/20; two touches 75/25"
    markov: Literal["first order, solved; removed means lost; effects scaled to conversions"] = (
        "first order, solved; removed means lost; effects scaled to conversions"
    )
    shapley: Literal["worth of channels: conversions of paths with no other"] = (
        "worth of channels: conversions of paths with no other"
    )
    shapley_rate: Literal["worth of channels: share converted of paths with no other"] = (
        "worth of channels: share converted of paths with no other"
    )
    ties: Literal["source_order"] = "source_order"
    evidence: Literal["observational"] = "observational"


class Credit(Frozen):
    """What a model gives a channel; `value` is null without a value to share out."""

    conversions: float
    value: float | None


class Channel(Frozen):
    """One label: its touches, the paths and conversions it was on, and its credit by each model.

    The label is null for all beyond `max_labels`. `removal_effect` is the share of conversions
    that would be lost without it, by the chain.
    """

    label: str | None
    touches: int
    paths: int
    profiles: int
    conversions: int
    removal_effect: float | None
    credits: dict[str, Credit]
    bucket: str


class AttributionResult(Frozen):
    """An answer about attribution.

    For every model the credits of all channels and `unattributed` are `conversions`; `sums` shows
    it. `too_early` are touches of a path that lie before the look-back of its conversion.
    `absent` says why a model gives nothing.
    """

    semantics: AttributionSemantics
    conversions: int
    value: float | None
    converters: int
    unattributed: int
    unattributed_value: float | None
    paths: dict[str, int]
    touches: int
    too_early: int
    chain_conversion: float | None
    sums: dict[str, Credit]
    absent: dict[str, str]
    channels: tuple[Channel, ...]
    buckets: dict[str, str]
    as_of: AwareDatetime
    definition_hash: str


def attribution(
    connection: duckdb.DuckDBPyConnection, query: AttributionQuery, *, as_of: datetime
) -> AttributionResult:
    """Share out the conversions over the view `event`; byte-reproducible. Read-only."""
    parameters = Parameters()
    row = connection.execute(
        f"{touches(query, as_of, parameters)} {_LISTS}", parameters.values
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    totals, ended, channels, moves, coalitions = row
    ends = {how: 0 for how in (CONVERTED, LOST, "in_progress")}
    ends |= {one["ended"]: one["n"] for one in ended or ()}
    attributed, worth = ends[CONVERTED], float(totals["attributed_value"] or 0)
    valued = query.value is not None
    chain = {(_state(one["source"]), _state(one["target"])): one["n"] for one in moves or ()}
    walkers = [one["label"] for one in channels or () if one["paths"]]
    share, effects = removal_effects(chain, walkers)
    given, absent = {}, {}
    for model in query.models:
        parts, why = _parts(model, effects, coalitions or (), attributed)
        if why is not None:
            absent[model] = why
            continue
        given[model] = {
            one["label"]: Credit(
                conversions=float(one[f"{model}_n"] or 0)
                if parts is None
                else parts.get(one["label"], 0.0) * attributed,
                value=None
                if not valued
                else float(one[f"{model}_v"] or 0)
                if parts is None
                else parts.get(one["label"], 0.0) * worth,
            )
            for one in channels or ()
        }
    found = [
        Channel(
            label=one["label"],
            touches=one["touches"],
            paths=one["paths"],
            profiles=one["profiles"],
            conversions=one["conversions"],
            removal_effect=effects.get(one["label"]) if attributed else None,
            credits={model: credits[one["label"]] for model, credits in given.items()},
            bucket=bucket("channel", one["label"]),
        )
        for one in channels or ()
    ]
    total = float(totals["value"] or 0)
    return AttributionResult(
        semantics=_semantics(query),
        conversions=totals["conversions"],
        value=total if valued else None,
        converters=totals["converters"],
        unattributed=totals["conversions"] - attributed,
        unattributed_value=total - worth if valued else None,
        paths=ends,
        touches=sum(channel.touches for channel in found),
        too_early=totals["far"] or 0,
        chain_conversion=share if chain else None,
        sums={
            model: Credit(
                conversions=fsum(credit.conversions for credit in credits.values()),
                value=fsum(credit.value or 0 for credit in credits.values()) if valued else None,
            )
            for model, credits in given.items()
        },
        absent=absent,
        channels=tuple(found),
        buckets={how: bucket("paths", how) for how in (*ends, "unattributed")},
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: AttributionQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `channel:` for those whom it touched, or
    `paths:converted`, `paths:lost`, `paths:in_progress`, `paths:unattributed`.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    parameters = Parameters()
    text = touches(query, as_of, parameters)
    if kind == "channel" and len(place) == 1:
        wanted = None if place[0] is None else str(place[0])
        where = f"label IS NOT DISTINCT FROM {parameters.bind(wanted)}::VARCHAR"
        chosen = f"SELECT person_id FROM touch WHERE {where}"
    elif kind == "paths" and place[0] in (CONVERTED, LOST, "in_progress"):
        chosen = f"SELECT person_id FROM path WHERE ended = '{place[0]}'"
    elif (kind, place) == ("paths", ["unattributed"]):
        chosen = """SELECT c.person_id FROM conversion c ANTI JOIN
            (SELECT * FROM path WHERE ended = 'converted') p
            ON p.person_id = c.person_id AND p.segment = c.conv_pos"""
    else:
        raise unknown(number, "channel:…, paths:converted, :lost, :in_progress, :unattributed")
    rows = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM ({chosen}) ORDER BY person_id", parameters.values
    ).fetchall()
    return [int(row[0]) for row in rows]


#: Sums are of decimals: of doubles they would depend on which thread adds first.
_SHARES = ", ".join(
    f'''sum("{model}"::DECIMAL(38, 15)) AS {model}_n,
        sum(("{model}" * value)::DECIMAL(38, 9)) AS {model}_v'''
    for model in RULES
)
_LISTS = f"""
, shared AS (SELECT label AS whose, {_SHARES} FROM credit GROUP BY label),
seen AS (
    SELECT label, count(*) AS touches,
        count(DISTINCT path) FILTER (ended <> 'in_progress') AS paths,
        count(DISTINCT person_id) AS profiles,
        count(DISTINCT path) FILTER (ended = 'converted') AS conversions
    FROM touch GROUP BY label)
SELECT (SELECT {{'conversions': count(*), 'converters': count(DISTINCT person_id),
        'value': sum(value::DECIMAL(38, 9)),
        'attributed_value': (SELECT sum(value::DECIMAL(38, 9)) FROM credit WHERE rank = 1),
        'far': (SELECT sum(far) FROM path WHERE ended = 'converted')::BIGINT}} FROM conversion),
    (SELECT list(x) FROM (SELECT ended, count(*) AS n FROM path GROUP BY ended) x),
    (SELECT list(x ORDER BY conversions DESC, touches DESC, label NULLS LAST) FROM (
        SELECT * EXCLUDE (whose) FROM seen LEFT JOIN shared ON whose IS NOT DISTINCT FROM label) x),
    (SELECT list(move ORDER BY source, target) FROM move),
    (SELECT list(coalition ORDER BY members) FROM coalition)
"""


def _state(text: str) -> tuple[Label] | str:
    """A channel is written with a leading =, and is all others when that is all."""
    return (text[1:] or None,) if text.startswith("=") else text


def _parts(
    model: Model,
    effects: Mapping[Label, float],
    coalitions: Sequence[Row],
    attributed: int,
) -> tuple[dict[Label, float] | None, str | None]:
    """Return each channel's part of all conversions, nothing where each conversion has its own;
    or why the model has none."""
    if model in RULES:
        return None, None
    if not attributed:
        return None, "no conversion has a touch"
    if model == "markov":
        total = fsum(effects.values())
        return {label: effect / total for label, effect in effects.items()}, None
    if len(effects) > MOST_PLAYERS:
        return None, f"{len(effects)} channels; it is solved for {MOST_PLAYERS} at most"
    rates = shapley_of_rates(
        [
            (frozenset(member[1:] or None for member in one["members"]), one["won"], one["n"])
            for one in coalitions
        ],
        list(effects),
    )
    total = fsum(rates.values())
    return {label: rate / total for label, rate in rates.items()}, None


def _semantics(query: AttributionQuery) -> AttributionSemantics:
    said = query.model_dump(mode="json")
    return AttributionSemantics(
        lookback=said["lookback"],
        label=" · ".join(part if isinstance(part, str) else part.prop for part in query.label),
        half_life=said["half_life"],
        direct=query.direct,
    )
