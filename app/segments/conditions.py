# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound
"""Writes rules as SQL: each condition is a join of everybody asked about with who meets it.

Joins and not `IN`, which PostgreSQL hashes only as far as memory goes; and full ones, which it
cannot carry out row by row: guessing one person where there are 2,000, it went through the events
of a sequence 2,000 times. Conditions that several rules share are joined once, and one pass over
the events feeds all sequences and counts; of everybody the counts have a pass of their own.
"""

import json
from collections.abc import Callable, Mapping

from app.profiles import paths
from app.profiles.computed import ZERO
from app.profiles.conditions import RELATIVE, Called
from app.profiles.conditions_sql import Values
from app.profiles.survivorship import LATEST, Survivorship
from app.profiles.tables import ComputedTrait
from app.segments import sequence
from app.segments.definition import (
    All,
    Any_,
    Behaviour,
    Computed,
    Consent,
    Group,
    Identity,
    Listed,
    Member,
    Not,
    Rule,
    Sequence,
    Step,
    Sureness,
    Trait,
)
from app.segments.golden import latest_first, values
from identity.people import FOLLOWED


class Compiler(Values):
    """Writes rules as conditions on `subject`, the people asked about, and on what joins them."""

    def __init__(
        self,
        survivorship: Mapping[str, Survivorship],
        computed: Mapping[str, ComputedTrait],
        segments: Mapping[str, Rule],
        *,
        everybody: bool,
        unit: str,
    ) -> None:
        """`survivorship` are the rules of traits that have one.

        `computed` are the computed traits of the segments' purpose, `segments` the rules of others.
        `everybody` says that all people are asked about, `unit` what a person is called after.
        """
        super().__init__()
        self.survivorship = survivorship
        self.computed = computed
        self.segments = segments
        self.everybody = everybody
        self.unit = unit
        self.joins: list[str] = []
        #: The decision for other purposes, by key.
        self.decisions: dict[str, str] = {}
        self._joined: dict[str, str] = {}
        self._counts: dict[str, str] = {}
        self._counted = Pass()
        #: Which events are whose of `happened`: the column of each test.
        self._tests: dict[str, str] = {}
        self._happened = Pass()
        self._sequences: dict[str, Sequence] = {}

    def condition(self, rule: Rule) -> str:
        """Return a rule as a condition, true or false and never null."""
        if isinstance(rule, All):
            return "(" + " AND ".join(self.condition(r) for r in rule.all) + ")"
        if isinstance(rule, Any_):
            return "(" + " OR ".join(self.condition(r) for r in rule.any) + ")"
        if isinstance(rule, Not):
            return f"(NOT {self.condition(rule.not_)})"
        if isinstance(rule, Member):
            other = self.segments.get(rule.segment)
            return self.condition(other) if other is not None else "false"
        return self._single(rule)

    def _single(
        self,
        rule: Trait
        | Computed
        | Sequence
        | Listed
        | Consent
        | Identity
        | Sureness
        | Group
        | Behaviour,
    ) -> str:
        if isinstance(rule, Trait):
            return self._trait(rule)
        if isinstance(rule, Computed):
            return self._computed(rule)
        if isinstance(rule, Sequence):
            return self._sequence(rule)
        if isinstance(rule, Listed):
            return self._listed(rule)
        if isinstance(rule, Consent):
            return self._consent(rule)
        if isinstance(rule, Identity):
            return self._identity(rule)
        if isinstance(rule, Sureness):
            return self._sureness(rule)
        if isinstance(rule, Group):
            return self._group(rule)
        return self._behaviour(rule)

    def _join(self, key: str, query: Callable[[], str]) -> str:
        """Return the name under which a query of at most one row of each person is joined."""
        if key not in self._joined:
            name = self._joined[key] = f"j{len(self._joined)}"
            on = f"{name}.person_id = subject.person_id"
            self.joins.append(f" FULL JOIN ({query()}) {name} ON {on}")
        return self._joined[key]

    def _among(self, key: str, query: Callable[[], str]) -> str:
        return f"({self._join(key, query)}.person_id IS NOT NULL)"

    def _trait(self, rule: Trait) -> str:
        """A trait of the whole name comes first, also one that is null; or else what is deeper."""
        value = self._value(rule.trait)
        absent = rule.op == "exists" and rule.value is False
        there = "" if absent else f"json_typeof({value}) <> 'null' AND "
        plain = f"(({there}{self.test(value, rule.op, rule.value)}) IS TRUE)"
        way = paths.split(rule.trait)
        if way is None:
            return plain
        key, path = way
        outer = self._value(key)
        deeper = self.any_of(outer, path, rule.op, rule.value)
        if rule.op == "ne":
            deeper = f"({self.any_of(outer, path, 'exists', None)} AND {deeper})"
        return f"(CASE WHEN {value} IS NOT NULL THEN {plain} ELSE {deeper} END)"

    def _value(self, key: str) -> str:
        """Return the column in which the winning value of a trait is."""
        by = self.survivorship.get(key, LATEST)
        return f"{self._join(f'trait {key}', lambda: values(key, by, self.bind))}.value"

    def _computed(self, rule: Computed) -> str:
        """A value counts that was made of what may be used now, and of all of it."""
        trait = self.computed.get(rule.computed)
        if trait is None:
            return "false"
        name = self._join(
            f"computed {trait.id}",
            lambda: (
                "SELECT v.subject_id AS person_id, v.value, v.basis FROM app.computed_value v"
                f" WHERE v.trait_id = {self.bind(trait.id)}"
            ),
        )
        basis = self._join("basis", lambda: "SELECT person_id, identifier_ids FROM basis")
        test = self.test(f"{name}.value", rule.op, rule.value)
        counts = trait.definition["kind"] in ZERO
        if rule.op == "exists" and rule.value is False:
            gone = f"{name}.basis = {basis}.identifier_ids AND {test}"
            return "false" if counts else f"({name}.person_id IS NULL OR ({gone}) IS TRUE)"
        there = (
            f"({name}.basis = {basis}.identifier_ids AND json_typeof({name}.value) <> 'null'"
            f" AND {test}) IS TRUE"
        )
        if not counts or rule.op in RELATIVE:
            return f"({there})"
        nothing = self.test("CAST('0' AS json)", rule.op, rule.value)
        return f"({there} OR {name}.person_id IS NULL AND {nothing})"

    def _listed(self, rule: Listed) -> str:
        """Whoever has a listed identifier now, also one that may not be used."""
        return self._among(
            f"listed {rule.listed}",
            lambda: (
                f"SELECT DISTINCT p.{self.unit} AS person_id FROM permission p"
                " JOIN app.people_list_member l ON l.identifier_id = p.identifier_id"
                f" WHERE l.list = {self.bind(rule.listed)}"
            ),
        )

    def _consent(self, rule: Consent) -> str:
        decided = self.decisions.get(rule.consent)
        if decided is None:  # a purpose that is not in the catalogue allows nothing
            return "true" if rule.state == "denied" else "false"
        asked = rule.state if rule.state not in ("allowed", "denied") else None
        which = "d.allowed" if asked is None else f"d.reason = {self.bind(asked)}"
        # Full, as the joins of conditions are: guessing one row, PostgreSQL read `allowed` anew for
        # each of 1,400 identifiers in a step of 1,200 people, and that took half of the time.
        met = self._among(
            f"consent {rule.consent} {asked}",
            lambda: (
                "SELECT a.person_id FROM allowed a FULL JOIN"
                f" (SELECT d.identifier_id FROM ({decided}) d WHERE {which}) d"
                " ON d.identifier_id = a.identifier_id WHERE coalesce(a.person_id, 0) > 0"
                " GROUP BY a.person_id HAVING bool_or(d.identifier_id IS NOT NULL)"
            ),
        )
        return f"(NOT {met})" if rule.state == "denied" else met

    def _identity(self, rule: Identity) -> str:
        if self.unit == "group_id":  # whoever matching has joined is two here
            return "true" if rule.identity == "deterministic" else "false"
        several = self._among(
            "identity",
            lambda: (
                "SELECT person_id FROM permission GROUP BY person_id"
                " HAVING min(group_id) <> max(group_id)"
            ),
        )
        return several if rule.identity == "probable" else f"(NOT {several})"

    def _sureness(self, rule: Sureness) -> str:
        """Whoever is one whole, walked from the oldest part over what is as probable as asked."""
        if self.unit == "group_id":  # whoever matching has joined is two here, each of them sure
            return "true"
        least = f"CAST({self.bind(rule.identity_confidence.gte)} AS float8)"
        apart = self._among(
            _key(rule),
            lambda: (
                "WITH RECURSIVE part AS (SELECT DISTINCT person_id, group_id FROM permission),"
                " matched AS (SELECT person_id, min(group_id) AS group_id FROM part"
                " GROUP BY person_id HAVING count(*) > 1), way AS ("
                f" SELECT l.group_id AS one, r.group_id AS other FROM ({FOLLOWED}) k"
                " JOIN permission l ON l.identifier_id = k.left_id"
                " JOIN permission r ON r.identifier_id = k.right_id"
                f" WHERE l.group_id <> r.group_id AND k.probability >= {least}"
                "), reached AS (SELECT person_id, group_id FROM matched UNION"
                " SELECT f.person_id, w.other FROM reached f"
                " JOIN (SELECT one, other FROM way UNION SELECT other, one FROM way) w"
                " ON w.one = f.group_id)"
                " SELECT person_id FROM (SELECT person_id, group_id FROM part"
                " WHERE person_id IN (SELECT person_id FROM matched)"
                " EXCEPT SELECT person_id, group_id FROM reached) a GROUP BY person_id"
            ),
        )
        return f"(NOT {apart})"

    def _group(self, rule: Group) -> str:
        """Membership and value are as usable as the identifiers whose events told of them.

        The value is the same for all members: it is found once for each account, or one of many of
        whom each tells it would be read as often as the square of them.
        """
        if rule.op == "exists" and rule.value is False:
            return f"(NOT {self._group(rule.model_copy(update={'value': None}))})"
        told = (
            "SELECT DISTINCT ON (t.account_id) t.account_id, t.value FROM app.account_trait t"
            " JOIN permission p ON p.identifier_id = t.identifier_id AND p.allowed"
            f" WHERE t.key = {self.bind(rule.group_trait)} AND NOT (:purpose = ANY(t.refused))"
            f" ORDER BY t.account_id, {latest_first('t.')}"
        )
        met = (
            f"SELECT DISTINCT a.person_id FROM ({told}) t"
            " JOIN app.group_member m ON m.account_id = t.account_id"
            " JOIN allowed a ON a.identifier_id = m.identifier_id"
            " WHERE NOT (:purpose = ANY(m.refused)) AND json_typeof(t.value) <> 'null'"
            f" AND {self.test('t.value', rule.op, rule.value)}"
        )
        if rule.group_type is not None:
            met += f" AND m.group_type = {self.bind(rule.group_type)}"
        return self._among(_key(rule), lambda: met)

    def _sequence(self, rule: Sequence) -> str:
        for step in (*rule.sequence, *rule.without):
            self._happened.add(step.called, rule.since_days)
            self._tested(step)
        key = _key(rule)
        self._sequences[key] = rule
        place = list(self._sequences).index(key)
        return f"coalesce({self._join('went', lambda: 'SELECT * FROM went')}.q{place}, false)"

    def _behaviour(self, rule: Behaviour) -> str:
        key = _key(rule, exclude={"count"})
        if key not in self._counts:
            within = rule.within_days
            # An event of the future counts from its receipt, or it would stay for years.
            at = "least(e.occurred_at, e.received_at)" if self.everybody else "e.at"
            lately = "" if within is None else f"{at} >= {self.ago(within)} AND "
            if self.everybody:
                self._counts[key] = lately + self.called(rule)
                self._counted.add(rule.called, within)
            else:
                self._counts[key] = lately + "e." + self._tested(rule)
                self._happened.add(rule.called, within)
        place = list(self._counts).index(key)
        count = f"coalesce({self._join('counted', lambda: 'SELECT * FROM counted')}.c{place}, 0)"
        bounds = " AND ".join(
            f"{count} {sign} {self.bind(bound)}"
            for sign, bound in (
                (">=", rule.count.gte),
                ("<=", rule.count.lte),
                ("=", rule.count.eq),
            )
            if bound is not None
        )
        return f"({bounds})"

    def _tested(self, step: Step | Behaviour) -> str:
        """Return the column of `happened` that says which events are these."""
        key = _key(step, include={"event", "type", "where"})
        if key not in self._tests:
            name = f"b{len(self._tests)}"
            self._tests[key] = f"({self.called(step)}) IS TRUE AS {name}"
        return f"b{list(self._tests).index(key)}"

    def passes(self) -> str:
        """Return the passes over the events, as parts of WITH: what happened, and the counts.

        Of everybody it counts by identifier before it looks whose that is: it joins a tenth of the
        rows, and several processes can share the pass.
        """
        happened = self._everything() if self._tests else ""
        if self._sequences:
            rules = list(self._sequences.values())
            walked = sequence.people(rules, self._tested, self.bind, self.ago)
            happened += f", went AS ({walked})"
        if not self._counts:
            return happened
        # As ints, whose sum is kept in place; that of bigints is a numeric: 1 kB for each person.
        columns = ", ".join(
            f"CAST(count(*) FILTER (WHERE {which}) AS int) AS c{n}"
            for n, which in enumerate(self._counts.values())
        )
        if not self.everybody:
            return (
                f"{happened}, counted AS (SELECT e.person_id, {columns} FROM happened e"
                " GROUP BY e.person_id)"
            )
        sums = ", ".join(f"sum(n.c{i}) AS c{i}" for i in range(len(self._counts)))
        return (
            f"{happened}, counted AS (SELECT a.person_id, {sums} FROM allowed a"
            f" JOIN (SELECT e.identifier_id, {columns} FROM app.event e"
            f" WHERE {self._of(self._counted)}"
            " GROUP BY e.identifier_id) n ON n.identifier_id = a.identifier_id"
            " GROUP BY a.person_id)"
        )

    def _everything(self) -> str:
        """Return the pass that feeds sequences: events with what they are, numbered from the last.

        Each sequence used to read the events itself: of the nine passes of fifty segments six. It
        is written down where counts read it too.
        """
        tests = ", ".join(self._tests.values())
        return (
            f", happened AS (SELECT *, row_number() OVER ({sequence.ORDER}) AS nth"
            " FROM (SELECT a.person_id, least(e.occurred_at, e.received_at) AS at,"
            " s.source, coalesce(e.source_seq, 4611686018427387903) AS place, e.received_at, e.id,"
            f" {tests} FROM allowed a JOIN app.event e ON e.identifier_id = a.identifier_id"
            f" LEFT JOIN {sequence.SOURCES} s ON s.id = e.source_id"
            f" WHERE {self._of(self._happened)}) h)"
        )

    def _of(self, one: "Pass") -> str:
        """Return which events a pass looks at."""
        named = f"e.name = ANY(CAST({self.bind(sorted(one.names))} AS text[]))"
        if one.types:
            named = f"({named} OR e.type = ANY(CAST({self.bind(sorted(one.types))} AS text[])))"
        where = f"{named} AND NOT app.barred(e.refused, :purpose)"
        if one.days is not None:  # what counts from no earlier happened no earlier
            where += f" AND e.occurred_at >= {self.ago(one.days)}"
        return where


class Pass:
    """Which events one pass looks at: how they are called, how far back (None: to the first)."""

    def __init__(self) -> None:
        """None yet."""
        self.names: set[str] = set()
        self.types: set[str] = set()
        self.days: float | None = 0

    def add(self, called: Called, days: float | None) -> None:
        """Have it look at these too."""
        kind, name = called
        if name is not None:
            self.names.add(name)
        elif kind is not None:
            self.types.add(kind)
        self.days = None if self.days is None or days is None else max(self.days, days)


def _key(
    rule: Behaviour | Sequence | Group | Step | Sureness,
    exclude: set[str] | None = None,
    include: set[str] | None = None,
) -> str:
    return json.dumps(
        rule.model_dump(mode="json", exclude=exclude, include=include), sort_keys=True
    )
