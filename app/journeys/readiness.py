# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""How ready the data is, computed from the feeds: what is blind, and which of five levels it bears.

The levels are those of Vaimo's audit of maturity, asked of the data instead of the people; what
each demands is in `readiness_levels`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from app.journeys import voice as voices
from app.journeys.asked_places import VoiceIn
from app.journeys.attributes import Attribute
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import definition_hash
from app.journeys.findings_questions import last_stage
from app.journeys.paths_request import PathsRequest
from app.journeys.predicate import Parameters, known, microseconds, sql
from app.journeys.readiness_answer import (
    LEVELS,
    ChannelSeen,
    ChannelStatus,
    Feed,
    ReadinessResult,
    ReadinessSemantics,
    Unmapped,
)
from app.journeys.readiness_levels import Facts, criteria, reached
from app.journeys.readiness_request import ReadinessQuery
from app.journeys.routes import label_of
from app.journeys.sentences import Name, sentence

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Names of unmapped events that are listed, the most frequent.
MOST_UNMAPPED = 20


def readiness(
    connection: duckdb.DuckDBPyConnection, query: ReadinessQuery, *, as_of: datetime
) -> ReadinessResult:
    """Look at every feed over the views `event` and `attribute`. Read-only."""
    parameters = Parameters()
    text = _labelled(query, as_of, parameters)
    # In whole microseconds: before the year 1 there is no datetime.
    quiet = query.silent_after // timedelta(microseconds=1)
    fresh = f"make_timestamptz({parameters.bind(microseconds(as_of) - quiet)}::BIGINT)"
    outcome = query.outcome or (last_stage(query.journey) if query.journey else None)
    came = sql(outcome, parameters) if outcome else "false"
    [row] = connection.execute(
        f"""{text},
        feed AS (
            SELECT source, count(*) AS events, count(DISTINCT person_id) AS profiles,
                epoch_us(min(occurred_at)) AS first, epoch_us(max(received_at)) AS last,
                round(quantile_cont(delay, 0.5) FILTER (received_at > {fresh})) AS p50,
                round(quantile_cont(delay, 0.95) FILTER (received_at > {fresh})) AS p95
            FROM labelled GROUP BY source),
        met AS (
            SELECT channel, count(*) AS events, count(DISTINCT person_id) AS profiles,
                count(DISTINCT person_id) FILTER (is_known) AS known,
                epoch_us(max(occurred_at)) AS last, list(DISTINCT point) AS points
            FROM labelled WHERE channel IS NOT NULL GROUP BY channel),
        person_seen AS (
            SELECT person_id, bool_or(is_known) AS is_known, count(DISTINCT channel) AS channels,
                bool_or({came}) AS came
            FROM labelled GROUP BY person_id)
        SELECT (SELECT list(x ORDER BY source NULLS LAST) FROM feed x),
            (SELECT list(x) FROM met x),
            (SELECT list(x ORDER BY n DESC, name NULLS LAST) FROM (
                SELECT name, count(*) AS n FROM labelled WHERE point IS NULL
                GROUP BY name ORDER BY n DESC, name NULLS LAST LIMIT {MOST_UNMAPPED}) x),
            (SELECT {{'events': count(*), 'mapped': count(point)}} FROM labelled),
            (SELECT {{'profiles': count(*), 'known': count(*) FILTER (is_known),
                'several': count(*) FILTER (channels > 1), 'came': count(*) FILTER (came)}}
                FROM person_seen),
            (SELECT list(x ORDER BY label) FROM (SELECT label, count(*) AS n FROM attribute
                WHERE kind = 'left_out' GROUP BY label) x),
            (SELECT count(*) FROM attribute WHERE kind = 'allowed')""",
        parameters.values,
    ).fetchall()
    feeds = tuple(_feed(query, one, as_of) for one in row[0] or ())
    channels = _channels(query, {one["channel"]: one for one in row[1] or ()}, as_of)
    left_out = {one["label"]: one["n"] for one in row[5] or ()}
    facts = Facts(
        feeds, channels, **row[3], **row[4], left_out=sum(left_out.values()), allowed=row[6],
        covered=_covered(connection, query, as_of),
    )  # fmt: skip
    found = tuple(criteria(query, facts, as_of))
    level = reached(found)
    return ReadinessResult(
        semantics=ReadinessSemantics(
            **{
                part: value
                for part, value in query.model_dump(mode="json").items()
                if part in ("silent_after", "prompt", "history", "least")
            }
        ),
        level=level,
        summary=sentence(
            "Niveau {level} sur 5 : {name} ; {met} {met:critère rempli|critères remplis} sur"
            " {all}.",
            "Level {level} of 5: {name}; {met} of {all} criteria {met:is|are} met.",
            level=level,
            name=Name(LEVELS[level], ""),
            met=sum(one.met for one in found),
            all=len(found),
        ),
        criteria=found,
        feeds=feeds,
        channels=channels,
        unmapped=tuple(Unmapped(event=one["name"], events=one["n"]) for one in row[2] or ()),
        events=facts.events,
        mapped=facts.mapped,
        profiles=facts.profiles,
        known=facts.known,
        several=facts.several,
        came=facts.came,
        allowed=facts.allowed,
        left_out=left_out,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def attributes(_: ReadinessQuery) -> tuple[Attribute, ...]:
    """Return what is to be known of people: who is more than a device, and who is left out."""
    return (Attribute("coverage", ""),)


def people(
    connection: duckdb.DuckDBPyConnection, query: ReadinessQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `channel:web`, `known:any`, `unknown:any`.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    parameters = Parameters()
    text = _labelled(query, as_of, parameters)
    channels = [one.id for one in query.journey.channels] if query.journey else []
    if kind == "channel" and place[0] in channels:
        where = f"channel = {parameters.bind(place[0])}::VARCHAR"
    elif kind in ("known", "unknown") and place == ["any"]:
        where = "is_known" if kind == "known" else "NOT is_known"
    else:
        raise unknown(number, "channel:…, known:any, unknown:any")
    rows = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM labelled WHERE {where} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _labelled(query: ReadinessQuery, as_of: datetime, parameters: Parameters) -> str:
    """Every event with the touchpoint and the channel that it belongs to, if any."""
    point = channel = "NULL::VARCHAR"
    if query.journey is not None:
        point, channel = (
            label_of(PathsRequest(journey=query.journey, label=(part,)), parameters)
            for part in ("touchpoint", "channel")
        )
    return f"""WITH known_person AS (
            SELECT DISTINCT person_id, true AS yes FROM attribute WHERE kind = 'known'),
        labelled AS MATERIALIZED (
            SELECT e.*, {point} AS point, {channel} AS channel, coalesce(yes, false) AS is_known,
                greatest(epoch_us(received_at) - epoch_us(occurred_at), 0) AS delay
            FROM event e LEFT JOIN known_person USING (person_id)
            WHERE {known(as_of, parameters)})"""


def _feed(query: ReadinessQuery, one: dict[str, Any], as_of: datetime) -> Feed:
    return Feed(
        source=one["source"],
        events=one["events"],
        profiles=one["profiles"],
        first=_time(one["first"]),
        last_received=_time(one["last"]),
        silent=_silent(query, one["last"], as_of),
        delay_p50=None if one["p50"] is None else one["p50"] / 1e6,
        delay_p95=None if one["p95"] is None else one["p95"] / 1e6,
    )


def _channels(
    query: ReadinessQuery, met: dict[str, dict[str, Any]], as_of: datetime
) -> tuple[ChannelSeen, ...]:
    found = []
    if query.journey is None:
        return ()
    for channel in query.journey.channels:
        points = [p.id for p in query.journey.touchpoints if p.channel == channel.id]
        one = met.get(channel.id)
        status: ChannelStatus = "seen"
        if not points:
            status = "without_touchpoint"
        elif one is None:
            status = "blind"
        elif _silent(query, one["last"], as_of):
            status = "silent"
        found.append(
            ChannelSeen(
                channel=channel.id,
                name=channel.name,
                status=status,
                touchpoints=len(points),
                observed=len(one["points"]) if one else 0,
                events=one["events"] if one else 0,
                profiles=one["profiles"] if one else 0,
                known=one["known"] if one else 0,
                last=_time(one["last"]) if one else None,
                bucket=bucket("channel", channel.id),
            )
        )
    return tuple(found)


def _covered(
    connection: duckdb.DuckDBPyConnection, query: ReadinessQuery, as_of: datetime
) -> set[str] | None:
    """The touchpoints of which enough answers speak; None where no survey is named."""
    if query.journey is None or not query.surveys:
        return None
    said = query.model_dump(mode="json", by_alias=True, include={"surveys"})
    asked = VoiceIn.model_validate({"journey": query.journey.key, **said}).question(query.journey)
    result = voices.voice(connection, asked, as_of=as_of)
    return {
        one.touchpoint
        for survey in result.surveys
        for one in survey.touchpoints
        if one.n >= query.least
    }


def _silent(query: ReadinessQuery, last: int, as_of: datetime) -> bool:
    return microseconds(as_of) - last > query.silent_after // timedelta(microseconds=1)


def _time(microseconds_: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds_)
