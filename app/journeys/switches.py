# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Changes of channel on the way, and what becomes of people after them (research §4.8)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.claims import touches
from app.journeys.definition import Frozen, definition_hash
from app.journeys.funnel_request import microseconds_of
from app.journeys.map_parts import Channel
from app.journeys.matrix_request import MatrixQuery
from app.journeys.predicate import Parameters
from app.journeys.switches_request import SwitchesQuery


class SwitchesSemantics(Frozen):
    """Every choice behind the numbers of switches."""

    unit: Literal["profile"] = "profile"
    pair: Literal["neighbouring journey events of one profile"] = (
        "neighbouring journey events of one profile"
    )
    switch: Literal["a pair whose channels differ"] = "a pair whose channels differ"
    to_human: Literal["switches to a family of `human` from another / all switches"] = (
        "switches to a family of `human` from another / all switches"
    )
    completion: Literal["last stage reached at or after the pair's second event"] = (
        "last stage reached at or after the pair's second event"
    )
    alignment: Literal["pairs before the last stage is reached, each counted from itself"] = (
        "pairs before the last stage is reached, each counted from itself"
    )
    evidence: Literal["observational"] = "observational"
    repeat: Literal["the second event is at the stage of the first, within repeat_within"] = (
        "the second event is at the stage of the first, within repeat_within"
    )
    human: tuple[str, ...]
    repeat_within: str
    ties: Literal["source_order"] = "source_order"


class Move(Frozen):
    """Switches from one channel (or family) to another; `profiles` are distinct."""

    source: str | None
    target: str | None
    n: int
    profiles: int
    bucket: str


class After(Frozen):
    """What became of people after pairs of one kind: how many pairs, how many completed after."""

    pairs: int
    completed: int
    rate: float | None


class SwitchesResult(Frozen):
    """An answer about switches.

    `mean` is switches per profile with a journey event. `completion_after` sets pairs that switch
    beside pairs that do not; it compares what people chose, not what switching causes.
    """

    semantics: SwitchesSemantics
    profiles: int
    events: int
    pairs: int
    switches: int
    rate: float | None
    switching_profiles: int
    share_of_profiles: float | None
    mean: float | None
    to_human: int
    to_human_share: float | None
    repeated_after: int
    repeat_after_switch: float | None
    completion_after: dict[str, After]
    channels: tuple[Move, ...]
    families: tuple[Move, ...]
    as_of: AwareDatetime
    definition_hash: str


Row = Mapping[str, Any]


def switches(
    connection: duckdb.DuckDBPyConnection, query: SwitchesQuery, *, as_of: datetime
) -> SwitchesResult:
    """Count changes of channel over the view `event`. Read-only."""
    parameters = Parameters()
    text = _pairs(query, as_of, parameters)
    within = f"{parameters.bind(microseconds_of(query.repeat_within))}::BIGINT"
    row = connection.execute(
        f"""{text}
        SELECT (SELECT {{'profiles': count(DISTINCT person_id), 'events': count(*)}} FROM step),
            (SELECT {{'pairs': count(*), 'switches': count(*) FILTER (switch),
                'switching': count(DISTINCT person_id) FILTER (switch),
                'repeated': count(*) FILTER (switch AND next_stage = stage
                    AND next_t - t <= {within})}} FROM pair),
            (SELECT list(x ORDER BY channel, next_channel) FROM (
                SELECT channel, next_channel, count(*) AS n, count(DISTINCT person_id) AS profiles
                FROM pair WHERE switch GROUP BY channel, next_channel) x),
            (SELECT list(x) FROM (SELECT switch, count(*) AS pairs,
                    count(*) FILTER (completed) AS completed
                FROM pair WHERE open GROUP BY switch) x),
            (SELECT list(x ORDER BY family, next_family) FROM (
                SELECT family, next_family, count(*) AS n, count(DISTINCT person_id) AS profiles
                FROM familiar WHERE switch AND family <> next_family
                GROUP BY family, next_family) x)""",
        parameters.values,
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    all_, counts, moves, after, between = row
    ids = [channel.id for channel in query.journey.channels]
    families = _families(query.journey.channels)
    human = sum(
        move["n"]
        for move in moves or ()
        if _of(query, move["next_channel"]) in query.human
        and _of(query, move["channel"]) not in query.human
    )
    return SwitchesResult(
        semantics=SwitchesSemantics(
            human=query.human,
            repeat_within=query.model_dump(mode="json")["repeat_within"],
        ),
        profiles=all_["profiles"],
        events=all_["events"],
        pairs=counts["pairs"],
        switches=counts["switches"],
        rate=_rate(counts["switches"], counts["pairs"]),
        switching_profiles=counts["switching"],
        share_of_profiles=_rate(counts["switching"], all_["profiles"]),
        mean=_rate(counts["switches"], all_["profiles"]),
        to_human=human,
        to_human_share=_rate(human, counts["switches"]),
        repeated_after=counts["repeated"],
        repeat_after_switch=_rate(counts["repeated"], counts["switches"]),
        completion_after=_after(after or ()),
        channels=tuple(
            Move(
                source=ids[move["channel"]],
                target=ids[move["next_channel"]],
                n=move["n"],
                profiles=move["profiles"],
                bucket=bucket("move", ids[move["channel"]], ids[move["next_channel"]]),
            )
            for move in moves or ()
        ),
        families=tuple(
            Move(
                source=families[move["family"]],
                target=families[move["next_family"]],
                n=move["n"],
                profiles=move["profiles"],
                bucket=bucket("family", families[move["family"]], families[move["next_family"]]),
            )
            for move in between or ()
        ),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: SwitchesQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `switching:any`, `move:` with two channels, `family:` with
    two families. Raises BucketInvalid.
    """
    kind, place = parse(number)
    ids = [channel.id for channel in query.journey.channels]
    families, relation = _families(query.journey.channels), "pair"
    if (kind, place) == ("switching", ["any"]):
        where = "switch"
    elif kind == "family" and len(place) == 2 and all(name in families for name in place):
        relation, (one, two) = "familiar", (families.index(name) for name in place)
        where = f"switch AND family = {one} AND next_family = {two}"
    elif kind == "move" and len(place) == 2 and set(place) <= set(ids):
        where = f"channel = {ids.index(place[0])} AND next_channel = {ids.index(place[1])}"
    else:
        raise unknown(number, "switching:any, move:[from,to], family:[from,to]")
    parameters = Parameters()
    rows = connection.execute(
        f"{_pairs(query, as_of, parameters)}"
        f" SELECT DISTINCT person_id FROM {relation} WHERE {where} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _pairs(query: SwitchesQuery, as_of: datetime, parameters: Parameters) -> str:
    """Every pair of neighbours; `open` until the last stage is reached, `completed` if it is."""
    journey = query.journey
    channels, last = len(journey.channels), len(journey.stages) - 1
    families = _families(journey.channels)
    codes = " ".join(
        f"WHEN {number} THEN {families.index(channel.family)}"
        for number, channel in enumerate(journey.channels)
    )
    plain = MatrixQuery(journey=journey, range=query.range)
    return f"""
WITH {touches(plain, as_of, parameters)},
step AS MATERIALIZED (
    SELECT person_id, pos, t, cell // {channels} AS stage, cell % {channels} AS channel,
        min(pos) FILTER (cell // {channels} = {last}) OVER (PARTITION BY person_id) AS first_last
    FROM mapped),
pair AS MATERIALIZED (
    SELECT person_id, t, stage, channel, next_t, next_stage, next_channel,
        channel <> next_channel AS switch,
        first_last IS NULL OR pos < first_last AS open,
        first_last IS NOT NULL AND first_last > pos AS completed
    FROM (SELECT *, lead(t) OVER person AS next_t, lead(stage) OVER person AS next_stage,
            lead(channel) OVER person AS next_channel
        FROM step WINDOW person AS (PARTITION BY person_id ORDER BY pos))
    WHERE next_t IS NOT NULL),
familiar AS (
    SELECT person_id, switch, CASE channel {codes} END AS family,
        CASE next_channel {codes} END AS next_family
    FROM pair)"""


def _families(channels: Iterable[Channel]) -> list[str | None]:
    """The families in the order in which the journey first names them."""
    return list(dict.fromkeys(channel.family for channel in channels))


def _of(query: SwitchesQuery, channel: int) -> str | None:
    return query.journey.channels[channel].family


def _after(rows: Iterable[Row]) -> dict[str, After]:
    found = {bool(row["switch"]): row for row in rows}
    return {
        name: After(
            pairs=found[switched]["pairs"] if switched in found else 0,
            completed=found[switched]["completed"] if switched in found else 0,
            rate=_rate(found[switched]["completed"], found[switched]["pairs"])
            if switched in found
            else None,
        )
        for name, switched in (("switch", True), ("no_switch", False))
    }


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
