"""What the answer about conformance says; pure."""

from typing import Literal

from pydantic import AwareDatetime

from app.journeys.alignment import LONGEST
from app.journeys.definition import Frozen


class ConformanceSemantics(Frozen):
    """Every choice behind the numbers of conformance."""

    unit: Literal["way: from a node of the target to its last node, or to silence"] = (
        "way: from a node of the target to its last node, or to silence"
    )
    collapse: Literal["neighbouring events at one touchpoint are one stop"] = (
        "neighbouring events at one touchpoint are one stop"
    )
    alignment: Literal["fewest deviations, then most nodes; each deviation costs one"] = (
        "fewest deviations, then most nodes; each deviation costs one"
    )
    fit: Literal["1 - deviations / (required nodes + stops + edges with a delay)"] = (
        "1 - deviations / (required nodes + stops + edges with a delay)"
    )
    pending: Literal["what an open way has not come to is no deviation, until its edge is late"] = (
        "what an open way has not come to is no deviation, until its edge is late"
    )
    late: Literal["last event at one node to first at the other, or to as_of, beyond max_delay"] = (
        "last event at one node to first at the other, or to as_of, beyond max_delay"
    )
    longest: int = LONGEST
    inactivity: str | None
    ties: Literal["source_order"] = "source_order"


class Ways(Frozen):
    """Ways in one state: how many, how many without any deviation, and the mean fit."""

    ways: int
    fit: int
    share_fit: float | None
    mean_fit: float | None
    bucket: str


class Difference(Frozen):
    """One deviation: how often, on how many ways, `share` of all; and of how many people.

    Of what is late, `to` is the other node.
    """

    kind: str
    touchpoint: str
    to: str | None
    n: int
    ways: int
    share: float | None
    profiles: int
    bucket: str


class ConformanceResult(Frozen):
    """An answer about conformance; `kinds` counts all deviations, those beyond `top` too.

    Of `profiles`, who took a way, `profiles_compared` took one that was compared.
    """

    semantics: ConformanceSemantics
    profiles: int
    ways: int
    compared: int
    profiles_compared: int
    not_compared: int
    different: int
    all: Ways
    states: dict[str, Ways]
    kinds: dict[str, int]
    deviations: tuple[Difference, ...]
    as_of: AwareDatetime
    definition_hash: str
