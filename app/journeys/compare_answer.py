"""What a comparison answers; pure."""

from typing import Literal

from pydantic import AwareDatetime

from app.journeys.compare_request import Align
from app.journeys.definition import Frozen

Status = Literal["tested", "insufficient_sample", "no_variation"]


class CompareSemantics(Frozen):
    """Every choice behind a comparison."""

    unit: Literal["profile"] = "profile"
    evidence: Literal["observational", "randomised"]
    entry: Literal["a person's first such event in range"] = "a person's first such event in range"
    variant: Literal["the first that fits, in written order"] = (
        "the first that fits, in written order"
    )
    of_people: Literal["segments and traits as of now"] = "segments and traits as of now"
    follow_up: Literal["with a window only people whose window is over"] = (
        "with a window only people whose window is over"
    )
    shares: Literal["z, pooled; Fisher's exact test where an expected count is below 5"] = (
        "z, pooled; Fisher's exact test where an expected count is below 5"
    )
    difference: Literal["Newcombe's interval (method 10), 95 %"] = (
        "Newcombe's interval (method 10), 95 %"
    )
    times: Literal["log-rank; who has not come through is censored"] = (
        "log-rank; who has not come through is censored"
    )
    amounts: Literal["Welch's t, Mann-Whitney's U; percentile bootstrap, 2,000 draws, seed 1"] = (
        "Welch's t, Mann-Whitney's U; percentile bootstrap, 2,000 draws, seed 1"
    )
    multiplicity: Literal["Benjamini-Hochberg over all pairs and measures of an alignment"] = (
        "Benjamini-Hochberg over all pairs and measures of an alignment"
    )
    sides: Literal[2] = 2
    least: int


class Group(Frozen):
    """A variant by one outcome: `k` of `n` came through; `in_progress` are not counted yet."""

    variant: str
    n: int
    k: int
    share: float | None
    interval: tuple[float, float] | None
    in_progress: int
    decided: int
    median_seconds: float | None
    bucket: str


class Heap(Frozen):
    """A variant by one amount."""

    variant: str
    n: int
    total: float
    mean: float | None
    deviation: float | None
    in_progress: int
    bucket: str


class Tested(Frozen):
    """One test: its p, and the q among all of this alignment."""

    test: str
    statistic: float | None
    p: float
    q: float


class Pair(Frozen):
    """Two variants held against each other; `difference` is the first less the second.

    `detectable` is the smallest difference that groups of these sizes would show in four of five
    trials. Of an amount `interval` is that of the bootstrap, null for more than 50,000 people.
    """

    measure: str
    one: str
    two: str
    status: Status
    difference: float | None
    interval: tuple[float, float] | None
    ratio: float | None
    odds_ratio: float | None
    detectable: float | None
    tests: tuple[Tested, ...]


class Overall(Frozen):
    """Of three variants or more: whether their shares are one at all."""

    measure: str
    test: str
    statistic: float
    p: float


class Comparison(Frozen):
    """The same groups from one time zero.

    `compared` have reached it, and are alive and known there; `unassigned` fit no variant.
    """

    align: Align
    counted_from: Literal["entry", "milestone", "landmark"]
    compared: int
    unassigned: int
    sizes: dict[str, int]
    outcomes: dict[str, tuple[Group, ...]]
    amounts: dict[str, tuple[Heap, ...]]
    overall: tuple[Overall, ...]
    pairs: tuple[Pair, ...]


class SampleRatio(Frozen):
    """Whether a draw gave the groups the sizes it should have; `alarm` below p .001."""

    statistic: float
    p: float
    alarm: bool


class CompareResult(Frozen):
    """An answer about variants, by each alignment that was asked for."""

    semantics: CompareSemantics
    alignments: tuple[Comparison, ...]
    sample_ratio: SampleRatio | None
    as_of: AwareDatetime
    definition_hash: str
