# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound
"""Compiles a segment's rule into one statement: who are its members now, under consent."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

import consent
from app.consents.permission import decision, parameters, unit
from app.profiles import computed_traits, trait_rules
from app.profiles.computed import ZERO
from app.profiles.conditions import Values
from app.profiles.survivorship import LATEST, Survivorship
from app.profiles.tables import ComputedTrait
from app.segments import sequence, uses
from app.segments.definition import (
    All,
    Any_,
    Behaviour,
    Computed,
    Listed,
    Member,
    Not,
    Rule,
    Sequence,
    Trait,
)
from app.segments.golden import values


class Compiler(Values):
    """Writes a rule as SQL."""

    def __init__(
        self,
        now: datetime,
        rules: Mapping[str, Survivorship],
        computed: Mapping[str, ComputedTrait],
        segments: Mapping[str, Rule],
    ) -> None:
        """Windows are measured back from `now`; `rules` are those of traits that have one.

        `computed` are the computed traits of the segment's purpose, `segments` the rules of others.
        """
        super().__init__()
        self.now = now
        self.rules = rules
        self.computed = computed
        self.segments = segments
        #: Whether a list is asked for, which needs the people of all identifiers.
        self.lists = False

    def condition(self, rule: Rule) -> str:
        """Return a rule as a condition on `subject.person_id`."""
        if isinstance(rule, All):
            return "(" + " AND ".join(self.condition(r) for r in rule.all) + ")"
        if isinstance(rule, Any_):
            return "(" + " OR ".join(self.condition(r) for r in rule.any) + ")"
        if isinstance(rule, Not):
            return f"NOT {self.condition(rule.not_)}"
        if isinstance(rule, Trait):
            return self._trait(rule)
        if isinstance(rule, Computed):
            return self._computed(rule)
        if isinstance(rule, Sequence):
            return f"subject.person_id IN ({sequence.people(rule, self, self.now)})"
        if isinstance(rule, Listed):
            return self._listed(rule)
        if isinstance(rule, Member):
            other = self.segments.get(rule.segment)
            return self.condition(other) if other is not None else "false"
        return self._behaviour(rule)

    def _trait(self, rule: Trait) -> str:
        golden = values(rule.trait, self.rules.get(rule.trait, LATEST), self.bind)
        test = self.test("t.value", rule.op, rule.value)
        return (
            f"subject.person_id IN (SELECT t.person_id FROM ({golden}) t"
            f" WHERE json_typeof(t.value) <> 'null' AND {test})"
        )

    def _computed(self, rule: Computed) -> str:
        """A value counts that was made of what may be used now, and of all of it."""
        trait = self.computed.get(rule.computed)
        if trait is None:
            return "false"
        mine = f"v.trait_id = {self.bind(trait.id)}"
        test = self.test("v.value", rule.op, rule.value)
        there = (
            "subject.person_id IN (SELECT v.subject_id FROM app.computed_value v"
            " JOIN basis b ON b.person_id = v.subject_id AND b.identifier_ids = v.basis"
            f" WHERE {mine} AND json_typeof(v.value) <> 'null' AND {test})"
        )
        if trait.definition["kind"] not in ZERO:
            return there
        nothing = self.test("CAST('0' AS json)", rule.op, rule.value)
        without = f"SELECT v.subject_id FROM app.computed_value v WHERE {mine}"
        return f"({there} OR {nothing} AND subject.person_id NOT IN ({without}))"

    def _listed(self, rule: Listed) -> str:
        """Whoever has a listed identifier now; `known` has those that may not be used, too."""
        self.lists = True
        return (
            "subject.person_id IN (SELECT k.person_id FROM known k"
            " JOIN app.people_list_member m ON m.identifier_id = k.identifier_id"
            f" WHERE m.list = {self.bind(rule.listed)})"
        )

    def _behaviour(self, rule: Behaviour) -> str:
        conditions = [f"e.name = {self.bind(rule.event)}", "NOT (:purpose = ANY(e.refused))"]
        if rule.within_days is not None:
            since = self.now - timedelta(days=rule.within_days)
            conditions.append(f"e.occurred_at >= {self.bind(since)}")
        conditions += [self.property(p) for p in rule.where]
        counted = (
            "SELECT a.person_id FROM allowed a JOIN app.event e"
            " ON e.identifier_id = a.identifier_id"
            f" WHERE {' AND '.join(conditions)} GROUP BY a.person_id HAVING "
        )
        bounds = " AND ".join(
            f"count(*) {sign} {self.bind(bound)}"
            for sign, bound in (
                (">=", rule.count.gte),
                ("<=", rule.count.lte),
                ("=", rule.count.eq),
            )
            if bound is not None
        )
        # Who has no such event is in no group, so a bound that zero meets is asked the other way.
        if rule.count.allows(0):
            return f"subject.person_id NOT IN ({counted} NOT ({bounds}))"
        return f"subject.person_id IN ({counted} {bounds})"


def members_query(
    session: sa.orm.Session,
    rule: Rule,
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int] | None,
) -> tuple[str, dict[str, Any]]:
    """Return the statement that yields `person_id` of each member, and its values.

    Of a purpose that demands deterministic links the members are asserted groups, by their oldest
    identifier. Consent is inside: `allowed` holds only identifiers that may be used for the
    segment's purpose, and everything a rule asks is asked of these.
    """
    computed = {t.key: t for t in computed_traits.list_all(session) if t.purpose == purpose.key}
    others = uses.rules_of(session, rule, purpose.key)
    compiler = Compiler(now, trait_rules.in_force(session), computed, others)
    condition = compiler.condition(rule)
    permission = decision(people).text
    known = f", known AS (SELECT identifier_id, {unit(purpose)} AS person_id FROM permission)"
    sql = (
        f"WITH permission AS ({permission}), allowed AS MATERIALIZED ("
        f" SELECT identifier_id, {unit(purpose)} AS person_id FROM permission WHERE allowed"
        "), subject AS (SELECT DISTINCT person_id FROM allowed"
        "), basis AS (SELECT person_id, array_agg(identifier_id ORDER BY identifier_id)"
        f" AS identifier_ids FROM allowed GROUP BY person_id){known if compiler.lists else ''}"
        f" SELECT subject.person_id FROM subject WHERE {condition}"
    )
    return sql, {**parameters(purpose, people), **compiler.values}


def members(
    session: sa.orm.Session,
    rule: Rule,
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int] | None = None,
) -> set[int]:
    """Return who of these people (or of everybody) meets the rule now."""
    sql, bound = members_query(session, rule, purpose, now=now, people=people)
    if people is not None:
        return set(session.scalars(sa.text(sql), bound))
    with _for_everybody(session):
        return set(session.scalars(sa.text(sql), bound))


@contextmanager
def _for_everybody(session: sa.orm.Session) -> Iterator[None]:
    """Have PostgreSQL plan for many people, whose number it cannot guess from a rule.

    It joined who meets a condition with everybody row by row: 18 s for 50,000 people and a trait
    that 714 of them have. Beside that, a `NOT IN` is hashed only as far as work_mem goes.
    """
    before = session.execute(sa.text(_SETTINGS)).one()
    session.execute(sa.text(_SET), {"nestloop": "off", "memory": "64MB"})
    yield
    session.execute(sa.text(_SET), {"nestloop": before.nestloop, "memory": before.memory})


_SETTINGS = (
    "SELECT current_setting('enable_nestloop') AS nestloop, current_setting('work_mem') AS memory"
)
_SET = (
    "SELECT set_config('enable_nestloop', :nestloop, true), set_config('work_mem', :memory, true)"
)
