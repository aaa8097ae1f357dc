# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound
"""Compiles a segment's rule into one statement: who are its members now, under consent."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

import consent
from app.consents.permission import decision, parameters, unit
from app.profiles import trait_rules
from app.profiles.survivorship import LATEST, Survivorship
from app.segments.definition import COMPARISONS, All, Any_, Behaviour, Not, Property, Rule, Trait
from app.segments.golden import values


class Compiler:
    """Collects the bound values while a rule is written as SQL; nothing of a rule is pasted in."""

    def __init__(self, now: datetime, rules: Mapping[str, Survivorship]) -> None:
        """Windows are measured back from `now`; `rules` are those of traits that have one."""
        self.now = now
        self.rules = rules
        self.values: dict[str, Any] = {}

    def bind(self, value: Any) -> str:
        """Return the name under which a value is bound."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

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
        return self._behaviour(rule)

    def _trait(self, rule: Trait) -> str:
        golden = values(rule.trait, self.rules.get(rule.trait, LATEST), self.bind)
        test = self._test("t.value", rule.op, rule.value)
        return (
            f"subject.person_id IN (SELECT t.person_id FROM ({golden}) t"
            f" WHERE json_typeof(t.value) <> 'null' AND {test})"
        )

    def _behaviour(self, rule: Behaviour) -> str:
        conditions = [f"e.name = {self.bind(rule.event)}", "NOT (:purpose = ANY(e.refused))"]
        if rule.within_days is not None:
            since = self.now - timedelta(days=rule.within_days)
            conditions.append(f"e.occurred_at >= {self.bind(since)}")
        conditions += [self._property(p) for p in rule.where]
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

    def _property(self, rule: Property) -> str:
        return self._test(f"(e.properties -> {self.bind(rule.prop)})", rule.op, rule.value)

    def _test(self, value: str, op: str, wanted: Any) -> str:
        """Return a test of a JSON value; a value that is absent or null meets none but `ne`."""
        if op == "exists":
            return f"coalesce(json_typeof({value}), 'null') <> 'null'"
        if op in COMPARISONS:
            number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
            kind, cast = ("number", "numeric") if number else ("string", "text")
            bound = f"CAST({self.bind(wanted if number else str(wanted))} AS {cast})"
            return (
                f"(CASE WHEN json_typeof({value}) = '{kind}'"
                f" THEN CAST({value} #>> '{{}}' AS {cast}) {COMPARISONS[op]} {bound} END) IS TRUE"
            )
        if op == "contains":
            text = self.bind(str(wanted))
            return f"(strpos(lower({value} #>> '{{}}'), lower({text})) > 0) IS TRUE"
        allowed = wanted if op == "in" and isinstance(wanted, list | tuple) else [wanted]
        bound = f"CAST({self.bind([json.dumps(one) for one in allowed])} AS jsonb[])"
        # Equal, not contained: `@>` would let the order {"a": 1} meet {"a": 1, "b": 2}.
        equal = f"CAST({value} AS jsonb) = ANY ({bound})"
        same = f"(json_typeof({value}) <> 'null' AND {equal}) IS TRUE"
        return f"NOT ({same})" if op == "ne" else same


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
    compiler = Compiler(now, trait_rules.in_force(session))
    condition = compiler.condition(rule)
    permission = decision(people).text
    sql = (
        f"WITH permission AS ({permission}), allowed AS MATERIALIZED ("
        f" SELECT identifier_id, {unit(purpose)} AS person_id FROM permission WHERE allowed"
        "), subject AS (SELECT DISTINCT person_id FROM allowed)"
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
    return set(session.scalars(sa.text(sql), bound))
