"""What may be worth telling, before all tests are corrected together; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.journeys import significance
from app.journeys.findings_answer import FindingKind
from app.journeys.findings_request import FindingsQuery
from app.journeys.intervals import newcombe, wilson
from app.journeys.sentences import Figure, Name, Points, Share
from app.journeys.significance import Verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a finding would say, before all tests are corrected together.

    `notable` says that it is one if its q is low enough, or at once where there is no test; `said`
    that its words have the interval in them.
    """

    kind: FindingKind
    about: dict[str, str]
    french: str
    english: str
    figures: Mapping[str, Figure]
    n: int
    k: float
    at: str
    share: float | None = None
    reference: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    verdict: Verdict | None = None
    people: float = 0.0
    notable: bool = True
    said: bool = False
    bucket: str | None = None


#: None stands for a group that is too small to be tested.
Found = Iterator[Candidate | None]


class Names:
    """What the parts of a journey are called; without a journey, by their identifiers."""

    def __init__(self, query: FindingsQuery) -> None:
        """Look up nothing yet."""
        self._journey = query.journey

    def __call__(self, part: str, identifier: str) -> Name:
        """Return the name of a stage, a channel or a touchpoint."""
        for one in getattr(self._journey, part, ()):
            if one.id == identifier:
                return Name(one.name, identifier)
        return Name(None, identifier)


def above_limit(
    query: FindingsQuery, kind: FindingKind, about: dict[str, str], french: str, english: str,
    figures: Mapping[str, Figure], counts: tuple[int, int], limit: float, at: str,
    bucket: str | None,
) -> Candidate | None:  # fmt: skip
    """Hold a share against a limit; None of too few people."""
    k, n = counts
    if n < query.least:
        return None
    return Candidate(
        kind, about, french, english,
        {**figures, "k": k, "n": n, "share": Share(k / n), "limit": Share(limit)},
        n, k, at, k / n, limit, interval=wilson(k, n), verdict=significance.above(k, n, limit),
        people=k - limit * n, bucket=bucket,
    )  # fmt: skip


def between(
    query: FindingsQuery, kind: FindingKind, about: dict[str, str], french: str, english: str,
    figures: Mapping[str, Figure], one: tuple[int, int], other: tuple[int, int], sign: int,
    at: str, bucket: str | None,
) -> Candidate | None:  # fmt: skip
    """Hold two shares against each other; `sign` is 1 where only a greater one is worth telling."""
    if min(one[1], other[1]) < query.least:
        return None
    share, reference = one[0] / one[1], other[0] / other[1]
    return Candidate(
        kind, about, french, english,
        {**figures, "n": one[1], "share": Share(share), "others": other[1],
         "reference": Share(reference), "difference": Points(share - reference)},
        one[1], one[0], at, share, reference, share - reference, newcombe(*one, *other),
        significance.shares(*one, *other), people=abs(share - reference) * one[1],
        notable=not sign or share > reference, bucket=bucket,
    )  # fmt: skip


def fact(
    kind: FindingKind, about: dict[str, str], french: str, english: str,
    figures: Mapping[str, Figure], counts: tuple[int, int], at: str, bucket: str | None,
) -> Candidate:  # fmt: skip
    """State a share that is a fact of the map, with its interval and without a test."""
    k, n = counts
    return Candidate(
        kind, about, french, english, {**figures, "k": k, "n": n, "share": Share(k / n)},
        n, k, at, k / n, interval=wilson(k, n), bucket=bucket,
    )  # fmt: skip
