# ruff: noqa: S608 - only SQL of our own becomes text; what a condition says is bound
"""Writes conditions on values that people sent as SQL.

Nothing of a condition is pasted into SQL: what it says is bound.
"""

import json
from dataclasses import dataclass
from typing import Any

from app.profiles import paths
from app.profiles.conditions import COMPARISONS, RELATIVE, Events, Property

#: A date, or a date with a time and its offset, as ISO 8601 and RFC 3339 write them.
_ISO = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?"
    "([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?$"
)
_OFFSET = "[Tt ].*([Zz]|[+-][0-9:]+)$"


@dataclass(frozen=True, slots=True)
class Ago:
    """A moment so many days before the statement's now; it becomes one when that is known."""

    days: float


class Values:
    """Collects the bound values while conditions are written as SQL."""

    def __init__(self) -> None:
        """Nothing is bound yet."""
        self.values: dict[str, Any] = {}

    def bind(self, value: Any) -> str:
        """Return the name under which a value is bound."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def ago(self, days: float) -> str:
        """Return the moment so many days before now; as a value, or each row would work it out."""
        return f"CAST({self.bind(Ago(days))} AS timestamptz)"

    def called(self, events: Events) -> str:
        """Return a condition on `e`, an event: its name, its type, its properties."""
        terms = []
        if events.event is not None:
            terms.append(f"e.name = {self.bind(events.event)}")
        if events.type is not None:
            terms.append(f"e.type = {self.bind(events.type)}")
        return " AND ".join([*terms, *map(self.property, events.where)])

    def property(self, rule: Property) -> str:
        """Return a condition on the properties of `e`, an event."""
        literal = f"(e.properties -> {self.bind(rule.prop)})"
        plain = self.test(literal, rule.op, rule.value)
        way = paths.split(rule.prop)
        if way is None:
            return plain
        deeper = self.any_of(f"(e.properties -> {self.bind(way[0])})", way[1], rule.op, rule.value)
        return f"(CASE WHEN {literal} IS NOT NULL THEN {plain} ELSE {deeper} END)"

    def any_of(self, value: str, path: str, op: str, wanted: Any) -> str:
        """Return a test of what is at a jsonpath in a JSON value: any one meets it, or none."""
        none = op == "ne" or (op == "exists" and wanted is False)
        asked = {"ne": ("eq", wanted), "exists": ("exists", None)}.get(op, (op, wanted))
        each = self.all_of(value, path)
        some = f"EXISTS (SELECT FROM ({each}) f WHERE {self.test('f.one', *asked)})"
        return f"(NOT {some})" if none else some

    def all_of(self, value: str, path: str) -> str:
        """Return a query of what is at a jsonpath in a JSON value: `one` (json) and its `nth`.

        A path that is lax goes into the elements of lists, and finds nothing where there is none.
        """
        return (
            "SELECT CAST(p.one AS json) AS one, p.nth FROM jsonb_path_query("
            f"CAST({value} AS jsonb), CAST({self.bind(path)} AS jsonpath), '{{}}', true)"
            " WITH ORDINALITY AS p(one, nth)"
        )

    def test(self, value: str, op: str, wanted: Any) -> str:
        """Return a test of a JSON value; one that is absent or null meets `ne` and no other.

        Except `exists` with false, which asks for just that.
        """
        if op == "exists":
            sign = "=" if wanted is False else "<>"
            return f"(coalesce(json_typeof({value}), 'null') {sign} 'null')"
        if op in RELATIVE:
            return self._when(value, op, wanted)
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

    def _when(self, value: str, op: str, days: float) -> str:
        """Test a date: a day counts as within when a part of it is, and without an offset as UTC.

        What is no date of the calendar meets none of these.
        """
        said = f"({value} #>> '{{}}')"
        offset = self.bind(_OFFSET)
        moment = (
            f"({said} || CASE WHEN length({said}) = 10 THEN ' 00:00Z'"
            f" WHEN {said} ~ {offset} THEN '' ELSE 'Z' END)"
        )
        begins = f"CAST({moment} AS timestamptz)"
        ends = (
            f"({begins} + CASE WHEN length({said}) = 10 THEN interval '86399.999999 seconds'"
            " ELSE interval '0 seconds' END)"
        )
        now = "CAST(:now AS timestamptz)"
        met = {
            "within_days": f"{begins} <= {now} AND {ends} >= {self.ago(days)}",
            "older_than_days": f"{ends} < {self.ago(days)}",
            "in_next_days": f"{ends} >= {now} AND {begins} <= {self.ago(-days)}",
        }[op]
        return (
            f"(CASE WHEN json_typeof({value}) = 'string' AND {said} ~ {self.bind(_ISO)}"
            f" AND pg_input_is_valid({moment}, 'timestamptz') THEN {met} END) IS TRUE"
        )
