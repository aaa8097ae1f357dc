"""What the answer about findings says; pure."""

from typing import Any, Literal

from pydantic import AwareDatetime

from app.journeys.definition import Frozen
from app.journeys.labels import LocalizedText

FindingKind = Literal[
    "stage_drop_off",
    "place_drop_off",
    "losing_switch",
    "friction",
    "moment_of_truth",
    "deviation",
    "voice",
    "driver",
    "winning_path",
    "change",
    "anomaly",
    "planned_not_observed",
    "observed_not_planned",
    "stage_without_touchpoint",
    "unmapped_events",
    "disagreement",
]


class FindingsSemantics(Frozen):
    """Every choice behind findings."""

    unit: Literal["profile; of unmapped events the event"]
    tests: Literal[
        "against a limit: exact binomial, one-sided; between groups, or two ways: two-sided"
    ] = "against a limit: exact binomial, one-sided; between groups, or two ways: two-sided"
    multiplicity: Literal["Benjamini-Hochberg over all tests of all analyses of this answer"] = (
        "Benjamini-Hochberg over all tests of all analyses of this answer"
    )
    interval: Literal["95 %: Wilson's of a share, Newcombe's of a difference; each alone"] = (
        "95 %: Wilson's of a share, Newcombe's of a difference; each alone"
    )
    rank: Literal["people beyond what the reference would give; facts without a test come last"] = (
        "people beyond what the reference would give; facts without a test come last"
    )
    entry: Literal["as asked", "events that are mapped to the first stage with a touchpoint"]
    outcome: Literal["as asked", "events that are mapped to the last stage with a touchpoint"]
    evidence: Literal["observational"] = "observational"
    window: str
    observe: str
    threshold: float
    level: float
    least: int
    each: int


class Evidence(Frozen):
    """The request that gives the figures again: POST `request` to `path`.

    `at` points (RFC 6901) at them in its `result`, whose `definition_hash` is told too where it is
    another analysis.
    """

    path: str
    request: dict[str, Any]
    definition_hash: str | None
    at: str


class Finding(Frozen):
    """One thing worth knowing, in words and in figures.

    `share` is k / n and `interval` its own, or that of `difference`, share less `reference`, where
    there is one; of an anomaly it is what was expected. What is a fact of the map rather than a
    test has neither p nor q.
    """

    kind: FindingKind
    about: dict[str, str]
    text: LocalizedText
    n: int
    k: float
    share: float | None
    reference: float | None
    difference: float | None
    interval: tuple[float, float] | None
    test: str | None
    p: float | None
    q: float | None
    people: float
    evidence: Evidence
    bucket: str | None


class Looked(Frozen):
    """One analysis that was looked through: what was tested, found, and of too few people.

    `why_not` says why it was not asked.
    """

    analysis: str
    tested: int
    too_few: int
    found: int
    why_not: LocalizedText | None


class FindingsResult(Frozen):
    """An answer about findings, the weightiest first; `found` counts those not told too."""

    semantics: FindingsSemantics
    summary: LocalizedText
    findings: tuple[Finding, ...]
    found: int
    tested: int
    too_few: int
    looked: tuple[Looked, ...]
    as_of: AwareDatetime
    definition_hash: str
