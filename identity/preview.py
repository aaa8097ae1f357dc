"""Who people would be by other rules, thresholds or another model; nothing is written, or locked.

What a change touches is read and computed as after the change; the tables stay as they are.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, known, namespaces, people, recalibration, restricted
from identity.errors import ModelNotFound, PreviewTooLarge
from identity.guards import Edge
from identity.known import ScoredPair
from identity.learnt import stays
from identity.namespaces import Setting, blocked_form
from identity.tables import Link, Review, Suspension

#: Identifiers that are computed at once.
PORTION = 10_000
BIGGEST = 10
#: Why a link is held whose run or rule was taken back: no model brings it back.
UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be otherwise: the rules of a namespace, the merge threshold, the model.

    `merge` is the one proposed; probabilities mean what they mean after the recalibration that
    counts. `model_run` names a run that has learnt a model which is kept.
    """

    setting: Setting | None = None
    merge: float | None = None
    model_run: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a preview may look at: records scored anew, identifiers and matches; None for any.

    `until` is a moment of `time.monotonic()`.
    """

    records: int | None = None
    identifiers: int | None = None
    until: float | None = None

    def demand(self, identifiers: int = 0) -> None:
        """Raise PreviewTooLarge when so many are too many, or the time is up."""
        if self.identifiers is not None and identifiers > self.identifiers:
            raise PreviewTooLarge(
                f"more than {self.identifiers} identifiers or matches would be looked at; "
                "use parcours identity preview"
            )
        if self.until is not None and time.monotonic() > self.until:
            raise PreviewTooLarge("it takes too long; use parcours identity preview")


ANY = Bounds()


@dataclass(slots=True)
class Preview:
    """Of everybody whose person would be computed anew: whom they belong to, before and after.

    `looked_at` is how many identifiers that were. `before` and `after` are the members by person,
    of the people that would change alone; `group` is the asserted group of each member after.
    """

    looked_at: int = 0
    before: dict[int, list[int]] = field(default_factory=dict)
    after: dict[int, list[int]] = field(default_factory=dict)
    group: dict[int, int] = field(default_factory=dict)

    @property
    def merges(self) -> dict[int, list[int]]:
        """The people that would be put together, by who they would be."""
        was = {i: person for person, members in self.before.items() for i in members}
        joined = {p: sorted({was[i] for i in members}) for p, members in self.after.items()}
        return {p: olds for p, olds in joined.items() if len(olds) > 1}

    @property
    def splits(self) -> dict[int, list[int]]:
        """The people that would come apart, and who their parts would be."""
        will = {i: person for person, members in self.after.items() for i in members}
        parts = {p: sorted({will[i] for i in members}) for p, members in self.before.items()}
        return {p: news for p, news in parts.items() if len(news) > 1}


def preview(session: Session, proposal: Proposal, *, merge: float, bounds: Bounds = ANY) -> Preview:
    """Compute who everybody that a proposal touches would be.

    `merge` is the merge threshold in force, or that would be with the model proposed. With a model
    all records are scored anew, and what is joined stays so half a bit below the threshold unless
    another is proposed, as a run has it. Raises NamespaceRulesInvalid, ModelNotFound and
    PreviewTooLarge.
    """
    rules, blocked, touched = None, frozenset[int](), list[Iterator[list[int]]]()
    name = None
    if proposal.setting is not None:
        namespaces.check(session, proposal.setting)
        name = proposal.setting.rules.name
        rules = {**namespaces.in_force(session), name: proposal.setting.rules}
        blocked = _blocked(session, proposal.setting)
        touched.append(namespaces.touched(session, name, portion=PORTION))
    without, more = _matches(session, proposal, merge, bounds)
    ends = {i for edge in more for i in (edge.left, edge.right)} | _ends(session, without)
    # New links reach whoever they please, so all of them are looked at together.
    touched.append(_portions(sorted(ends), size=len(ends) if more else PORTION))
    change = graph.Change(rules, name, blocked, frozenset(without), tuple(more))
    portions: list[list[int]] = []
    count = 0
    for portion in (p for portions in touched for p in portions):
        count += len(portion)
        bounds.demand(count)
        portions.append(portion)
    return _compute(session, portions, change, bounds)


def largest(session: Session, found: Preview) -> tuple[list[int], list[int]]:
    """Return how many identifiers the largest people have, before and after."""
    now = session.execute(
        graph.statement("largest_people"), {"without": "{}", "limit": BIGGEST}
    ).all()
    rest = session.execute(
        graph.statement("largest_people"),
        {"without": graph.array(found.before.keys()), "limit": BIGGEST},
    ).all()
    sizes = [row.identifiers for row in rest] + [len(m) for m in found.after.values()]
    return [row.identifiers for row in now], sorted(sizes, reverse=True)[:BIGGEST]


def reviews_from(session: Session, threshold: float) -> tuple[int, int]:
    """Return how many undecided pairs wait, and how many of these reach a review threshold."""
    least = recalibration.curve(session).least(threshold)
    counts = sa.select(sa.func.count(), sa.func.count().filter(Review.probability >= least))
    row = session.execute(counts.where(Review.decision.is_(None))).one()
    return row[0], row[1]


def _blocked(session: Session, setting: Setting) -> frozenset[int]:
    name = setting.rules.name
    values = {
        "namespace": name,
        "blocked": sorted({blocked_form(name, value) for value in setting.blocked}),
        "patterns": list(setting.blocked_patterns),
    }
    return frozenset(session.scalars(graph.statement("would_be_blocked"), values))


def _matches(
    session: Session, proposal: Proposal, merge: float, bounds: Bounds
) -> tuple[set[int], list[Edge]]:
    """Return the matches that would go, and those that would come."""
    if bounds.identifiers is not None and (proposal.merge or proposal.model_run):
        counted = "SELECT count(*) FROM (SELECT FROM identity.link WHERE kind = 'match' LIMIT :n) m"
        bounds.demand(session.scalar(sa.text(counted), {"n": bounds.identifiers + 1}) or 0)
    if proposal.merge is None and proposal.model_run is None:
        return set(), []
    least = recalibration.curve(session).least(merge if proposal.merge is None else proposal.merge)
    matches = {
        (link.left_id, link.right_id): link
        for link in session.scalars(sa.select(Link).where(Link.kind == "match"))
    }
    fixed = {pair for pair, link in matches.items() if link.revoked_at or link.held == UNDONE}
    stopped = restricted.identifiers(session)
    standing = {
        pair: link
        for pair, link in matches.items()
        if pair not in fixed and stopped.isdisjoint(pair) and (link.probability or 0.0) > 0
    }
    if proposal.model_run is not None:
        stay = stays(least) if proposal.merge is None else least
        scored = {
            (p.left, p.right): p.probability
            for p in _scored(session, proposal.model_run, stay, bounds.records)
        }
        new = {pair: p for pair, p in scored.items() if p >= least}
        gone = {
            pair
            for pair, link in standing.items()
            if pair not in scored or new.get(pair, link.probability) != link.probability
        }
        fixed |= standing.keys() - gone
    else:
        gone = {pair for pair, link in standing.items() if (link.probability or 0.0) < least}
        doubted = sa.select(Review).where(Review.decision.is_(None), Review.probability >= least)
        new = {(r.left_id, r.right_id): r.probability for r in session.scalars(doubted)}
    new = {pair: p for pair, p in new.items() if pair not in fixed and stopped.isdisjoint(pair)}
    undone = sa.select(Suspension.id).where(Suspension.rule == known.RULE)
    more = _edges(new, undone=session.scalar(undone) is not None)
    return {standing[pair].id for pair in gone}, more


def _scored(session: Session, run_id: int, least: float, most: int | None) -> list[ScoredPair]:
    from identity import candidates, waterfall  # noqa: PLC0415  # DuckDB, Arrow: 45 MB, if asked

    model = known.model(session, run_id)
    if model is None:
        raise ModelNotFound(f"run {run_id} has learnt none that is kept")
    if most is not None:
        count = session.scalar(
            sa.text("SELECT count(*) FROM (SELECT FROM identity.matchable LIMIT :most) m"),
            {"most": most + 1},
        )
        if (count or 0) > most:
            raise PreviewTooLarge(
                f"more than {most} records would be scored; use parcours identity preview"
            )
    return waterfall.likely(candidates.every(session), model.learnt, least)


def _edges(pairs: dict[tuple[int, int], float], *, undone: bool) -> list[Edge]:
    """Return links as they would be made; they have no ids yet."""
    return [
        Edge(-number, left, right, "match", 0.0, probability, undone=undone)
        for number, ((left, right), probability) in enumerate(sorted(pairs.items()), 1)
    ]


def _ends(session: Session, links: Collection[int]) -> set[int]:
    query = sa.select(Link.left_id, Link.right_id).where(graph.among(Link.id, links))
    return {i for row in session.execute(query) for i in row}


def _portions(ids: Sequence[int], *, size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), max(size, 1)):
        yield list(ids[start : start + size])


def _compute(
    session: Session, portions: Sequence[list[int]], change: graph.Change, bounds: Bounds
) -> Preview:
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    found = Preview()
    for portion in portions:
        wanted = set(portion) - before.keys()
        if not wanted:
            continue
        imagined = graph.imagine(session, wanted, change)
        before |= imagined.before
        bounds.demand(len(before))
        after |= imagined.people.person
        found.group |= imagined.people.group
    found.looked_at = len(before)
    moved = {i for i, person in before.items() if after[i] != person}
    concerned = {before[i] for i in moved} | {after[i] for i in moved}
    for row in people.members(session, concerned):
        before.setdefault(row.identifier_id, row.person_id)
        after.setdefault(row.identifier_id, row.person_id)
        found.group.setdefault(row.identifier_id, row.group_id)
    for i in sorted(before):
        if before[i] in concerned or after[i] in concerned:
            found.before.setdefault(before[i], []).append(i)
            found.after.setdefault(after[i], []).append(i)
    return found
