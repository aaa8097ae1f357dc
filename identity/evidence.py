"""Evidence: what shows that two identifiers are one person's, kept as links, once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from identity.statements import literal, rows_of, run

#: A link counts as seen in the week of its last evidence, in seconds since 1970.
WEEK = 604_800
#: By so many bits a match that was taken back must be surer, of changed records, to count anew.
SURER = 1.0


class Evidence(
    msgspec.Struct,
    frozen=True,
    rename={"left": "left_id", "right": "right_id", "details": "evidence"},
):
    """Two identifiers that one thing speaks of: an event, a match, a person's decision."""

    left: int
    right: int
    kind: str
    rule: str
    first_at: datetime
    last_at: datetime | None = None
    evidence_id: int | None = None
    weight: float | None = None
    probability: float | None = None
    details: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose people must be computed again, and who has been linked before: they are settled."""

    touched: set[int]
    linked: set[int]


def shown(session: Session, evidence: Iterable[Evidence]) -> Shown:
    """Keep links, and say for whom they are news.

    A link that was seen before this week adds nothing, and is not even locked; one that somebody
    revoked stays revoked. A match that is scored anew takes its new weight. Whoever keeps a link
    has its ends computed in the same transaction, or notes them for the worker in it.
    """
    kinds: dict[str, dict[tuple[int, int], _Seen]] = {}
    for item in evidence:
        left, right = item.left, item.right
        if left == right:
            continue
        pairs = kinds.setdefault(item.kind, {})
        pair = (left, right) if left < right else (right, left)
        seen = pairs.get(pair)
        at = item.last_at or item.first_at
        if seen is None:
            pairs[pair] = _Seen(item, at, item.rule)
        else:
            seen.add(item, at)
    found = Shown(set(), set())
    for kind in sorted(kinds):
        _keep(session, kind, kinds[kind], found)
    return found


class _Seen:
    """What was shown of one pair: the earliest evidence, the last time, and by which rules."""

    __slots__ = ("first", "last_at", "rules")

    def __init__(self, first: Evidence, last_at: datetime, rules: str) -> None:
        self.first, self.last_at, self.rules = first, last_at, rules

    def add(self, item: Evidence, at: datetime) -> None:
        if item.first_at < self.first.first_at:
            self.first = item
        if at > self.last_at:
            self.last_at = at
        if item.rule not in self.rules.split(","):
            self.rules = ",".join(sorted({*self.rules.split(","), item.rule}))


def _keep(
    session: Session, kind: str, pairs: Mapping[tuple[int, int], _Seen], found: Shown
) -> None:
    ordered = sorted(pairs)
    seen = [pairs[pair] for pair in ordered]
    news, matter, unknown = run(
        session,
        "news",
        {
            "kind": kind,
            "lefts": literal([left for left, _ in ordered]),
            "rights": literal([right for _, right in ordered]),
            "rules": literal([s.rules for s in seen]),
            "firsts": literal([s.first.first_at for s in seen]),
            "weeks": literal([int(s.last_at.timestamp() // WEEK) for s in seen]),
            "probabilities": literal([s.first.probability for s in seen]),
            "weights": literal([s.first.weight for s in seen]),
            "surer": SURER,
        },
    ).one()
    new = [int(n) - 1 for n in news.split(",")] if news else []
    if new:
        rows = [_row(ordered[n], seen[n]) for n in new]
        run(session, "keep_links", {"rows": rows_of(rows)})
    found.touched.update(i for n in (matter or "").split(",") if n for i in ordered[int(n) - 1])
    strange = {int(n) - 1 for n in unknown.split(",")} if unknown else ()
    found.linked.update(i for n, pair in enumerate(ordered) if n not in strange for i in pair)


def _row(pair: tuple[int, int], seen: _Seen) -> dict[str, Any]:
    left, right = pair
    first = msgspec.structs.replace(seen.first, left=left, right=right, last_at=seen.last_at)
    return {**msgspec.structs.asdict(first), "left_id": left, "right_id": right,
            "rules": seen.rules.split(","), "evidence": first.details}  # fmt: skip
