"""Why two identifiers are one person, or why not: what is known, in the order that decides."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import cohesion, graph, known, people
from identity.attributes import named
from identity.known import Compared
from identity.learnt import Learnt
from identity.likeness import BLOCKING
from identity.tables import CannotLink, Identifier, Link, Record, Review

#: Records of each side that are compared: people with more say the same over and over.
MOST_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps two people two, with what there is to say of it."""

    code: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two identifiers: one person or two, what joins them, what keeps them apart.

    `path` are the links that lead from one to the other. `reasons` come in the order in which they
    decide. `compared` are the two records that are most alike, weighed by the latest model; of who
    has not allowed to be matched none is. `stored` are link or review that keep what was weighed.
    """

    left: Identifier
    right: Identifier
    path: tuple[Link, ...] = ()
    reasons: tuple[Reason, ...] = ()
    compared: Compared | None = None
    stored: Link | Review | None = None
    fields: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    model_run: int | None = None

    @property
    def same(self) -> bool:
        """Whether they are one person."""
        return self.left.person_id == self.right.person_id


def explain(session: Session, left: int, right: int, *, merge: float, review: float) -> Pair:
    """Say why two identifiers, which must exist, are one person or two; writes nothing.

    `merge` and `review` are the probabilities from which pairs are linked and asked about.
    """
    one, other = session.get_one(Identifier, left), session.get_one(Identifier, right)
    if "refused" in (one.link_consent, other.link_consent) and one.person_id != other.person_id:
        return Pair(one, other, reasons=(Reason("consent:refused"),))
    found = _Found(session, one, other)
    if found.same:
        return found.joined()
    return found.apart(merge, review)


class _Found:
    """What the tables say of two identifiers and their people."""

    def __init__(self, session: Session, one: Identifier, other: Identifier) -> None:
        self.session, self.one, self.other = session, one, other
        self.same = one.person_id == other.person_id
        self.known = known.model(session)
        rows = session.execute(
            graph.statement("matchable_of"),
            {"people": graph.array({one.person_id, other.person_id})},
        ).all()
        self.mine = self._of(rows, one, other)
        self.theirs = self._of(rows, other, one)
        self.fields = {row.identifier_id: named(row.fields) for row in (*self.mine, *self.theirs)}
        self.keys = {row.identifier_id: row.keys for row in (*self.mine, *self.theirs)}

    def _of(
        self, rows: Sequence[sa.Row[Any]], of: Identifier, beside: Identifier
    ) -> list[sa.Row[Any]]:
        """Return the records of one side: its own, or else those of its person."""
        own = [row for row in rows if row.identifier_id == of.id]
        if own or self.same:
            return own
        return [row for row in rows if row.person_id == of.person_id][:MOST_RECORDS]

    def joined(self) -> Pair:
        path: list[Link] = []
        if self.one.id != self.other.id:
            imagined = graph.imagine(self.session, {self.one.id, self.other.id})
            kept = [
                (e.id, e.left, e.right)
                for e in imagined.edges.values()
                if e.id not in imagined.people.held and e.left in imagined.nodes
                and e.right in imagined.nodes
            ]  # fmt: skip
            steps = cohesion.path(kept, self.one.id, self.other.id)
            links = self._links(steps)
            path = [links[i] for i in steps]
        return self._pair(path=tuple(path))

    def apart(self, merge: float, review: float) -> Pair:
        reasons = [*self._decided(), *self._linked()]
        compared = self._compared()
        reasons += self._matched(compared, merge, review)
        return self._pair(reasons=tuple(reasons), compared=compared)

    def _pair(self, *, compared: Compared | None = None, **more: Any) -> Pair:
        compared = compared or self._compared()
        shown = {compared.left, compared.right} if compared else set()
        return Pair(
            self.one,
            self.other,
            compared=compared,
            stored=self._stored(compared),
            fields={i: self.fields[i] for i in shown},
            model_run=self.known.run_id if self.known else None,
            **more,
        )

    def _links(self, ids: Sequence[int]) -> dict[int, Link]:
        found = self.session.scalars(sa.select(Link).where(graph.among(Link.id, ids)))
        return {link.id: link for link in found}

    def _decided(self) -> list[Reason]:
        people = {self.one.person_id, self.other.person_id}
        left, right = sa.orm.aliased(Identifier), sa.orm.aliased(Identifier)
        query = (
            sa.select(CannotLink)
            .join(left, left.id == CannotLink.left_id)
            .join(right, right.id == CannotLink.right_id)
            .where(graph.among(left.person_id, people), graph.among(right.person_id, people))
            .where(left.person_id != right.person_id)
        )
        return [
            Reason("cannot_link", {"by": row.decided_by, "at": row.decided_at})
            for row in self.session.scalars(query.order_by(CannotLink.decided_at))
        ]

    def _linked(self) -> list[Reason]:
        ids = self.session.scalars(
            graph.statement("links_between"),
            {"one": self.one.person_id, "other": self.other.person_id},
        ).all()
        reasons = []
        links = self._links(ids)
        for link in (links[i] for i in ids):
            about = {"link": link.id, "kind": link.kind, "rule": link.rule}
            if link.revoked_at:
                reasons.append(Reason("revoked", {**about, "at": link.revoked_at}))
            elif link.held:
                reasons.append(Reason("held", {**about, "guard": link.held}))
        if not any(link.kind == "event" for link in links.values()):
            reasons.append(Reason("no_event"))
        return reasons

    def _compared(self) -> Compared | None:
        """Weigh the records of both sides; return the two that are most alike."""
        mine = [row.identifier_id for row in self.mine]
        theirs = [row.identifier_id for row in self.theirs]
        pairs = {(min(a, b), max(a, b)) for a in mine for b in theirs if a != b}
        if self.known is None or not pairs:
            return None
        found = _weighed(self.fields, pairs, self.known.learnt)
        return max(found, key=lambda c: (c.waterfall.weight, -c.left, -c.right))

    def _stored(self, compared: Compared | None) -> Link | Review | None:
        if compared is None:
            return None
        ends = compared.left, compared.right
        link = self.session.scalar(
            sa.select(Link).where(
                Link.left_id == ends[0], Link.right_id == ends[1], Link.kind == "match"
            )
        )
        return link or self.session.scalar(
            sa.select(Review).where(Review.left_id == ends[0], Review.right_id == ends[1])
        )

    def _matched(self, compared: Compared | None, merge: float, review: float) -> list[Reason]:
        if not self.mine or not self.theirs:
            return [Reason(self._why_absent())]
        if self.known is None or compared is None:
            return [Reason("no_model")]
        probability = compared.waterfall.probability
        said = {"probability": probability, "threshold": merge}
        stored = self._stored(compared)
        keys = [self.keys[compared.left], self.keys[compared.right]]
        if isinstance(stored, Review) and stored.decision is None:
            return [Reason("review", {**said, "probability": stored.probability})]
        reasons = []
        if None in keys:
            reasons.append(Reason("waiting"))
        elif not compared.rules:
            reasons.append(Reason("no_rule", {"rules": len(BLOCKING)}))
        else:
            most = max(self.known.learnt.most[rule] for rule in compared.rules)
            if self._crowded(set(keys[0]) & set(keys[1]), most):
                reasons.append(Reason("crowded", {"most": most}))
        if probability < review:
            reasons.append(Reason("below_review", {**said, "threshold": review}))
        elif not isinstance(stored, Link):
            code = "above_merge" if probability >= merge else "review"
            reasons.append(Reason(code, said))
        return reasons

    def _why_absent(self) -> str:
        """Say why one side has no record that may be compared."""
        absent = [of.person_id for of, rows in ((self.one, self.mine), (self.other, self.theirs))
                  if not rows]  # fmt: skip
        query = (
            sa.select(Identifier.person_id, Identifier.link_consent)
            .join(Record, Record.identifier_id == Identifier.id)
            .where(graph.among(Identifier.person_id, absent), Record.fields != {})
        )
        said: dict[int, set[str]] = {}
        for row in self.session.execute(query):
            said.setdefault(row.person_id, set()).add(row.link_consent)
        if any(person not in said for person in absent):
            return "no_record"
        refused = any(states == {"refused"} for states in said.values())
        return "consent:refused" if refused else "consent:not_given"

    def _crowded(self, shared: set[int], most: int) -> bool:
        rows = self.session.execute(
            graph.statement("key_bearers"), {"keys": graph.array(shared), "most": most}
        )
        return all(row.bearers > most for row in rows)


def compared(
    session: Session, wanted: Collection[tuple[int, int]]
) -> tuple[dict[tuple[int, int], Compared], dict[int, Mapping[str, str]]]:
    """Weigh pairs of identifiers by the latest model; return these and the records compared.

    Only of who allows to be matched, and has a record; the others are left out.
    """
    model = known.model(session)
    persons = set(people.people_of(session, {i for pair in wanted for i in pair}).values())
    rows = session.execute(graph.statement("matchable_of"), {"people": graph.array(persons)})
    fields: dict[int, Mapping[str, str]] = {r.identifier_id: named(r.fields) for r in rows}
    among = {(min(p), max(p)) for p in wanted if p[0] in fields and p[1] in fields}
    if model is None or not among:
        return {}, {}
    fields = {i: fields[i] for pair in among for i in pair}
    found = _weighed(fields, among, model.learnt)
    return {(c.left, c.right): c for c in found}, fields


def _weighed(
    fields: Mapping[int, Mapping[str, str]], among: Collection[tuple[int, int]], learnt: Learnt
) -> list[Compared]:
    from identity import waterfall  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    return waterfall.compare(waterfall.table_of(fields), among, learnt)
