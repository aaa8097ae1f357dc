"""What the answer about paths says; pure."""

from typing import Literal

from pydantic import AwareDatetime

from app.journeys.definition import Frozen


class PathsSemantics(Frozen):
    """Every choice behind the numbers of paths."""

    unit: Literal["profile", "session of a profile"]
    anchor: Literal["start", "end", "start to the first end after it", "first event"]
    occurrence: Literal["first", "last", "every"]
    label: str
    unlabelled: Literal["take no part"] = "take no part"
    collapse: bool
    max_depth: int | None
    session_gap: str | None
    window: str | None
    inactivity: str | None
    ties: Literal["source_order"] = "source_order"
    ended: Literal[
        "drop: window, session or inactivity is over; in_progress: not yet;"
        " continues: more follows beyond max_depth; arrived: at the end asked for"
    ] = (
        "drop: window, session or inactivity is over; in_progress: not yet;"
        " continues: more follows beyond max_depth; arrived: at the end asked for"
    )
    other: Literal["label null: all labels beyond top_n of a step, or max_nodes of the graph"] = (
        "label null: all labels beyond top_n of a step, or max_nodes of the graph"
    )
    pause: Literal["seconds from the last event of a step to the first of the next"] = (
        "seconds from the last event of a step to the first of the next"
    )
    quantile: Literal["exact, type 7, to the microsecond"] = "exact, type 7, to the microsecond"


class Ends(Frozen):
    """How many paths ended in which way."""

    drop: int
    in_progress: int
    continues: int
    arrived: int


class Variant(Frozen):
    """One exact route: how many paths and profiles, how they ended, seconds from first to last."""

    route: tuple[str, ...]
    n: int
    profiles: int
    share: float
    ends: Ends
    p50: float | None
    bucket: str


class OtherVariants(Frozen):
    """The routes that are not listed, in sum: under `min_share`, or beyond `top_variants`."""

    variants: int
    n: int
    share: float
    bucket: str


class Node(Frozen):
    """One label at one step: as many paths come in (or begin) as go on or end there."""

    step: int
    label: str | None
    n: int
    profiles: int
    begins: int
    inflow: int
    outflow: int
    ends: Ends
    bucket: str


class Link(Frozen):
    """Paths that go from a label at a step to one at the next; `switch` to another channel.

    `switch` is null where labels say nothing of channels.
    """

    step: int
    source: str | None
    target: str | None
    n: int
    profiles: int
    share_of_source: float
    share_of_all: float
    p50: float | None
    p90: float | None
    switch: bool | None
    bucket: str


class Place(Frozen):
    """One label of the graph, wherever it comes in a path; counts are of visits."""

    label: str | None
    n: int
    profiles: int
    begins: int
    inflow: int
    outflow: int
    ends: Ends
    bucket: str


class Edge(Frozen):
    """A label directly followed by another; the same label twice is a loop."""

    source: str | None
    target: str | None
    n: int
    profiles: int
    share_of_source: float
    share_of_all: float
    p50: float | None
    p90: float | None
    switch: bool | None
    bucket: str


class Graph(Frozen):
    """The directly-follows graph: places and edges, loops visible."""

    nodes: tuple[Place, ...]
    edges: tuple[Edge, ...]


class Flow(Frozen):
    """The same paths by step from the anchor, for a Sankey diagram."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


class PathsResult(Frozen):
    """An answer about paths.

    `paths` are anchored paths, `profiles` their people, `without_end` those from a start that
    reach no end. `unlabelled` are events without a label; `distinct` counts all routes.
    `begun_earlier` says how many paths to an end had earlier events that are not shown.
    """

    semantics: PathsSemantics
    paths: int
    profiles: int
    without_end: int
    unlabelled: int
    begun_earlier: int
    distinct: int
    ends: Ends
    variants: tuple[Variant, ...]
    other: OtherVariants
    flow: Flow
    graph: Graph
    as_of: AwareDatetime
    definition_hash: str
