"""Which ways people take, exactly, step by step, and as a graph (research/journeys.md §4.2).

Nothing is hidden: what is not listed is in `other`, and at every node as many paths come in as go
on or end.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb
import numpy as np

from app.errors import DefinitionInvalid
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import definition_hash
from app.journeys.paths_answer import (
    Edge,
    Ends,
    Flow,
    Graph,
    Link,
    Node,
    OtherVariants,
    PathsResult,
    PathsSemantics,
    Place,
    Variant,
)
from app.journeys.paths_request import PathsRequest
from app.journeys.routes import mapped
from app.journeys.tallies import Tally
from app.journeys.trails import HOW, trails

Row = Mapping[str, Any]
#: How many paths are at a label of a step, or of the graph (no step).
Visits = dict[tuple[int | None, str | None], int]


def paths(
    connection: duckdb.DuckDBPyConnection, request: PathsRequest, *, as_of: datetime
) -> PathsResult:
    """Find the paths over the view `event` of the connection.

    Only events that happened and were received by `as_of` count. Raises DefinitionInvalid for a
    pattern that DuckDB cannot read. Read-only.
    """
    _readable(connection, request)
    tally = Tally(trails(connection, request, as_of), request)
    totals, (variants, other) = tally.totals(), tally.variants()
    nodes, links, places, edges = tally.nodes(), tally.links(), tally.places(), tally.edges()
    channels = _channels(request)
    steps: Visits = {(one["step"], one["label"]): one["n"] for one in nodes}
    visits: Visits = {(None, one["label"]): one["n"] for one in places}
    moves = sum(one["n"] for one in links)
    return PathsResult(
        semantics=_semantics(request),
        paths=totals["paths"],
        profiles=totals["profiles"],
        without_end=totals["without_end"],
        unlabelled=totals["unlabelled"],
        begun_earlier=totals["earlier"],
        distinct=totals["distinct_routes"],
        ends=_ends(totals),
        variants=tuple(
            Variant(
                route=tuple(one["route"]),
                n=one["n"],
                profiles=one["profiles"],
                share=one["share"],
                ends=_ends(one),
                p50=_seconds(one["p50"]),
                bucket=bucket("variant", *one["route"], many=True),
            )
            for one in variants
        ),
        other=OtherVariants(
            variants=other["variants"],
            n=other["n"],
            share=other["n"] / totals["paths"] if totals["paths"] else 0.0,
            bucket=bucket("variants", "other"),
        ),
        flow=Flow(
            nodes=tuple(
                Node(
                    step=one["step"],
                    label=one["label"],
                    bucket=bucket("node", one["step"], one["label"]),
                    **_balance(one),
                )
                for one in nodes
            ),
            links=tuple(
                Link(
                    step=one["step"],
                    bucket=bucket("link", one["step"], one["source"], one["target"]),
                    **_edge(one, channels, steps, moves),
                )
                for one in links
            ),
        ),
        graph=Graph(
            nodes=tuple(
                Place(
                    label=one["label"],
                    bucket=bucket("label", one["label"], many=True),
                    **_balance(one),
                )
                for one in places
            ),
            edges=tuple(
                Edge(
                    bucket=bucket("edge", one["source"], one["target"]),
                    **_edge(one, channels, visits, moves),
                )
                for one in edges
            ),
        ),
        as_of=as_of,
        definition_hash=definition_hash(request),
    )


def people(
    connection: duckdb.DuckDBPyConnection, request: PathsRequest, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: of a `variant`, the other `variants`, a `node`
    or `link` of the flow, a `label` or `edge` of the graph, or all that `ended` in a way.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    tally = Tally(trails(connection, request, as_of), request)
    found, label = tally.trails, tally.code
    match kind, place:
        case "variant", [*labels] if all(isinstance(one, str) for one in labels):
            who = found.who[tally.takes([str(one) for one in labels])]
        case "variants", ["other"]:
            who = found.who[tally.ranked.route >= tally.ranked.listed(request)]
        case "node", [int() as step, (str() | None) as one]:
            who = tally.who[(found.step == step) & (tally.shown == label(one))]
        case "link", [int() as step, (str() | None) as one, (str() | None) as two]:
            at = tally.between(tally.shown, label(one), label(two))
            who = tally.who[at[found.step[at] == step]]
        case "label", [(str() | None) as one]:
            who = tally.who[tally.node == label(one)]
        case "edge", [(str() | None) as one, (str() | None) as two]:
            who = tally.who[tally.between(tally.node, label(one), label(two))]
        case "ended", [str() as how] if how in HOW:
            who = found.who[found.how == HOW.index(how)]
        case _:
            raise unknown(number, "variant, variants, node, link, label, edge, ended")
    return [int(person) for person in found.people[np.flatnonzero(np.bincount(who))]]


def _readable(connection: duckdb.DuckDBPyConnection, request: PathsRequest) -> None:
    """Refuse a pattern that Python reads and RE2 does not, before it is one of many conditions."""
    for number, rule in enumerate(request.replace):
        try:
            connection.execute("SELECT regexp_replace('', $1, $2)", [rule.pattern, rule.by])
        except duckdb.InvalidInputException:
            raise DefinitionInvalid(
                f"/replace/{number}: {rule.pattern!r} or what it becomes is not of RE2"
            ) from None


def _ends(row: Row) -> Ends:
    return Ends(**{how: row[how] for how in HOW})


def _balance(row: Row) -> dict[str, Any]:
    counts = {key: row[key] for key in ("n", "profiles", "begins", "inflow", "outflow")}
    return {**counts, "ends": _ends(row)}


def _edge(
    row: Row,
    channels: Mapping[str, str],
    nodes: Visits,
    moves: int,
) -> dict[str, Any]:
    source, target = row["source"], row["target"]
    known = source in channels and target in channels
    return {
        "source": source,
        "target": target,
        "n": row["n"],
        "profiles": row["profiles"],
        "share_of_source": row["n"] / nodes[row.get("step"), source],
        "share_of_all": row["n"] / moves,
        "p50": _seconds(row["p50"]),
        "p90": _seconds(row["p90"]),
        "switch": channels[source] != channels[target] if known else None,
    }


def _channels(request: PathsRequest) -> dict[str, str]:
    """The channel of each label, where labels are of one channel each."""
    if request.journey is None or len(request.label) > 1 or request.replace:
        return {}
    part = request.label[0]
    if not isinstance(part, str) or part in ("event", "stage"):
        return {}
    return {mapped(part, point): point.channel for point in request.journey.touchpoints}


def _semantics(request: PathsRequest) -> PathsSemantics:
    said = request.model_dump(mode="json", exclude_none=True)
    anchor = request.start or request.end
    if request.start and request.end:
        where = "start to the first end after it"
    else:
        where = "start" if request.start else "end" if request.end else "first event"
    return PathsSemantics(
        unit="profile" if request.session_gap is None else "session of a profile",
        anchor=where,
        occurrence=anchor.occurrence if anchor else "first",
        label=" · ".join(part if isinstance(part, str) else part.prop for part in request.label),
        collapse=request.collapse,
        max_depth=request.max_depth,
        session_gap=said.get("session_gap"),
        window=said.get("window"),
        inactivity=said.get("inactivity"),
    )


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
