"""What conditions on values that people sent mean, in plain Python and slowly."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

MISSING = object()
Json = dict[str, Any]
OPERATORS = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "exists",
             "within_days", "older_than_days", "in_next_days")  # fmt: skip
#: One plain key, keys that lead deeper, through lists too, and one that holds a dot itself.
PATHS = ("x", "y", "x", "y", "x.a", "y.a", "x[].a", "x[]", "y[]", "x.a.b", "x.y")


def values(now: datetime) -> tuple[Any, ...]:
    """Values of every kind, dates as of a moment among them."""
    days = [now + timedelta(days=n) for n in (-40, -3, -1, 2, 6)]
    soon = (now + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
    return (
        None, True, False, 0, 1, 2.5, 10, "a", "Ab", "b", "10", ["a"], {"a": 1}, {"a": "b"},
        [{"a": 1}, {"a": "b"}, 7], [["b"], [{"a": "Ab"}]], {"a": [{"b": 1}, {"b": None}]}, [],
        days[0].isoformat(), days[1].date().isoformat(), days[2].strftime("%Y-%m-%dT%H:%M:%SZ"),
        soon, days[4].strftime("%Y-%m-%dT%H:%M:%S.000+02:00"),
        now.date().isoformat(), "2026-02-31", {"a": days[3].date().isoformat()},
    )  # fmt: skip


def condition(dice: Any, now: datetime) -> Json:
    """A condition of any kind, with a value that its operator takes."""
    op = dice.choice(OPERATORS)
    some = [one for one in values(now) if one is not None]
    value: Any = dice.choice(some)
    if op == "in":
        value = dice.sample(some, 3)
    elif op in ("gt", "gte", "lt", "lte"):
        value = dice.choice((1, 2.5, "a", "b", now.date().isoformat()))
    elif op == "contains":
        value = dice.choice(("a", "B", "1", 1))
    elif op == "exists":
        value = dice.choice((True, True, False, None))
    elif op.endswith("_days"):
        value = dice.choice((0, 1, 2.5, 7, 45))
    return {"op": op, "value": value}


def at_path(holder: Mapping[str, Any], path: str) -> list[Any]:
    """Everything at a path that is not null; the key of that very name comes first."""
    if path in holder:
        found = [holder[path]]
    elif "." in path or "[]" in path:
        found = _deeper(holder, path.replace("[]", ".[]").split("."))
    else:
        found = []
    return [one for one in found if one is not None]


def _deeper(value: Any, steps: list[str]) -> list[Any]:
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    if step == "[]":
        inner = value if isinstance(value, list) else [value]
        return [found for one in inner for found in _deeper(one, rest)]
    if isinstance(value, list):
        holders = [one for one in value if isinstance(one, dict)]
        return [found for one in holders if step in one for found in _deeper(one[step], rest)]
    return _deeper(value[step], rest) if isinstance(value, Mapping) and step in value else []


def holds(holder: Mapping[str, Any], path: str, op: str, wanted: Any, now: datetime) -> bool:
    """Whether an object meets a condition on what it has at a path."""
    found = at_path(holder, path)
    if op == "exists":
        return (wanted is not False) is bool(found)
    if op == "ne":
        return not any(same(one, wanted) for one in found)
    return any(meets(one, op, wanted, now) for one in found)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON is."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def meets(value: Any, op: str, wanted: Any, now: datetime) -> bool:
    """Whether one value meets a condition; one that is missing or null meets `ne` alone."""
    there = value is not MISSING and value is not None
    match op:
        case "exists":
            return there is (wanted is not False)
        case "eq":
            return there and same(value, wanted)
        case "in":
            return there and any(same(value, w) for w in wanted)
        case "ne":
            return not (there and same(value, wanted))
        case "contains":
            text = value if isinstance(value, str) else json.dumps(value) if there else ""
            return there and str(wanted).lower() in text.lower()
        case "within_days" | "older_than_days" | "in_next_days":
            return _dated(value, op, timedelta(days=wanted), now)
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    kinds = (int, float) if number else (str,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    bound: Any = wanted if number else str(wanted)
    return bool({"gt": value > bound, "gte": value >= bound, "lt": value < bound,
                 "lte": value <= bound}[op])  # fmt: skip


def _dated(value: Any, op: str, days: timedelta, now: datetime) -> bool:
    if not isinstance(value, str):
        return False
    try:
        first = datetime.fromisoformat(value)
    except ValueError:
        return False
    first = first if first.tzinfo else first.replace(tzinfo=UTC)
    whole = timedelta(days=1, microseconds=-1) if len(value) == 10 else timedelta()
    last = first + whole
    if op == "older_than_days":
        return last < now - days
    if op == "within_days":
        return first <= now and last >= now - days
    return last >= now and first <= now + days
