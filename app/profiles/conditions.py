"""Conditions on values that people sent, in the words of segments and computed traits, and as SQL.

Nothing of a condition is pasted into SQL: what it says is bound.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Operator = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "exists"]
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Strict(BaseModel):
    """A part of a definition: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Property(Strict):
    """A condition on one property of an event, by its name at the top level."""

    prop: str = Field(min_length=1, max_length=512)
    op: Operator = "eq"
    value: Any = None


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

    def property(self, rule: Property) -> str:
        """Return a condition on the properties of `e`, an event."""
        return self.test(f"(e.properties -> {self.bind(rule.prop)})", rule.op, rule.value)

    def test(self, value: str, op: str, wanted: Any) -> str:
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


def pointed(error: ValidationError, root: str) -> str:
    """Say what is wrong with a definition, and where in it."""
    return "; ".join(
        f"#/{root}/{'/'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:5]
    )
